"""Carries out what the core decides: sends, emits, starts and cancels tools, settles waiters.

Everything here is synchronous. It is the place where the core's decisions meet the outbox, the hub,
the tools and whoever waits for an answer; none of these knows the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from trio_realtime.agents import RealtimeAgent
from trio_realtime.core import (
    CancelCalls,
    CheckInput,
    CheckReply,
    Conversation,
    Effect,
    HistoryEdited,
    Outcome,
    ResolveRequest,
    ResponseOutcome,
    StartCall,
)
from trio_realtime.errors import ConnectionLost, RealtimeError
from trio_realtime.events import GuardrailTrip, SessionEvent
from trio_realtime.transports import TransportClosed
from trio_realtime.wire import ClientEvent, Session

from .connection.errors import session_end, told
from .connection.send_queue import SendQueue
from .consumers.bus import EventBus
from .guardrails import GuardrailRunner
from .tools.runner import ToolRunner


class PendingRequest:
    """One who waits for an answer of the service."""

    def __init__(self) -> None:
        self._settled = trio.Event()
        self.outcome: Outcome | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the answer is there."""
        return self._settled.is_set()

    def settle(self, outcome: Outcome) -> None:
        """The answer is there."""
        self.outcome = outcome
        self._settled.set()

    async def wait(self) -> ResponseOutcome | Session | HistoryEdited:
        """Wait for the answer.

        Raises:
            RealtimeError: the request was refused, or the connection ended before the answer.
        """
        await self._settled.wait()
        if isinstance(self.outcome, RealtimeError):
            raise told(self.outcome)
        assert self.outcome is not None
        return self.outcome


class SessionRuntime:
    """See the module."""

    def __init__(
        self,
        core: Conversation,
        hub: EventBus,
        outbox: SendQueue,
        tools: ToolRunner,
        guardrails: GuardrailRunner,
    ) -> None:
        self.core = core
        self.hub = hub
        self.outbox = outbox
        self.tools = tools
        self.guardrails = guardrails
        self.loss: RealtimeError | None = None
        self._waiters: dict[str, PendingRequest] = {}
        self._refusal: RealtimeError | None = None
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def current_agent(self) -> RealtimeAgent[Any]:
        """The agent whose settings are in force."""
        agent: RealtimeAgent[Any] = self.core.agent
        return agent

    def emit(self, event: SessionEvent) -> None:
        """Deliver an event to the consumers of the session."""
        self.hub.emit(event)

    def apply(self, effects: Sequence[Effect]) -> None:
        """Carry out effects, in order."""
        for effect in effects:
            if isinstance(effect, SessionEvent):
                self.hub.emit(effect)
            elif isinstance(effect, ClientEvent):
                self.outbox.put(effect)
            else:
                self._apply_rare(effect)
        if self._changed:
            self._changed.unpark_all()

    def _apply_rare(
        self, effect: StartCall | CancelCalls | CheckReply | CheckInput | ResolveRequest
    ) -> None:
        match effect:
            case StartCall(call=call):
                self.tools.start(call, self)
            case CancelCalls(call_ids=call_ids):
                self.tools.cancel(call_ids)
            case CheckReply():
                self.guardrails.check_reply(effect, self)
            case CheckInput():
                self.guardrails.check_input(effect, self)
            case ResolveRequest(token=token, outcome=outcome):
                waiter = self._waiters.pop(token, None)
                if waiter is not None:
                    waiter.settle(outcome)

    def reply_checked(self, check: CheckReply, trips: Sequence[GuardrailTrip]) -> None:
        """The check of a reply is over."""
        now = trio.current_time()
        self.apply(self.core.reply_checked(check.response_id, check.text, trips, now))

    def input_checked(self, check: CheckInput, trips: Sequence[GuardrailTrip]) -> None:
        """The check of what the user said is over."""
        now = trio.current_time()
        self.apply(self.core.input_checked(check.serial, check.text, trips, now))

    def expect(self, token: str) -> PendingRequest:
        """The one to be told when the request of this token is answered; never, if all is over."""
        waiter = self._waiters[token] = PendingRequest()
        if self._refusal is not None:
            self.tell_waiters(self._refusal)
        return waiter

    async def change_settings(self, wanted: Session, agent: Any = None) -> Session:
        """Ask the service for settings, and for an agent; returns what holds when it has accepted.

        Raises:
            SettingsRejected: it refused; nothing has changed.
            RealtimeError: the session ended first.
        """
        token, effects = self.core.update_settings(wanted, agent)
        waiter = self.expect(token)
        self.apply(effects)
        accepted = await waiter.wait()
        assert isinstance(accepted, Session)
        return accepted

    def note_change(self) -> None:
        """Something is otherwise than before, without effects."""
        self._changed.unpark_all()

    async def wait_change(self) -> None:
        """Wait until something was carried out, or noted."""
        await self._changed.park()

    def connection_ended(self, closed: TransportClosed) -> None:
        """The connection is gone: deliver what came, then tell everybody why."""
        if self.loss is None:
            self.loss = session_end(closed, self.core.last_error)
        error = self.loss
        self.finish(error, error or ConnectionLost(_gone(closed), code=closed.code))
        self.outbox.clear()

    def fail(self, error: RealtimeError) -> None:
        """The session cannot go on: what is in line is still sent, then everybody is told why."""
        if self.loss is None:
            self.loss = error
            self.finish(error, error)

    def finish(self, end: RealtimeError | None, refusal: RealtimeError) -> None:
        """No more of anything.

        Args:
            end: what consumers get after their buffered events; ``None`` for a plain end.
            refusal: what senders and waiters get.
        """
        self._refusal = self._refusal or refusal
        self.core.disconnected()
        self.outbox.refuse(refusal)
        self.tools.cancel_all()
        self.hub.finish(end)
        self.tell_waiters(refusal)
        self._changed.unpark_all()

    def tell_waiters(self, error: RealtimeError) -> None:
        """Whoever waits for an answer waits in vain."""
        for waiter in self._waiters.values():
            waiter.settle(error)
        self._waiters.clear()


def _gone(closed: TransportClosed) -> str:
    return f"the service closed the session ({closed.code}{' ' if closed.reason else ''}{closed.reason})"
