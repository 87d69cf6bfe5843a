"""Build histories and read them, for tests of the history."""

from __future__ import annotations

from trio_realtime.core.history.items import History
from trio_realtime.items import HistoryItem
from trio_realtime.wire import ContentPart, ConversationItemCreate, MessageItem


def assistant(item_id: str, *parts: ContentPart, status: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=parts, status=status)


def user(item_id: str, *parts: ContentPart, status: str | None = "completed") -> MessageItem:
    return MessageItem(id=item_id, role="user", content=parts, status=status)


def note_sent(history: History, item: MessageItem, *, previous: str | None = None) -> None:
    history.note_sent(ConversationItemCreate(item=item, previous_item_id=previous))


def order(history: History) -> list[str | None]:
    return [item.id for item in history.snapshot()]


def history_of(*items: HistoryItem) -> History:
    history = History()
    for item in items:
        history.add(item)
    return history


def content(history: History, item_id: str) -> tuple[ContentPart, ...]:
    item = history.get(item_id)
    assert isinstance(item, MessageItem)
    assert item in history.snapshot()
    return item.content
