"""Tools for tests."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from trio_realtime import FunctionTool, ToolContext, function_tool


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


def make_pay_tool(log: list[str], **options: Any) -> FunctionTool:
    """Make a tool named ``pay`` that takes effect as soon as it starts."""

    @function_tool(**options)
    async def pay() -> str:
        log.append("paid")
        return "paid"

    return pay


def make_booking_tool(done: list[str], **options: Any) -> FunctionTool:
    """Make a tool named ``book`` that takes five seconds, and then appends to ``done``."""

    @function_tool(**options)
    async def book() -> str:
        await trio.sleep(5)
        done.append("booked")
        return "booked"

    return book


def make_failing_tool(delay: float = 0.0, **options: Any) -> FunctionTool:
    """Make a tool named ``broken`` that raises ``LookupError`` after some seconds."""

    @function_tool(**options)
    async def broken() -> None:
        await trio.sleep(delay)
        raise LookupError("lost")

    return broken


def make_crashing_tool(failure: BaseException, **options: Any) -> FunctionTool:
    """Make a tool named ``crash`` that raises this exception."""

    @function_tool(**options)
    async def crash() -> None:
        raise failure

    return crash


def make_search_tool(
    result: Any = "found it", *, respond: bool = True, **options: Any
) -> FunctionTool:
    """Make a tool named ``search`` that answers early.

    Five seconds later it returns ``result``, or raises it if it is an exception.
    """

    @function_tool(**options)
    async def search(context: ToolContext[None]) -> Any:
        await context.answer_early({"status": "searching"}, respond=respond)
        await trio.sleep(5)
        if isinstance(result, Exception):
            raise result
        return result

    return search
