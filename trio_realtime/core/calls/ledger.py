"""The state of every function call: each runs at most once and is answered exactly once.

A call belongs to the response that made it. When a response is done and all its calls are answered,
one follow-up response is requested, if any result wants one and no call was interrupted.

:data:`TRANSITIONS` is the state machine of a call.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs


class CallState(enum.Enum):
    """The state of one call."""

    RUNNING = "running"
    PROTECTED = "protected"
    CANCELLING = "cancelling"
    ANSWERED = "answered"


class Trigger(enum.Enum):
    """What moves a call from one state to another."""

    PROTECT = "protected"
    INTERRUPT = "interrupted"
    FINISH = "finished"


_S, _T = CallState, Trigger

TRANSITIONS: Final[Mapping[tuple[CallState, Trigger], CallState]] = {
    (_S.RUNNING, _T.PROTECT): _S.PROTECTED,
    (_S.RUNNING, _T.INTERRUPT): _S.CANCELLING,
    (_S.RUNNING, _T.FINISH): _S.ANSWERED,
    (_S.PROTECTED, _T.FINISH): _S.ANSWERED,
    (_S.CANCELLING, _T.FINISH): _S.ANSWERED,
}
"""The next state for each state and trigger. A pair that is not listed changes nothing.

A protected call is left alone by interruptions. A call that is being cancelled is answered when its
``finally`` blocks have run. An answered call stays known, so that its id never runs again; only the last
:data:`MAX_ANSWERED` of them do.
"""

MAX_ANSWERED: Final = 4096
"""The number of answered calls that are remembered."""


@attrs.define(eq=False)
class _Call:
    """One call: the response that made it, its state, and how an interruption affects it."""

    response_id: str
    fingerprint: int
    state: CallState = CallState.RUNNING
    respond_anyway: bool = False


@attrs.define(eq=False)
class _ResponseCalls:
    """The calls of one response."""

    open: set[str] = attrs.field(factory=set[str])
    repeated: set[str] = attrs.field(factory=set[str])
    total: int = 0
    response_done: bool = False
    interrupted: bool = False
    wants_response: bool = False
    respond_anyway: bool = False


@attrs.frozen(kw_only=True)
class CallsCompleted:
    """A response is done and all its calls are answered.

    Attributes:
        response_id: the response that made the calls.
        wants_response: a follow-up response is due.
        interrupted: an interruption hit the calls.
    """

    response_id: str
    wants_response: bool
    interrupted: bool


class ToolLedger:
    """All calls of the session, by id and by response."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._responses: dict[str, _ResponseCalls] = {}
        self._answered: list[str] = []
        self._cancelling = 0

    @property
    def is_cancelling(self) -> bool:
        """Whether calls that were interrupted are still to be answered."""
        return self._cancelling > 0

    @property
    def is_busy(self) -> bool:
        """Whether any call is still to be answered."""
        return any(calls.open for calls in self._responses.values())

    @property
    def count(self) -> int:
        """The number of calls so far."""
        return len(self._calls)

    @property
    def open_ids(self) -> tuple[str, ...]:
        """The ids of the calls that are still to be answered."""
        return tuple(sorted(id_ for calls in self._responses.values() for id_ in calls.open))

    def state(self, call_id: str) -> CallState | None:
        """Return the state of a call, ``None`` for an unknown one."""
        call = self._calls.get(call_id)
        return None if call is None else call.state

    def is_answered(self, call_id: str) -> bool:
        """Return whether a call was answered, as far as it is remembered."""
        return self.state(call_id) is CallState.ANSWERED

    def begin(
        self, call_id: str, response_id: str, fingerprint: tuple[str, str] = ("", "")
    ) -> bool:
        """Add a call. Returns ``False`` if its id is known: the call must not run again.

        Args:
            call_id: the service's id of the call.
            response_id: the response that made the call.
            fingerprint: name and arguments, which tell a repetition from another call.
        """
        if call_id in self._calls:
            return False
        self._calls[call_id] = _Call(response_id, hash(fingerprint))
        calls = self._of(response_id)
        calls.open.add(call_id)
        calls.total += 1
        return True

    def is_repetition(self, call_id: str, fingerprint: tuple[str, str]) -> bool:
        """Return whether the known call with this id has the same name and arguments."""
        return self._calls[call_id].fingerprint == hash(fingerprint)

    def made_by(self, call_id: str, response_id: str) -> bool:
        """Return whether this response made the known call with this id."""
        return self._calls[call_id].response_id == response_id

    def note_repeated(self, call_id: str, response_id: str) -> bool:
        """Note that a response used the id of an earlier response's call. Returns whether that is new."""
        repeated = self._of(response_id).repeated
        is_new = call_id not in repeated
        repeated.add(call_id)
        return is_new

    def answered_at_once(self, response_id: str, *, wants_response: bool) -> None:
        """Count a call of a response that needs no task: its output was sent already."""
        calls = self._of(response_id)
        calls.total += 1
        calls.wants_response |= wants_response

    def _of(self, response_id: str) -> _ResponseCalls:
        return self._responses.setdefault(response_id, _ResponseCalls())

    def protect(self, call_id: str, *, respond: bool = False) -> None:
        """Let interruptions leave this call alone.

        A call that is protected already or being cancelled, or is answered or unknown, stays as it is.

        Args:
            call_id: the service's id of the call.
            respond: request a response to the result even after an interruption.
        """
        call = self._calls.get(call_id)
        if call is not None and (call.state, Trigger.PROTECT) in TRANSITIONS:
            call.state = TRANSITIONS[call.state, Trigger.PROTECT]
            call.respond_anyway = respond

    def finish(self, call_id: str, *, wants_response: bool, cancelled: bool = False) -> bool:
        """Take the result of a call. Returns whether to send it: not if the call is answered already.

        Args:
            call_id: the service's id of the call.
            wants_response: request a response to the result.
            cancelled: the session cancelled the call, also if no interruption did.
        """
        call = self._calls.get(call_id)
        if call is None or call.state is CallState.ANSWERED:
            return False
        if call.state is CallState.CANCELLING:
            self._cancelling -= 1
        call.state = TRANSITIONS[call.state, Trigger.FINISH]
        self._answered.append(call_id)
        if len(self._answered) > MAX_ANSWERED:
            del self._calls[self._answered.pop(0)]
        calls = self._responses[call.response_id]
        calls.open.discard(call_id)
        calls.interrupted |= cancelled
        calls.wants_response |= wants_response
        calls.respond_anyway |= wants_response and call.respond_anyway
        return True

    def was_cancelled(self, call_id: str) -> bool:
        """Return whether an interruption hit this call, which is not answered yet."""
        return self.state(call_id) is CallState.CANCELLING

    def call_count(self, response_id: str) -> int:
        """Return the number of calls that this response has made."""
        calls = self._responses.get(response_id)
        return 0 if calls is None else calls.total

    def response_done(self, response_id: str) -> None:
        """Note that a response ended: its calls are complete once all are answered."""
        calls = self._responses.get(response_id)
        if calls is not None:
            calls.response_done = True

    def interrupt(self, response_id: str | None = None) -> list[str]:
        """Interrupt the open calls of one response, or of all. Returns the calls to cancel."""
        cancelled: list[str] = []
        for owner, calls in self._responses.items():
            if response_id in (None, owner):
                calls.interrupted |= bool(calls.open) or not calls.response_done
                cancelled += [call_id for call_id in sorted(calls.open) if self._cancel(call_id)]
        return cancelled

    def _cancel(self, call_id: str) -> bool:
        call = self._calls[call_id]
        if TRANSITIONS.get((call.state, Trigger.INTERRUPT)) is None:
            return False
        call.state = CallState.CANCELLING
        self._cancelling += 1
        return True

    def pop_completed(self) -> list[CallsCompleted]:
        """Return the responses whose calls have become complete. Each is returned once."""
        completed: list[CallsCompleted] = []
        for response_id, calls in [*self._responses.items()]:
            if not calls.response_done or calls.open:
                continue
            del self._responses[response_id]
            wanted = calls.wants_response and not calls.interrupted
            completed.append(
                CallsCompleted(
                    response_id=response_id,
                    wants_response=calls.respond_anyway or wanted,
                    interrupted=calls.interrupted,
                )
            )
        return completed
