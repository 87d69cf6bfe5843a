"""The ledger of function calls: each runs at most once and is answered exactly once.

===========  ====================================================  ==============================
state        means                                                 leaves it
===========  ====================================================  ==============================
running      handed to the shell                                   ``finished`` -> answered
... kept     the same, and an interrupt leaves it alone            ``finished`` -> answered
cancelling   an interrupt hit it; the shell waits for its          ``finished`` -> answered
             ``finally`` blocks
answered     its output was sent; the call id stays known          never
===========  ====================================================  ==============================

Calls belong to the response that made them. When a response is done and all its calls are answered,
one follow-up response is wished for, if any of the answers wants one and nothing was cancelled.
"""

from __future__ import annotations

import enum

import attrs


class CallState(enum.Enum):
    """See the module."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    ANSWERED = "answered"


class _Call:
    __slots__ = ("asked", "insists", "kept", "response_id", "state")

    def __init__(self, response_id: str, asked: int) -> None:
        self.response_id = response_id
        self.asked = asked
        self.state = CallState.RUNNING
        self.kept = False
        self.insists = False


class _ResponseCalls:
    """The calls of one response."""

    __slots__ = ("cancelled", "done", "insists", "open", "total", "wants_response")

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.total = 0
        self.done = False
        self.cancelled = False
        self.wants_response = False
        self.insists = False


@attrs.frozen(kw_only=True)
class CallsCompleted:
    """All calls of a finished response are answered."""

    response_id: str
    wants_response: bool
    cancelled: bool


class ToolLedger:
    """See the module."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._rounds: dict[str, _ResponseCalls] = {}
        self._cancelling = 0

    @property
    def is_cancelling(self) -> bool:
        """Calls of an interrupted response are still to be answered."""
        return self._cancelling > 0

    @property
    def is_busy(self) -> bool:
        """Calls are still to be answered."""
        return any(round_.open for round_ in self._rounds.values())

    def state(self, call_id: str) -> CallState | None:
        """Where a call stands; ``None`` for one that was never begun."""
        call = self._calls.get(call_id)
        return None if call is None else call.state

    def begin(self, call_id: str, response_id: str, asked: tuple[str, str] = ("", "")) -> bool:
        """A call is complete. Returns whether it is to be run: not if its id is known.

        ``asked``: name and arguments, to tell a repetition from another call of the same id.
        """
        if call_id in self._calls:
            return False
        self._calls[call_id] = _Call(response_id, hash(asked))
        round_ = self._rounds.setdefault(response_id, _ResponseCalls())
        round_.open.add(call_id)
        round_.total += 1
        return True

    def is_same(self, call_id: str, asked: tuple[str, str]) -> bool:
        """Whether the call of this id, which is known, asked for the same."""
        return self._calls[call_id].asked == hash(asked)

    def keep(self, call_id: str, *, insists: bool) -> None:
        """An interrupt is to leave this call alone.

        Args:
            call_id: a call that runs.
            insists: its answer is to be spoken of even though an interrupt came between.
        """
        call = self._calls[call_id]
        call.kept, call.insists = True, insists

    def finished(self, call_id: str, *, wants_response: bool) -> bool:
        """The shell has an answer. Returns whether to send it: not for one already answered."""
        call = self._calls.get(call_id)
        if call is None or call.state is CallState.ANSWERED:
            return False
        if call.state is CallState.CANCELLING:
            self._cancelling -= 1
        call.state = CallState.ANSWERED
        round_ = self._rounds[call.response_id]
        round_.open.discard(call_id)
        round_.wants_response |= wants_response
        round_.insists |= wants_response and call.insists
        return True

    def was_cancelled(self, call_id: str) -> bool:
        """Whether an interrupt hit this call."""
        return self.state(call_id) is CallState.CANCELLING

    def calls_of(self, response_id: str) -> int:
        """How many calls this response has made."""
        round_ = self._rounds.get(response_id)
        return 0 if round_ is None else round_.total

    def response_done(self, response_id: str) -> None:
        """The response ended: its round closes when all is answered."""
        round_ = self._rounds.get(response_id)
        if round_ is not None:
            round_.done = True

    def cancel(self, response_id: str | None = None) -> list[str]:
        """An interrupt: mark open calls, of one response or of all. Returns those newly hit."""
        hit: list[str] = []
        for owner, round_ in self._rounds.items():
            if response_id in (None, owner):
                round_.cancelled |= bool(round_.open) or not round_.done
                hit += [call_id for call_id in sorted(round_.open) if self._cancel_one(call_id)]
        return hit

    def _cancel_one(self, call_id: str) -> bool:
        call = self._calls[call_id]
        if call.state is not CallState.RUNNING or call.kept:
            return False
        call.state = CallState.CANCELLING
        self._cancelling += 1
        return True

    def take_over(self) -> list[CallsCompleted]:
        """Rounds that are complete now, each reported once."""
        over: list[CallsCompleted] = []
        for response_id, round_ in [*self._rounds.items()]:
            if not round_.done or round_.open:
                continue
            del self._rounds[response_id]
            over.append(
                CallsCompleted(
                    response_id=response_id,
                    wants_response=round_.insists
                    or (round_.wants_response and not round_.cancelled),
                    cancelled=round_.cancelled,
                )
            )
        return over
