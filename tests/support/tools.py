"""Tools for tests: one that never ends, one that waits, one that cleans up when it is stopped."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from trio_realtime import FunctionTool, function_tool


@function_tool
async def endless() -> None:
    """Runs until it is cancelled."""
    await trio.sleep_forever()


@function_tool
async def wait(seconds: float) -> str:
    """Wait for some time."""
    await trio.sleep(seconds)
    return f"waited {seconds:g}"


@attrs.frozen
class Careful:
    """A tool named ``careful`` that cleans up when it is stopped, and what became of it."""

    tool: FunctionTool
    log: list[str]


def make_careful(clean_up: float = 0.5) -> Careful:
    """With the seconds that cleaning up takes, whatever happens meanwhile."""
    log: list[str] = []

    @function_tool
    async def careful() -> None:
        """Runs until it is stopped."""
        log.append("started")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(clean_up)
            log.append("cleaned up")

    return Careful(careful, log)


def make_note(**options: Any) -> tuple[FunctionTool, list[str]]:
    """A tool named ``note`` that keeps a ``text`` that it is told, and what it has kept."""
    runs: list[str] = []

    @function_tool(name="note", **options)
    async def note(text: str) -> str:
        """Keep a text."""
        runs.append(text)
        return f"noted {text}"

    return note, runs
