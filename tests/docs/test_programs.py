"""Each program on the pages of the documentation runs when it is pasted into a file.

`support.page_programs` says which blocks of a page are a program. A failure names the page and the line where the
program starts. The line numbers of tracebacks are those of the page.
"""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.page_programs import (
    REPOSITORY,
    Program,
    all_programs,
    has_doctests,
    pages,
    write_programs,
)

RUNNER = REPOSITORY / "tests" / "support" / "run_programs.py"
PROGRAMS = all_programs()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what all programs printed, and their exit status."""
    folder = tmp_path_factory.mktemp("programs")
    write_programs(folder, PROGRAMS)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("OPENAI_", "AZURE_", "PYTHON"))
        and not name.upper().endswith("_PROXY")
    }
    subprocess.run(
        [sys.executable, RUNNER, folder],
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        check=True,
        timeout=240,
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_program(program: Program, results: Path) -> None:
    file = results / program.filename
    printed = file.with_suffix(".out").read_text(encoding="utf-8")
    errors = file.with_suffix(".err").read_text(encoding="utf-8")
    if file.with_suffix(".status").read_text() != "0":
        pytest.fail(f"{program.name} failed:\n{printed}\n{errors}", pytrace=False)
    if not printed:
        pytest.fail(f"{program.name} printed nothing", pytrace=False)
    if program.output is not None and not equal(program.output, printed):
        pytest.fail(
            f"{program.name} shows this output:\n{program.output}\nIt printed:\n{printed}",
            pytrace=False,
        )


def equal(shown: str, printed: str) -> bool:
    """Whether both are equal, where ``...`` in what the page shows stands for anything."""
    end = "" if printed.endswith("\n") else "\n"
    return doctest.OutputChecker().check_output(shown, printed + end, doctest.ELLIPSIS)


def test_no_other_page_uses_the_doctest_builder() -> None:
    found = {page.name for page in pages() if has_doctests(page.read_text(encoding="utf-8"))}
    assert found <= {"migration.md"}


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a", True),
        ("a...c\n", "a\nb\nc\n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n", "", False),
    ],
)
def test_three_dots_stand_for_anything(shown: str, printed: str, *, expected: bool) -> None:
    assert equal(shown, printed) is expected
