"""The memory of the ``serve`` command under load, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]

ATTACK = Path(__file__).with_name("attack.py")
MAX_MEMORY = 300 * 1024 * 1024


@asynccontextmanager
async def serve(*arguments: str) -> AsyncGenerator[tuple[str, trio.Process]]:
    command = [sys.executable, "-m", "trio_realtime.cli", "serve", "--port", "0", *arguments]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(20):
            line = await process.stdout.receive_some()
        yield line.decode().partition("?")[0], process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


def peak_memory(process: trio.Process) -> int:
    """Return the highest resident set size so far, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return int(peak[1]) * 1024


@pytest.mark.parametrize(
    ("scenario", "count", "pace"),
    [
        ("creates", 300, "8"),
        ("appends", 60, "8"),
        ("large-appends", 24, "8"),
        ("calls", 50, "unlimited"),
    ],
)
async def test_memory_is_bounded(
    scenario: str, count: int, pace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # The limit holds for any count; these are large enough to exceed it if the bytes were stored.
    async with serve("--pace", pace) as (url, process):
        command = [sys.executable, str(ATTACK), scenario, url, str(count)]
        with trio.fail_after(300):
            done = await trio.run_process(command, capture_stdout=True)
        peak = peak_memory(process)
    with capsys.disabled():
        sys.stdout.write(f"\n{scenario}: {peak / 1024 / 1024:.0f} MiB {done.stdout.decode()}\n")
    assert peak < MAX_MEMORY
