"""Child processes: commands that end, a load server, and one client after the other.

Where the system allows it, the server runs on one core and the clients on another one, so that the
server costs them no time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.request import urlopen

import attrs
import trio
import trustme

ROOT = Path(__file__).resolve().parents[1]

_LOG_FILE = "npm error A complete log of this run"
"""The last line of npm. The reason is before it."""

_FOREIGN = ("OPENAI_", "AZURE_", "LIVEKIT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Variables that would send a client elsewhere begin with these."""

# openai-agents uploads no traces of its runs, and pipecat-ai logs no more than other clients.
_ENVIRONMENT = {"OPENAI_AGENTS_DISABLE_TRACING": "1", "LOGURU_LEVEL": "WARNING"}


class CommandFailed(Exception):
    """A command failed, did not end, or could not start. The message is one line."""


def client_environment(**variables: str) -> dict[str, str]:
    """Return environment variables for a client: those of this process, without its endpoints."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)
    }
    return {**inherited, **variables}


async def run(
    command: Sequence[str], *, cwd: Path, timeout: float, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints.

    Args:
        command: the program and its arguments.
        cwd: its working directory.
        timeout: seconds after which it is stopped.
        env: its environment variables; by default, those of this process.

    Raises:
        CommandFailed: it failed or took longer than ``timeout`` seconds.
    """
    try:
        with trio.fail_after(timeout):
            done = await trio.run_process(
                command,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=cwd,
                env=env,
            )
    except OSError as exc:
        raise CommandFailed(f"{command[0]}: {exc.strerror}") from exc
    except trio.TooSlowError as exc:
        raise CommandFailed(f"took longer than {timeout:g} s") from exc
    if done.returncode != 0:
        raise CommandFailed(_last_line(done.stderr) or f"exit status {done.returncode}")
    return done.stdout.decode()


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_LOG_FILE)]
    return reasons[-1] if reasons else ""


def pin_to_core(role: Literal["server", "client"]) -> Callable[[], None] | None:
    """Return a function that moves its process to the core of this role.

    Returns None where there is only one core, or where a process cannot choose its core.
    """
    if sys.platform != "linux":
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None
    core = cores[0] if role == "server" else cores[1]
    return partial(os.sched_setaffinity, 0, {core})


@asynccontextmanager
async def load_server(module: str, *arguments: str) -> AsyncGenerator[int]:
    """Run a server in a child process during the block. Yields its port.

    The server prints its port, and exits at the end of its standard input.
    """
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            preexec_fn=pin_to_core("server"),
        )
        process: trio.Process = await nursery.start(start)
        assert process.stdin is not None
        try:
            yield await _read_port(process)
        finally:
            # A cancellation kills it.
            await trio.aclose_forcefully(process.stdin)


async def _read_port(process: trio.Process) -> int:
    assert process.stdout is not None
    output = b""
    async for chunk in process.stdout:
        output += chunk
        if output.endswith(b"\n"):
            return int(output)
    raise RuntimeError("the load server exited before it printed its port")


@attrs.frozen
class CertificateFiles:
    """A certificate of ``localhost``, and that of the authority that has issued it."""

    server: Path
    authority: Path


@contextmanager
def certificate() -> Generator[CertificateFiles]:
    """Create a certificate for the duration of the block."""
    with TemporaryDirectory() as directory:
        files = CertificateFiles(Path(directory, "server.pem"), Path(directory, "authority.pem"))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(files.authority)
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(files.server)
        yield files


async def run_client(
    module: str, *arguments: str, python: str = sys.executable, trusted: Path | None = None
) -> bytes:
    """Run a client in a child process. Returns what it prints.

    Args:
        module: the module to run.
        arguments: its arguments.
        python: the interpreter.
        trusted: the file of an authority that the client trusts.

    Raises:
        subprocess.CalledProcessError: it failed; its messages are on stderr.
    """
    trust = {} if trusted is None else {"SSL_CERT_FILE": str(trusted)}
    done = await trio.run_process(
        [python, "-m", module, *arguments],
        capture_stdout=True,
        cwd=ROOT,
        env=client_environment(**_ENVIRONMENT, **trust),
        preexec_fn=pin_to_core("client"),
    )
    output: bytes = done.stdout
    return output


async def fetch(port: int) -> dict[str, float]:
    """Return what a load server has measured since the last call."""

    def get() -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{port}/figures", timeout=10) as answer:
            figures: dict[str, float] = json.load(answer)
        return figures

    return await trio.to_thread.run_sync(get)
