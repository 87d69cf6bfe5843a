"""What an item becomes when more of it arrives: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ContentPart,
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
)


def evolve(item: HistoryItem, **changes: Any) -> HistoryItem:
    """Return an item with other values of fields that its class has."""
    changed: HistoryItem = attrs.evolve(item, **changes)
    return changed


def grown(
    item: HistoryItem,
    deltas: Mapping[int, Callable[[], str]],
    kinds: Mapping[int, type[OutputText | OutputAudio]],
    transcripts: Mapping[int, Callable[[], str]],
) -> HistoryItem:
    """Return the item with these texts.

    Args:
        item: the item without open deltas and growing transcripts.
        deltas: return the text that each part lacks, or the arguments that a call lacks.
        kinds: the kinds of parts that only deltas have opened.
        transcripts: return the transcripts of the parts of the user's audio.
    """
    if isinstance(item, FunctionCallItem):
        written = deltas[0]() if 0 in deltas else ""
        return attrs.evolve(item, arguments=item.arguments + written)
    if not isinstance(item, MessageItem):
        return item
    content = list(item.content)
    for index, read in sorted(deltas.items()):
        part = part_from_deltas(kinds.get(index, OutputText), read())
        if 0 <= index < len(content):
            content[index] = _fill_missing(part, content[index])
        else:
            content.append(part)
    item = attrs.evolve(item, content=tuple(content))
    for index, read in transcripts.items():
        item = with_transcript(item, index, read())
    return item


def part_from_deltas(kind: type[OutputText | OutputAudio], text: str) -> ContentPart:
    """Return a part that only deltas have opened."""
    return OutputText(text=text) if kind is OutputText else OutputAudio(transcript=text)


def is_final(item: HistoryItem) -> bool:
    """Return whether no delta of an item is expected."""
    if isinstance(item, FunctionCallItem) and item.arguments:
        return True
    return item_status(item) in ("completed", "incomplete")


def item_status(item: HistoryItem | None) -> str | None:
    """Return an item's status, ``None`` for kinds of items that have none."""
    return getattr(item, "status", None)


def merge(known: HistoryItem, incoming: HistoryItem) -> HistoryItem:
    """Return the incoming version of an item, with what it lacks taken from the known one."""
    if not isinstance(known, MessageItem) or not isinstance(incoming, MessageItem):
        if isinstance(known, FunctionCallItem) and isinstance(incoming, FunctionCallItem):
            return attrs.evolve(
                incoming,
                arguments=incoming.arguments or known.arguments,
                name=incoming.name or known.name,
                call_id=incoming.call_id or known.call_id,
            )
        return incoming
    if known.role != incoming.role:
        return incoming
    parts = [
        _fill_missing(known.content[index], part) if index < len(known.content) else part
        for index, part in enumerate(_with_images(known, incoming))
    ]
    parts.extend(known.content[len(parts) :])
    return attrs.evolve(incoming, content=tuple(parts))


def _with_images(known: MessageItem, incoming: MessageItem) -> list[ContentPart]:
    """Return the incoming parts, with the known images if the service left out all images."""
    parts = list(incoming.content)
    if not any(isinstance(part, InputImage) for part in parts):
        for index, part in enumerate(known.content):
            if isinstance(part, InputImage):
                parts.insert(index, part)
    return parts


def _fill_missing(known: ContentPart, incoming: ContentPart) -> ContentPart:
    """Return the incoming part, with what it lacks taken from the known part."""
    match known, incoming:
        case OutputAudio(), OutputAudio():
            return _fill_audio(known, incoming)
        case InputAudio(), InputAudio():
            return _fill_audio(known, incoming)
        case (OutputText(text=text), OutputText(text="")) if text:
            return known
        case (InputText(text=text), InputText(text="")) if text:
            return known
        case InputImage(), InputImage(image_url=None):
            return attrs.evolve(incoming, image_url=known.image_url)
        case _:
            return incoming


def _fill_audio(
    known: OutputAudio | InputAudio, incoming: OutputAudio | InputAudio
) -> OutputAudio | InputAudio:
    filled: dict[str, Any] = {
        "transcript": incoming.transcript or known.transcript,
        "audio": incoming.audio if incoming.audio is not None else known.audio,
    }
    if isinstance(incoming, OutputAudio) and isinstance(known, OutputAudio):
        filled["heard_ms"] = incoming.heard_ms if incoming.heard_ms is not None else known.heard_ms
    return attrs.evolve(incoming, **filled)


def with_transcript(item: HistoryItem, index: int, transcript: str) -> HistoryItem:
    """Return the item with the transcript of a part; unchanged if that is not the user's audio now."""
    if isinstance(item, MessageItem) and index < len(item.content):
        part = item.content[index]
        if isinstance(part, InputAudio):
            changed = attrs.evolve(part, transcript=transcript)
            content = (*item.content[:index], changed, *item.content[index + 1 :])
            return attrs.evolve(item, content=content)
    return item
