"""The local service by hand: what it is told, and how its frames are read."""

from __future__ import annotations

from itertools import groupby
from typing import Any, TypeAlias

from trio_realtime.local import ScriptedResponder
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


def squeezed(frames: Frames) -> list[str]:
    """Types, each run of the same type once."""
    return [kind for kind, _ in groupby(types_of(frames))]


def the(frames: Frames, kind: str) -> dict[str, Any]:
    (frame,) = [frame for frame in frames if frame["type"] == kind]
    return frame


def joined(frames: Frames, kind: str) -> str:
    return "".join(frame["delta"] for frame in frames if frame["type"] == kind)


def scripted(*answers: Any, **settings: Any) -> ProtocolHarness:
    return ProtocolHarness(responder=ScriptedResponder(answers), **settings)


def speak(bench: ProtocolHarness, milliseconds: int) -> Frames:
    return bench.append(b"\x00\x20" * (24 * milliseconds))


def be_silent(bench: ProtocolHarness, milliseconds: int) -> Frames:
    return bench.append(bytes(48 * milliseconds))
