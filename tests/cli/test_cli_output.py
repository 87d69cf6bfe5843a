"""The name of the program in what the command prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_realtime.cli.output import program_name


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "trio-realtime"
    path.parent.mkdir()
    path.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(path)])
    monkeypatch.setenv("PATH", "/nowhere")
    return path


def test_a_program_on_the_path_is_called_by_its_name(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    assert program_name() == "trio-realtime"


def test_another_program_is_called_by_its_path(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program_name() == str(program)
    monkeypatch.chdir(program.parent.parent)
    assert program_name() == str(Path("bin") / "trio-realtime")


def test_a_module_is_called_with_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [f"trio_realtime{os.sep}cli{os.sep}__main__.py"])
    assert program_name() == "python -m trio_realtime.cli"
