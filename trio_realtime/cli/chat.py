"""The ``chat`` command: chat with an agent in text, line by line."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum, auto
from functools import partial
from typing import TypeVar

import trio

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, events
from trio_realtime.errors import RealtimeError, RequestRejected, ResponseFailed

from .chat_commands import (
    COMMANDS,
    Command,
    Message,
    Mistake,
    help_lines,
    history_lines,
    parse_decision,
    parse_line,
    tool_lines,
)
from .console import Terminal
from .endpoints import EndpointOptions, open_session
from .exit import INTERRUPTED, OK, UserFacingError, print_message
from .line_input import End, LineReader, open_reader

T = TypeVar("T")
_PROMPT = "you> "


async def chat(agent: RealtimeAgent[None], options: EndpointOptions, config: SessionConfig) -> int:
    """Send each line of stdin and print the answers to stdout, until end-of-file.

    Returns the exit status.

    Raises:
        RealtimeError: the session could not be opened, or it failed.
    """
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    async with open_session(agent, options, config) as session:
        terminal = Terminal(agent.name, prompt=interactive)
        terminal.show_greeting()
        reader = open_reader(COMMANDS, interactive=interactive)
        try:
            # It takes precedence over the receiver of `run_until_signal`, as long as it is open.
            with trio.open_signal_receiver(signal.SIGINT) as signals:
                return await Chat(session, terminal, reader, echo=not interactive).run(signals)
        finally:
            terminal.finish()


class _Activity(Enum):
    """What the agent does. It decides what Ctrl-C does.

    ============  ==========================================
    activity      Ctrl-C
    ============  ==========================================
    SILENT        quits
    ANSWERING     interrupts the agent, who is INTERRUPTED
    INTERRUPTED   quits
    ============  ==========================================

    The answer to a line begins and ends ANSWERING, and so does an answer that the agent begins by itself,
    such as that to the result of a tool in the background.
    """

    SILENT = auto()
    ANSWERING = auto()
    INTERRUPTED = auto()


class Chat:
    """A conversation with a user who writes lines.

    Args:
        session: an open session.
        terminal: shows what happens.
        reader: reads the lines of the user.
        echo: also print the questions for approvals, because ``reader`` shows no prompts.
    """

    def __init__(
        self,
        session: RealtimeSession[None],
        terminal: Terminal,
        reader: LineReader,
        *,
        echo: bool,
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._reader = reader
        self._echo = echo
        self._activity = _Activity.SILENT
        self._status = OK
        self._turn_ended = trio.Event()
        self._turn_ended.set()
        self._all = trio.CancelScope()
        self._prompt = trio.CancelScope()
        self._question = trio.CancelScope()
        self._nursery: trio.Nursery

    async def run(self, interrupts: AsyncIterator[int]) -> int:
        """Chat until the user quits, and return the exit status.

        Args:
            interrupts: yields whenever the user presses Ctrl-C.

        Raises:
            RealtimeError: the session failed.
            UserFacingError: the service ended the session.
        """
        with self._all:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._follow_ctrl_c, interrupts)
                await self._converse()
                self._nursery.cancel_scope.cancel(reason="the chat is over")
        return self._status

    async def _follow_ctrl_c(self, interrupts: AsyncIterator[int]) -> None:
        async for _ in interrupts:
            self._ctrl_c()

    def _ctrl_c(self) -> None:
        if self._activity is _Activity.ANSWERING:
            self._activity = _Activity.INTERRUPTED
            self._question.cancel(reason="Ctrl-C")
            # In a task of its own, because it waits for the ``finally`` blocks of tools.
            self._nursery.start_soon(self._session.interrupt)
        else:
            self._status = INTERRUPTED
            self._all.cancel(reason="Ctrl-C")

    # --- lines

    async def _converse(self) -> None:
        while True:
            line = await self._read_line()
            match line if isinstance(line, End) else parse_line(line):
                case End.OF_INPUT | Command.QUIT:
                    return
                case End.INTERRUPTED:
                    self._ctrl_c()
                    await trio.lowlevel.checkpoint_if_cancelled()
                case Message(text):
                    await self._ask(text)
                case Mistake(explanation):
                    print_message(explanation)
                case Command.HELP:
                    self._terminal.show_lines(help_lines())
                case Command.TOOLS:
                    self._terminal.show_lines(tool_lines(self._session.current_agent))
                case Command.HISTORY:
                    name = self._session.current_agent.name
                    self._terminal.show_lines(history_lines(self._session.history, name))
                case None:
                    pass

    async def _read_line(self) -> str | End:
        """Read a line while the agent is silent. An answer that begins by itself suspends the prompt."""
        while True:
            if not self._turn_ended.is_set():
                await self._while_answering(self._turn_ended.wait)
            with trio.CancelScope() as self._prompt:
                return await self._show_events_while(partial(self._reader.read_line, _PROMPT))

    async def _ask(self, text: str) -> None:
        async def ask() -> RealtimeError | None:
            try:
                await self._session.ask(text)
            except (ResponseFailed, RequestRejected) as exc:
                return exc  # the session goes on
            return None

        error, activity = await self._while_answering(ask)
        if activity is _Activity.INTERRUPTED:
            self._terminal.show_lines(["[interrupted]"])
        elif error is not None:
            print_message(str(error))

    async def _while_answering(self, function: Callable[[], Awaitable[T]]) -> tuple[T, _Activity]:
        """Call a function that returns when the answer ends. Returns also whether it was interrupted."""
        self._activity = _Activity.ANSWERING
        result = await self._show_events_while(function)
        activity, self._activity = self._activity, _Activity.SILENT
        return result, activity

    # --- events

    async def _show_events_while(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call an async function and show events until it returns, including those still buffered."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_events)
            result = await function()
            nursery.cancel_scope.cancel(reason="the function has returned")
        while self._session.events.statistics().buffered_events:
            await self._handle(self._session.events.receive_nowait())
        return result

    async def _follow_events(self) -> None:
        async for event in self._session.events:
            await self._handle(event)
        raise UserFacingError(
            "the service ended the session; run the command again to start a new one"
        )

    async def _handle(self, event: events.SessionEvent) -> None:
        match event:
            case events.AgentStart():
                self._turn_ended = trio.Event()
                if self._activity is _Activity.SILENT:
                    self._prompt.cancel(reason="the agent speaks")
            case events.AgentEnd():
                self._turn_ended.set()
            case events.ToolApprovalRequired():
                await self._decide(event)
            case _:
                pass
        self._terminal.show(event)

    async def _decide(self, event: events.ToolApprovalRequired) -> None:
        """Ask the user whether a call may run. Meanwhile the events that follow wait."""
        self._terminal.finish()
        question = f"Allow {event.tool_name} {event.arguments}? [y/n] "
        with trio.CancelScope() as self._question:
            if await self._ask_yes_or_no(question):
                await self._session.approve_tool_call(event.call_id)
            else:
                await self._session.reject_tool_call(event.call_id)

    async def _ask_yes_or_no(self, question: str) -> bool:
        while True:
            if self._echo:
                self._terminal.show_lines([question.rstrip()])
            line = await self._reader.read_line(question)
            if line is End.OF_INPUT:
                return False
            if line is End.INTERRUPTED:
                self._ctrl_c()
                await trio.lowlevel.checkpoint_if_cancelled()
                continue
            decision = parse_decision(line)
            if decision is not None:
                return decision
            print_message("write y or n")
