"""What the doctor says about the installation."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trio_realtime.cli.doctor import environment
from trio_realtime.cli.doctor.environment import FEATURES, audio_devices, extras, versions

#: Extras for the development of the library, which users do not need.
DEVELOPMENT = {"test", "lint", "docs", "interop", "bench", "matrix", "dev"}


def test_each_extra_for_users_has_a_description(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"].keys() - DEVELOPMENT
    assert declared <= FEATURES.keys()


def test_versions_name_the_library_and_what_it_needs() -> None:
    found = versions()
    assert list(found)[:3] == ["system", "Python", "trio-realtime"]
    assert {"trio", "msgspec"} <= found.keys()
    assert not {"rich", "pytest"} & found.keys()  # they belong to extras


def test_an_extra_is_installed_if_all_of_its_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "trio>=0.31",
        'one[x]>=1; extra == "mcp"',
        "two>=2; extra == 'mcp'",
        'one; extra=="sip"',
    ]
    monkeypatch.setattr(environment, "requires", lambda _: lines)
    monkeypatch.setattr(environment, "_version", {"one": "1.0"}.get)
    found = {extra.name: (extra.installed, extra.missing) for extra in extras()}
    assert found == {"mcp": (False, ("two",)), "sip": (True, ())}


def test_a_library_that_was_not_installed_has_no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "requires", requires)
    assert extras() == ()
    assert "trio-realtime" in versions()


class PortAudioError(Exception):
    pass


def fake_sounddevice(devices: Any) -> ModuleType:
    def query_devices() -> Any:
        if isinstance(devices, Exception):
            raise devices
        return devices

    module = ModuleType("sounddevice")
    vars(module).update(query_devices=query_devices, PortAudioError=PortAudioError)
    return module


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (None, "not known: the extra devices is not installed"),
        (fake_sounddevice([]), "none"),
        (fake_sounddevice(PortAudioError("no host API")), "not known: no host API"),
        (
            fake_sounddevice([{"name": "USB", "max_input_channels": 1, "max_output_channels": 2}]),
            ("USB (1 in, 2 out)",),
        ),
    ],
    ids=["not installed", "none", "failed", "one"],
)
def test_audio_devices_are_listed_if_the_extra_is_installed(
    module: ModuleType | None, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    assert audio_devices() == expected
