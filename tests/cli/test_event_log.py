"""The lines of the event log."""

from __future__ import annotations

import io

import trio
from rich.console import Console

from trio_realtime.cli.event_log import PATIENCE, EventLog


async def test_each_entry_has_the_time_and_fits_the_terminal(autojump_clock: object) -> None:
    out = io.StringIO()
    log = EventLog(Console(file=out, width=40))
    await trio.sleep(1.5)
    log.write("agent", "many words\n" * 8)
    first, *others = out.getvalue().splitlines()
    assert first.startswith("  1.5s agent  many words many")
    assert all(line.startswith(" " * 14) for line in others)
    assert all(len(line) <= 40 for line in (first, *others))
    assert out.getvalue().split() == ["1.5s", "agent", *["many", "words"] * 8]


async def test_the_log_says_what_goes_on_while_nothing_happens(autojump_clock: object) -> None:
    out = io.StringIO()
    log = EventLog(Console(file=out, width=60))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.show_activity)
        await trio.sleep(4)
        assert out.getvalue() == ""
        log.activity = "the agent is speaking"
        log.write("you", "Hello")
        await trio.sleep(1)
        log.write("you", "Anyone?")
        await trio.sleep(PATIENCE * 2 + 0.1)
        nursery.cancel_scope.cancel()
    assert [line.split(maxsplit=1)[1].strip() for line in out.getvalue().splitlines()] == [
        "you    Hello",
        "you    Anyone?",
        "… the agent is speaking",
        "… the agent is speaking",
    ]
