"""Tools for tests."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from trio_realtime import FunctionTool, function_tool


@function_tool
async def endless() -> None:
    """Run until cancelled."""
    await trio.sleep_forever()


@function_tool
async def wait(seconds: float) -> str:
    """Wait for some seconds."""
    await trio.sleep(seconds)
    return f"waited {seconds:g}"


@attrs.frozen
class CleanupTool:
    """A tool named ``careful`` that performs a shielded cleanup when cancelled, and its log."""

    tool: FunctionTool
    log: list[str]


def make_cleanup_tool(clean_up: float = 0.5) -> CleanupTool:
    """Create the tool. ``clean_up`` is the duration of the cleanup in seconds."""
    log: list[str] = []

    @function_tool
    async def careful() -> None:
        """Run until cancelled."""
        log.append("started")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(clean_up)
            log.append("cleaned up")

    return CleanupTool(careful, log)


def make_note_tool(**options: Any) -> tuple[FunctionTool, list[str]]:
    """Return a tool named ``note`` that records its ``text``, and the list of recorded texts."""
    runs: list[str] = []

    @function_tool(name="note", **options)
    async def note(text: str) -> str:
        """Record a text."""
        runs.append(text)
        return f"noted {text}"

    return note, runs
