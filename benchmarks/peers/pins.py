"""The clients of other projects, and the versions that the benchmarks were written for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.environment import PythonEnvironment

ENVIRONMENTS: Final = Path(__file__).resolve().parents[2] / ".bench"


@attrs.frozen
class Pin:
    """A version of a distribution, and the extras to install."""

    distribution: str
    version: str
    extras: str = ""

    @property
    def requirement(self) -> str:
        """The argument of pip."""
        extras = f"[{self.extras}]" if self.extras else ""
        return f"{self.distribution}{extras}=={self.version}"


@attrs.frozen
class Peer:
    """The environment of one client, or of several.

    Attributes:
        name: the directory.
        pins: what to install.
    """

    name: str
    pins: Sequence[Pin]

    @property
    def environment(self) -> PythonEnvironment:
        """The environment."""
        return PythonEnvironment(ENVIRONMENTS / self.name)

    @property
    def failure(self) -> Path:
        """The file that says why the last attempt to install it failed."""
        return ENVIRONMENTS / f"{self.name}.failed"

    @property
    def versions(self) -> dict[str, str | None]:
        """The version of each pinned distribution that is installed."""
        return {pin.distribution: self.environment.version(pin.distribution) for pin in self.pins}

    def why_missing(self) -> str | None:
        """Return why it cannot run, or None if all versions are the pinned ones."""
        installed = self.versions
        wrong = [pin for pin in self.pins if installed[pin.distribution] != pin.version]
        if not wrong:
            return None
        if self.failure.exists():
            reason = self.failure.read_text(encoding="utf-8").strip()
            return f"{self.name} could not be installed: {reason}"
        return f"{wrong[0].requirement} is not installed; run python -m benchmarks peers"


_ATTRS: Final = Pin("attrs", "26.1.0")  # for the benchmark itself

PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        Peer(
            "pydantic-ai",
            (
                Pin("pydantic-ai-slim", "2.68.0", extras="openai,realtime"),
                Pin("websockets", "17.4"),
                _ATTRS,
            ),
        ),
        Peer(
            "pipecat-ai",
            (
                Pin("pipecat-ai", "1.14.0", extras="openai"),
                Pin("websockets", "17.4"),
                _ATTRS,
            ),
        ),
        Peer(
            "livekit-agents",
            (
                Pin("livekit-agents", "1.8.9"),
                Pin("livekit-plugins-openai", "1.8.9"),
                Pin("aiohttp", "3.14.5"),
                _ATTRS,
            ),
        ),
        # Its client for trio came with version 17, which openai-agents does not accept.
        Peer(
            "websockets",
            (
                Pin("websockets", "17.4"),
                Pin("trio", "0.35.0"),
                Pin("msgspec", "0.22.0"),
                Pin("pybase64", "1.5.1"),
                _ATTRS,
            ),
        ),
    )
}
