"""The items of a session's history. They are the item classes of :mod:`trio_realtime.wire`.

The history mirrors the service's conversation: the same items, in the same order. It differs in two
ways. A part keeps its transcript even if the service omits the transcript later, and an item in
progress contains the text received so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import attrs

from .wire import (
    ContentPart as ContentPart,
    FunctionCallItem as FunctionCallItem,
    FunctionCallOutputItem as FunctionCallOutputItem,
    InputAudio as InputAudio,
    InputImage as InputImage,
    InputText as InputText,
    Item as Item,
    McpApprovalRequestItem as McpApprovalRequestItem,
    McpApprovalResponseItem as McpApprovalResponseItem,
    McpCallItem as McpCallItem,
    McpListToolsItem as McpListToolsItem,
    MessageItem as MessageItem,
    OutputAudio as OutputAudio,
    OutputText as OutputText,
    UnknownItem as UnknownItem,
    UnknownPart as UnknownPart,
)

HistoryItem: TypeAlias = Item

MAX_ID_LENGTH: Final = 32
"""The number of characters that the service allows in the id of an item that a client creates."""


def item_text(item: HistoryItem) -> str:
    """Return the texts and transcripts of a message, joined in order.

    The result is empty for an item that is not a message.
    """
    if not isinstance(item, MessageItem):
        return ""
    return "".join(_part_text(part) for part in item.content)


def _part_text(part: object) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return text
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return transcript or ""
        case _:
            return ""


def creatable_items(history: Iterable[HistoryItem]) -> tuple[HistoryItem, ...]:
    """Return the items of an earlier conversation as a client may create them in a new one.

    Audio of the assistant becomes its transcript as text, and so does audio of the user whose bytes
    are not known. What a client cannot create is left out: items of MCP servers and of unknown types,
    images whose data is not known, and messages of which nothing is left. A function call without its
    output is left out, and so is an output without its call. An id of more than 32 characters, which
    other services use, is removed: the session chooses another one. Everything else stays as it is.

    Args:
        history: the items in order, such as :attr:`RealtimeSession.history` of an earlier session.
    """
    items = tuple(history)
    calls = {item.call_id for item in items if isinstance(item, FunctionCallItem)}
    answered = {item.call_id for item in items if isinstance(item, FunctionCallOutputItem)}
    creatable: list[HistoryItem] = []
    for item in items:
        match item:
            case MessageItem():
                content = tuple(_creatable_parts(item))
                if content:
                    creatable.append(
                        attrs.evolve(item, id=_short_id(item), status=None, content=content)
                    )
            case FunctionCallItem() if item.call_id in answered:
                creatable.append(attrs.evolve(item, id=_short_id(item), status=None))
            case FunctionCallOutputItem() if item.call_id in calls:
                creatable.append(attrs.evolve(item, id=_short_id(item), status=None))
            case _:
                pass
    return tuple(creatable)


def _short_id(item: HistoryItem) -> str | None:
    return None if len(item.id or "") > MAX_ID_LENGTH else item.id


def _creatable_parts(message: MessageItem) -> Iterator[ContentPart]:
    for part in message.content:
        match part:
            case OutputAudio(transcript=transcript):
                if transcript:
                    yield OutputText(text=transcript)
            case InputAudio(audio=None, transcript=transcript):
                if transcript:
                    yield InputText(text=transcript)
            case InputImage(image_url=None) | UnknownPart():
                pass
            case _:
                yield part
