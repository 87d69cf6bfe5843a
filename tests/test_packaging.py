"""The sdist has what the tests need, and the wheel works in an environment without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import trio_realtime

pytestmark = pytest.mark.slow

PROGRAM = """
import trio
import trio_realtime
from trio_realtime import RealtimeAgent, open_realtime_session

async def main():
    async with open_realtime_session(RealtimeAgent(name="Assistant")) as s:
        print((await s.ask("Hello")).text)

print(trio_realtime.__file__)
trio.run(main)
"""
NOT_IN_SDIST = {".ci", ".gitignore", ".pre-commit-config.yaml", "changelog.d"}
"""Files for work in the repository, which no test reads."""


@pytest.fixture(scope="module")
def distributions(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist and the wheel."""
    target = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(target)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True, timeout=120)
    return target


def only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def tracked_files(repository: Path) -> set[str]:
    if shutil.which("git") is None or not (repository / ".git").exists():
        pytest.skip("needs the git repository")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=repository, check=True, capture_output=True, text=True
    )
    return {name for name in listed.stdout.splitlines() if (repository / name).exists()}


def test_the_sdist_has_every_file_of_the_repository(repository: Path, distributions: Path) -> None:
    with tarfile.open(only(distributions, "*.tar.gz")) as archive:
        packed = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}
    expected = {
        name
        for name in tracked_files(repository)
        if PurePosixPath(name).parts[0] not in NOT_IN_SDIST
    }
    assert sorted(expected - packed) == []


def test_the_wheel_has_the_packages_and_nothing_else(repository: Path, distributions: Path) -> None:
    with zipfile.ZipFile(only(distributions, "*.whl")) as archive:
        names = archive.namelist()
    packed = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    packages = ("trio_realtime/", "pytest_trio_realtime/")
    tracked = {name for name in tracked_files(repository) if name.startswith(packages)}
    assert sorted(tracked - packed) == []
    assert [name for name in packed if not name.startswith(packages)] == []


@pytest.fixture(scope="module")
def scripts(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of programs of an environment in which only the wheel is installed.

    Its dependencies are those of this environment, so that the test needs no package index. A ``.pth``
    file makes them importable, but not the editable installation of the library: that is one itself.
    """
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=True, symlinks=True)
    directory = root / "bin"
    site = sysconfig.get_path("purelib", vars={"base": str(root), "platbase": str(root)})
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    install = [str(directory / "python"), "-m", "pip", "install", "--no-index", "--no-deps"]
    wheel = only(distributions, "*.whl")
    subprocess.run(
        [*install, "--ignore-installed", str(wheel)], check=True, capture_output=True, timeout=120
    )
    return directory


def run(program: Path, *arguments: str, cwd: Path) -> str:
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "AZURE_", "PYTHON", "COV_"))
    }
    done = subprocess.run(
        [str(program), *arguments],
        cwd=cwd,
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_wheel_runs_a_session(scripts: Path, tmp_path: Path) -> None:
    where, reply = run(scripts / "python", "-c", PROGRAM, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(scripts.parent)
    assert reply == "You said: Hello"


def test_the_installed_command_works(scripts: Path, tmp_path: Path) -> None:
    command = scripts / "trio-realtime"
    assert run(command, "--version", cwd=tmp_path) == f"{trio_realtime.__version__}\n"
    assert "--output" in run(command, "demo", "--help", cwd=tmp_path)
    (tmp_path / "app.py").write_text("from agents.realtime import RealtimeSession\n")
    assert "1 name, 1 unchanged." in run(command, "migrate", "app.py", cwd=tmp_path)
