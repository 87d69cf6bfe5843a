"""The items of a session's history. They are the item classes of :mod:`trio_realtime.wire`.

The history mirrors the service's conversation: the same items, in the same order. It differs in two
ways. A part keeps its transcript even if the service omits the transcript later, and an item in
progress contains the text received so far.
"""

from __future__ import annotations

from typing import TypeAlias

from .wire import (
    FunctionCallItem as FunctionCallItem,
    FunctionCallOutputItem as FunctionCallOutputItem,
    InputAudio as InputAudio,
    InputImage as InputImage,
    InputText as InputText,
    Item,
    McpApprovalRequestItem as McpApprovalRequestItem,
    McpApprovalResponseItem as McpApprovalResponseItem,
    McpCallItem as McpCallItem,
    McpListToolsItem as McpListToolsItem,
    MessageItem,
    OutputAudio,
    OutputText,
    UnknownItem as UnknownItem,
    UnknownPart as UnknownPart,
)

HistoryItem: TypeAlias = Item


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
