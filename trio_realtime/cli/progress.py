"""A progress bar on stderr, for people only."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from rich.console import Console
from rich.progress import Progress, TaskID

_INTERVAL = 0.1


@asynccontextmanager
async def progress_bar(what: str, seconds: float) -> AsyncGenerator[None]:
    """Show a bar that fills in a known time, while the block runs. Nothing is shown without a terminal.

    Args:
        what: what happens meanwhile.
        seconds: how long that takes.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    # Text that is written to the terminal meanwhile appears above the bar.
    with Progress(
        console=console, transient=True, auto_refresh=False, redirect_stdout=sys.stdout.isatty()
    ) as progress:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_move, progress, progress.add_task(what, total=seconds))
            yield
            nursery.cancel_scope.cancel(reason="the block has ended")


async def _move(progress: Progress, task: TaskID) -> None:
    start = trio.current_time()
    while True:
        progress.update(task, completed=trio.current_time() - start, refresh=True)
        await trio.sleep(_INTERVAL)
