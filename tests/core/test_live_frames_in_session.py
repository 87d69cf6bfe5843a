"""Frames recorded on live services, replayed by a scripted peer.

The expected values are computed from the frames alone, independently of the library.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_until_closed
from support.wire import Frame
from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    Usage,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    InputAudio,
    InputText,
)
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import MessageItem, OutputAudio, OutputText, UnknownEvent
from trio_realtime.wire.dialects import DialectName

NAMES = (
    "azure_spoken_turn_drives_a_tool",
    "openai_reasoning_tool_round_interleaved",
    "openai_server_vad_turn",
    "openai_text_in_audio_out",
    "openai_tool_call_round",
    "other_services/voice_live_text_in_audio_out",
    "other_services/voice_live_tool_call_round",
    "other_services/xai_tool_call_round",
)

BETA_TYPES = {
    "conversation.item.created": "conversation.item.added",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}
BETA_PARTS = {"audio": "output_audio", "text": "output_text"}

recorded = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def frames(data_dir: Path, name: str) -> list[Frame]:
    """The frames that the service sent, in order."""
    lines = (data_dir / "live_frames" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    received = [entry["data"] for entry in entries if entry["direction"] == "received"]
    return [json.loads(data) if isinstance(data, str) else data for data in received]


@function_tool
async def get_weather(city: str = "", location: str = "") -> str:
    """Replace the recorded tool of this name."""
    return "Sunny"


class Replay:
    """The outcome of replaying a recording."""

    def __init__(self) -> None:
        self.events: list[events.SessionEvent] = []
        self.history: tuple[HistoryItem, ...] = ()
        self.usage = Usage()


async def collect_all(session: RealtimeSession[None], result: Replay) -> None:
    with session.subscribe(events.RawModelEvent) as raw:
        await wait_all_tasks_blocked()
        result.events += await collect_until_closed(session)
        result.events += await collect_until_closed(raw)
    result.history = tuple(session.history)
    result.usage = session.usage


async def replay(frames: list[Frame], dialect: DialectName = "ga") -> Replay:
    peer = ScriptedPeer(greet=False, acknowledge=False)
    peer.send(*[json.dumps(frame) for frame in frames])
    peer.close()
    result = Replay()
    endpoint = Endpoint.compatible("ws://service.invalid", dialect=dialect)
    agent = RealtimeAgent[None](name="Assistant", tools=[get_weather])
    config = SessionConfig(reconnect=None)
    async with open_realtime_session(
        agent, endpoint=endpoint, transport=peer.connect, config=config
    ) as session:
        await collect_all(session, result)
    return result


def expected_order(frames: Iterable[Frame]) -> list[str]:
    """Return the ids in the order given by ``previous_item_id``; ``null`` means last.

    On the OpenAI service, ``null`` occurs only for the first item of these recordings.
    """
    order: list[str] = []
    for frame in frames:
        if type_of(frame) == "conversation.item.added":
            before = frame["previous_item_id"]
            place = len(order) if before is None else order.index(before) + 1
            order.insert(place, frame["item"]["id"])
    return order


def type_of(frame: Frame) -> str:
    """Return the GA type of a frame."""
    kind: str = frame["type"]
    return BETA_TYPES.get(kind, kind)


def expected_items(frames: Iterable[Frame]) -> dict[str, Frame]:
    """Return the last complete version of each item, with the user's transcripts."""
    items: dict[str, Frame] = {}
    heard: dict[str, str] = {}
    for frame in frames:
        if type_of(frame) == "conversation.item.added":
            items.setdefault(frame["item"]["id"], frame["item"])
        elif frame["type"] in ("conversation.item.done", "response.output_item.done"):
            items[frame["item"]["id"]] = frame["item"]
        elif frame["type"] == "response.done":
            items |= {item["id"]: item for item in frame["response"]["output"]}
        elif frame["type"] == "conversation.item.input_audio_transcription.completed":
            heard[frame["item_id"]] = frame["transcript"]
    for item_id, transcript in heard.items():
        for part in items[item_id]["content"]:
            part["transcript"] = transcript
    return items


def parts_of_frame(item: Frame) -> list[tuple[str, str]]:
    """Return the types and texts of the parts of an item."""
    if item["type"] == "function_call":
        return [(item["name"], item["arguments"])]
    if item["type"] == "function_call_output":
        return [("output", item["output"])]
    return [
        (
            BETA_PARTS.get(part["type"], part["type"]),
            part.get("text") or part.get("transcript") or "",
        )
        for part in item["content"]
    ]


def parts_of_item(item: HistoryItem) -> list[tuple[str, str]]:
    """Return the types and texts of the parts of a history item."""
    if isinstance(item, FunctionCallItem):
        return [(item.name, item.arguments)]
    if isinstance(item, FunctionCallOutputItem):
        return [("output", item.output)]
    assert isinstance(item, MessageItem)
    said: list[tuple[str, str]] = []
    for part in item.content:
        match part:
            case InputText(text=text) | OutputText(text=text):
                said.append((part.type, text))
            case InputAudio(transcript=text) | OutputAudio(transcript=text):
                said.append((part.type, text or ""))
            case _:
                pytest.fail(f"no such part was recorded: {part}")
    return said


@recorded
async def test_live_frames_cause_no_errors_and_no_unknown_events(
    frames: list[Frame], autojump_clock: MockClock
) -> None:
    result = await replay(frames)
    assert [event for event in result.events if isinstance(event, events.Error)] == []
    raw = [event.data for event in result.events if isinstance(event, events.RawModelEvent)]
    unknown = {event.wire_type for event in raw if isinstance(event, UnknownEvent)}
    assert unknown <= {"ping"}  # of xAI


@recorded
async def test_a_dialect_is_reported_unless_it_was_announced(
    frames: list[Frame], name: str, autojump_clock: MockClock
) -> None:
    spoken: DialectName = "voice_live" if "voice_live" in name else "ga"
    for announced in get_args(DialectName):
        result = await replay(frames, announced)
        warnings = [e for e in result.events if isinstance(e, events.SessionWarning)]
        assert [w.code for w in warnings] == ["unexpected_dialect"] * (announced != spoken)


@recorded
async def test_history_is_the_recorded_conversation_in_the_order_of_the_service(
    frames: list[Frame], autojump_clock: MockClock
) -> None:
    result = await replay(frames)
    items = expected_items(frames)
    assert [item.id for item in result.history] == expected_order(frames)
    for item in result.history:
        assert item.id is not None
        assert parts_of_item(item) == parts_of_frame(items[item.id])


@recorded
async def test_usage_is_the_sum_over_the_responses(
    frames: list[Frame], autojump_clock: MockClock
) -> None:
    result = await replay(frames)
    reported = [
        frame["response"]["usage"] or frame["usage"]  # xAI reports it outside of the response
        for frame in frames
        if frame["type"] == "response.done" and (frame["response"]["usage"] or "usage" in frame)
    ]
    assert result.usage.responses == len(reported)
    for key in ("total_tokens", "input_tokens", "output_tokens"):
        assert getattr(result.usage, key) == sum(usage[key] for usage in reported)
    assert result.usage.output_audio_tokens == sum(
        usage["output_token_details"].get("audio_tokens", 0) for usage in reported
    )
    assert result.usage.cached_tokens == sum(
        usage["input_token_details"].get("cached_tokens", 0) for usage in reported
    )


@recorded
async def test_every_response_starts_and_ends_once_and_all_audio_is_delivered(
    frames: list[Frame], autojump_clock: MockClock
) -> None:
    result = await replay(frames)
    began = [f["response"]["id"] for f in frames if f["type"] == "response.created"]
    ended = [f["response"]["id"] for f in frames if f["type"] == "response.done"]
    starts = [e.response_id for e in result.events if isinstance(e, events.ResponseStart)]
    ends = [e.response_id for e in result.events if isinstance(e, events.ResponseEnd)]
    assert (starts, ends) == (began, ended)
    audio = [
        base64.b64decode(f["delta"]) for f in frames if type_of(f) == "response.output_audio.delta"
    ]
    assert [e.data for e in result.events if isinstance(e, events.Audio)] == audio


@recorded
async def test_every_word_is_delivered(frames: list[Frame], autojump_clock: MockClock) -> None:
    result = await replay(frames)
    words: dict[str, str] = {}
    for event in result.events:
        if isinstance(event, events.TextDelta | events.TranscriptDelta):
            words[event.item_id] = words.get(event.item_id, "") + event.delta
    complete = {
        frame["item_id"]: frame["text"] if "text" in frame else frame["transcript"]
        for frame in frames
        if type_of(frame) in ("response.output_text.done", "response.output_audio_transcript.done")
    }
    assert words == complete


@recorded
async def test_every_recorded_call_runs_once_with_its_arguments(
    frames: list[Frame], autojump_clock: MockClock
) -> None:
    result = await replay(frames)
    calls = [
        (frame["item"]["call_id"], frame["item"]["arguments"])
        for frame in frames
        if frame["type"] == "response.output_item.done" and frame["item"]["type"] == "function_call"
    ]
    answered = [
        (event.call_id, event.arguments)
        for event in result.events
        if isinstance(event, events.ToolEnd | events.ToolCancelled)
    ]
    assert answered == calls
