"""Items on their way: what counts as their report, and what is sent again."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from trio_realtime.core.effects import Effect, SendEncoded
from trio_realtime.core.history.items import History
from trio_realtime.core.history.outgoing import MAX_UNACKNOWLEDGED, OutgoingItems
from trio_realtime.core.link import Link
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.wire import (
    ConversationItemCreate,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputText,
    Item,
    McpApprovalResponseItem,
    MessageItem,
    structure_server_event,
)


class Sender:
    """Outgoing items with a history and a link."""

    def __init__(self) -> None:
        self.link = Link()
        self.timer = RequestTimer(5.0)
        self.history = History(self.link)
        numbers = count(1)
        self.items = OutgoingItems(
            self.history, self.link, self.timer, lambda kind: f"{kind}_{next(numbers)}"
        )

    def send(self, item: Item, **fields: Any) -> list[Effect]:
        return self.items.send(ConversationItemCreate(item=item, **fields))

    def report(self, item: Item) -> None:
        event: Any = structure_server_event(
            {
                "type": "conversation.item.added",
                "event_id": "event",
                "item": {"id": "x", "type": "message", "role": "user", "content": []},
            }
        )
        self.history.add(item)
        self.items.on_item_added(type(event)(item=item, previous_item_id=None), 0.0)

    def reconnect(self) -> list[Item]:
        """Return the items that are sent again."""
        self.link.close(0.0)
        self.timer.clear()
        self.link.open()
        return [effect.item for effect in self.items.send_again() if isinstance(effect, ConversationItemCreate)]  # fmt: skip


def message(text: str = "Hello", item_id: str | None = None, role: Any = "user") -> MessageItem:
    return MessageItem(id=item_id, role=role, content=(InputText(text=text),))


def output(call_id: str = "call_1") -> FunctionCallOutputItem:
    return FunctionCallOutputItem(call_id=call_id, output="done")


def call(call_id: str = "call_1") -> FunctionCallItem:
    return FunctionCallItem(id=f"item_{call_id}", call_id=call_id, name="f", arguments="{}")


@pytest.mark.parametrize(
    ("sent", "reported", "is_report"),
    [
        (message(), message("other", "item_1"), True),
        (message(), message("other", "item_1", "system"), False),
        (message(), MessageItem(id="i", role="user", content=(InputAudio(),)), False),
        (message(), MessageItem(id="i", role="user", content=()), False),
        (message(item_id="mine"), message(item_id="mine"), True),
        (message(item_id="mine"), message(item_id="other"), False),
        (output("a"), FunctionCallOutputItem(id="i", call_id="a", output=""), True),
        (output("a"), FunctionCallOutputItem(id="i", call_id="b", output=""), False),
        (
            McpApprovalResponseItem(approval_request_id="a", approve=True),
            McpApprovalResponseItem(id="i", approval_request_id="a", approve=True),
            True,
        ),
        (
            McpApprovalResponseItem(approval_request_id="a", approve=True),
            McpApprovalResponseItem(id="i", approval_request_id="b", approve=True),
            False,
        ),
        (FunctionCallItem(call_id="a", name="f"), call("b"), True),
        (output("a"), message(item_id="i"), False),
    ],
)
def test_what_counts_as_the_report_of_an_item(sent: Item, reported: Item, is_report: bool) -> None:
    sender = Sender()
    sender.send(sent)
    sender.report(reported)
    assert len(sender.items) == (0 if is_report else 1)


def test_an_item_of_an_edit_is_no_report_of_a_message() -> None:
    sender = Sender()
    sender.items.edited.add("item_edit_1")
    sender.send(message())
    sender.report(message(item_id="item_edit_1"))
    assert sender.reconnect() == [message()]


def test_reports_come_in_the_order_of_the_items() -> None:
    sender = Sender()
    sender.send(message("One"))
    sender.send(message("Two"))
    sender.report(message("One", "item_1"))
    assert sender.reconnect() == [message("Two")]


def test_items_wait_for_a_connection() -> None:
    sender = Sender()
    sender.link.close(0.0)
    assert sender.send(output()) == []
    encoded = SendEncoded(
        event=ConversationItemCreate(event_id="mine", item=message()), message="x" * 10
    )
    assert sender.items.send(encoded) == []
    other = SendEncoded(event=ConversationItemCreate(event_id="o", item=message()), message={})
    sender.items.send(other)
    assert sender.items.waiting_size == 4 + 10
    assert sender.items.answered_calls == {"call_1"}
    sender.link.open()
    assert len(sender.items.send_again()) == 3
    assert sender.items.waiting_size == 0


def test_a_rejected_item_is_not_sent_again() -> None:
    sender = Sender()
    (sent,) = sender.send(message())
    assert isinstance(sent, ConversationItemCreate)
    sender.items.rejected("other")
    sender.items.rejected(None)
    assert len(sender.items) == 1
    sender.items.rejected(sent.event_id)
    assert sender.reconnect() == []


def test_a_service_that_reports_items_has_a_time_limit() -> None:
    sender = Sender()
    sender.send(message("One"))
    sender.send(message("Two"))
    sender.send(message("Three"))
    assert not sender.timer.is_running("item")
    sender.report(message("One", "item_1"))
    assert sender.timer.is_running("item")
    sender.items.expire()
    assert len(sender.items) == 2
    sender.timer.now = 10.0
    sender.items.expire()
    assert sender.timer.is_running("item")
    sender.timer.now = 20.0
    sender.items.expire()
    assert len(sender.items) == 0
    assert not sender.timer.is_running("item")
    sender.items.expire()
    sender.send(message("Four"))
    assert sender.timer.is_running("item")


def overdue_sender() -> Sender:
    """Return a sender whose service has reported an item, but not the next one in time."""
    sender = Sender()
    sender.send(message("One"))
    sender.report(message("One", "item_1"))
    sender.send(output())
    sender.timer.now = 10.0
    sender.items.expire()
    assert len(sender.items) == 0
    return sender


def test_an_item_that_was_not_reported_in_time_is_sent_to_the_next_connection() -> None:
    sender = overdue_sender()
    sender.send(message("Two"))
    assert sender.items.answered_calls == {"call_1"}
    assert sender.reconnect() == [output(), message("Two")]
    sender.report(FunctionCallOutputItem(id="i", call_id="call_1", output="done"))
    assert sender.reconnect() == [message("Two")]


def test_an_item_that_is_reported_late_is_not_sent_again() -> None:
    sender = overdue_sender()
    sender.report(message(item_id="item_2"))
    sender.report(FunctionCallOutputItem(id="i", call_id="call_1", output="done"))
    assert sender.reconnect() == []


def test_an_item_that_is_rejected_late_is_not_sent_again() -> None:
    sender = Sender()
    sender.send(message("One"))
    sender.report(message("One", "item_1"))
    sender.send(message("Two"), event_id="late")
    sender.timer.now = 10.0
    sender.items.expire()
    sender.items.rejected("late")
    assert sender.reconnect() == []


def test_the_items_of_a_service_that_reports_none_are_limited() -> None:
    sender = Sender()
    for number in range(MAX_UNACKNOWLEDGED + 10):
        sender.send(message(f"text {number}"))
    assert len(sender.items) == MAX_UNACKNOWLEDGED


def test_the_call_of_an_output_is_created_where_it_belongs() -> None:
    sender = Sender()
    sender.report(message(item_id="item_1"))
    sender.report(call())
    sender.report(message(item_id="item_2"))
    sender.reconnect()
    sender.history.note_on_connection("item_1")
    sender.history.note_on_connection("item_2")
    effects = [e for e in sender.send(output()) if isinstance(e, ConversationItemCreate)]
    assert [effect.previous_item_id for effect in effects] == ["item_1", None]
    assert effects[0].item == call()
    # The connection knows it from now on, and nothing else needs a call.
    assert len(sender.send(output())) == 1
    assert len(sender.send(output("unknown"))) == 1


def test_items_that_are_on_their_way_when_a_call_is_created_follow_the_call() -> None:
    """The service places the call after ``item_1``, in front of what it has placed there meanwhile."""
    sender = Sender()
    sender.report(message(item_id="item_1"))
    sender.report(call())
    sender.reconnect()
    sender.history.note_reported("item_1")
    created, _ = sender.send(output())
    assert isinstance(created, ConversationItemCreate)
    assert created.previous_item_id == "item_1"
    sender.history.add(message(item_id="item_2"), "item_1")
    sender.report(call())
    sender.history.add(
        FunctionCallOutputItem(id="item_3", call_id="call_1", output="done"), "item_2"
    )
    sender.history.add(message(item_id="item_4"), call().id)
    order = [item.id for item in sender.history.snapshot()]
    assert order == ["item_1", call().id, "item_4", "item_2", "item_3"]


def test_an_item_follows_no_item_that_the_connection_does_not_have() -> None:
    sender = Sender()
    sender.report(message(item_id="item_1"))
    sender.report(message(item_id="item_2"))
    sender.reconnect()
    sender.history.note_on_connection("item_1")
    places = []
    for previous in ("root", "item_1", "item_2", "item_3", None):
        (effect,) = sender.send(message(), previous_item_id=previous)
        assert isinstance(effect, ConversationItemCreate)
        places.append(effect.previous_item_id)
    assert places == ["root", "item_1", None, None, None]
