"""A PostgreSQL server in a temporary directory, for tests of what a real server does."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import psycopg

USERS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root. One of these users runs it then."""


def find_programs() -> Path | None:
    """Return the directory of the newest installed server; ``None`` if there is none."""
    on_path = shutil.which("postgres")
    if on_path is not None and shutil.which("initdb") is not None:
        return Path(on_path).parent
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(3)
    )
    return found[-1].parent if found else None


def _other_user() -> dict[str, Any]:
    """Return arguments of subprocess.run that choose a user who may run the server."""
    if os.getuid() != 0:
        return {}
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise LookupError(f"none of the users {USERS} exists")


@final
class PostgresqlServer:
    """A running server.

    Attributes:
        directory: has the socket of the server.
    """

    def __init__(self, directory: Path, programs: Path, arguments: dict[str, Any]) -> None:
        self.directory = directory
        self._programs = programs
        self._arguments = arguments
        self._numbers = itertools.count(1)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as its user."""
        log = self.directory / f"{program}.log"
        with log.open("ab") as output:
            result = subprocess.run(
                [str(self._programs / program), *arguments],
                cwd=self.directory,
                env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **self._arguments,
            )
        assert result.returncode == 0, log.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start the server. Returns when it accepts connections."""
        options = " ".join(
            [
                f"-k {self.directory}",
                "-c listen_addresses=''",
                # Only a crash of the operating system would lose anything.
                *("-c fsync=off", "-c full_page_writes=off"),
            ]
        )
        log = str(self.directory / "server.log")
        self.run("pg_ctl", "-D", "data", "-o", options, "-l", log, "-w", "-t", "60", "start")

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def execute(self, statement: str) -> None:
        """Execute a statement outside of a transaction, in the database ``postgres``."""
        with psycopg.connect(
            host=str(self.directory), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def create_database(self) -> str:
        """Create an empty database, and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql+psycopg://postgres@/{name}?host={self.directory}"


@contextmanager
def postgresql_server() -> Generator[PostgresqlServer]:
    """Run a server for the duration of the block."""
    programs = find_programs()
    assert programs is not None
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        arguments = _other_user()
        if arguments:
            os.chown(directory, arguments["user"], arguments["group"])
        server = PostgresqlServer(directory, programs, arguments)
        server.run("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "-N")
        server.start()
        try:
            yield server
        finally:
            server.stop()
