"""What holds for the local service whatever clients send: by Hypothesis, and by the schema."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pybase64
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from jsonschema import Draft202012Validator

from trio_realtime.local import (
    Call,
    ConnectionRequest,
    Fail,
    Incomplete,
    Pause,
    Say,
    Step,
    TranscriptionFailed,
    Turn,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness
from trio_realtime.local.transcriber import ScriptedTranscriber

Frame = dict[str, Any]

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Say, st.text(max_size=30), st.none() | st.sampled_from([0.0, 130.0, 900.0])),
    st.builds(Call, st.sampled_from(["a", "b"]), st.just({"x": [1, "two"]}) | st.text(max_size=9)),
    st.builds(Pause, st.sampled_from([0.0, 0.5])),
    st.builds(Fail, st.sampled_from(["oops", "ouch"])),
    st.builds(Incomplete),
)


class Chance:
    """A brain that does what the test drew last."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def respond(self, turn: Turn) -> list[Step]:
        return self.steps


# -- invariants over whole sessions --------------------------------------------------------------


def check_chain(frames: list[Frame]) -> list[str]:
    """Rebuild the order of the items from what a client sees; every predecessor must be known."""
    order: list[str] = []
    for frame in frames:
        match frame["type"]:
            case "conversation.item.added":
                previous, item_id = frame["previous_item_id"], frame["item"]["id"]
                assert item_id not in order
                order.insert(0 if previous is None else order.index(previous) + 1, item_id)
            case "conversation.item.deleted":
                order.remove(frame["item_id"])
            case "input_audio_buffer.committed":
                assert frame["previous_item_id"] == (order[-1] if order else None)
            case _:
                pass
    return order


def check_responses(frames: list[Frame]) -> None:
    """``created`` first, ``done`` last, one of each; one response of the conversation at a time."""
    running: dict[str, str | None] = {}
    for frame in frames:
        response: Frame = frame.get("response", {})
        match frame["type"]:
            case "response.created":
                assert response["id"] not in running
                running[response["id"]] = response["conversation_id"]
                assert sum(owner is not None for owner in running.values()) <= 1
            case "response.done":
                del running[response["id"]]
                usage = response["usage"]
                assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
            case _ if "response_id" in frame:
                assert frame["response_id"] in running
            case _:
                pass


def check_items(frames: list[Frame]) -> None:
    """What a response opened is closed, once, before it is done, and is then in its output."""
    opened = Counter(f["item"]["id"] for f in frames if f["type"] == "response.output_item.added")
    closed = [f for f in frames if f["type"] == "response.output_item.done"]
    done = {f["response"]["id"]: f["response"] for f in frames if f["type"] == "response.done"}
    assert set(opened.values()) <= {1}
    assert Counter(frame["item"]["id"] for frame in closed) <= opened
    for key, response in done.items():
        own = {f["item"]["id"]: f["item"] for f in closed if f["response_id"] == key}
        assert own == {item["id"]: item for item in response["output"]}


def check_ids(frames: list[Frame]) -> None:
    assert len({frame["event_id"] for frame in frames}) == len(frames)


def check_deltas(frames: list[Frame]) -> None:
    """What was streamed is what was said in the end."""
    streamed: Counter[str] = Counter()
    texts: dict[str, str] = {}
    final = {
        "response.output_text.done": "text",
        "response.output_audio_transcript.done": "transcript",
        "response.function_call_arguments.done": "arguments",
    }
    for frame in frames:
        kind = frame["type"]
        if kind.endswith(".delta") and "audio.delta" not in kind and "response_id" in frame:
            texts[frame["item_id"]] = texts.get(frame["item_id"], "") + frame["delta"]
        elif kind in final:
            assert frame[final[kind]] == texts.get(frame["item_id"], "")
            streamed[frame["item_id"]] += 1
    assert set(streamed.values()) <= {1}


LOUD = pybase64.b64encode(b"\x00\x20" * 24 * 320).decode()
QUIET = pybase64.b64encode(bytes(48 * 320)).decode()


class Conversation(RuleBasedStateMachine):
    """A client that does sensible and senseless things in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.responder = Chance()
        self.harness = ProtocolHarness(
            responder=self.responder,
            transcriber=ScriptedTranscriber(["one two", TranscriptionFailed(), "three"] * 50),
            pacing=4.0,
        )
        self.harness.update(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})

    @rule(steps=st.lists(STEPS, max_size=4), aside=st.booleans(), text=st.booleans())
    def respond(self, steps: list[Step], aside: bool, text: bool) -> None:
        self.responder.steps = steps
        self.harness.send(
            "response.create",
            response={
                "conversation": "none" if aside else "auto",
                "output_modalities": ["text" if text else "audio"],
            },
        )

    @rule(limit=st.integers(1, 20))
    def limit_tokens(self, limit: int) -> None:
        self.harness.update(max_output_tokens=limit)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 1.0, 8.0]))
    def wait(self, seconds: float) -> None:
        self.harness.run(seconds)

    @rule()
    def step(self) -> None:
        self.harness.step()
        assume(self.harness.now < 3000)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ids = [frame["response"]["id"] for frame in self.harness.of_type("response.created")]
        chosen = data.draw(st.none() | st.sampled_from(ids)) if ids else None
        self.harness.send("response.cancel", **({"response_id": chosen} if chosen else {}))

    @rule(audio=st.sampled_from([LOUD, QUIET]), times=st.integers(1, 4))
    def write(self, audio: str, times: int) -> None:
        for _ in range(times):
            self.harness.send("input_audio_buffer.append", audio=audio)

    @rule(kind=st.sampled_from(["commit", "clear"]))
    def end_input(self, kind: str) -> None:
        self.harness.send(f"input_audio_buffer.{kind}")

    @rule(text=st.text(max_size=20), data=st.data())
    def say(self, text: str, data: st.DataObject) -> None:
        places = ["", "root", "unknown", *self.item_ids()]
        place = data.draw(st.sampled_from(places))
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        self.harness.send("conversation.item.create", item=item, previous_item_id=place)

    @rule(verb=st.sampled_from(["delete", "retrieve", "truncate"]), data=st.data())
    def touch(self, verb: str, data: st.DataObject) -> None:
        item_id = data.draw(st.sampled_from(["unknown", *self.item_ids()]))
        more = {"content_index": 0, "audio_end_ms": 100} if verb == "truncate" else {}
        self.harness.send(f"conversation.item.{verb}", item_id=item_id, **more)

    @rule(
        detection=st.sampled_from(
            [
                None,
                {"type": "server_vad"},
                {"type": "server_vad", "interrupt_response": False},
                {"type": "server_vad", "idle_timeout_ms": 5000},
                {"type": "semantic_vad", "eagerness": "high"},
            ]
        ),
        name=st.sampled_from(["audio/pcm", "audio/pcmu", "audio/pcma"]),
    )
    def update(self, detection: Frame | None, name: str) -> None:
        self.harness.update(
            audio={"input": {"turn_detection": detection, "format": {"type": name}}}
        )

    def item_ids(self) -> list[str]:
        return [frame["item"]["id"] for frame in self.harness.of_type("conversation.item.added")]

    @invariant()
    def holds(self) -> None:
        frames = self.harness.frames
        check_ids(frames)
        check_responses(frames)
        check_items(frames)
        check_deltas(frames)
        order = check_chain(frames)
        assert order == [item.id for item in self.harness.protocol._state.conversation]


TestConversation = Conversation.TestCase
TestConversation.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


# -- nothing crashes it --------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = st.sampled_from(
    [
        *("session.update", "input_audio_buffer.append", "input_audio_buffer.commit"),
        *("conversation.item.create", "conversation.item.truncate", "conversation.item.delete"),
        *("conversation.item.retrieve", "response.create", "response.cancel"),
    ]
)
FIELDS = st.sampled_from(
    [
        *("session", "audio", "item", "item_id", "previous_item_id", "content_index", "response"),
        *("audio_end_ms", "response_id", "event_id", "type", "role", "content", "tools", "input"),
        *("turn_detection", "format", "metadata", "conversation", "output", "call_id"),
    ]
)
NEAR = st.recursive(
    JSON | st.sampled_from(["realtime", "message", "user", "server_vad", "audio/pcm", "function"]),
    lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TYPES, st.dictionaries(FIELDS, NEAR, max_size=4)), max_size=5))
def test_no_event_crashes_the_service(events: list[tuple[str, Frame]]) -> None:
    harness = ProtocolHarness()
    for kind, fields in events:
        message = json.dumps({**fields, "type": kind})
        frames = harness.send_raw(message)
        errors = [frame for frame in frames if frame["type"] == "error"]
        assert not errors or len(frames) == 1
        harness.run()
    check_ids(harness.frames)


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary())
def test_no_message_crashes_the_service(message: str | bytes) -> None:
    harness = ProtocolHarness()
    (frame,) = harness.send_raw(message)
    assert frame["type"] == "error"


@given(st.text(max_size=30))
def test_no_path_crashes_the_service(path: str) -> None:
    assert ProtocolHarness(ConnectionRequest(f"/{path}", LOCAL_REQUEST.headers)).frames


# -- the schema ----------------------------------------------------------------------------------


@cache
def load_schema(path: Path) -> Frame:
    schema: Frame = json.loads(path.read_text(encoding="utf-8"))
    return schema


def validator_of(schema: Frame, kind: str) -> Draft202012Validator:
    name = schema["x-event-index"]["server"][kind]
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})


def varied_session() -> list[Frame]:
    """A session that brings out every type of event there is."""
    responder = Chance()
    harness = ProtocolHarness(
        ConnectionRequest("/v1/realtime?model=gpt-realtime-2.1", LOCAL_REQUEST.headers),
        responder=responder,
        transcriber=ScriptedTranscriber(["Hello there", TranscriptionFailed()]),
        pacing=4.0,
    )
    harness.update(
        tools=[{"type": "mcp", "server_label": "x", "server_url": "https://example.com"}],
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000},
                "transcription": {"model": "gpt-4o-transcribe"},
            }
        },
    )
    responder.steps = [Say("I'll look."), Call("get_weather", {"city": "Oslo"})]
    for _ in range(2):
        for audio in (LOUD, QUIET, QUIET):
            harness.send("input_audio_buffer.append", audio=audio)
        harness.run(1.0)
    harness.run(8.0)
    harness.update(audio={"input": {"turn_detection": None}})
    item_id = harness.of_type("response.output_item.done")[0]["item"]["id"]
    harness.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
    harness.send("conversation.item.retrieve", item_id=item_id)
    harness.send("conversation.item.delete", item_id=item_id)
    call_id = harness.of_type("response.function_call_arguments.done")[0]["call_id"]
    output = {"type": "function_call_output", "call_id": call_id, "output": "Sunny"}
    harness.send("conversation.item.create", item=output)
    harness.send("input_audio_buffer.clear")
    harness.send("nope")
    endings: list[list[Step]] = [[Say("text")], [Fail()], [Say("half"), Incomplete()], []]
    for steps in endings:
        responder.steps = steps
        harness.send("response.cancel")
        harness.respond(output_modalities=["text"], conversation="none", metadata={"k": "v"})
    harness.run(math.inf)
    return harness.frames


def test_every_event_fits_the_schema(data_dir: Path) -> None:
    schema = load_schema(data_dir / "realtime_events.wire.schema.json")
    frames = varied_session()
    for frame in frames:
        validator_of(schema, frame["type"]).validate(frame)
    seen = {frame["type"] for frame in frames}
    others = {
        *("conversation.created", "conversation.item.created", "mcp_list_tools.completed"),
        "conversation.item.input_audio_transcription.segment",
        "input_audio_buffer.dtmf_event_received",
    }
    unseen = set(schema["x-event-index"]["server"]) - seen - others
    assert {kind for kind in unseen if "mcp_call" not in kind} == {
        *("output_audio_buffer.started", "output_audio_buffer.stopped"),
        "output_audio_buffer.cleared",
    }


@pytest.mark.parametrize("kind", ["item", "response"])
def test_live_events_have_no_key_that_ours_lack(data_dir: Path, kind: str) -> None:
    ours: dict[str, set[str]] = {}
    for frame in varied_session():
        ours.setdefault(frame["type"], set()).update(frame, frame.get(kind, {}))
    for path in sorted((data_dir / "live_frames").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            data = record["data"]
            if record["direction"] == "received" and data["type"] in ours:
                keys = {*data, *data.get(kind, {})}
                # Azure says the part of ``content_part`` events twice.
                assert keys <= ours[data["type"]] | {"content"}, data["type"]
