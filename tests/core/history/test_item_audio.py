"""Audio of history items: truncation and retained audio."""

from __future__ import annotations

import attrs
import pytest

from support.history import assistant, content, history_of, user
from trio_realtime.core.history.items import History
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    FunctionCallItem,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
)


def test_a_truncated_part_has_the_heard_time_and_its_transcript() -> None:
    history = History()
    spoken = MessageItem(
        id="a", role="assistant", status="completed", content=(OutputAudio(transcript="all of it"),)
    )
    history.add(spoken, None)
    truncated = history.truncate("a", 0, 700)
    assert isinstance(truncated, MessageItem)
    assert truncated.content == (OutputAudio(transcript="all of it", heard_ms=700),)
    bare = attrs.evolve(spoken, content=(OutputAudio(transcript=None),))
    history.finish(bare)
    assert history.snapshot() == (truncated,), "a later version does not undo the truncation"


def test_only_audio_of_the_assistant_can_be_truncated() -> None:
    history = History()
    history.add(MessageItem(id="u", content=(InputText(text="hi"),)), None)
    assert history.truncate("u", 0, 1) is None
    assert history.truncate("u", 5, 1) is None
    assert history.truncate("unknown", 0, 1) is None


def test_a_truncation_may_arrive_before_its_part() -> None:
    history = history_of(assistant("a", status="in_progress"))

    truncated = history.truncate("a", 0, 700)
    assert content(history, "a") == (OutputAudio(heard_ms=700),)
    assert truncated == history.get("a")
    history.append_text("a", 0, "as ", OutputAudio)
    history.append_text("a", 0, "heard", OutputAudio)
    assert content(history, "a") == (OutputAudio(transcript="as heard", heard_ms=700),)

    history.finish(assistant("a", OutputAudio(transcript=""), status="incomplete"))
    assert content(history, "a") == (OutputAudio(transcript="as heard", heard_ms=700),)


def test_deltas_after_a_truncation_are_added() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.append_text("a", 0, "A text. ", OutputText)
    history.append_text("a", 1, "Once ", OutputAudio)

    history.truncate("a", 1, 700)
    history.append_text("a", 0, "And more.", OutputText)
    history.append_text("a", 1, "upon", OutputAudio)

    assert content(history, "a") == (
        OutputText(text="A text. And more."),
        OutputAudio(transcript="Once upon", heard_ms=700),
    )


def test_audio_may_be_set_before_its_part_is_complete() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.append_text("a", 0, "Good", OutputAudio)

    assert history.set_audio("a", 0, b"\1\2") is True
    assert history.set_audio("a", 1, b"\3\4") is True
    assert content(history, "a") == (
        OutputAudio(transcript="Good", audio=b"\1\2"),
        OutputAudio(audio=b"\3\4"),
    )

    assert history.set_audio("a", 0, None) is True
    assert content(history, "a") == (OutputAudio(transcript="Good"), OutputAudio(audio=b"\3\4"))


def test_removing_audio_does_not_create_a_part() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.set_audio("a", 0, None)
    assert content(history, "a") == ()


@pytest.mark.parametrize(
    "item",
    [
        assistant("a", OutputText(text="hi")),
        user("a", InputText(text="hi")),
        user("a"),
        FunctionCallItem(id="a"),
    ],
)
def test_only_audio_parts_can_have_audio(item: HistoryItem) -> None:
    history = history_of(item)
    assert history.set_audio("a", 0, b"\1\2") is False
    assert history.get("a") == item


def test_a_part_opened_as_text_has_no_audio() -> None:
    history = history_of(assistant("a", status="in_progress"))
    history.open_part("a", 0, OutputText)
    assert history.truncate("a", 0, 700) is None
    assert history.set_audio("a", 0, b"\1\2") is False
    assert content(history, "a") == ()
