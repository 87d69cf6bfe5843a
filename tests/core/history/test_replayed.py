"""What a new connection is told of each item."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from trio_realtime.core.history.items import History
from trio_realtime.core.history.replayed import heard_text, replayed_items
from trio_realtime.core.link import Link
from trio_realtime.wire import (
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpListToolsItem,
    MessageItem,
    OutputAudio,
    OutputText,
    UnknownPart,
)


class Past:
    """A history, and what the next connection is told of it."""

    def __init__(self, *items: Item) -> None:
        self.link = Link()
        self.history = History(self.link)
        self.clips: dict[str, bytes] = {}
        self._numbers = count(1)
        for item in items:
            self.history.add(item)

    def replayed(self, *answered: str) -> list[Any]:
        creates = replayed_items(
            self.history,
            answered,
            self.clips.get,
            lambda kind: f"{kind}_{next(self._numbers)}",
        )
        return [create.item for create in creates]


def said(*content: ContentPart, role: Any = "user", item_id: str = "item_1") -> MessageItem:
    return MessageItem(id=item_id, role=role, status="completed", content=content)


@pytest.mark.parametrize(
    ("role", "part", "expected"),
    [
        ("user", InputText(text="Hi"), InputText(text="Hi")),
        ("system", InputText(text="Hi"), InputText(text="Hi")),
        ("user", InputAudio(transcript="Hi"), InputText(text="Hi")),
        ("user", InputAudio(transcript="", audio=b"ab"), InputAudio(audio=b"ab")),
        ("user", InputAudio(transcript=None), None),
        ("user", InputImage(image_url="data:x"), InputImage(image_url="data:x")),
        ("user", InputImage(image_url=None), None),
        ("assistant", OutputText(text="Hi"), OutputText(text="Hi")),
        ("assistant", OutputText(text=""), None),
        ("assistant", OutputAudio(transcript="Hi"), OutputText(text="Hi")),
        ("assistant", OutputAudio(transcript=None), None),
        ("assistant", UnknownPart(raw={"type": "new"}), None),
    ],
)
def test_each_part_is_created_as_a_client_may(
    role: str, part: ContentPart, expected: ContentPart | None
) -> None:
    replayed = Past(said(part, role=role)).replayed()
    if expected is None:
        assert replayed == []
    else:
        assert replayed == [MessageItem(id="item_1", role=role, content=(expected,))]


def test_remembered_audio_replaces_a_transcript_that_is_missing() -> None:
    past = Past(said(InputAudio()))
    past.clips["item_1"] = b"abcd"
    (item,) = past.replayed()
    assert item.content == (InputAudio(audio=b"abcd"),)


def test_the_agent_has_said_what_was_heard() -> None:
    past = Past(said(OutputAudio(transcript="one two three four"), role="assistant"))
    past.history.note_heard("item_1", 0, 0.3)
    (item,) = past.replayed()
    assert item.content == (OutputText(text="one two"),)
    past.history.note_heard("item_1", 0, 0.0)
    assert past.replayed() == []


def test_only_answered_calls_are_told() -> None:
    call = FunctionCallItem(id="a", call_id="call_a", name="f", arguments="{}", status="completed")
    waiting = FunctionCallItem(id="b", call_id="call_b", name="f", arguments="{}")
    output = FunctionCallOutputItem(id="c", call_id="call_a", output="done", status="completed")
    stray = FunctionCallOutputItem(id="d", call_id="call_d", output="done")
    past = Past(call, waiting, output, stray)
    assert [item.id for item in past.replayed()] == ["a", "c"]
    assert [item.id for item in past.replayed("call_b")] == ["a", "b", "c"]
    assert past.replayed()[0].status is None


def test_what_the_service_makes_is_not_told() -> None:
    assert Past(McpListToolsItem(id="a", server_label="s", tools=())).replayed() == []


def test_an_item_with_a_long_id_gets_another_one_when_the_connection_is_used() -> None:
    long_id = "item_" + "x" * 40
    past = Past(said(InputText(text="Hi"), item_id=long_id))
    (item,) = past.replayed()
    assert item.id == "item_replay_1"
    assert past.replayed() == [item]
    # The connection that is used knows the item under its own id.
    assert long_id in past.history
    past.link.close(0.0)
    past.link.open()
    assert past.history.take_replay_ids([item.id]) == {long_id: item.id}
    assert [known.id for known in past.history.snapshot()] == [item.id]
    assert past.history.take_replay_ids([item.id]) == {}


def test_a_deleted_item_gets_no_other_id() -> None:
    long_id = "item_" + "x" * 40
    past = Past(said(InputText(text="Hi"), item_id=long_id))
    (item,) = past.replayed()
    past.history.delete(long_id)
    assert past.history.take_replay_ids([item.id]) == {}


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(1.0, "one two"), (2.0, "one two"), (0.0, ""), (-1.0, ""), (0.1, "one"), (0.5, "one two")],
)
def test_a_word_that_was_begun_was_heard(fraction: float, expected: str) -> None:
    assert heard_text("one two", fraction) == expected
