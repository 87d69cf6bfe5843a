"""``creatable_items``: what of a conversation can be created in another one."""

from __future__ import annotations

import pytest

from trio_realtime.core.history.edits import check_creatable, check_order
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    InputAudio,
    InputImage,
    McpApprovalRequestItem,
    McpApprovalResponseItem,
    McpCallItem,
    McpListToolsItem,
    UnknownItem,
    UnknownPart,
    creatable_items,
)
from trio_realtime.wire import InputText, MessageItem, OutputAudio, OutputText

CALL = FunctionCallItem(id="call", call_id="c", name="look", arguments="{}", status="completed")
OUTPUT = FunctionCallOutputItem(id="out", call_id="c", output="seen", status="completed")


def said(*parts: object, role: str = "user", item_id: str = "m") -> MessageItem:
    content: tuple[object, ...] = parts
    return MessageItem(id=item_id, role=role, status="completed", content=content)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("item", "content"),
    [
        (
            said(OutputAudio(transcript="Yes.", heard_ms=5), role="assistant"),
            [OutputText(text="Yes.")],
        ),
        (said(OutputText(text="Yes."), role="assistant"), [OutputText(text="Yes.")]),
        (said(InputAudio(transcript="Well")), [InputText(text="Well")]),
        (
            said(InputAudio(transcript="Well", audio=b"\0\0")),
            [InputAudio(transcript="Well", audio=b"\0\0")],
        ),
        (
            said(InputImage(image_url="data:x"), InputText(text="?")),
            [InputImage(image_url="data:x"), InputText(text="?")],
        ),
        (said(InputImage(), InputText(text="?")), [InputText(text="?")]),
        (said(UnknownPart(raw={}), InputText(text="?")), [InputText(text="?")]),
    ],
)
def test_messages_are_given_parts_that_can_be_created(
    item: MessageItem, content: list[object]
) -> None:
    (creatable,) = creatable_items([item])
    assert isinstance(creatable, MessageItem)
    assert (creatable.id, creatable.role, creatable.status) == ("m", item.role, None)
    assert [*creatable.content] == content
    check_creatable(creatable)


@pytest.mark.parametrize(
    "item",
    [
        said(OutputAudio(), role="assistant"),
        said(InputAudio()),
        said(InputImage()),
        said(),
        CALL,
        OUTPUT,
        McpListToolsItem(id="m"),
        McpCallItem(id="m"),
        McpApprovalRequestItem(id="m"),
        McpApprovalResponseItem(id="m"),
        UnknownItem(raw={"id": "m"}),
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_cannot_be_created_is_left_out(item: HistoryItem) -> None:
    assert creatable_items([item]) == ()


def test_calls_stay_with_their_outputs_in_order() -> None:
    other = FunctionCallItem(id="other", call_id="o", name="look")
    question = said(InputText(text="?"))
    items = creatable_items([question, CALL, other, OUTPUT])
    assert [item.id for item in items] == ["m", "call", "out"]
    check_order(items)


def test_ids_that_are_too_long_for_a_client_are_removed() -> None:
    longest, too_long = "x" * 32, "03399f03-81f1-4fac-b52d-81d0c31af7bf"
    for item_id, expected in ((longest, longest), (too_long, None)):
        message = said(InputText(text="?"), item_id=item_id)
        call = FunctionCallItem(id=item_id, call_id="c", name="look")
        output = FunctionCallOutputItem(id=item_id, call_id="c", output="seen")
        assert [item.id for item in creatable_items([message, call, output])] == [expected] * 3
