"""Child processes: commands that end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.processes import CommandFailed, client_environment, run

pytestmark = pytest.mark.slow


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_a_command_returns_what_it_prints(tmp_path: Path) -> None:
    assert await run(python("print('ok')"), cwd=tmp_path, timeout=60) == "ok\n"


async def test_a_client_does_not_inherit_endpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://example.com")
    monkeypatch.setenv("https_proxy", "https://example.com")
    code = "import os; print(*[n for n in os.environ if n in ('OPENAI_BASE_URL', 'https_proxy', 'NEW')])"
    printed = await run(python(code), cwd=tmp_path, timeout=60, env=client_environment(NEW="value"))
    assert printed == "NEW\n"


async def test_the_last_line_says_why_a_command_failed(tmp_path: Path) -> None:
    code = "import sys; sys.exit('first\\nlast\\n')"
    with pytest.raises(CommandFailed, match=r"^last$"):
        await run(python(code), cwd=tmp_path, timeout=60)


async def test_the_reason_is_not_where_npm_writes_its_log(tmp_path: Path) -> None:
    code = (
        r"import sys; sys.exit('npm error reason\nnpm error A complete log of this run is there')"
    )
    with pytest.raises(CommandFailed, match=r"^npm error reason$"):
        await run(python(code), cwd=tmp_path, timeout=60)


async def test_a_silent_failure_has_its_exit_status(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"^exit status 3$"):
        await run(python("raise SystemExit(3)"), cwd=tmp_path, timeout=60)


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no-such-program: No such file"):
        await run(["no-such-program"], cwd=tmp_path, timeout=60)


async def test_a_command_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"took longer than 0\.1 s"):
        await run(python("import time; time.sleep(600)"), cwd=tmp_path, timeout=0.1)
