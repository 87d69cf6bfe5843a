"""History items: their order is the service's; transcripts, bounds and cost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.history import assistant, content, history_of, note_sent, order, user
from trio_realtime.core import history as history_package
from trio_realtime.core.history.items import MAX_PENDING, Change, History
from trio_realtime.items import HistoryItem, item_text
from trio_realtime.wire import (
    UNSET,
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
HISTORY = Path(history_package.__file__).parent
IMAGE = InputImage(image_url="data:image/png;base64,AAAA", detail="low")


# --- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        ("a", ["a", "new", "b", "c"]),
        ("c", ["a", "b", "c", "new"]),
        (None, ["a", "b", "c", "new"]),
        (UNSET, ["a", "b", "c", "new"]),
        ("unknown", ["a", "b", "c", "new"]),
        ("", ["a", "b", "c", "new"]),
        ("new", ["a", "b", "c", "new"]),
    ],
)
def test_an_item_is_added_after_its_previous_item(
    previous: PreviousId, expected: list[str]
) -> None:
    history = history_of(assistant("a"), assistant("b"), assistant("c"))

    assert history.add(assistant("new"), previous) is Change.ADDED

    assert order(history) == expected
    assert len(history) == 4
    assert "new" in history


@pytest.mark.parametrize("confirm", [History.add, History.finish])
def test_null_is_the_first_place_only_for_an_item_that_asked_for_it(
    confirm: Callable[[History, HistoryItem, None], Change],
) -> None:
    history = history_of(assistant("a"))
    note_sent(history, user("first"), previous="root")
    note_sent(history, user("last"), previous=None)

    confirm(history, user("last"), None)
    confirm(history, user("first"), None)
    assert order(history) == ["first", "a", "last"]

    history.delete("first")
    confirm(history, user("first"), None)  # once: it was not asked for again
    assert order(history)[0] == "a"


def test_requests_for_the_first_place_are_bounded() -> None:
    history = History()
    for number in range(MAX_PENDING + 1):
        note_sent(history, user(f"u{number}"), previous="root")

    assert len(history._requested_first) == MAX_PENDING
    for number in (0, MAX_PENDING):
        history.add(user(f"u{number}"), None)
    assert order(history) == [f"u{MAX_PENDING}", "u0"]


@pytest.mark.parametrize("previous", ["a", None, UNSET, "unknown"])
def test_a_known_item_keeps_its_place(previous: PreviousId) -> None:
    history = history_of(assistant("a"), assistant("b"), assistant("c"))

    assert history.add(assistant("b", OutputText(text="more")), previous) is Change.UPDATED
    assert history.finish(assistant("c", OutputText(text="end")), previous) is Change.UPDATED

    assert order(history) == ["a", "b", "c"]


def test_a_final_version_does_not_move_an_item_to_the_first_place() -> None:
    # The live service sends null if the predecessor is the first item of the conversation.
    history = history_of(user("question"))
    history.add(assistant("answer", status="in_progress"), "question")

    history.finish(assistant("answer", OutputText(text="yes"), status="completed"), None)

    assert order(history) == ["question", "answer"]


def test_a_final_version_places_an_item_without_an_added_event() -> None:
    history = history_of(assistant("a"), assistant("b"))

    assert history.finish(assistant("x"), "a") is Change.ADDED
    assert history.finish(assistant("y"), None) is Change.ADDED

    assert order(history) == ["a", "x", "b", "y"]


def test_after_a_deletion_the_neighbors_are_adjacent() -> None:
    history = history_of(assistant("a"), assistant("b"), assistant("c"))

    assert history.delete("b") is True
    assert history.delete("b") is False
    history.add(assistant("x"), "a")
    history.add(assistant("y"), "b")  # the place of a deleted item is not remembered

    assert order(history) == ["a", "x", "c", "y"]
    assert "b" not in history
    assert history.get("b") is None


def test_an_item_without_an_id_is_ignored() -> None:
    history = History()

    assert history.add(MessageItem()) is Change.NONE
    assert history.add(FunctionCallItem(id="")) is Change.NONE

    assert history.snapshot() == ()


def test_items_of_every_kind_are_added() -> None:
    kinds: list[HistoryItem] = [
        FunctionCallItem(id="call", call_id="c", name="f"),
        FunctionCallOutputItem(id="output", call_id="c", output="1"),
        McpListToolsItem(id="tools"),
        UnknownItem(raw={"type": "hologram", "id": "strange"}),
    ]

    history = history_of(*kinds)

    assert history.snapshot() == tuple(kinds)


def test_a_snapshot_is_the_same_tuple_until_something_changes() -> None:
    history = history_of(assistant("a"))
    before = history.snapshot()

    assert history.snapshot() is before
    history.append_text("a", 0, "x", OutputText)
    assert history.snapshot() is not before
    assert before == (assistant("a"),)


# --- transcripts of the user ---------------------------------------------------------------------


def test_a_transcript_may_arrive_before_its_item() -> None:
    history = History()

    assert history.add_transcript("u", 0, "Guten ", final=False) is None
    assert history.add_transcript("u", 0, "Tag", final=False) is None
    history.add(user("u", InputAudio()))
    assert content(history, "u") == (InputAudio(transcript="Guten Tag"),)

    history.add_transcript("u", 0, "!", final=False)
    assert content(history, "u") == (InputAudio(transcript="Guten Tag!"),)
    assert content(history, "u") == (InputAudio(transcript="Guten Tag!"),)


def test_a_final_transcript_may_arrive_before_its_item() -> None:
    history = History()
    history.add_transcript("u", 0, "Guten T", final=False)
    history.add_transcript("u", 0, "Good day", final=True)
    history.add_transcript("u", 0, "ag", final=False)

    history.add(user("u", InputAudio()))

    assert content(history, "u") == (InputAudio(transcript="Good day"),)


def test_a_transcript_may_arrive_after_the_reply() -> None:
    history = history_of(user("u", InputAudio()), assistant("a", OutputText(text="Yes.")))

    history.add_transcript("u", 0, "Really", final=False)
    history.add_transcript("u", 0, "Really?", final=True)

    assert [item_text(item) for item in history.snapshot()] == ["Really?", "Yes."]


def test_deltas_after_the_final_transcript_change_nothing() -> None:
    history = history_of(user("u", InputAudio()))
    history.add_transcript("u", 0, "Really?", final=True)

    assert history.add_transcript("u", 0, "ally?", final=False) is None
    assert content(history, "u") == (InputAudio(transcript="Really?"),)

    history.add_transcript("u", 0, "Truly?", final=True)
    assert content(history, "u") == (InputAudio(transcript="Truly?"),)


@pytest.mark.parametrize("final", [True, False])
def test_a_transcript_waits_for_its_part(final: bool) -> None:
    history = history_of(user("u", status="in_progress"))

    assert history.add_transcript("u", 0, "Hello", final=final) is None
    history.finish(user("u", InputAudio()))

    assert content(history, "u") == (InputAudio(transcript="Hello"),)


def test_each_part_has_its_own_transcript() -> None:
    history = history_of(user("u", InputAudio(), InputText(text="or"), InputAudio()))

    history.add_transcript("u", 2, "two", final=True)
    history.add_transcript("u", 0, "one", final=True)
    history.add_transcript("u", 1, "never", final=True)

    assert content(history, "u") == (
        InputAudio(transcript="one"),
        InputText(text="or"),
        InputAudio(transcript="two"),
    )


def test_a_transcript_survives_repeated_versions_without_it() -> None:
    history = history_of(user("u", InputAudio()))
    history.add_transcript("u", 0, "Hello", final=True)

    history.finish(user("u", InputAudio(transcript=None)))
    history.add(user("u"))

    assert content(history, "u") == (InputAudio(transcript="Hello"),)


def test_a_failed_transcription_leaves_what_has_arrived() -> None:
    history = History()
    history.add(user("u", InputAudio()))
    history.add_transcript("u", 0, "garb", final=False)
    history.add_transcript("u", 0, "l", final=False)
    history.drop_transcript("u", 0)
    assert content(history, "u") == (InputAudio(transcript="garbl"),)
    history.add(user("u", InputAudio(transcript="clear")))
    assert content(history, "u") == (InputAudio(transcript="clear"),)


def test_reports_of_a_growing_transcript_of_the_user_share_its_text() -> None:
    history = History()
    history.add(user("u", InputAudio()))
    reports: list[Any] = []
    for word in ("one ", "two ", "three "):
        history.add_transcript("u", 0, word, final=False)
        reports.append(history.get_later("u"))
    history.add_transcript("u", 0, "One, two, three.", final=True)
    texts = [report().content[0].transcript for report in reports]
    assert texts == ["one ", "one two ", "one two three "]
    assert content(history, "u") == (InputAudio(transcript="One, two, three."),)


def test_a_failed_transcription_leaves_nothing_pending() -> None:
    history = History()
    history.add_transcript("u", 0, "garbl", final=False)

    history.drop_transcript("u", 0)
    history.drop_transcript("unknown", 0)
    history.add(user("u", InputAudio()))

    assert content(history, "u") == (InputAudio(),)


def test_pending_transcripts_are_bounded() -> None:
    history = History()
    for number in range(MAX_PENDING + 1):
        history.add_transcript(f"u{number}", 0, "x", final=True)

    for number in (0, 1, MAX_PENDING):
        history.add(user(f"u{number}", InputAudio()))

    assert [item_text(item) for item in history.snapshot()] == ["", "x", "x"]


# --- invalid indexes ----------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 7])
@pytest.mark.parametrize(
    "item",
    [assistant("a"), user("a", InputAudio()), FunctionCallItem(id="a"), McpListToolsItem(id="a")],
)
def test_an_invalid_index_never_raises(item: HistoryItem, index: int) -> None:
    history = history_of(item)

    history.append_text("a", index, "text", OutputText)
    history.append_arguments("unknown", "x")
    history.append_text("unknown", index, "x", OutputText)
    history.add_transcript("a", index, "transcript", final=True)
    history.truncate("a", index, 100)
    history.set_audio("a", index, b"\1\2")
    history.set_audio("unknown", index, b"\1\2")

    assert order(history) == ["a"]


# --- memory bounds ------------------------------------------------------------------------------


def test_ids_of_deleted_items_are_bounded() -> None:
    history = History()
    for number in range(MAX_PENDING + 1):
        history.add(assistant(f"i{number}"))
        history.delete(f"i{number}")

    assert not history.was_deleted("i0")
    assert all(history.was_deleted(f"i{number}") for number in range(1, MAX_PENDING + 1))
    assert len(history._deleted) == MAX_PENDING


def test_local_copies_of_images_are_bounded() -> None:
    history = History()
    for number in range(MAX_PENDING + 1):
        note_sent(history, user(f"u{number}", IMAGE))
    assert len(history._local_copies) == MAX_PENDING

    for number in (0, 1, MAX_PENDING):
        history.add(user(f"u{number}"))

    assert content(history, "u0") == ()  # the oldest copy was dropped
    assert content(history, "u1") == content(history, f"u{MAX_PENDING}") == (IMAGE,)


# --- cost ---------------------------------------------------------------------------------------


def executed_lines(work: Callable[[], object]) -> int:
    """Return the number of executed lines of the history's modules. Each loop iteration counts."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction | None:
        nonlocal lines
        if Path(frame.f_code.co_filename).parent != HISTORY:
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
    return history_of(*(assistant(f"i{n}", OutputText(text="x")) for n in range(length)))


OPERATIONS: dict[str, Callable[[History], object]] = {
    "add at the end": lambda h: h.add(assistant("new")),
    "add first": lambda h: h.add(assistant("new"), None),
    "add in the middle": lambda h: h.add(assistant("new"), "i5"),
    "update": lambda h: h.finish(assistant("i5", OutputText(text="y"), status="completed")),
    "delta": lambda h: h.append_text("i5", 1, "y", OutputText),
    "add transcript": lambda h: h.add_transcript("i5", 0, "y", final=True),
    "get": lambda h: h.get("i5"),
    "truncate": lambda h: h.truncate("i5", 1, 100),
    "set audio": lambda h: h.set_audio("i5", 1, b"\1\2"),
    "delete": lambda h: h.delete("i5"),
    "repeated snapshot": lambda h: h.snapshot(),
}
OPERATIONS |= {
    f"{name}, and a snapshot": lambda h, work=work: (work(h), h.snapshot())  # type: ignore[misc]
    for name, work in OPERATIONS.items()
}


@pytest.mark.parametrize("work", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_the_cost_does_not_grow_with_the_history(work: Callable[[History], object]) -> None:
    short, long = long_history(10), long_history(1000)
    short.snapshot()
    long.snapshot()

    lines = executed_lines(lambda: work(short))
    # A long history has several chunks, and the one that changes is not the last one.
    assert lines - 5 <= executed_lines(lambda: work(long)) <= lines + 5 < 110


def test_the_cost_of_a_delta_does_not_grow_with_the_item() -> None:
    history = long_history(10)

    def one() -> None:
        history.append_text("i5", 1, "word ", OutputText)
        history.get("i5")

    first = [executed_lines(one) for _ in range(3)][-1]
    for _ in range(500):
        one()

    assert executed_lines(one) == first


# --- against a plain list -----------------------------------------------------------------------

IDS = [f"i{n}" for n in range(6)]


class ListModel(RuleBasedStateMachine):
    """The same operations on a history and on a plain list of ids and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.ids: list[str] = []
        self.first: set[str] = set()
        self.final: dict[str, str] = {}
        self.drafts: dict[str, str] = {}
        self.deleted: set[str] = set()

    def text(self, item_id: str) -> str:
        return self.final.get(item_id) or self.drafts.get(item_id, "")

    def place(self, item_id: str, previous: PreviousId) -> None:
        if item_id in self.ids:
            return
        if previous is None and item_id in self.first:
            self.ids.insert(0, item_id)
        elif previous in self.ids:
            self.ids.insert(self.ids.index(str(previous)) + 1, item_id)
        else:
            self.ids.append(item_id)
        self.first.discard(item_id)

    @rule(item_id=st.sampled_from(IDS))
    def ask_for_the_first_place(self, item_id: str) -> None:
        note_sent(self.history, user(item_id), previous="root")
        self.first.add(item_id)

    @rule(item_id=st.sampled_from(IDS), previous=st.sampled_from([*IDS, None, UNSET]))
    def add(self, item_id: str, previous: PreviousId) -> None:
        new = self.history.add(assistant(item_id, status="in_progress"), previous)
        self.deleted.discard(item_id)
        assert (new is Change.ADDED) == (item_id not in self.ids)
        self.place(item_id, previous)

    @rule(
        item_id=st.sampled_from(IDS),
        previous=st.sampled_from([*IDS, None, UNSET]),
        text=st.sampled_from(["", "A", "B"]),
    )
    def finish(self, item_id: str, previous: PreviousId, text: str) -> None:
        item = assistant(item_id, OutputAudio(transcript=text), status="completed")
        new = self.history.finish(item, previous)
        if item_id in self.deleted:
            assert new is Change.NONE
            return
        assert (new is Change.ADDED) == (item_id not in self.ids)
        self.place(item_id, previous)
        self.final[item_id] = text or self.text(item_id)

    @rule(item_id=st.sampled_from(IDS), delta=st.sampled_from("xyz"))
    def append_text(self, item_id: str, delta: str) -> None:
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
    def the_items_have_the_same_order(self) -> None:
        assert order(self.history) == self.ids
        assert len(self.history) == len(self.ids)

    @invariant()
    def the_texts_are_equal(self) -> None:
        texts = [item_text(item) for item in self.history.snapshot()]
        assert texts == [self.text(item_id) for item_id in self.ids]

    @invariant()
    def get_returns_the_items_of_the_snapshot(self) -> None:
        items = self.history.snapshot()
        assert items == tuple(self.history.get(item_id) for item_id in self.ids)


TestListModel = ListModel.TestCase
TestListModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
