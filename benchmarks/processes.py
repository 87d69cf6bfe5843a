"""The processes of a benchmark: a load server, and one client after the other.

Where the system allows it, the server runs on one core and the clients on another one, so that the
server costs them no time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
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

# Without this, openai-agents uploads traces of its runs.
_ENVIRONMENT = {"OPENAI_AGENTS_DISABLE_TRACING": "1"}


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


async def run_client(module: str, *arguments: str, trusted: Path | None = None) -> bytes:
    """Run a client in a child process. Returns what it prints.

    Args:
        module: the module to run.
        arguments: its arguments.
        trusted: the file of an authority that the client trusts.

    Raises:
        subprocess.CalledProcessError: it failed; its messages are on stderr.
    """
    trust = {} if trusted is None else {"SSL_CERT_FILE": str(trusted)}
    done = await trio.run_process(
        [sys.executable, "-m", module, *arguments],
        capture_stdout=True,
        cwd=ROOT,
        env={**os.environ, **_ENVIRONMENT, **trust},
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
