"""What the methods of a session take, checked and converted before anything changes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, get_args

import attrs

from trio_realtime.agents import FunctionTool
from trio_realtime.core import METADATA_KEY
from trio_realtime.errors import UsageError
from trio_realtime.items import MAX_ID_LENGTH, HistoryItem
from trio_realtime.wire import (
    ClientEvent,
    ContentPart,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ResponseCreate,
    ToolSpec,
    raw_client_event,
)

_SAMPLES: Final = frozenset({"B", "b", "c", "h", "<h"})
"""Formats of arrays whose memory is audio: bytes, and samples of PCM16."""

SENDABLE_PARTS: Final = (InputText, InputImage, InputAudio)
MessageContent: TypeAlias = str | Sequence[ContentPart | str]
"""A message of the user: text, or texts and parts."""


@contextmanager
def as_usage_errors() -> Generator[None]:
    """Convert the errors of validating and encoding an event to UsageError."""
    try:
        yield
    except (ValueError, TypeError) as exc:
        raise UsageError(str(exc)) from None


def tool_spec(tool: FunctionTool | ToolSpec) -> ToolSpec:
    """Return the declaration of a tool."""
    return tool.spec() if isinstance(tool, FunctionTool) else tool


def check_length(name: str, value: str, most: int) -> None:
    """Check that an id has a length that the service accepts.

    Raises:
        UsageError: it is empty or too long.
    """
    if not 0 < len(value) <= most:
        raise UsageError(f"{name} must have 1 to {most} characters, got {len(value)}")


def history_items(
    history: Sequence[HistoryItem], expected: str = "a sequence of items (trio_realtime.items)"
) -> Sequence[HistoryItem]:
    """Return the items of a history.

    Args:
        history: what the user gave.
        expected: what it should be, for the error message.

    Raises:
        UsageError: it is no sequence of items.
    """
    given: Any = history
    if not isinstance(given, Sequence) or not all(isinstance(i, get_args(Item)) for i in history):
        raise UsageError(f"expected {expected}, got {given!r:.80}")
    return history


def check_new_ids(history: Sequence[HistoryItem], known: Sequence[HistoryItem]) -> None:
    """Check the ids that the user chose. Those that a service chose may be longer.

    Raises:
        UsageError: an id is empty or too long.
    """
    known_ids = {item.id for item in known}
    for item in history:
        if item.id is not None and item.id not in known_ids:
            check_length("an item's id", item.id, MAX_ID_LENGTH)


def audio_bytes(audio: Any) -> bytes:
    """Return audio of the user as bytes.

    Raises:
        UsageError: it is neither bytes nor an array of 16-bit integers.
    """
    if isinstance(audio, bytes | bytearray):
        return bytes(audio)
    try:
        view = memoryview(audio)
    except TypeError:
        raise UsageError(f"expected audio as bytes, got {type(audio).__name__}") from None
    if view.format not in _SAMPLES:
        raise UsageError(
            f"expected audio as bytes or 16-bit integers, got an array of format {view.format!r}: convert "
            "it to samples of the input format first, for example with (array * 32767).astype('int16')"
        )
    return view.tobytes()


def message_parts(content: MessageContent) -> tuple[ContentPart, ...]:
    """Return the parts of a message of the user.

    Raises:
        UsageError: the message is empty, or a part cannot be sent.
    """
    if isinstance(content, str):
        content = (content,)
    given: Any = content
    if not isinstance(given, Sequence) or isinstance(given, bytes | bytearray | memoryview):
        raise UsageError(f"expected a str, or a list of texts and parts, got {given!r:.80}")
    parts = tuple(InputText(text=p) if isinstance(p, str) else p for p in content)
    if not parts or all(isinstance(p, InputText) and not p.text for p in parts):
        raise UsageError("the message is empty: add text, an image or audio")
    for part in parts:
        if not isinstance(part, SENDABLE_PARTS):
            raise UsageError(
                f"expected a str, InputText, InputImage or InputAudio, got {part!r:.80}"
            )
    return parts


def raw_event(event: Mapping[str, Any]) -> ClientEvent:
    """Return the client event that the user wrote as a mapping.

    Raises:
        UsageError: it has no type, is no JSON object, or has too many metadata pairs.
    """
    given: Any = event
    if not isinstance(given, Mapping):
        raise UsageError(f"a raw event must be a mapping, got {given!r:.80}")
    with as_usage_errors():
        typed = raw_client_event(event)
        if isinstance(typed, ResponseCreate) and typed.response and typed.response.metadata:
            # The library adds a pair, which must not exceed the limits of the service.
            attrs.evolve(typed.response, metadata={**typed.response.metadata, METADATA_KEY: ""})
        return typed
