"""Client events: which there are, and what each may say. Turns a message into a checked event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from . import check, faults, settings
from .check import Check
from .faults import Refusal
from .shapes import Json, is_object

__all__ = ["MAX_APPEND_BYTES", "parse_event", "read_message"]

MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
_MAX_TEXT: Final = 256_000
_MAX_EVENT_ID: Final = 512

_ID: Final = check.nullable(check.string(min_length=1, max_length=512))
_STATUS: Final = check.nullable(check.one_of("completed", "incomplete", "in_progress"))
_TEXT: Final = check.string(max_length=_MAX_TEXT)
_COMMON: Final[Mapping[str, Check]] = {
    "id": _ID,
    "object": check.nullable(check.one_of("realtime.item")),
    "type": check.anything,
    "status": _STATUS,
}


def _image(value: Any, path: str) -> Any:
    url: str = check.string(min_length=1)(value, path)
    if not url.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")):
        raise faults.invalid_value(
            path, f"Invalid '{path}': expected a base64 data URI of a PNG or JPEG image."
        )
    return url


def _text_part(kind: str) -> dict[str, Check]:
    part = check.record({"type": check.anything, "text": _TEXT}, required=["text"])
    return {kind: part}


_AUDIO_PART: Final = check.record(
    {
        "type": check.anything,
        "audio": check.base64_bytes(max_bytes=MAX_APPEND_BYTES),
        "transcript": check.nullable(_TEXT),
    },
    required=["audio"],
)
_IMAGE_PART: Final = check.record(
    {
        "type": check.anything,
        "image_url": _image,
        "detail": check.nullable(check.one_of("auto", "low", "high")),
    },
    required=["image_url"],
)
_USER_PARTS: Final = {
    **_text_part("input_text"),
    "input_audio": _AUDIO_PART,
    "input_image": _IMAGE_PART,
}


def _message(parts: Mapping[str, Check]) -> Check:
    return check.record(
        {
            **_COMMON,
            "role": check.anything,
            "content": check.array_of(check.tagged("type", parts)),
            "phase": check.nullable(check.string()),
        },
        required=["type", "role", "content"],
    )


_ITEM: Final = check.tagged(
    "type",
    {
        "message": check.tagged(
            "role",
            {
                "user": _message(_USER_PARTS),
                "assistant": _message(_text_part("output_text")),
                "system": _message(_text_part("input_text")),
            },
        ),
        "function_call": check.record(
            {**_COMMON, "name": check.string(min_length=1), "call_id": _ID, "arguments": _TEXT},
            required=["name", "arguments"],
        ),
        "function_call_output": check.record(
            {**_COMMON, "call_id": check.string(min_length=1), "output": check.string()},
            required=["call_id", "output"],
        ),
        "mcp_approval_response": check.record(
            {
                **_COMMON,
                "approval_request_id": check.string(min_length=1),
                "approve": check.boolean,
                "reason": check.nullable(check.string()),
            },
            required=["approval_request_id", "approve"],
        ),
    },
)
_REFERENCE: Final = check.record(
    {"type": check.anything, "id": check.string(min_length=1)}, required=["id"]
)


def _input_item(value: Any, path: str) -> Any:
    refers = is_object(value) and value.get("type") == "item_reference"
    return (_REFERENCE if refers else _ITEM)(value, path)


_RESPONSE: Final = check.record(
    {
        "output_modalities": settings.MODALITIES,
        "instructions": check.string(),
        "audio": check.record({"output": settings.AUDIO_OUTPUT}),
        "tools": settings.TOOLS,
        "tool_choice": settings.TOOL_CHOICE,
        "parallel_tool_calls": check.nullable(check.boolean),
        "reasoning": settings.REASONING,
        "max_output_tokens": settings.MAX_OUTPUT_TOKENS,
        "conversation": check.nullable(check.one_of("auto", "none")),
        "metadata": check.nullable(check.text_map(max_pairs=16, max_key=64, max_value=512)),
        "prompt": settings.PROMPT,
        "input": check.nullable(check.array_of(_input_item)),
    }
)


def _event(fields: Mapping[str, Check] | None = None, *optional: str) -> Check:
    given = dict(fields or {})
    required = [key for key in given if key not in optional]
    head: dict[str, Check] = {"type": check.anything, "event_id": check.anything}
    return check.record({**head, **given}, required=required)


_ITEM_ID: Final[Mapping[str, Check]] = {"item_id": check.string()}
_EVENTS: Final[Mapping[str, Check]] = {
    "session.update": _event({"session": check.anything}),
    "input_audio_buffer.append": _event({"audio": check.base64_bytes(max_bytes=MAX_APPEND_BYTES)}),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event(
        {"item": _ITEM, "previous_item_id": check.nullable(check.string())}, "previous_item_id"
    ),
    "conversation.item.truncate": _event(
        {**_ITEM_ID, "content_index": check.integer(0), "audio_end_ms": check.integer(0)}
    ),
    "conversation.item.delete": _event(_ITEM_ID),
    "conversation.item.retrieve": _event(_ITEM_ID),
    "response.create": _event({"response": check.nullable(_RESPONSE)}, "response"),
    "response.cancel": _event({"response_id": check.nullable(check.string())}, "response_id"),
}


def read_message(message: str | bytes) -> Json:
    """Decode one message.

    Raises:
        Refusal: a binary message, not JSON, or not an object.
    """
    if isinstance(message, bytes):
        raise faults.binary_frame()
    try:
        value: Any = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise faults.bad_json(str(exc)) from None
    if not is_object(value):
        raise Refusal("Invalid event: expected a JSON object.", code="invalid_event")
    return value


def event_id_of(event: Json) -> str | None:
    """The id to name in an ``error``; None where there is none that could be named."""
    event_id = event.get("event_id")
    usable = isinstance(event_id, str) and len(event_id) <= _MAX_EVENT_ID
    return event_id if usable else None


def parse_event(event: Json) -> Json:
    """Check a client event; base64 audio comes out as bytes.

    Raises:
        Refusal: for the first fault found.
    """
    check.nullable(check.string(max_length=_MAX_EVENT_ID))(event.get("event_id"), "event_id")
    if "type" not in event:
        raise faults.missing_parameter("type")
    kind = check.one_of(*_EVENTS)(event["type"], "type")
    parsed: Json = _EVENTS[kind](event, "")
    return parsed
