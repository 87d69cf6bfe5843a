"""The progress bar: on a terminal only."""

from __future__ import annotations

import os
import pty

import pytest
import trio
import trio.lowlevel

from trio_realtime.cli.progress import progress_bar


async def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    async with progress_bar("sending", 1):
        await trio.lowlevel.checkpoint()
    assert capsys.readouterr() == ("", "")


async def test_the_bar_fills_while_the_block_runs(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        async with progress_bar("sending", 2):
            await trio.sleep(1.05)
        stderr.flush()
        shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "sending" in shown
    assert "50%" in shown
    assert "100%" not in shown
