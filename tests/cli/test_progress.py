"""The progress bar: on a terminal only."""

from __future__ import annotations

import io

import pytest
import trio
import trio.lowlevel

from trio_realtime.cli.progress import progress_bar


async def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    async with progress_bar("sending", 1):
        await trio.lowlevel.checkpoint()
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A terminal that shows nothing and remembers everything."""

    def isatty(self) -> bool:
        return True


async def test_the_bar_fills_while_the_block_runs(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stderr)
    async with progress_bar("sending", 2):
        await trio.sleep(1.05)
    shown = stderr.getvalue()
    assert "sending" in shown
    assert "50%" in shown
    assert "100%" not in shown
