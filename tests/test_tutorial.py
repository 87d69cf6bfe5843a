"""The programs of the tutorial print what its pages say, and the pages highlight what is new in them."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from trio_realtime import serve_local

REPOSITORY = Path(__file__).parent.parent
PROGRAMS = REPOSITORY / "examples" / "tutorial"
PAGES = REPOSITORY / "docs" / "tutorial"
STEPS = [
    ("step1-words", "step1_words.py"),
    ("step2-tool", "step2_tool.py"),
    ("step3-voice", "step3_voice.py"),
    ("step4-interruption", "step4_interruption.py"),
    ("step5-handoff", "step5_handoff.py"),
    ("step6-approval", "step6_approval.py"),
]
TIMEOUT = 60


def environment(**extra: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "AZURE_"))}
    return {**inherited, **extra}


def outputs(page: str) -> list[str]:
    """The outputs that a page shows."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def start(*command: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, out + err
    return out


@pytest.fixture(scope="module")
def programs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The programs, which run in real time, all at once."""
    running = {
        program: start("-X", "dev", PROGRAMS / program, cwd=tmp_path_factory.mktemp(page))
        for page, program in STEPS
    }
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


# --- the pages


def new_lines(program: str, previous: str) -> list[int]:
    """The numbers of the lines that the previous program does not have, without empty ones."""
    old, new = ((PROGRAMS / name).read_text().splitlines() for name in (previous, program))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    same = {
        line
        for block in matcher.get_matching_blocks()
        for line in range(block.b, block.b + block.size)
    }
    return [number for number, line in enumerate(new, 1) if line and number - 1 not in same]


def as_ranges(numbers: list[int], lines: list[str]) -> str:
    """Write line numbers as Sphinx takes them; ranges span empty lines."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and not any(lines[ranges[-1][1] : number - 1]):
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


@pytest.mark.parametrize("index", range(1, len(STEPS)), ids=lambda index: STEPS[index][0])
def test_a_page_highlights_the_lines_that_are_new(index: int) -> None:
    (_, previous), (page, program) = STEPS[index - 1 : index + 1]
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    lines = (PROGRAMS / program).read_text().splitlines()
    expected = as_ranges(new_lines(program, previous), lines)
    assert f"tutorial/{program}\n:language: python\n:emphasize-lines: {expected}\n" in text


def test_the_pages_include_every_file() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    included = set(re.findall(r"examples/tutorial/([\w.]+)$", text, re.MULTILINE))
    assert included == {path.name for path in PROGRAMS.iterdir() if path.is_file()}


# --- the programs


@pytest.mark.slow
@pytest.mark.parametrize(("page", "program"), STEPS, ids=lambda value: value)
def test_a_program_prints_what_its_page_shows(
    programs: dict[str, subprocess.Popen[str]], page: str, program: str
) -> None:
    assert output_of(programs[program]) == outputs(page)[0]


@pytest.mark.slow
def test_the_test_of_the_agents_passes(tmp_path: Path) -> None:
    # In a folder of its own, as a reader runs it, without the configuration of this repository.
    for name in ("step6_approval.py", "test_reception.py"):
        shutil.copy(PROGRAMS / name, tmp_path)
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:anyio")
    out = output_of(start("-m", "pytest", *options, "test_reception.py", cwd=tmp_path))
    assert re.sub(r"in .*s", "in 0.11s", out) == outputs("step7-test")[0]


@pytest.mark.slow
async def test_the_service_takes_a_call_and_stops() -> None:
    heard, log = outputs("step8-service")
    with trio.fail_after(TIMEOUT):
        async with serve_local(require_key=False) as server, trio.open_nursery() as nursery:
            service: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    [sys.executable, "-X", "dev", PROGRAMS / "step8_service.py"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment(OPENAI_REALTIME_BASE_URL=server.url, RECEPTION_PORT="0"),
                )
            )
            assert service.stdout is not None
            out = bytes(await service.stdout.receive_some())
            port = re.search(rb"port (\d+)\n", out)
            assert port is not None, out
            caller = await trio.run_process(
                [sys.executable, PROGRAMS / "step8_caller.py", f"ws://127.0.0.1:{int(port[1])}/"],
                capture_stdout=True,
                env=environment(),
            )
            while b"ended" not in out:
                out += await service.stdout.receive_some()
            service.send_signal(signal.SIGTERM)
            async for chunk in service.stdout:
                out += chunk
    assert caller.stdout.decode() == heard
    assert re.sub(r"port \d+", "port 8000", out.decode()) == log
