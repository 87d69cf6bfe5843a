"""``chat``: write with an agent, line by line."""

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
from .endpoints import Service, open_session
from .exit import OK, UserFacingError, tell

T = TypeVar("T")
_STDIN = 0
_CHUNK = 4096
_LEAVE = frozenset({"/quit", "/exit"})


async def chat(agent: RealtimeAgent[None], service: Service, config: SessionConfig) -> int:
    """Send each line of stdin, show the answers on stdout, until the input ends.

    Raises:
        RealtimeError: no session came about, or it ended.
    """
    async with open_session(agent, service, config) as session:
        screen = Terminal(agent.name, prompt=sys.stdin.isatty() and sys.stdout.isatty())
        screen.greet()
        try:
            await _converse(session, screen)
        finally:
            screen.part()
    return OK


async def _converse(session: RealtimeSession[None], screen: Terminal) -> None:
    lines = LineReader()
    while True:
        screen.ask_for_line()
        line = await while_showing(session.events, screen, lines.next)
        if line is None:
            return
        screen.note_line()
        if line.strip() in _LEAVE:
            return
        if line.strip():
            await while_showing(session.events, screen, partial(_ask, session, line))


async def _ask(session: RealtimeSession[None], line: str) -> None:
    try:
        await session.ask(line)
    except (ResponseFailed, RequestRejected) as exc:
        tell(str(exc))  # the session goes on


async def while_showing(
    channel: EventChannel, screen: Terminal, work: Callable[[], Awaitable[T]]
) -> T:
    """Do something while events are shown; when it is done, all of its events have been."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_show_all, channel, screen)
        result = await work()
        nursery.cancel_scope.cancel(reason="the work is done")
    while channel.statistics().buffered_events:
        screen.show(channel.receive_nowait())
    return result


async def _show_all(channel: EventChannel, screen: Terminal) -> None:
    async for event in channel:
        screen.show(event)
    raise UserFacingError("the service ended the session; start again to go on")


class LineReader:
    """Lines of stdin as they come.

    A thread waits in ``os.read``, not in ``sys.stdin``: abandoned there it would hold the lock of
    the buffer, and the interpreter could not exit.

    Args:
        descriptor: the file descriptor to read, UTF-8.
    """

    def __init__(self, descriptor: int = _STDIN) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lines: deque[str] = deque()
        self._rest = ""
        self._ended = False

    async def next(self) -> str | None:
        """The next line without its end, or None after the last.

        A cancellation abandons the thread, and what it reads next is lost.
        """
        while not self._lines and not self._ended:
            self._take(await self._read())
        return self._lines.popleft() if self._lines else None

    async def _read(self) -> bytes:
        return await trio.to_thread.run_sync(
            os.read, self._descriptor, _CHUNK, abandon_on_cancel=True
        )

    def _take(self, data: bytes) -> None:
        self._ended = not data
        *lines, self._rest = (self._rest + self._decoder.decode(data, final=not data)).split("\n")
        if self._ended and self._rest:
            lines.append(self._rest)
        self._lines.extend(line.removesuffix("\r") for line in lines)
