"""What the history is made of: the wire's own items, with what was learned of them filled in.

The history mirrors the service's conversation, so it has the service's items, in its order. Two
things are ours: a part keeps the transcript that was once heard even where the service later leaves
it out, and an item in progress shows the text that has come so far.
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
    """What was said in an item: the texts and transcripts of a message, one after the other.

    Empty for whatever is not a message.
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
