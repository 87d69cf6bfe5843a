"""The ``chat`` command: chat with an agent in text, line by line."""

from __future__ import annotations

import codecs
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio

from trio_realtime import EventChannel, RealtimeAgent, RealtimeSession, SessionConfig
from trio_realtime.errors import RequestRejected, ResponseFailed

from .console import Terminal
from .endpoints import EndpointOptions, open_session
from .exit import OK, UserFacingError, print_message

T = TypeVar("T")
_STDIN = 0
_CHUNK_SIZE = 4096
_QUIT_COMMANDS = frozenset({"/quit", "/exit"})


async def chat(agent: RealtimeAgent[None], options: EndpointOptions, config: SessionConfig) -> int:
    """Send each line of stdin and print the answers to stdout, until end-of-file.

    Raises:
        RealtimeError: the session could not be opened, or it failed.
    """
    async with open_session(agent, options, config) as session:
        terminal = Terminal(agent.name, prompt=sys.stdin.isatty() and sys.stdout.isatty())
        terminal.show_greeting()
        try:
            await _run_conversation(session, terminal)
        finally:
            terminal.finish()
    return OK


async def _run_conversation(session: RealtimeSession[None], terminal: Terminal) -> None:
    reader = LineReader()
    while True:
        terminal.show_prompt()
        line = await show_events_while(session.events, terminal, reader.read_line)
        if line is None:
            return
        terminal.line_entered()
        if line.strip() in _QUIT_COMMANDS:
            return
        if line.strip():
            await show_events_while(session.events, terminal, partial(_ask, session, line))


async def _ask(session: RealtimeSession[None], line: str) -> None:
    try:
        await session.ask(line)
    except (ResponseFailed, RequestRejected) as exc:
        print_message(str(exc))  # the session goes on


async def show_events_while(
    channel: EventChannel, terminal: Terminal, function: Callable[[], Awaitable[T]]
) -> T:
    """Call an async function and show events until it returns, including those still buffered."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_show_events, channel, terminal)
        result = await function()
        nursery.cancel_scope.cancel(reason="the function has returned")
    while channel.statistics().buffered_events:
        terminal.show(channel.receive_nowait())
    return result


async def _show_events(channel: EventChannel, terminal: Terminal) -> None:
    async for event in channel:
        terminal.show(event)
    raise UserFacingError("the service ended the session; run the command again to start a new one")


class LineReader:
    """Reads lines from a file descriptor as they arrive.

    A worker thread waits in ``os.read``, not in ``sys.stdin``: when a cancellation abandons a thread
    in ``sys.stdin``, it holds the lock of the buffer, and the interpreter cannot exit.

    Args:
        descriptor: the file descriptor to read, encoded in UTF-8.
    """

    def __init__(self, descriptor: int = _STDIN) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lines: deque[str] = deque()
        self._partial_line = ""
        self._eof = False

    async def read_line(self) -> str | None:
        """Return the next line without its line ending, or None after the last line.

        Cancellation abandons the thread; the data that the thread reads next is lost.
        """
        while not self._lines and not self._eof:
            self._feed(await self._read())
        return self._lines.popleft() if self._lines else None

    async def _read(self) -> bytes:
        return await trio.to_thread.run_sync(
            os.read, self._descriptor, _CHUNK_SIZE, abandon_on_cancel=True
        )

    def _feed(self, data: bytes) -> None:
        self._eof = not data
        text = self._partial_line + self._decoder.decode(data, final=self._eof)
        *lines, self._partial_line = text.split("\n")
        if self._eof and self._partial_line:
            lines.append(self._partial_line)
        self._lines.extend(line.removesuffix("\r") for line in lines)
