"""A transport for the MCP SDK over the standard streams of a local program.

The SDK has a similar transport, but it waits several seconds for a program that does not exit, and
that time cannot be configured. A session must end within its ``close_timeout``, so this transport
takes a timeout. This module is imported only if the SDK is installed: see ``manager``.
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

from .connection import MAX_MESSAGE_SIZE

logger: logging.Logger = logging.getLogger("trio_realtime.mcp")

Incoming: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing: TypeAlias = MemoryObjectSendStream[SessionMessage]

_ID_SEARCH_SIZE = 500
"""Bytes at the end of an unreadable line that are searched for the id of the response."""

_MAX_PENDING_WRITES = 100
"""Messages buffered for the program, so that cancelling a call never waits for it to read."""


@asynccontextmanager
async def open_stdio_transport(
    server: McpServerStdio, close_timeout: float, on_lost: Callable[[str], None]
) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
    """Start the program; when the block is left, end it and every program that it has started.

    Args:
        server: the declaration of the server.
        close_timeout: seconds after which the program is killed, at the latest.
        on_lost: called with the reason if the program exits, or closes a stream, by itself.

    Raises:
        OSError: the program could not be started.
    """
    process = await _start(server)
    to_client, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_client = anyio.create_memory_object_stream[SessionMessage](_MAX_PENDING_WRITES)
    with to_client, incoming, outgoing, from_client:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read, process, to_client, on_lost)
                nursery.start_soon(_write, process, from_client, on_lost)
                nursery.start_soon(_watch_exit, process, to_client, on_lost)
                try:
                    yield incoming, outgoing
                finally:
                    # The reader now discards the output, so the program cannot block on a full pipe.
                    incoming.close()
                    with trio.CancelScope(shield=True):
                        await _terminate(process, close_timeout)
                    nursery.cancel_scope.cancel(reason="the program has exited")
        finally:
            if process.returncode is None:  # interrupted by a KeyboardInterrupt
                _kill(process)


async def _start(server: McpServerStdio) -> trio.Process:
    return await trio.lowlevel.open_process(
        [shutil.which(server.command) or server.command, *server.args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**get_default_environment(), **server.env},
        cwd=server.cwd,
        start_new_session=True,  # its own process group, so that its children can be killed too
    )


# --- while it runs -----------------------------------------------------------------------------


async def _read(
    process: trio.Process,
    to_client: MemoryObjectSendStream[SessionMessage | Exception],
    on_lost: Callable[[str], None],
) -> None:
    assert process.stdout is not None
    try:
        # Suppressed: the client has stopped receiving.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await _read_messages(process.stdout, to_client)
            await _report_end(process, on_lost)
        to_client.close()
        async for _ in process.stdout:
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError, ValueError) as exc:
        on_lost(str(exc) or "its output stream broke")
        to_client.close()


async def _read_messages(
    stdout: trio.abc.ReceiveStream, to_client: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    buffer = bytearray()
    ignored = 0
    async for chunk in stdout:
        buffer += chunk
        if b"\n" not in chunk:
            if len(buffer) > MAX_MESSAGE_SIZE:
                raise ValueError(f"it sent a line of more than {MAX_MESSAGE_SIZE} bytes")
            continue
        *lines, tail = buffer.split(b"\n")
        buffer = tail
        for line in filter(bytes.strip, map(bytes, lines)):
            message = _parse_message(line)
            if message is None:
                ignored += 1
                _log_ignored(line, ignored)
            else:
                await to_client.send(SessionMessage(message))


def _log_ignored(line: bytes, count: int) -> None:
    """Log the 1st, 10th, 100th, ... ignored line, since a program may print endlessly."""
    if count == 10 ** (len(str(count)) - 1):
        text = "ignored a line of %d bytes from an MCP server: not a JSON-RPC message (number %d)"
        logger.warning(text, len(line), count)


async def _write(
    process: trio.Process,
    from_client: MemoryObjectReceiveStream[SessionMessage],
    on_lost: Callable[[str], None],
) -> None:
    assert process.stdin is not None
    with from_client, suppress(trio.ClosedResourceError):
        try:
            async for message in from_client:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send_all(line.encode() + b"\n")
        except trio.BrokenResourceError:
            await _report_end(process, on_lost)


async def _report_end(process: trio.Process, on_lost: Callable[[str], None]) -> None:
    """Report the reason of a broken stream before the client sees the end of the stream."""
    with trio.move_on_after(0.5):  # if the program exited, its status is available soon
        await process.wait()
    on_lost(_exit_reason(process))


async def _watch_exit(
    process: trio.Process,
    to_client: MemoryObjectSendStream[SessionMessage | Exception],
    on_lost: Callable[[str], None],
) -> None:
    """Report the exit of the program even if one of its children holds its output open."""
    await process.wait()
    await trio.sleep(1)  # the reader may still be reading the last output
    on_lost(_exit_reason(process))
    to_client.close()


def _exit_reason(process: trio.Process) -> str:
    status = process.returncode
    return "it closed its streams" if status is None else f"it exited with status {status}"


# --- messages ----------------------------------------------------------------------------------

_ID = rb"""\s*"id"\s*:\s*(\d{1,18}|"[^"\\]*")\s*"""
_VERSION = rb"""\s*"jsonrpc"\s*:\s*"2\.0"\s*"""
_RESPONSE_START = re.compile(rb"""\s*\{(?:%b,)?%b,\s*"(?:result|error)\b""" % (_VERSION, _ID))
_RESPONSE_END = re.compile(rb""",(?:%b,%b|%b,%b)\}\s*\Z""" % (_VERSION, _ID, _ID, _VERSION))


def _parse_message(line: bytes) -> JSONRPCMessage | None:
    """Parse a line as a JSON-RPC message.

    If it is an invalid response whose id can be recovered, return an error response with that id, so
    that the request fails instead of waiting. Return ``None`` for any other invalid line.
    """
    with suppress(ValueError):
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    response_id: int | str | None
    try:
        decoded = _decode_leniently(line)
        with suppress(ValueError):
            return jsonrpc_message_adapter.validate_python(decoded, by_name=False)
        response_id = _response_id(decoded)
    except (ValueError, RecursionError):
        response_id = _find_response_id(line)
    if response_id is None:
        return None
    error = ErrorData(code=PARSE_ERROR, message="the response of the server is invalid")
    return JSONRPCError(jsonrpc="2.0", id=response_id, error=error)


def _decode_leniently(line: bytes) -> Any:
    """Decode a line as JSON, and replace characters that are invalid, such as lone surrogates."""
    decoded = json.loads(line.decode(errors="replace"), strict=False)
    return json.loads(json.dumps(decoded, ensure_ascii=False).encode(errors="replace"))


def _response_id(decoded: Any) -> int | str | None:
    try:
        response = msgspec.convert(decoded, _Response)
    except msgspec.ValidationError:
        return None
    return None if response.method is not None else response.id


class _Response(msgspec.Struct):
    """The part of a JSON-RPC message that identifies it as a response: an id, and no method."""

    id: int | str | None = None
    method: Any = None


def _find_response_id(line: bytes) -> int | str | None:
    """Search undecodable JSON for the id of a response, before the result or after it."""
    match = _RESPONSE_START.match(line) or _RESPONSE_END.search(line[-_ID_SEARCH_SIZE:])
    found = next(filter(None, match.groups())).decode(errors="replace") if match else ""
    return int(found) if found.isdecimal() else found.strip('"') or None


# --- ending the program ------------------------------------------------------------------------


async def _terminate(process: trio.Process, timeout: float) -> None:
    """Close the program's input, then send SIGTERM, then SIGKILL, each after a part of the timeout."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    with trio.move_on_after(timeout / 2):
        await process.wait()
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with trio.move_on_after(timeout / 4):
            await process.wait()
    _kill(process)
    with trio.move_on_after(timeout / 4):
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
