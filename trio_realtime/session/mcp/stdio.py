"""An MCP server that is a program: its standard streams as a transport of the MCP SDK.

The SDK has such a transport too. It waits several seconds for a program that does not end, and lets
nobody choose; a session promises to be gone within its ``close_timeout``, so this one is bounded by
what it is given. Imported only where the SDK is: see ``mcp``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import anyio
import msgspec
import trio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import (
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    jsonrpc_message_adapter,
)

from trio_realtime.agents import McpServerStdio

from .connection import MAX_MESSAGE

logger: logging.Logger = logging.getLogger("trio_realtime.mcp")

Incoming: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing: TypeAlias = MemoryObjectSendStream[SessionMessage]

_MAX_END = 500
"""Bytes at the end of a line in which its id is looked for."""

_WAITING_WRITES = 100
"""So that cancelling a call need not wait for a program that does not read."""


@asynccontextmanager
async def run_program(
    server: McpServerStdio, close_timeout: float, ended: Callable[[str], None]
) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
    """Start the program; end it, with all that it has started, when the block is left.

    Args:
        server: the declaration.
        close_timeout: seconds that ending it may take, whatever it does.
        ended: called with the reason when the program ends by itself.

    Raises:
        OSError: it cannot be started.
    """
    process = await _start(server)
    to_client, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_client = anyio.create_memory_object_stream[SessionMessage](_WAITING_WRITES)
    with to_client, incoming, outgoing, from_client:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read, process, to_client, ended)
                nursery.start_soon(_write, process, from_client, ended)
                nursery.start_soon(_watch, process, to_client, ended)
                try:
                    yield incoming, outgoing
                finally:
                    incoming.close()  # so that the reader drops what comes, and the pipe stays free
                    with trio.CancelScope(shield=True):
                        await _end(process, close_timeout)
                    nursery.cancel_scope.cancel(reason="the program has ended")
        finally:
            if process.returncode is None:  # a keyboard interrupt came between
                _kill(process)


async def _start(server: McpServerStdio) -> trio.Process:
    return await trio.lowlevel.open_process(
        [shutil.which(server.command) or server.command, *server.args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**get_default_environment(), **server.env},
        cwd=server.cwd,
        start_new_session=True,  # a process group of its own, so that all of it can be killed
    )


# --- while it runs -----------------------------------------------------------------------------


async def _read(
    process: trio.Process,
    to_client: MemoryObjectSendStream[SessionMessage | Exception],
    ended: Callable[[str], None],
) -> None:
    assert process.stdout is not None
    try:
        # Suppressed: nobody listens any more.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await _read_messages(process.stdout, to_client)
            await _tell_end(process, ended)
        to_client.close()
        async for _ in process.stdout:
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError, ValueError) as exc:
        ended(str(exc) or "its output broke")
        to_client.close()


async def _read_messages(
    stdout: trio.abc.ReceiveStream, to_client: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    rest = bytearray()
    garbage = 0
    async for chunk in stdout:
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > MAX_MESSAGE:
                raise ValueError("it sent a line without an end")
            continue
        *lines, tail = rest.split(b"\n")
        rest = tail
        for line in filter(bytes.strip, map(bytes, lines)):
            message = _message(line)
            if message is None:
                garbage += 1
                _note_garbage(line, garbage)
            else:
                await to_client.send(SessionMessage(message))


def _note_garbage(line: bytes, times: int) -> None:
    """Log the first, the tenth, the hundredth: a program may print without an end."""
    if times == 10 ** (len(str(times)) - 1):
        what = "an MCP server wrote a line of %d bytes that is no message (number %d)"
        logger.warning(what, len(line), times)


async def _write(
    process: trio.Process,
    from_client: MemoryObjectReceiveStream[SessionMessage],
    ended: Callable[[str], None],
) -> None:
    assert process.stdin is not None
    with from_client, suppress(trio.ClosedResourceError):
        try:
            async for message in from_client:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send_all(line.encode() + b"\n")
        except trio.BrokenResourceError:
            await _tell_end(process, ended)


async def _tell_end(process: trio.Process, ended: Callable[[str], None]) -> None:
    """Say why there is no more of it, before whoever waits is told that there is not."""
    with trio.move_on_after(0.5):  # its status, if that is why
        await process.wait()
    ended(_reason(process))


async def _watch(
    process: trio.Process,
    to_client: MemoryObjectSendStream[SessionMessage | Exception],
    ended: Callable[[str], None],
) -> None:
    """A program that ends while one that it has started holds its output open."""
    await process.wait()
    await trio.sleep(1)  # what it wrote last is still to be read
    ended(_reason(process))
    to_client.close()


def _reason(process: trio.Process) -> str:
    status = process.returncode
    return "it closed its streams" if status is None else f"it ended with status {status}"


# --- messages ----------------------------------------------------------------------------------

_ID = rb"""\s*"id"\s*:\s*(\d{1,18}|"[^"\\]*")\s*"""
_VERSION = rb"""\s*"jsonrpc"\s*:\s*"2\.0"\s*"""
_ANSWER = re.compile(rb"""\s*\{(?:%b,)?%b,\s*"(?:result|error)\b""" % (_VERSION, _ID))
_ANSWER_END = re.compile(rb""",(?:%b,%b|%b,%b)\}\s*\Z""" % (_VERSION, _ID, _ID, _VERSION))


def _message(line: bytes) -> JSONRPCMessage | None:
    """The message on a line. Of an answer that is none, the error for whoever waits for it."""
    with suppress(ValueError):
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    number: int | str | None
    try:
        found = _mended(line)
        with suppress(ValueError):
            return jsonrpc_message_adapter.validate_python(found, by_name=False)
        number = _number(found)
    except (ValueError, RecursionError):
        number = _number_in(line)
    if number is None:
        return None
    error = ErrorData(code=PARSE_ERROR, message="its answer cannot be read")
    return JSONRPCError(jsonrpc="2.0", id=number, error=error)


def _mended(line: bytes) -> Any:
    """The line as JSON with what no text can have, such as half an emoji, replaced."""
    found = json.loads(line.decode(errors="replace"), strict=False)
    return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))


def _number(found: Any) -> int | str | None:
    try:
        answer = msgspec.convert(found, _Answer)
    except msgspec.ValidationError:
        return None
    return None if answer.method is not None else answer.id


class _Answer(msgspec.Struct):
    id: int | str | None = None
    method: Any = None


def _number_in(line: bytes) -> int | str | None:
    """From where it stands in answers, before the result or after it."""
    found = _ANSWER.match(line) or _ANSWER_END.search(line[-_MAX_END:])
    number = next(filter(None, found.groups())).decode(errors="replace") if found else ""
    return int(number) if number.isdecimal() else number.strip('"') or None


# --- ending it ---------------------------------------------------------------------------------


async def _end(process: trio.Process, patience: float) -> None:
    """Ask it to end by closing its input, then by a signal; then kill it."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    with trio.move_on_after(patience / 2):
        await process.wait()
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with trio.move_on_after(patience / 4):
            await process.wait()
    _kill(process)
    with trio.move_on_after(patience / 4):
        await process.wait()
    await process.stdout.aclose()


def _kill(process: trio.Process) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        _signal(process, signal.SIGKILL)


def _signal(process: trio.Process, number: signal.Signals) -> None:
    if sys.platform == "win32":
        process.terminate()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
