"""Helpers for tests of the local server with a :class:`ProtocolHarness`."""

from __future__ import annotations

from itertools import groupby
from typing import Any, TypeAlias

from trio_realtime.local import ScriptedResponder, Step, Turn
from trio_realtime.local.harness import ProtocolHarness, types_of

Frames: TypeAlias = list[dict[str, Any]]

CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]
AUDIO_END = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def collapsed_types(frames: Frames) -> list[str]:
    """Return the types of frames, without consecutive repetitions."""
    return [kind for kind, _ in groupby(types_of(frames))]


def only(frames: Frames, kind: str) -> dict[str, Any]:
    (frame,) = [frame for frame in frames if frame["type"] == kind]
    return frame


def joined_deltas(frames: Frames, kind: str) -> str:
    return "".join(frame["delta"] for frame in frames if frame["type"] == kind)


def scripted(*script: Any, **settings: Any) -> ProtocolHarness:
    return ProtocolHarness(responder=ScriptedResponder(script), **settings)


def append_speech(harness: ProtocolHarness, milliseconds: int) -> Frames:
    return harness.append(b"\x00\x20" * (24 * milliseconds))


def append_silence(harness: ProtocolHarness, milliseconds: int) -> Frames:
    return harness.append(bytes(48 * milliseconds))


def rejected(harness: ProtocolHarness, kind: str, /, **fields: Any) -> dict[str, Any]:
    """Send an event that the server must reject with one error that names its id."""
    (frame,) = harness.send(kind, event_id="mine", **fields)
    assert frame["type"] == "error"
    error: dict[str, Any] = frame["error"]
    assert list(error) == ["type", "code", "message", "param", "event_id"]
    assert (error["type"], error["event_id"]) == ("invalid_request_error", "mine")
    return error


class NextStepsResponder:
    """A responder that returns the steps that the test has set."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def respond(self, turn: Turn) -> list[Step]:
        return self.steps
