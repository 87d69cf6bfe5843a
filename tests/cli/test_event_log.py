"""The lines of the event log."""

from __future__ import annotations

import io

import trio
from rich.console import Console

from trio_realtime.cli.event_log import EventLog


async def test_each_line_has_the_time_and_fits_the_terminal(autojump_clock: object) -> None:
    out = io.StringIO()
    log = EventLog(Console(file=out, width=60))
    await trio.sleep(1.5)
    log.write("agent", "many words\n" * 20)
    (line,) = out.getvalue().splitlines()
    assert line.startswith("  1.50s  agent many words many")
    assert len(line) <= 60
