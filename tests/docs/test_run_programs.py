"""The programs of the documentation run as if they were pasted into a file, and every failure shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.page_programs import REPOSITORY

PROGRAMS = {
    "prints": "print('hello')",
    "raises": "raise ValueError('no')",
    "exits": "import sys; sys.exit(3)",
    "warns": "import warnings; warnings.warn('old', DeprecationWarning)",
    "uses_the_local_server": (
        "import warnings\n"
        "from trio_realtime import LocalServerWarning\n"
        "warnings.warn('local', LocalServerWarning)"
    ),
    "looks_around": (
        "import os, sys\n"
        "print(__name__, os.listdir(), os.path.samefile(sys.path[0], os.getcwd()), len(sys.argv))"
    ),
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "imports_support": "import support",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, source in PROGRAMS.items():
        (folder / f"{name}.py").write_text(source)
    runner = REPOSITORY / "tests" / "support" / "run_programs.py"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, runner, folder], check=True, timeout=60, env=environment)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("prints", 0),
        ("raises", 1),
        ("exits", 3),
        ("warns", 1),
        ("uses_the_local_server", 0),
        ("looks_around", 0),
        ("dies", -9),
        ("imports_support", 1),
    ],
)
def test_exit_status_is_that_of_the_program(results: Path, name: str, status: int) -> None:
    assert int((results / f"{name}.status").read_text()) == status


@pytest.mark.slow
def test_output_and_errors_are_those_of_the_program(results: Path) -> None:
    assert (results / "prints.out").read_text() == "hello\n"
    assert "ValueError: no" in (results / "raises.err").read_text()
    assert "LocalServerWarning: local" in (results / "uses_the_local_server.err").read_text()


@pytest.mark.slow
def test_program_is_main_in_an_empty_folder(results: Path) -> None:
    assert (results / "looks_around.out").read_text() == "__main__ [] True 1\n"
