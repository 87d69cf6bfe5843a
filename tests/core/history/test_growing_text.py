"""A growing text, and history events that share it."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given, strategies as st

from support.core import CoreDriver, effects_of
from trio_realtime import events as ev
from trio_realtime.core.history.growing_text import GrowingText
from trio_realtime.items import FunctionCallItem, item_text
from trio_realtime.session.consumers.event_size import size_of
from trio_realtime.wire import MessageItem, structure_server_event

MB = 1024 * 1024


@given(deltas=st.lists(st.text(max_size=3), max_size=600), reads=st.sets(st.integers(0, 600)))
def test_a_text_is_what_was_added_at_every_length(deltas: list[str], reads: set[int]) -> None:
    growing = GrowingText()
    lengths: list[int] = []
    for number, delta in enumerate(deltas):
        growing.append(delta)
        lengths.append(growing.length)
        if number in reads:
            assert growing.text() == "".join(deltas[: number + 1])
    assert growing.text() == "".join(deltas)
    for number, length in enumerate(lengths):
        assert growing.text(length) == "".join(deltas[: number + 1])


class GrowingItem:
    """A conversation with an item that grows, and reports each delta."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.core = CoreDriver("agent", history_update_interval=0.0)
        self.updates: list[ev.HistoryUpdated] = []
        response = {"id": "resp_1", "status": "in_progress", "output": []}
        self.receive("response.created", response=response)
        self.receive("conversation.item.added", item={"id": "item_1", **item})

    def receive(self, kind: str, **fields: Any) -> None:
        frame = {"type": kind, "event_id": "", "response_id": "resp_1", "item_id": "item_1"}
        event = structure_server_event({**frame, **fields})
        self.updates += effects_of(self.core.receive(event, 0.0), ev.HistoryUpdated)


def growing_message() -> GrowingItem:
    return GrowingItem({"type": "message", "role": "assistant", "content": []})


def test_each_event_has_the_text_of_its_time() -> None:
    growing = growing_message()
    for delta in ("One ", "two ", "three"):
        growing.receive("response.output_text.delta", content_index=0, delta=delta)
    final = {"type": "message", "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": "Something else"}]
    item = {"id": "item_1", **final, "content": content}
    growing.receive("conversation.item.done", item=item)
    texts = [item_text(event.item) for event in growing.updates if event.item is not None]
    assert texts == ["One ", "One two ", "One two three", "Something else"]
    assert [event.shares_text for event in growing.updates] == [True, True, True, False]


def test_each_event_has_the_arguments_of_its_time() -> None:
    growing = GrowingItem({"type": "function_call", "call_id": "call_1", "name": "pay"})
    for delta in ('{"sum"', ": 7}"):
        growing.receive("response.function_call_arguments.delta", call_id="call_1", delta=delta)
    items = [event.item for event in growing.updates]
    assert [item.arguments for item in items if isinstance(item, FunctionCallItem)] == [
        '{"sum"',
        '{"sum": 7}',
    ]


def test_events_are_equal_if_their_items_are() -> None:
    first, second = growing_message(), growing_message()
    for growing in (first, second):
        growing.receive("response.output_text.delta", content_index=0, delta="Hi")
    assert first.updates == second.updates
    assert "text='Hi'" in repr(first.updates[0])
    second.updates.clear()
    second.receive("response.output_text.delta", content_index=0, delta="!")
    assert first.updates != second.updates


def test_unread_events_of_a_growing_item_share_its_text() -> None:
    growing = growing_message()
    tracemalloc.start()
    try:
        for number in range(2000):
            delta = chr(97 + number % 26) * 1024
            growing.receive("response.output_text.delta", content_index=0, delta=delta)
        used, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(growing.updates) == 2000
    assert used < 10 * MB  # copies of a text of 2 MB that grows 2,000 times take 2 GB
    assert sum(map(size_of, growing.updates)) == 0
    last = growing.updates[-1].item
    assert isinstance(last, MessageItem)
    assert len(item_text(last)) == 2000 * 1024
