"""Reads lines from the user: with line editing at a terminal, or from a pipe or a file."""

from __future__ import annotations

import codecs
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

_STDIN = 0
_CHUNK_SIZE = 4096


class End(Enum):
    """Why there is no line: the end of the input, or Ctrl-C."""

    OF_INPUT = auto()
    INTERRUPTED = auto()


class LineReader(Protocol):
    """Reads lines, one at a time."""

    async def read_line(self, prompt: str) -> str | End:
        """Return the next line without its line ending.

        If this is cancelled, the next call continues with what the user has written so far.

        Args:
            prompt: what to show in front of the line, at a terminal.
        """
        ...


class StreamReader:
    """Reads lines from a pipe or a file as they arrive. It shows no prompts.

    Args:
        descriptor: the file descriptor to read, encoded in UTF-8.
    """

    def __init__(self, descriptor: int = _STDIN) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lines: deque[str] = deque()
        self._partial_line = ""
        self._eof = False

    async def read_line(self, prompt: str) -> str | End:  # noqa: ARG002 - nobody sees it
        """Return the next line; see :meth:`LineReader.read_line`."""
        while not self._lines and not self._eof:
            self._feed(await self._read())
        return self._lines.popleft() if self._lines else End.OF_INPUT

    async def _read(self) -> bytes:
        if sys.platform == "win32":
            # Pipes are no sockets there. A cancelled thread loses what it reads next.
            return await trio.to_thread.run_sync(
                os.read, self._descriptor, _CHUNK_SIZE, abandon_on_cancel=True
            )
        # epoll refuses regular files and /dev/null, which are always readable.
        with suppress(OSError):
            await trio.lowlevel.wait_readable(self._descriptor)
        return os.read(self._descriptor, _CHUNK_SIZE)

    def _feed(self, data: bytes) -> None:
        self._eof = not data
        text = self._partial_line + self._decoder.decode(data, final=self._eof)
        *lines, self._partial_line = text.split("\n")
        if self._eof and self._partial_line:
            lines.append(self._partial_line)
        self._lines.extend(line.removesuffix("\r") for line in lines)


class TerminalReader:
    """Reads lines from a terminal, with line editing, the earlier lines and completion.

    prompt_toolkit runs in a worker thread. Cancelling a read ends the prompt and waits for the thread, so
    that the terminal is as it was before.

    Args:
        words: the words to complete at the beginning of a line.
        keyboard, screen: other devices than the terminal of the process.
    """

    def __init__(
        self,
        words: Sequence[str] = (),
        *,
        keyboard: Input | None = None,
        screen: Output | None = None,
    ) -> None:
        # Imported here: it takes a while, and a pipe does not need it.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.output import create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.shortcuts import CompleteStyle

        if screen is None:
            screen = create_output()
            if isinstance(screen, Vt100_Output):
                # The terminal is asked for the position of the cursor for menus, which are not used.
                screen.enable_cpr = False
        self._session = PromptSession[str](
            completer=WordCompleter(list(words), sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            input=keyboard,
            output=screen,
        )
        self._draft = ""
        self._closing = threading.Event()
        self._turn = trio.Lock()

    async def read_line(self, prompt: str) -> str | End:
        """Ask for a line; see :meth:`LineReader.read_line`. A second task waits for the first line."""
        async with self._turn:
            self._closing.clear()
            line: str | End = End.OF_INPUT
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._close_when_cancelled)
                with trio.CancelScope(shield=True):
                    line = await trio.to_thread.run_sync(self._run_prompt, prompt)
                nursery.cancel_scope.cancel(reason="the line is complete")
            return line

    @property
    def text(self) -> str:
        """What the user has typed so far."""
        return self._session.app.current_buffer.text

    def _run_prompt(self, prompt: str) -> str | End:
        draft, self._draft = self._draft, ""
        try:
            return self._session.prompt(
                [("bold", prompt)],
                default=draft,
                pre_run=self._close_if_late,
                handle_sigint=False,
            )
        except KeyboardInterrupt:  # a key, not a signal: the terminal is in raw mode
            return End.INTERRUPTED
        except EOFError:
            return End.OF_INPUT

    async def _close_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._closing.set()
            loop = self._session.app.loop
            if loop is not None:
                with suppress(RuntimeError):  # the prompt has just ended, and its loop with it
                    loop.call_soon_threadsafe(self._close)

    def _close_if_late(self) -> None:
        """End a prompt whose read was cancelled before it was shown."""
        if self._closing.is_set():
            self._close()

    def _close(self) -> None:
        app = self._session.app
        if app.is_running and not app.is_done:
            self._draft = app.current_buffer.text
            app.exit(exception=EOFError)


def open_reader(words: Sequence[str], *, interactive: bool) -> LineReader:
    """Return the reader of the process's input.

    Args:
        words: the words to complete at the beginning of a line.
        interactive: whether input and output are a terminal.
    """
    return TerminalReader(words) if interactive else StreamReader()
