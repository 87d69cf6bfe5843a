"""Servers of the interop runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from benchmarks.processes import CommandFailed
from interop.processes import run_server

pytestmark = pytest.mark.slow


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_a_server_is_ready_when_a_line_matches(tmp_path: Path) -> None:
    code = "import time; print('hello'); print('at ws://x', flush=True); time.sleep(600)"
    with trio.fail_after(60):
        async with run_server(python(code), r"(ws://\S+)", cwd=tmp_path) as server:
            assert server.ready == "ws://x"
            assert server.output == ["hello", "at ws://x"]


async def test_a_server_that_ends_early_failed(tmp_path: Path) -> None:
    code = "import sys; sys.exit('no such option')"
    with pytest.raises(ExceptionGroup) as caught:
        async with run_server(python(code), r"(ws://\S+)", cwd=tmp_path):
            raise AssertionError("it is not ready")
    assert caught.group_contains(CommandFailed, match="^no such option$")
