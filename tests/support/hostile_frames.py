"""Frames that no honest service sends, made from frames that live services have sent.

All choices are made with a :class:`random.Random`, so that Hypothesis can shrink them and a fuzzer can
choose them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

Frame: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[Any, Any]
"""An object or array, and a key or an index of it."""

RECORDINGS: Final = Path(__file__).resolve().parent.parent / "data" / "live_frames"

STRANGE_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    -(2**63),
    2**63,
    10**18,
    10**299,
    0.5,
    -0.5,
    1e18,
    1e308,
    -1e308,
    "",
    "root",
    "none",
    "in_progress",
    "completed",
    "incomplete",
    "cancelled",
    "failed",
    "user",
    "assistant",
    "system",
    "text",
    "audio",
    "message",
    "function_call",
    "function_call_output",
    "mcp_call",
    "mcp_approval_request",
    "audio/pcm",
    "audio/pcmu",
    "\x00\x1f\ufeff\u202e",
    "AAAA",
    "not base64!",
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"type": None},
    {"type": "message", "id": "item_1", "role": "assistant", "content": [{"type": "audio"}]},
)


@cache
def recorded_frames() -> tuple[Frame, ...]:
    """Return every frame that the live services have sent, of all recordings."""
    lines = [
        json.loads(line)
        for path in sorted(RECORDINGS.rglob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    received = [line["data"] for line in lines if line["direction"] == "received"]
    return tuple(json.loads(data) if isinstance(data, str) else data for data in received)


@cache
def _types() -> tuple[str, ...]:
    from trio_realtime.wire.codec import _SERVER_CLASSES

    return tuple(sorted({*_SERVER_CLASSES, *(frame["type"] for frame in recorded_frames())}))


@cache
def _recorded_texts() -> tuple[str, ...]:
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str) and len(value) < 80:
            yield value
        for inner in _values(value):
            yield from texts(inner)

    return tuple(sorted({text for frame in recorded_frames() for text in texts(frame)}))


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else []


def places(value: Any) -> list[Place]:
    """Return each place in a JSON value, the outer ones first."""
    found: list[Place] = []
    containers = [value]
    while containers:
        container = containers.pop()
        keys = [*container] if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                containers.append(container[key])
    return found


def strange_value(random: Random) -> Any:
    """Return a value of any type and size."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice(("x", "\U0001f600", "é")) * random.choice((100, 5_000))
    if kind == 1:
        return nested(random.choice((3, 50, 150)))
    if kind == 2:
        return random.choice(_recorded_texts())
    if kind == 3:
        return f"id_{random.randrange(6)}"
    return json.loads(json.dumps(random.choice(STRANGE_VALUES)))


def nested(depth: int) -> Any:
    """Return objects and arrays in one another."""
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def mutate(frame: Frame, random: Random) -> None:
    """Change one place of a frame."""
    container, key = random.choice(places(frame)) if frame else (frame, "type")
    kind = random.randrange(7)
    if kind == 0 and key in (container if isinstance(container, dict) else ()):
        del container[key]
    elif kind == 1:
        frame["type"] = random.choice(_types())
    elif kind == 2 and isinstance(container, list):
        container.extend(json.loads(json.dumps(container[:1] * random.choice((1, 20)))))
    elif kind == 3 and isinstance(container, dict):
        container[random.choice(_recorded_texts())] = strange_value(random)
    else:
        container[key] = strange_value(random)


def share_ids(frame: Frame, random: Random) -> None:
    """Replace ids by a few others, so that frames of different recordings meet."""
    for container, key in places(frame):
        is_id = isinstance(key, str) and (key == "id" or key.endswith("_id"))
        if is_id and isinstance(container[key], str) and random.randrange(3):
            container[key] = f"id_{random.randrange(6)}"


def hostile_frame(random: Random) -> Frame:
    """Return a recorded frame with some places changed."""
    frame: Frame = json.loads(json.dumps(random.choice(recorded_frames())))
    if random.randrange(4):
        share_ids(frame, random)
    for _ in range(random.randrange(4)):
        mutate(frame, random)
    return frame


def hostile_text(random: Random) -> str | bytes:
    """Return the text of a hostile frame, which may be cut or damaged."""
    text = json.dumps(hostile_frame(random), ensure_ascii=bool(random.randrange(2)))
    kind = random.randrange(10)
    if kind == 0:
        return text[: random.randrange(len(text) + 1)]
    if kind == 1:
        at = random.randrange(len(text))
        return text[:at].encode() + bytes([random.randrange(256)]) + text[at + 1 :].encode()
    if kind == 2:
        return text.replace('"', random.choice(('\\ud83d"', "\\u0000", "'")), random.randrange(9))
    if kind == 3:
        return text + random.choice(("{}", "\x00", " ", "]", "NaN"))
    if kind == 4:
        number = random.choice(("NaN", "-Infinity", "1e999", "9" * 400, "1" * 5000, "-0.0"))
        return text.replace("0", number, random.randrange(5))
    return text if random.randrange(2) else text.encode()


# --- floods ---------------------------------------------------------------------------------------

_MORE_FRAMES: Final[tuple[Frame, ...]] = (
    {"type": "response.mcp_call.in_progress", "item_id": "x", "output_index": 0},
    {"type": "response.mcp_call.completed", "item_id": "x", "output_index": 0},
    {"type": "mcp_list_tools.failed", "item_id": "x"},
    {"type": "conversation.item.deleted", "item_id": "x"},
    {
        "type": "conversation.item.truncated",
        "item_id": "x",
        "content_index": 0,
        "audio_end_ms": 5,
    },
    {
        "type": "conversation.item.retrieved",
        "item": {"id": "x", "type": "message", "role": "user", "content": []},
    },
    {
        "type": "conversation.item.input_audio_transcription.delta",
        "item_id": "x",
        "content_index": 0,
        "delta": "a",
    },
    {
        "type": "conversation.item.input_audio_transcription.failed",
        "item_id": "x",
        "content_index": 0,
        "error": {"message": "m"},
    },
    {"type": "input_audio_buffer.timeout_triggered", "item_id": "x", "audio_start_ms": 0},
    {
        "type": "response.output_text.delta",
        "response_id": "r",
        "item_id": "x",
        "output_index": 0,
        "content_index": 0,
        "delta": "a",
    },
    {
        "type": "response.output_item.done",
        "response_id": "r",
        "output_index": 0,
        "item": {"id": "x", "type": "mcp_approval_request", "name": "n", "server_label": "s"},
    },
    {"type": "error", "error": {"type": "x", "message": "m", "event_id": "x"}},
)


def frames_of_each_kind() -> dict[str, Frame]:
    """Return one frame of each type that a service may send, by a name of the frame."""
    found: dict[str, Frame] = {}
    for frame in (*recorded_frames(), *_MORE_FRAMES):
        found.setdefault(_name_of(frame), frame)
    return found


def _name_of(frame: Frame) -> str:
    item = frame.get("item", {})
    return " ".join([frame["type"], *([item["type"]] if "type" in item else [])])


def with_new_ids(value: Any, number: int) -> Any:
    """Return a JSON value in which every id is a new one."""
    if isinstance(value, list):
        return [with_new_ids(inner, number) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{inner}_{number}"
        if isinstance(inner, str) and (key == "id" or key.endswith("_id"))
        else with_new_ids(inner, number)
        for key, inner in value.items()
    }


def with_new_index(frame: Frame, number: int) -> Frame:
    """Return a frame about another part of the same item."""
    return {key: number if key.endswith("_index") else value for key, value in frame.items()}
