"""Wrapping text that arrives in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from trio_realtime.cli.word_wrap import WordWrap


def test_a_word_moves_to_the_next_line_as_a_whole() -> None:
    wrap = WordWrap(12)
    shown = [wrap.feed(piece) for piece in ("One two", " thr", "ee four")]
    assert shown == ["One", " two", "\nthree"]
    assert wrap.flush() == " four"


def test_width_none_changes_nothing() -> None:
    wrap = WordWrap(None)
    assert wrap.feed("a  long \n line") == "a  long \n line"
    assert wrap.flush() == ""


@pytest.mark.parametrize("text", ["日本語 日本語", "\tx", "a\n\nb  ", ""])
def test_spaces_and_line_breaks_stay(text: str) -> None:
    wrap = WordWrap(80)
    assert (wrap.feed(text) + wrap.flush()).rstrip() == text.rstrip()


@given(
    pieces=st.lists(st.text(alphabet=st.sampled_from("ab日 \n"), max_size=8)),
    width=st.integers(4, 20),
)
def test_no_line_is_too_long_and_no_word_is_lost(pieces: list[str], width: int) -> None:
    wrap = WordWrap(width)
    shown = "".join(map(wrap.feed, pieces)) + wrap.flush()
    text = "".join(pieces)
    assert shown.split() == text.split()
    for line in shown.split("\n"):
        assert cell_len(line) <= width or len(line.split()) == 1
