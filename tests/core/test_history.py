"""The history: the service's order, and nothing lost of what was once seen or heard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_realtime.core.history import items as history_module
from trio_realtime.core.history.items import MAX_PENDING, Change, History
from trio_realtime.items import HistoryItem, item_text
from trio_realtime.wire import (
    UNSET,
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputImage,
    InputText,
    McpListToolsItem,
    MessageItem,
    OutputAudio,
    OutputText,
    UnknownItem,
    Unset,
)

PreviousId: TypeAlias = str | Unset | None
TraceFunction: TypeAlias = Callable[[FrameType, str, Any], Any]
PICTURE = "data:image/png;base64,AAAA"


def said(item_id: str, *parts: ContentPart, status: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=parts, status=status)


def heard(item_id: str, *parts: ContentPart, status: str | None = "completed") -> MessageItem:
    return MessageItem(id=item_id, role="user", content=parts, status=status)


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


# --- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        ("a", ["a", "new", "b", "c"]),
        ("c", ["a", "b", "c", "new"]),
        (None, ["new", "a", "b", "c"]),
        (UNSET, ["a", "b", "c", "new"]),
        ("nobody knows", ["a", "b", "c", "new"]),
        ("", ["a", "b", "c", "new"]),
        ("new", ["a", "b", "c", "new"]),
    ],
)
def test_an_added_item_stands_behind_its_previous_one(
    previous: PreviousId, expected: list[str]
) -> None:
    history = history_of(said("a"), said("b"), said("c"))

    assert history.add(said("new"), previous) is Change.ADDED

    assert order(history) == expected
    assert len(history) == 4
    assert "new" in history


@pytest.mark.parametrize("previous", ["a", None, UNSET, "nobody knows"])
def test_an_item_that_is_known_keeps_its_place(previous: PreviousId) -> None:
    history = history_of(said("a"), said("b"), said("c"))

    assert history.add(said("b", OutputText(text="more")), previous) is Change.UPDATED
    assert history.finish(said("c", OutputText(text="end")), previous) is Change.UPDATED

    assert order(history) == ["a", "b", "c"]


def test_a_final_version_does_not_move_an_item_to_the_front() -> None:
    # The live service's quirk: null where the predecessor is the very first item.
    history = history_of(heard("question"))
    history.add(said("answer", status="in_progress"), "question")

    history.finish(said("answer", OutputText(text="yes"), status="completed"), None)

    assert order(history) == ["question", "answer"]


def test_a_final_version_places_an_item_whose_beginning_was_missed() -> None:
    history = history_of(said("a"), said("b"))

    assert history.finish(said("x"), "a") is Change.ADDED
    assert history.finish(said("y"), None) is Change.ADDED

    assert order(history) == ["a", "x", "b", "y"]


def test_after_a_deletion_the_neighbours_stand_together() -> None:
    history = history_of(said("a"), said("b"), said("c"))

    assert history.delete("b") is True
    assert history.delete("b") is False
    history.add(said("x"), "a")
    history.add(said("y"), "b")  # where b was, nobody knows any more

    assert order(history) == ["a", "x", "c", "y"]
    assert "b" not in history
    assert history.get("b") is None


def test_an_item_without_an_id_is_not_kept() -> None:
    history = History()

    assert history.add(MessageItem()) is Change.NONE
    assert history.add(FunctionCallItem(id="")) is Change.NONE

    assert history.snapshot() == ()


def test_items_of_every_kind_have_their_place() -> None:
    kinds: list[HistoryItem] = [
        FunctionCallItem(id="call", call_id="c", name="f"),
        FunctionCallOutputItem(id="output", call_id="c", output="1"),
        McpListToolsItem(id="tools"),
        UnknownItem(raw={"type": "hologram", "id": "strange"}),
    ]

    history = history_of(*kinds)

    assert history.snapshot() == tuple(kinds)


def test_a_snapshot_is_the_same_tuple_until_something_changes() -> None:
    history = history_of(said("a"))
    before = history.snapshot()

    assert history.snapshot() is before
    history.append_text("a", 0, "x", OutputText)
    assert history.snapshot() is not before
    assert before == (said("a"),)


# --- what was said ------------------------------------------------------------------------------


def test_an_answer_in_progress_shows_what_has_come_of_it() -> None:
    history = history_of(said("a", status="in_progress"))

    history.append_text("a", 0, "Good ", OutputAudio)
    history.append_text("a", 1, "text", OutputText)
    history.append_text("a", 0, "day", OutputAudio)

    assert content(history, "a") == (
        OutputAudio(transcript="Good day"),
        OutputText(text="text"),
    )


def test_a_part_has_the_kind_that_it_was_opened_with() -> None:
    history = history_of(said("a", status="in_progress"))
    history.open_part("a", 0, OutputAudio)
    history.open_part("nobody", 0, OutputAudio)

    history.append_arguments("a", "hm")

    assert content(history, "a") == (OutputAudio(transcript="hm"),)


@pytest.mark.parametrize("final", [None, ""])
def test_the_deltas_stand_in_for_a_final_transcript_that_is_missing(final: str | None) -> None:
    history = history_of(said("a", status="in_progress"))
    history.append_text("a", 0, "as ", OutputAudio)
    history.append_text("a", 0, "heard", OutputAudio)

    history.finish(said("a", OutputAudio(transcript=final), status="completed"))

    assert content(history, "a") == (OutputAudio(transcript="as heard"),)


def test_the_deltas_stay_where_the_final_version_has_no_content_at_all() -> None:
    history = history_of(said("a", status="in_progress"))
    history.append_text("a", 0, "as far as it came", OutputText)

    history.finish(said("a", status="incomplete"))

    assert history.snapshot() == (
        said("a", OutputText(text="as far as it came"), status="incomplete"),
    )


@pytest.mark.parametrize("kind", [OutputAudio, OutputText])
def test_a_final_text_wins_over_the_deltas_and_late_deltas_change_nothing(
    kind: type[OutputAudio | OutputText],
) -> None:
    final = OutputAudio(transcript="final") if kind is OutputAudio else OutputText(text="final")
    history = history_of(said("a", status="in_progress"))
    history.append_text("a", 0, "draft", kind)

    history.finish(said("a", final, status="completed"))
    assert content(history, "a") == (final,)

    history.append_text("a", 0, " and more", kind)
    assert content(history, "a") == (final,)


def test_deltas_survive_another_version_that_is_not_final() -> None:
    history = history_of(said("a", status="in_progress"))
    history.append_text("a", 0, "one ", OutputAudio)

    history.add(said("a", status="in_progress"))
    history.append_text("a", 0, "two", OutputAudio)

    assert content(history, "a") == (OutputAudio(transcript="one two"),)


@pytest.mark.parametrize("echo", [OutputAudio(), OutputAudio(audio=b"\1\2")])
def test_a_transcript_survives_the_service_forgetting_it(echo: OutputAudio) -> None:
    # After a truncation the service's own version has none.
    known = OutputAudio(transcript="Once heard.")
    history = history_of(said("a", known, status="completed"))

    assert history.add(said("a", echo, status="incomplete")) is Change.UPDATED

    assert content(history, "a") == (attrs.evolve(known, audio=echo.audio),)


def test_audio_that_was_retrieved_stays() -> None:
    history = history_of(heard("u", InputAudio(audio=b"\1\2", transcript="hello")))

    history.add(heard("u", InputAudio()))
    assert content(history, "u") == (InputAudio(audio=b"\1\2", transcript="hello"),)

    history.add(heard("u", InputAudio(audio=b"\3", transcript="hallo")))
    assert content(history, "u") == (InputAudio(audio=b"\3", transcript="hallo"),)


@pytest.mark.parametrize("kind", [InputText, OutputText])
def test_a_text_survives_an_empty_one(kind: type[InputText | OutputText]) -> None:
    history = history_of(said("a", kind(text="words")))

    history.add(said("a", kind(text="")))
    assert content(history, "a") == (kind(text="words"),)

    history.add(said("a", kind(text="other words")))
    assert content(history, "a") == (kind(text="other words"),)


def test_parts_that_an_update_leaves_out_stay() -> None:
    history = history_of(said("a", OutputText(text="one"), OutputText(text="two")))

    history.add(said("a", OutputText(text="ONE")))

    assert content(history, "a") == (OutputText(text="ONE"), OutputText(text="two"))


def test_a_message_of_another_role_takes_the_place_whole() -> None:
    history = history_of(said("a", OutputText(text="mine")))

    history.add(heard("a"))

    assert history.snapshot() == (heard("a"),)


def test_an_item_of_another_kind_takes_the_place_whole() -> None:
    history = history_of(said("a", OutputText(text="mine")))
    call = FunctionCallItem(id="a", name="f")

    history.add(call)

    assert history.snapshot() == (call,)


# --- images -------------------------------------------------------------------------------------


def sent_image(*parts: ContentPart) -> History:
    history = History()
    history.remember_images(heard("u", *parts, status=None))
    return history


IMAGE = InputImage(image_url=PICTURE, detail="low")
CAPTION = InputText(text="what is this?")


@pytest.mark.parametrize("sent", [(IMAGE, CAPTION), (CAPTION, IMAGE), (IMAGE,)])
@pytest.mark.parametrize("echoes_part", [True, False])
def test_an_image_stays_though_the_service_does_not_echo_it(
    sent: tuple[ContentPart, ...], echoes_part: bool
) -> None:
    bare = attrs.evolve(IMAGE, image_url=None)
    echo = [bare if part is IMAGE else part for part in sent if echoes_part or part is not IMAGE]
    history = sent_image(*sent)

    history.add(heard("u", *echo))
    history.finish(heard("u", *echo))

    assert content(history, "u") == sent


def test_an_image_that_the_service_does_echo_is_its_own() -> None:
    other = InputImage(image_url="data:image/png;base64,BBBB")
    history = sent_image(IMAGE)

    history.add(heard("u", other))

    assert content(history, "u") == (other,)


# --- function calls -----------------------------------------------------------------------------


def call(arguments: str = "", status: str | None = "in_progress", **more: Any) -> FunctionCallItem:
    fields = {"call_id": "call_1", "name": "f", **more}
    return FunctionCallItem(id="a", arguments=arguments, status=status, **fields)


def test_arguments_grow_and_the_final_ones_stand() -> None:
    history = history_of(call())
    history.append_arguments("a", '{"x"')
    history.append_arguments("a", ":1")
    assert history.get("a") == call('{"x":1')

    history.finish(call('{"x":1}', "completed"))
    assert history.get("a") == call('{"x":1}', "completed")


def test_what_a_final_call_leaves_out_is_kept() -> None:
    history = history_of(call())
    history.append_arguments("a", "{}")

    history.finish(call(status="completed", call_id=None, name=""))

    assert history.get("a") == call("{}", "completed")


# --- what was heard -----------------------------------------------------------------------------


def test_a_transcript_may_come_before_its_item() -> None:
    history = History()

    assert history.add_transcript("u", 0, "Guten ", final=False) is None
    assert history.add_transcript("u", 0, "Tag", final=False) is None
    history.add(heard("u", InputAudio()))
    assert content(history, "u") == (InputAudio(transcript="Guten Tag"),)

    assert history.add_transcript("u", 0, "!", final=False) == heard(
        "u", InputAudio(transcript="Guten Tag!")
    )
    assert content(history, "u") == (InputAudio(transcript="Guten Tag!"),)


def test_a_final_transcript_may_come_before_its_item() -> None:
    history = History()
    history.add_transcript("u", 0, "Guten T", final=False)
    history.add_transcript("u", 0, "Good day", final=True)
    history.add_transcript("u", 0, "ag", final=False)

    history.add(heard("u", InputAudio()))

    assert content(history, "u") == (InputAudio(transcript="Good day"),)


def test_a_transcript_may_come_after_the_answer_to_it() -> None:
    history = history_of(heard("u", InputAudio()), said("a", OutputText(text="Yes.")))

    history.add_transcript("u", 0, "Really", final=False)
    history.add_transcript("u", 0, "Really?", final=True)

    assert [item_text(item) for item in history.snapshot()] == ["Really?", "Yes."]


def test_what_comes_after_the_final_transcript_changes_nothing() -> None:
    history = history_of(heard("u", InputAudio()))
    history.add_transcript("u", 0, "Really?", final=True)

    assert history.add_transcript("u", 0, "ally?", final=False) is None
    assert content(history, "u") == (InputAudio(transcript="Really?"),)

    history.add_transcript("u", 0, "Truly?", final=True)
    assert content(history, "u") == (InputAudio(transcript="Truly?"),)


@pytest.mark.parametrize("final", [True, False])
def test_a_transcript_waits_for_its_part_too(final: bool) -> None:
    history = history_of(heard("u", status="in_progress"))

    assert history.add_transcript("u", 0, "Hello", final=final) is None
    history.finish(heard("u", InputAudio()))

    assert content(history, "u") == (InputAudio(transcript="Hello"),)


def test_each_part_has_its_own_transcript() -> None:
    history = history_of(heard("u", InputAudio(), InputText(text="or"), InputAudio()))

    history.add_transcript("u", 2, "two", final=True)
    history.add_transcript("u", 0, "one", final=True)
    history.add_transcript("u", 1, "never", final=True)

    assert content(history, "u") == (
        InputAudio(transcript="one"),
        InputText(text="or"),
        InputAudio(transcript="two"),
    )


def test_a_transcript_survives_the_item_coming_again_without_it() -> None:
    history = history_of(heard("u", InputAudio()))
    history.add_transcript("u", 0, "Hello", final=True)

    history.finish(heard("u", InputAudio(transcript=None)))
    history.add(heard("u"))

    assert content(history, "u") == (InputAudio(transcript="Hello"),)


def test_after_a_failed_transcription_nothing_of_it_waits() -> None:
    history = History()
    history.add_transcript("u", 0, "garbl", final=False)

    history.drop_pending_transcript("u", 0)
    history.drop_pending_transcript("nobody", 0)
    history.add(heard("u", InputAudio()))

    assert content(history, "u") == (InputAudio(),)


def test_transcripts_of_items_that_never_come_are_bounded() -> None:
    history = History()
    for number in range(MAX_PENDING + 1):
        history.add_transcript(f"u{number}", 0, "x", final=True)

    for number in (0, 1, MAX_PENDING):
        history.add(heard(f"u{number}", InputAudio()))

    assert [item_text(item) for item in history.snapshot()] == ["", "x", "x"]


# --- nonsense -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 7])
@pytest.mark.parametrize(
    "item", [said("a"), heard("a", InputAudio()), call(), McpListToolsItem(id="a")]
)
def test_an_index_out_of_place_never_raises(item: HistoryItem, index: int) -> None:
    history = history_of(item)

    history.append_text("a", index, "text", OutputText)
    history.append_arguments("nobody", "x")
    history.append_text("nobody", index, "x", OutputText)
    history.add_transcript("a", index, "transcript", final=True)
    history.truncate("a", index, 100)
    history.set_audio("a", index, b"\1\2")
    history.set_audio("nobody", index, b"\1\2")

    assert order(history) == ["a"]


# --- cost ---------------------------------------------------------------------------------------


def steps(work: Callable[[], object]) -> int:
    """How many lines of the history's own code are run, each round of a loop anew."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction | None:
        nonlocal lines
        if frame.f_code.co_filename != history_module.__file__:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def long_history(length: int) -> History:
    return history_of(*(said(f"i{n}", OutputText(text="x")) for n in range(length)))


OPERATIONS: dict[str, Callable[[History], object]] = {
    "add at the end": lambda h: h.add(said("new")),
    "add at the front": lambda h: h.add(said("new"), None),
    "add in the middle": lambda h: h.add(said("new"), "i5"),
    "update": lambda h: h.finish(said("i5", OutputText(text="y"), status="completed")),
    "delta": lambda h: h.append_text("i5", 1, "y", OutputText),
    "hear": lambda h: h.add_transcript("i5", 0, "y", final=True),
    "look up": lambda h: h.get("i5"),
    "cut": lambda h: h.truncate("i5", 1, 100),
    "put audio": lambda h: h.set_audio("i5", 1, b"\1\2"),
    "delete": lambda h: h.delete("i5"),
    "snapshot again": lambda h: h.snapshot(),
}


@pytest.mark.parametrize("work", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_the_cost_does_not_grow_with_the_history(work: Callable[[History], object]) -> None:
    short, long = long_history(10), long_history(1000)
    short.snapshot()
    long.snapshot()

    assert steps(lambda: work(short)) == steps(lambda: work(long)) < 80


def test_an_answer_costs_the_same_for_each_of_its_deltas() -> None:
    history = long_history(10)

    def one() -> None:
        history.append_text("i5", 1, "word ", OutputText)
        history.get("i5")

    first = [steps(one) for _ in range(3)][-1]
    for _ in range(500):
        one()

    assert steps(one) == first


# --- against a plain list -----------------------------------------------------------------------

IDS = [f"i{n}" for n in range(6)]


class ListModel(RuleBasedStateMachine):
    """The same calls on a history and on a plain list of ids and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.ids: list[str] = []
        self.final: dict[str, str] = {}
        self.drafts: dict[str, str] = {}
        self.deleted: set[str] = set()

    def text(self, item_id: str) -> str:
        return self.final.get(item_id) or self.drafts.get(item_id, "")

    def place(self, item_id: str, previous: PreviousId) -> None:
        if item_id in self.ids:
            return
        if previous is None:
            self.ids.insert(0, item_id)
        elif previous in self.ids:
            self.ids.insert(self.ids.index(str(previous)) + 1, item_id)
        else:
            self.ids.append(item_id)

    @rule(item_id=st.sampled_from(IDS), previous=st.sampled_from([*IDS, None, UNSET]))
    def add(self, item_id: str, previous: PreviousId) -> None:
        new = self.history.add(said(item_id, status="in_progress"), previous)
        self.deleted.discard(item_id)
        assert (new is Change.ADDED) == (item_id not in self.ids)
        self.place(item_id, previous)

    @rule(
        item_id=st.sampled_from(IDS),
        previous=st.sampled_from([*IDS, None, UNSET]),
        text=st.sampled_from(["", "A", "B"]),
    )
    def finish(self, item_id: str, previous: PreviousId, text: str) -> None:
        item = said(item_id, OutputAudio(transcript=text), status="completed")
        new = self.history.finish(item, previous)
        if item_id in self.deleted:
            assert new is Change.NONE
            return
        assert (new is Change.ADDED) == (item_id not in self.ids)
        self.place(item_id, UNSET if previous is None else previous)
        self.final[item_id] = text or self.text(item_id)

    @rule(item_id=st.sampled_from(IDS), delta=st.sampled_from("xyz"))
    def say(self, item_id: str, delta: str) -> None:
        self.history.append_text(item_id, 0, delta, OutputAudio)
        if item_id in self.ids:
            self.drafts[item_id] = self.drafts.get(item_id, "") + delta
            if self.final.get(item_id):
                del self.drafts[item_id]

    @rule(item_id=st.sampled_from(IDS))
    def delete(self, item_id: str) -> None:
        assert self.history.delete(item_id) == (item_id in self.ids)
        if item_id in self.ids:
            self.ids.remove(item_id)
            self.deleted.add(item_id)
        self.final.pop(item_id, None)
        self.drafts.pop(item_id, None)

    @invariant()
    def the_same_items_in_the_same_order(self) -> None:
        assert order(self.history) == self.ids
        assert len(self.history) == len(self.ids)

    @invariant()
    def the_same_texts(self) -> None:
        texts = [item_text(item) for item in self.history.snapshot()]
        assert texts == [self.text(item_id) for item_id in self.ids]

    @invariant()
    def single_items_are_those_of_the_snapshot(self) -> None:
        items = self.history.snapshot()
        assert items == tuple(self.history.get(item_id) for item_id in self.ids)


TestListModel = ListModel.TestCase
TestListModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
