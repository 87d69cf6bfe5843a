"""Read the events of a session in a test: one turn as a value, or the whole conversation as text."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from trio.testing import MockClock

from trio_realtime import FunctionTool, RealtimeSession, events as ev
from trio_realtime._nursery import open_bare_nursery
from trio_realtime.errors import InternalError
from trio_realtime.wire import ContentPart

from .collected_turn import CollectedTurn, collected_calls
from .conversation_log import ConversationLog

__all__ = ["SessionRecord", "collect_turn", "record_session"]

THREAD_SECONDS: Final = 10.0
"""Real seconds that a virtual clock waits for a tool that runs in a thread."""


async def collect_turn(
    session: RealtimeSession[Any],
    message: str | Sequence[str | ContentPart] | None = None,
    *,
    approve: bool | None = None,
    timeout: float = 60.0,
) -> CollectedTurn:
    """Wait for the next turn of the agent to end, and return what happened.

    The turn is read from the session's main channel, so nothing else may read that channel at the same
    time; other tasks subscribe. A turn that has ended already, and that nothing has read, is the next one.

    Args:
        session: the session.
        message: a message of the user to send first. Unread events of earlier turns are dropped then.
        approve: approve (``True``) or reject (``False``) every call of the turn that needs approval;
            ``None`` to leave the decision to another task.
        timeout: seconds to wait for the end of the turn.

    Raises:
        AssertionError: the turn did not end in time, or the session ended before. The message shows the
            conversation.
        RealtimeError: the session failed.
    """
    if message is not None:
        _discard_unread(session)
        await session.send_message(message)
    log = ConversationLog(trio.current_time())
    events: list[ev.SessionEvent] = []
    turns: set[str] = set()
    with trio.move_on_after(timeout) as scope:
        async for event in session.events:
            events.append(event)
            log.add(event, trio.current_time())
            match event:
                case ev.AgentStart(turn_id=turn_id):
                    turns.add(turn_id)
                case ev.AgentEnd(turn_id=turn_id) if turn_id in turns:
                    return CollectedTurn(events=tuple(events), outcome=event, conversation=str(log))
                case ev.ToolApprovalRequired(call_id=call_id) if approve is not None:
                    await _decide(session, call_id, approve=approve)
                case _:
                    pass
    if scope.cancelled_caught:
        waiting = [str(call) for call in collected_calls(events) if call.outcome == "pending"]
        suffix = f"; these calls have not ended: {', '.join(waiting)}" if waiting else ""
        raise AssertionError(f"the turn did not end within {timeout:g} s{suffix}\n\n{log}")
    raise AssertionError(f"the session ended before the turn\n\n{log}")


def _discard_unread(session: RealtimeSession[Any]) -> None:
    try:
        while True:
            session.events.receive_nowait()
    except trio.WouldBlock:
        pass
    except trio.EndOfChannel:
        pass  # sending raises what ended the session


async def _decide(session: RealtimeSession[Any], call_id: str, *, approve: bool) -> None:
    if approve:
        await session.approve_tool_call(call_id)
    else:
        await session.reject_tool_call(call_id)


class SessionRecord:
    """The events of a session so far, with their times. :func:`record_session` fills it.

    Args:
        session: the session.

    Attributes:
        session: the session.
        events: every event except the audio and the raw ones, each with its time in seconds of trio's
            clock.
        log: the conversation as text.
        is_complete: whether no further event will be added, because the session or the block has ended.
    """

    def __init__(self, session: RealtimeSession[Any]) -> None:
        self.session: RealtimeSession[Any] = session
        self.is_complete: bool = False
        self.events: list[tuple[float, ev.SessionEvent]] = []
        self.log: ConversationLog = ConversationLog(trio.current_time())
        self._changed = trio.lowlevel.ParkingLot()
        self._pause = _clock_pause()

    def add(self, event: ev.SessionEvent) -> None:
        """Add an event that was received now."""
        now = trio.current_time()
        self.log.add(event, now)
        match event:
            case ev.ToolStart(tool=tool, call_id=call_id) if _runs_in_thread(tool):
                self._pause.begin(self, call_id)
            case ev.ToolEnd(call_id=call_id) | ev.ToolCancelled(call_id=call_id):
                self._pause.end(self, call_id)
            case _:
                pass
        if not isinstance(event, ev.Audio):
            self.events.append((now, event))
            self._changed.unpark_all()

    async def wait_more(self) -> None:
        """Wait for the next event, or until the record is complete."""
        if not self.is_complete:
            await self._changed.park()

    def finish(self) -> None:
        """Complete the record."""
        self.is_complete = True
        self._changed.unpark_all()
        self._pause.end_all(self)


class _ClockPause:
    """Keeps an autojump clock from jumping while a tool runs in a thread.

    Trio counts a task that waits for a thread as blocked, so the clock would jump at once to the timeout
    of the tool. It jumps only after :data:`THREAD_SECONDS` of real time.
    """

    def __init__(self) -> None:
        clock = trio.lowlevel.current_clock()
        self._clock = clock if isinstance(clock, MockClock) else None
        self._threshold = self._clock.autojump_threshold if self._clock is not None else 0.0
        self._calls: set[tuple[SessionRecord, str]] = set()

    def begin(self, owner: SessionRecord, call_id: str) -> None:
        """Note that a tool runs."""
        self._calls.add((owner, call_id))
        self._set_threshold()

    def end(self, owner: SessionRecord, call_id: str) -> None:
        """Note that a tool has ended."""
        self._calls.discard((owner, call_id))
        self._set_threshold()

    def end_all(self, owner: SessionRecord) -> None:
        """Forget the tools of a session that nobody observes any more."""
        self._calls = {call for call in self._calls if call[0] is not owner}
        self._set_threshold()

    def _set_threshold(self) -> None:
        if self._clock is not None and self._threshold < THREAD_SECONDS:
            threshold = THREAD_SECONDS if self._calls else self._threshold
            if self._clock.autojump_threshold != threshold:
                self._clock.autojump_threshold = threshold


_pauses: trio.lowlevel.RunVar[_ClockPause] = trio.lowlevel.RunVar("clock pauses")


def _clock_pause() -> _ClockPause:
    """Return the only object of the trio run that changes its clock."""
    try:
        return _pauses.get()
    except LookupError:
        pause = _ClockPause()
        _pauses.set(pause)
        return pause


def _runs_in_thread(tool: FunctionTool) -> bool:
    return tool.function is not None and not inspect.iscoroutinefunction(tool.function)


@asynccontextmanager
async def record_session(session: RealtimeSession[Any]) -> AsyncGenerator[SessionRecord]:
    """Record what happens in a session for the duration of an ``async with`` block.

    On a virtual clock, time stands still while a tool that is a plain function runs in its thread, for up
    to 10 seconds of real time.

    Args:
        session: the session. Its main channel is not read.
    """
    record = SessionRecord(session)
    async with open_bare_nursery(InternalError) as nursery:
        await nursery.start(_follow, record)
        yield record


async def _follow(
    record: SessionRecord, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with record.session.subscribe(overflow="drop_oldest_audio") as channel:
        task_status.started()
        try:
            async for event in channel:
                record.add(event)
                if isinstance(event, ev.SessionEnded):
                    return  # reading on would raise here what ended the session, and not in the test
        finally:
            record.finish()
