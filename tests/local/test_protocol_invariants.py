"""Invariants of the protocol for any sequence of client messages."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pybase64
from hypothesis import HealthCheck, assume, example, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.harness import NextStepsResponder
from trio_realtime.local import (
    Call,
    ConnectionRequest,
    Fail,
    Incomplete,
    Pause,
    Say,
    Step,
    TranscriptionFailed,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness
from trio_realtime.local.transcriber import (
    ScriptedTranscriber,
    Transcriber,
    TranscriptionResult,
    UserAudio,
)

# -- sessions ------------------------------------------------------------------------------------


Frame = dict[str, Any]


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Say, st.text(max_size=30), st.none() | st.sampled_from([0.0, 130.0, 900.0])),
    st.builds(Call, st.sampled_from(["a", "b"]), st.just({"x": [1, "two"]}) | st.text(max_size=9)),
    st.builds(Pause, st.sampled_from([0.0, 0.5])),
    st.builds(Fail, st.sampled_from(["oops", "ouch"])),
    st.builds(Incomplete),
)


def check_chain(frames: list[Frame]) -> list[str]:
    """Rebuild the order of the items from the events. Every predecessor must be known."""
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
    """Each response has one ``created`` first and one ``done`` last; at most one is active."""
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
    """Each output item is closed once, before ``response.done``, which lists it."""
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
    """Joined deltas equal the text of the ``done`` event."""
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


TRANSCRIPTS: list[str | TranscriptionFailed] = ["one two", TranscriptionFailed(), "three"]


def transcribe_never(audio: UserAudio) -> None:
    """Stand for a function of the user, whose results the test passes to the protocol."""


class ProtocolMachine(RuleBasedStateMachine):
    """A client that sends valid and invalid events in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.responder = NextStepsResponder()
        self.harness = ProtocolHarness(
            responder=self.responder, transcriber=self.new_transcriber(), pacing=4.0
        )
        self.harness.update(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})

    def new_transcriber(self) -> Transcriber:
        return ScriptedTranscriber(TRANSCRIPTS * 50)

    @rule(steps=st.lists(STEPS, max_size=4), out_of_band=st.booleans(), text=st.booleans())
    def respond(self, steps: list[Step], out_of_band: bool, text: bool) -> None:
        self.responder.steps = steps
        self.harness.send(
            "response.create",
            response={
                "conversation": "none" if out_of_band else "auto",
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
        audio_format=st.sampled_from(
            [
                *({"type": "audio/pcm"}, {"type": "audio/pcm", "rate": 8000}),
                *({"type": "audio/pcmu"}, {"type": "audio/pcma"}),
            ]
        ),
    )
    def update(self, detection: Frame | None, audio_format: Frame) -> None:
        self.harness.update(audio={"input": {"turn_detection": detection, "format": audio_format}})

    def item_ids(self) -> list[str]:
        return [frame["item"]["id"] for frame in self.harness.of_type("conversation.item.added")]

    @invariant()
    def check(self) -> None:
        frames = self.harness.frames
        check_ids(frames)
        check_responses(frames)
        check_items(frames)
        check_deltas(frames)
        order = check_chain(frames)
        assert order == [item.id for item in self.harness.protocol._state.conversation]


class SlowTranscriberMachine(ProtocolMachine):
    """The same client, with transcripts that become known later."""

    def new_transcriber(self) -> Transcriber:
        return transcribe_never

    @precondition(lambda self: self.harness.requests)
    @rule(result=st.sampled_from([*TRANSCRIPTS, None]), is_last=st.booleans())
    def transcribe(self, result: TranscriptionResult, is_last: bool) -> None:
        if is_last:
            self.harness.requests.insert(0, self.harness.requests.pop())
        self.harness.transcribe(result)

    def teardown(self) -> None:
        while self.harness.requests:
            self.harness.transcribe("the end")
        responses = self.harness.protocol._scheduler.running
        assert self.harness.closed or None not in [response.due for response in responses]


TestProtocol = ProtocolMachine.TestCase
TestSlowTranscriber = SlowTranscriberMachine.TestCase


TestProtocol.settings = TestSlowTranscriber.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


# -- arbitrary messages --------------------------------------------------------------------------


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


NEAR = st.recursive(
    JSON | st.sampled_from(["realtime", "message", "user", "server_vad", "audio/pcm", "function"]),
    lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TYPES, st.dictionaries(FIELDS, NEAR, max_size=4)), max_size=5))
def test_no_event_crashes_the_server(events: list[tuple[str, Frame]]) -> None:
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
def test_no_message_crashes_the_server(message: str | bytes) -> None:
    harness = ProtocolHarness()
    (frame,) = harness.send_raw(message)
    assert frame["type"] == "error"


@given(st.text(max_size=30))
@example("/[")
def test_no_path_crashes_the_server(path: str) -> None:
    assert ProtocolHarness(ConnectionRequest(f"/{path}", LOCAL_REQUEST.headers)).frames
