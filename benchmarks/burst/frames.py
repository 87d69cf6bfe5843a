"""The frames that the server sends, in the order and format of the live service."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

from benchmarks.burst.load import AUDIO_BYTES, AUDIO_PER_TEXT, GROUP_FRAMES

Frame: TypeAlias = dict[str, Any]

WORD = " something"
PCM = {"type": "audio/pcm", "rate": 24000}

SESSION: Mapping[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_000000000000000000001",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 2_000_000_000,
    "audio": {
        "input": {
            "format": PCM,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 500,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": PCM, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}

_numbers = count(1)


def encode(frame: Frame) -> str:
    """Add an event id to a frame and return it as JSON."""
    return json.dumps({"type": frame["type"], "event_id": f"event_{next(_numbers):021}", **frame})


def session_frame(kind: str, *, interrupts: bool = True) -> Frame:
    """Return ``session.created`` or ``session.updated``, with the complete session.

    Args:
        kind: the type of the event.
        interrupts: whether the service cancels a response when the user speaks.
    """
    session = copy.deepcopy(dict(SESSION))
    session["audio"]["input"]["turn_detection"]["interrupt_response"] = interrupts
    return {"type": kind, "session": session}


def item_frames(item: Frame, previous: str | None) -> Iterator[Frame]:
    """Yield the frames that add the user's item to the conversation."""
    for kind in ("conversation.item.added", "conversation.item.done"):
        yield {"type": kind, "previous_item_id": previous, "item": {**item, "status": "completed"}}


def opening_frames(
    response_id: str, item_id: str, previous: str | None, metadata: Any
) -> Iterator[Frame]:
    """Yield the frames before the first delta of a response."""
    item = _message(item_id, "in_progress")
    yield {"type": "response.created", "response": _response(response_id, metadata)}
    yield {
        "type": "response.output_item.added",
        "response_id": response_id,
        "output_index": 0,
        "item": item,
    }
    yield {"type": "conversation.item.added", "previous_item_id": previous, "item": item}
    yield {
        "type": "response.content_part.added",
        **_part_ids(response_id, item_id),
        "part": {"type": "audio", "transcript": ""},
    }


def audio_frame(response_id: str, item_id: str, pcm: bytes) -> Frame:
    """Return a delta of audio."""
    delta = base64.b64encode(pcm).decode()
    ids = _part_ids(response_id, item_id)
    return {"type": "response.output_audio.delta", **ids, "delta": delta}


def transcript_frame(response_id: str, item_id: str, delta: str = WORD) -> Frame:
    """Return a delta of a transcript."""
    return {
        "type": "response.output_audio_transcript.delta",
        **_part_ids(response_id, item_id),
        "delta": delta,
        "obfuscation": "0123456789",
    }


def burst_frames(response_id: str, item_id: str, frames: int) -> Iterator[Frame]:
    """Yield the deltas of audio and transcript, which the benchmark measures."""
    # Noise from a fixed seed: all frames differ, and every run sends the same ones.
    noise = random.Random(1)
    for number in range(frames // GROUP_FRAMES):
        for _ in range(AUDIO_PER_TEXT):
            yield audio_frame(response_id, item_id, noise.randbytes(AUDIO_BYTES))
        yield transcript_frame(response_id, item_id, _word(number))


def closing_frames(response_id: str, item_id: str, frames: int, metadata: Any) -> Iterator[Frame]:
    """Yield the frames after the last delta of a response."""
    ids = _part_ids(response_id, item_id)
    transcript = "".join(map(_word, range(frames // GROUP_FRAMES)))
    item = _message(item_id, "completed", transcript)
    yield {"type": "response.output_audio.done", **ids}
    yield {"type": "response.output_audio_transcript.done", **ids, "transcript": transcript}
    yield {
        "type": "response.content_part.done",
        **ids,
        "part": {"type": "audio", "transcript": transcript},
    }
    yield {"type": "conversation.item.done", "previous_item_id": None, "item": item}
    yield {
        "type": "response.output_item.done",
        "response_id": response_id,
        "output_index": 0,
        "item": item,
    }
    yield done_frame(response_id, metadata, [item], frames=frames)


def call_frames(
    response_id: str, call_id: str, name: str, arguments: str, previous: str | None, metadata: Any
) -> Iterator[Frame]:
    """Yield the frames of a response that only calls a function."""
    ids = {"response_id": response_id, "output_index": 0}
    item: Frame = {
        "id": f"item_{call_id}",
        "type": "function_call",
        "status": "in_progress",
        "name": name,
        "call_id": call_id,
        "arguments": "",
    }
    done = {**item, "status": "completed", "arguments": arguments}
    part = {**ids, "item_id": item["id"], "call_id": call_id}
    yield {"type": "response.created", "response": _response(response_id, metadata)}
    yield {"type": "response.output_item.added", **ids, "item": item}
    yield {"type": "conversation.item.added", "previous_item_id": previous, "item": item}
    yield {"type": "response.function_call_arguments.delta", **part, "delta": arguments}
    yield {
        "type": "response.function_call_arguments.done",
        **part,
        "name": name,
        "arguments": arguments,
    }
    yield {"type": "conversation.item.done", "previous_item_id": previous, "item": done}
    yield {"type": "response.output_item.done", **ids, "item": done}
    yield done_frame(response_id, metadata, [done])


def done_frame(
    response_id: str,
    metadata: Any,
    output: Sequence[Frame],
    *,
    status: str = "completed",
    reason: str | None = None,
    frames: int = 0,
) -> Frame:
    """Return ``response.done``."""
    details = None if reason is None else {"type": status, "reason": reason}
    response = {
        **_response(response_id, metadata),
        "status": status,
        "status_details": details,
        "output": list(output),
        "usage": _usage(frames),
    }
    return {"type": "response.done", "response": response}


def _word(number: int) -> str:
    # All differ, as words do: pydantic-ai takes a delta that begins with the transcript so far for all of it.
    return f" word{number:05}"


def _part_ids(response_id: str, item_id: str) -> Frame:
    return {
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
    }


def _message(item_id: str, status: str, transcript: str = "") -> Frame:
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [{"type": "output_audio", "transcript": transcript}] if transcript else [],
    }


def _response(response_id: str, metadata: Any) -> Frame:
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_00000000000000000001",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": PCM, "voice": "marin"}},
        "usage": None,
        "metadata": metadata,
    }


def _usage(frames: int) -> Frame:
    cached = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": frames + 16,
        "input_tokens": 16,
        "output_tokens": frames,
        "input_token_details": {
            "text_tokens": 16,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": cached,
        },
        "output_token_details": {"text_tokens": 0, "audio_tokens": frames},
    }
