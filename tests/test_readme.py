"""The README begins with two commands, and its first example runs unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trio_realtime

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_first_code_block_has_exactly_two_commands() -> None:
    first = re.search(r"^```\w*\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert first is not None
    commands = [line.split("#")[0].strip() for line in first[1].splitlines() if line.strip()]
    assert commands == ["make demo", "make test"]


def _environment(**extra: str) -> dict[str, str]:
    prefixes = ("OPENAI_", "AZURE_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
    return {**inherited, **extra}


@pytest.mark.slow
def test_example_warns_that_it_uses_the_local_server(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(blocks("python")[0])
    result = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=_environment(),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Sunny in Oslo"
    assert "LocalServerWarning" in result.stderr


def test_example_uses_the_main_public_names() -> None:
    example = blocks("python")[0]
    for name in ("RealtimeAgent", "function_tool", "open_realtime_session"):
        assert name in example
        assert hasattr(trio_realtime, name)


@pytest.mark.parametrize("name", ["Endpoint.openai", "Endpoint.azure", "Endpoint.compatible"])
def test_readme_names_each_kind_of_endpoint(name: str) -> None:
    assert name in README.read_text()
    assert hasattr(trio_realtime.Endpoint, name.split(".")[1])
