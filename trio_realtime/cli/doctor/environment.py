"""What is installed here: versions, extras, and audio devices."""

from __future__ import annotations

import importlib
import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Final

import attrs

_PACKAGE: Final = "trio-realtime"
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+).*?(?:;.*extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"].*)?"
)

#: What each extra is for. The other extras are for the development of the library.
FEATURES: Final[Mapping[str, str]] = {
    "cli": "this command",
    "mcp": "MCP servers of agents",
    "sip": "answering and transferring SIP calls",
    "socks": "SOCKS proxies",
    "audio": "converting between sample rates",
    "devices": "microphone and speaker",
    "testing": "the pytest plugin, and scenario files",
    "server": "managed sessions, stores and the gateway",
    "postgresql": "a PostgreSQL database for the history",
    "objects": "artifacts in S3, Azure or Google Cloud",
    "opus": "recordings as Opus in Ogg",
}


@attrs.frozen
class Extra:
    """One extra of the library.

    Args:
        name: as in ``pip install 'trio-realtime[name]'``.
        feature: what needs it.
        missing: its packages that are not installed.
    """

    name: str
    feature: str
    missing: tuple[str, ...]

    @property
    def installed(self) -> bool:
        """Whether all of its packages are installed."""
        return not self.missing


def versions() -> dict[str, str]:
    """Return the versions of the system, Python, the library and what it needs."""
    names = (_PACKAGE, *dict.fromkeys(_required(None)))
    return {
        "system": platform.platform(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: _version(name) or "not installed" for name in names},
    }


def extras() -> tuple[Extra, ...]:
    """Return the extras that this version of the library has."""
    found: list[Extra] = []
    for name, feature in FEATURES.items():
        packages = tuple(_required(name))
        if packages:
            missing = tuple(package for package in packages if _version(package) is None)
            found.append(Extra(name, feature, missing))
    return tuple(found)


def _required(extra: str | None) -> Iterator[str]:
    """Yield the names of the packages of an extra; ``None`` for those that are always needed."""
    try:
        lines = requires(_PACKAGE) or []
    except PackageNotFoundError:  # imported from a directory
        return
    for line in lines:
        match = _REQUIREMENT.fullmatch(line)
        if match is not None and match["extra"] == extra:
            yield match["name"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def audio_devices() -> tuple[str, ...] | str:
    """Return the audio devices with their numbers of channels, or why they are not known."""
    try:
        sounddevice: Any = importlib.import_module("sounddevice")
    except ModuleNotFoundError:
        return "not known: the extra devices is not installed"
    except OSError as exc:  # the library PortAudio
        return f"not known: {exc}"
    try:
        devices = list(sounddevice.query_devices())
    except sounddevice.PortAudioError as exc:
        return f"not known: {exc}"
    lines = tuple(
        f"{device['name']} ({device['max_input_channels']} in, {device['max_output_channels']} out)"
        for device in devices
    )
    return lines or "none"
