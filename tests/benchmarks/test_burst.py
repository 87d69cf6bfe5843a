"""The benchmark runs end to end and reports what it says. How fast anything is, no test asks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest

from benchmarks.burst import frames as fr
from benchmarks.burst.client import CONTESTANTS
from benchmarks.burst.load import AUDIO_BYTES, Incomplete, Load, Measurement, Meter
from benchmarks.burst.profile import room_of
from benchmarks.burst.report import BurstReport
from benchmarks.commands import main
from trio_realtime.wire import UnknownEvent, decode_server_event

FRAMES = 200
LOAD = Load(turns=2, frames_per_turn=10)


def measurement(cpu: float) -> Measurement:
    return Measurement(
        cpu=cpu,
        wall=2 * cpu,
        audio_frames=LOAD.audio_frames,
        audio_bytes=LOAD.audio_bytes,
        text_frames=LOAD.text_frames,
    )


def consume(meter: Meter, turns: int, audio: bytes = bytes(AUDIO_BYTES)) -> list[bool]:
    last: list[bool] = []
    for _ in range(turns):
        for _ in range(LOAD.frames_per_turn // 5):
            for _ in range(4):
                meter.audio(audio)
            meter.text()
        last.append(meter.ends_turn())
    return last


# --- end to end


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One tiny run of everything, as the command prints it."""
    folder = tmp_path_factory.mktemp("burst")
    return run_command(folder, "--frames", str(FRAMES), "--repeat", "1", "--json")


def run_command(folder: Path, *options: str) -> dict[str, Any]:
    printed = folder / "out.json"
    with pytest.MonkeyPatch.context() as patch, printed.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main(["burst", *options, "--profile", str(folder / "stats")]) == 0
    assert (folder / "stats").stat().st_size > 0
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
CONTESTANT: dict[str, Any] = {
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
RATIO: dict[str, Any] = {
    "type": "object",
    "required": ["best", "median"],
    "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
}
SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["benchmark", "settings", "contestants", "missing", "ratios", "profile"],
    "properties": {
        "benchmark": {"const": "burst"},
        "settings": {
            "type": "object",
            "required": ["python", "machine", "versions"],
            "properties": {"frames": {"const": FRAMES}, "repeat": {"const": 1}},
        },
        "contestants": {"type": "object", "additionalProperties": CONTESTANT},
        "missing": {"const": []},
        "ratios": {
            "type": "object",
            "required": [
                "session/bare",
                "session/bare_stdlib",
                "session/agents",
                "session/subscribe",
            ],
            "additionalProperties": RATIO,
        },
        "profile": {
            "type": "object",
            "properties": {
                "rooms_us_per_frame": {
                    "type": "object",
                    "required": ["trio", "wsproto", "wire", "core", "session", "json", "base64"],
                    "additionalProperties": {"type": "number"},
                },
                "functions": {"type": "array", "minItems": 1},
            },
        },
    },
}


def test_a_tiny_run_reports_all_figures_in_their_shape(figures: dict[str, Any]) -> None:
    jsonschema.validate(figures, SHAPE)


def test_every_contestant_took_in_the_whole_stream(figures: dict[str, Any]) -> None:
    assert set(figures["contestants"]) == set(CONTESTANTS)


def test_one_contestant_can_run_alone_and_is_shown_as_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["burst", "--frames", "5", "--repeat", "1", "--only", "bare"]) == 0
    text = capsys.readouterr().out
    assert "5 frames" in text
    assert "bare" in text
    assert "session/" not in text


def test_a_number_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["burst", "--frames", "0"])
    assert "must be 1 or more" in capsys.readouterr().err


# --- the stream


def test_all_frames_of_a_response_are_events_that_the_library_knows() -> None:
    item: dict[str, Any] = {"id": "item_0", "type": "message", "role": "user", "content": []}
    stream = [
        fr.session_frame("session.created"),
        *fr.item_frames(item, None),
        *fr.opening_frames("resp_1", "item_1", None, {"key": "value"}),
        *fr.burst_frames("resp_1", "item_1", 10),
        *fr.closing_frames("resp_1", "item_1", 10, None),
    ]
    decoded = [decode_server_event(fr.text_of(frame)) for frame in stream]
    assert [event for event in decoded if isinstance(event, UnknownEvent)] == []


@pytest.mark.parametrize(
    ("frames", "turns", "whole"),
    [(1, 1, 5), (200, 1, 200), (1_004, 1, 1_005), (20_000, 20, 20_000)],
)
def test_a_load_has_whole_groups_in_turns_of_equal_length(
    frames: int, turns: int, whole: int
) -> None:
    load = Load.of(frames)
    assert (load.turns, load.frames) == (turns, whole)
    assert load.audio_frames == 4 * load.text_frames


# --- counting


def test_a_meter_leaves_out_the_warm_up_and_tells_the_last_turn() -> None:
    meter = Meter(LOAD)
    assert consume(meter, 3) == [False, False, True]
    assert attrs.evolve(meter.result(), cpu=1.0, wall=2.0) == measurement(1.0)


@pytest.mark.parametrize("audio", [b"", bytes(AUDIO_BYTES - 1)])
def test_a_stream_that_lacks_a_byte_gives_no_figures(audio: bytes) -> None:
    meter = Meter(LOAD)
    consume(meter, 3, audio)
    with pytest.raises(Incomplete, match="audio_bytes"):
        meter.result()


# --- figures


def test_ratios_are_of_the_best_and_the_median_of_the_rounds() -> None:
    report = BurstReport(
        load=LOAD,
        rounds={
            "session": [measurement(3e-4), measurement(6e-4), measurement(4e-4)],
            "bare": [measurement(2e-4), measurement(3e-4), measurement(1e-4)],
        },
        missing=["agents"],
    )
    ratio = report.ratios()["session/bare"]
    assert math.isclose(ratio["best"], 3.0)
    assert math.isclose(ratio["median"], 2.0)
    assert math.isclose(min(report.cpu_us("session")), 15.0)
    assert "openai-agents is not installed" in report.to_text()


@pytest.mark.parametrize(
    ("file", "name", "room"),
    [
        ("/home/trio_realtime/lib/site-packages/trio/_core/_run.py", "unrolled_run", "trio"),
        ("<attrs generated methods outcome._impl.Value>", "__init__", "trio"),
        ("<attrs generated methods trio_realtime.events.Audio>", "__init__", "events"),
        ("/home/me/trio_realtime/core/playback.py", "receive", "core"),
        ("/usr/lib/python3.11/enum.py", "__contains__", None),
        ("~", "<built-in method builtins.len>", None),
        ("~", "<built-in method msgspec._core.json_decode>", "json"),
        ("~", "<method 'poll' of 'select.epoll' objects>", "kernel"),
    ],
)
def test_a_function_is_charged_to_its_room(file: str, name: str, room: str | None) -> None:
    assert room_of((file, 1, name)) == room
