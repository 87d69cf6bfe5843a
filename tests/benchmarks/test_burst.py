"""The ``burst`` benchmark, end to end. The tests check the form of the report, not the speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks.burst.client import CLIENTS
from benchmarks.burst.load import AUDIO_BYTES
from benchmarks.commands import main

pytestmark = pytest.mark.slow

FRAMES = 200


HERE = [name for name, client in CLIENTS.items() if client.peer is None]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the clients of this environment with a small load, and return the printed report."""
    directory = tmp_path_factory.mktemp("burst")
    only = [option for name in HERE for option in ("--only", name)]
    return run_command(directory, "--frames", str(FRAMES), "--repeat", "1", "--json", *only)


def run_command(directory: Path, *options: str) -> dict[str, Any]:
    printed = directory / "out.json"
    with pytest.MonkeyPatch.context() as patch, printed.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main(["burst", *options, "--profile", str(directory / "stats")]) == 0
    assert (directory / "stats").stat().st_size > 0
    result: dict[str, Any] = json.loads(printed.read_text())
    return result


SPREAD: dict[str, Any] = {
    "type": "object",
    "required": ["best", "median", "all"],
    "properties": {
        "best": {"type": "number", "exclusiveMinimum": 0},
        "median": {"type": "number", "exclusiveMinimum": 0},
        "all": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "number"}},
    },
}
CLIENT: dict[str, Any] = {
    "type": "object",
    "required": ["cpu_us_per_frame", "wall_us_per_frame"],
    "properties": {
        "cpu_us_per_frame": SPREAD,
        "wall_us_per_frame": SPREAD,
        "audio_frames": {"const": FRAMES // 5 * 4},
        "audio_bytes": {"const": FRAMES // 5 * 4 * AUDIO_BYTES},
        "text_frames": {"const": FRAMES // 5},
    },
}
RATIO: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}
REPORT: dict[str, Any] = {
    "type": "object",
    "required": ["benchmark", "settings", "clients", "missing", "ratios", "profile"],
    "properties": {
        "benchmark": {"const": "burst"},
        "settings": {
            "type": "object",
            "required": ["python", "machine", "versions", "peers"],
            "properties": {"frames": {"const": FRAMES}, "repeat": {"const": 1}},
        },
        "clients": {"type": "object", "additionalProperties": CLIENT},
        "missing": {"const": {}},
        "ratios": {
            "type": "object",
            "required": [f"{name}/agents" for name in HERE if name != "agents"],
            "additionalProperties": RATIO,
        },
        "profile": {
            "type": "object",
            "properties": {
                "components_us_per_frame": {
                    "type": "object",
                    "required": ["trio", "wsproto", "wire", "core", "session", "json", "base64"],
                    "additionalProperties": {"type": "number"},
                },
                "functions": {"type": "array", "minItems": 1},
            },
        },
    },
}


def test_a_small_run_reports_all_figures_in_the_documented_format(figures: dict[str, Any]) -> None:
    jsonschema.validate(figures, REPORT)


def test_every_client_received_the_whole_stream(figures: dict[str, Any]) -> None:
    assert set(figures["clients"]) == set(HERE)


def test_one_client_can_run_alone_and_its_figures_are_printed_as_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["burst", "--frames", "5", "--repeat", "1", "--only", "bare"]) == 0
    text = capsys.readouterr().out
    assert "5 frames" in text
    assert "bare" in text
    assert "session/" not in text


def test_a_number_below_one_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["burst", "--frames", "0"])
    assert "must be 1 or more" in capsys.readouterr().err
