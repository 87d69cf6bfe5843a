"""The progress bar: on a terminal only."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest
import trio
import trio.lowlevel

from trio_realtime.cli.progress import progress_bar


async def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    async with progress_bar("sending", 1):
        await trio.lowlevel.checkpoint()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Return both ends of a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stderr:
        yield ours, stderr
    os.close(ours)


async def test_the_bar_fills_while_the_block_runs(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch, terminal: tuple[int, TextIO]
) -> None:
    ours, stderr = terminal
    monkeypatch.setenv("TERM", "xterm")
    # Not in the fixture: pytest replaces stderr before the test.
    monkeypatch.setattr("sys.stderr", stderr)
    async with progress_bar("sending", 2):
        await trio.sleep(1.05)
    os.set_blocking(ours, False)
    shown = os.read(ours, 100_000).decode()
    assert "sending" in shown
    assert "50%" in shown
    assert "100%" not in shown
