"""The history and audio: what was cut, how much of it was heard, and audio that is kept."""

from __future__ import annotations

import attrs
import pytest

from trio_realtime.core.history.items import History
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ContentPart,
    FunctionCallItem,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
)


def said(item_id: str, *parts: ContentPart, status: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=parts, status=status)


def heard(item_id: str, *parts: ContentPart, status: str | None = "completed") -> MessageItem:
    return MessageItem(id=item_id, role="user", content=parts, status=status)


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


def test_audio_that_was_cut_says_how_much_was_heard_and_keeps_its_words() -> None:
    history = History()
    spoken = MessageItem(
        id="a", role="assistant", status="completed", content=(OutputAudio(transcript="all of it"),)
    )
    history.add(spoken, None)
    cut = history.truncate("a", 0, 700)
    assert isinstance(cut, MessageItem)
    assert cut.content == (OutputAudio(transcript="all of it", heard_ms=700),)
    bare = attrs.evolve(spoken, content=(OutputAudio(transcript=None),))
    history.finish(bare)
    assert history.snapshot() == (cut,), "a later version does not undo it"


def test_only_the_assistants_audio_can_be_cut() -> None:
    history = History()
    history.add(MessageItem(id="u", content=(InputText(text="hi"),)), None)
    assert history.truncate("u", 0, 1) is None
    assert history.truncate("u", 5, 1) is None
    assert history.truncate("nobody", 0, 1) is None


def test_a_cut_may_come_before_any_word_of_its_part() -> None:
    history = history_of(said("a", status="in_progress"))

    cut = history.truncate("a", 0, 700)
    assert content(history, "a") == (OutputAudio(heard_ms=700),)
    assert cut == history.get("a")
    history.append_text("a", 0, "as ", OutputAudio)
    history.append_text("a", 0, "heard", OutputAudio)
    assert content(history, "a") == (OutputAudio(transcript="as heard", heard_ms=700),)

    history.finish(said("a", OutputAudio(transcript=""), status="incomplete"))
    assert content(history, "a") == (OutputAudio(transcript="as heard", heard_ms=700),)


def test_a_cut_among_the_words_of_a_part_leaves_them_to_grow() -> None:
    history = history_of(said("a", status="in_progress"))
    history.append_text("a", 0, "A text. ", OutputText)
    history.append_text("a", 1, "Once ", OutputAudio)

    history.truncate("a", 1, 700)
    history.append_text("a", 0, "And more.", OutputText)
    history.append_text("a", 1, "upon", OutputAudio)

    assert content(history, "a") == (
        OutputText(text="A text. And more."),
        OutputAudio(transcript="Once upon", heard_ms=700),
    )


def test_audio_may_come_before_its_part_is_complete() -> None:
    history = history_of(said("a", status="in_progress"))
    history.append_text("a", 0, "Good", OutputAudio)

    assert history.set_audio("a", 0, b"\1\2") is True
    assert history.set_audio("a", 1, b"\3\4") is True
    assert content(history, "a") == (
        OutputAudio(transcript="Good", audio=b"\1\2"),
        OutputAudio(audio=b"\3\4"),
    )

    assert history.set_audio("a", 0, None) is True
    assert content(history, "a") == (OutputAudio(transcript="Good"), OutputAudio(audio=b"\3\4"))


def test_no_part_is_made_for_the_sake_of_no_audio() -> None:
    history = history_of(said("a", status="in_progress"))
    history.set_audio("a", 0, None)
    assert content(history, "a") == ()


@pytest.mark.parametrize(
    "item",
    [
        said("a", OutputText(text="hi")),
        heard("a", InputText(text="hi")),
        heard("a"),
        FunctionCallItem(id="a"),
    ],
)
def test_only_a_part_of_audio_can_have_audio(item: HistoryItem) -> None:
    history = history_of(item)
    assert history.set_audio("a", 0, b"\1\2") is False
    assert history.get("a") == item


def test_a_part_that_was_opened_as_text_is_not_audio() -> None:
    history = history_of(said("a", status="in_progress"))
    history.open_part("a", 0, OutputText)
    assert history.truncate("a", 0, 700) is None
    assert history.set_audio("a", 0, b"\1\2") is False
    assert content(history, "a") == ()
