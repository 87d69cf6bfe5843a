"""When replies and user input are checked, and what a tripped guardrail does.

A reply is checked each time it has grown by ``debounce`` characters, and once more in full when it has
ended, however short it is. At most :data:`MAX_CHECKS` checks of a reply run at once. A check that is due
beyond that waits, and a later one supersedes it: it sees more text. A check belongs to its response and to the agent that began it. Audio is
delivered at once or, with the audio gate, once the text that covers it has passed.

=============================================  ====================================================
when a check of a response trips               then
=============================================  ====================================================
the response runs                              it is interrupted with its calls; feedback follows
it has ended, and none was created after it    its remaining audio is cut; feedback follows
it has ended, and a create was sent            its remaining audio is cut, its calls are cancelled
a newer response was created                   the same; nothing of the newer one is touched
it has tripped before                          nothing
=============================================  ====================================================
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from trio_realtime import events as ev

from .audio.guardrail_gate import GuardedAudio, OutputEvent
from .audio.playback import ItemKey, Playback
from .audio.starts import AudioStarts
from .effects import CheckInput, CheckReply, Effect

MAX_CHECKS: Final = 4
"""The number of checks of one reply that run at once."""


class _ReplyText:
    """The text of one reply, and how much of it was checked.

    Attributes:
        checked: the characters that checks see which run or have ended.
        due: the characters that the check sees which waits for the end of another; 0 if none waits.
    """

    __slots__ = ("agent", "checked", "due", "ended", "length", "pending", "pieces", "tripped")

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.pieces: list[str] = []
        self.length = 0
        self.checked = 0
        self.due = 0
        self.pending = 0
        self.ended = False
        self.tripped = False

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def add(self, text: str) -> None:
        """Add text to the reply."""
        self.pieces.append(text)
        self.length += len(text)

    def contains(self, text: str) -> bool:
        """Return whether the reply has this text. White space between messages does not count."""
        return "".join(text.split()) in "".join(self.text.split())


class GuardrailWindows:
    """The text of each reply, and when it is to be checked.

    Args:
        debounce: characters between two checks of a growing reply; 0 for one check at its end.

    Attributes:
        superseded: the number of checks that a later check of the same reply has superseded.
    """

    def __init__(self, debounce: int) -> None:
        self.superseded: int = 0
        self._debounce = debounce
        self._replies: dict[str, _ReplyText] = {}

    def add_text(self, response_id: str, agent: Any, delta: str) -> CheckReply | None:
        """Add text to a reply. Returns the check that is due."""
        reply = self._replies.get(response_id)
        if reply is None:
            reply = self._replies[response_id] = _ReplyText(agent)
        reply.add(delta)
        if not self._debounce or reply.length - max(reply.checked, reply.due) < self._debounce:
            return None
        return self._check(response_id, reply)

    def end(self, response_id: str, agent: Any, text: str) -> CheckReply | None:
        """End a reply. Returns the check of the whole reply, unless it was made already.

        Args:
            response_id: the response.
            agent: the agent that began the response.
            text: the final text. It is checked too if it is not what the deltas have said.
        """
        reply = self._replies.get(response_id)
        if reply is None:
            if not text:
                return None
            reply = self._replies[response_id] = _ReplyText(agent)
        if not reply.contains(text):
            reply.add(f"\n{text}" if reply.pieces else text)
        reply.ended = True
        if reply.tripped or reply.checked >= reply.length:
            self._forget_if_complete(response_id, reply)
            return None
        return self._check(response_id, reply)

    def length(self, response_id: str) -> int:
        """Return the number of characters that a reply has so far."""
        reply = self._replies.get(response_id)
        return 0 if reply is None else reply.length

    def has_tripped(self, response_id: str) -> bool:
        """Return whether a check of this reply has tripped."""
        reply = self._replies.get(response_id)
        return reply is not None and reply.tripped

    def is_open(self, response_id: str) -> bool:
        """Return whether a reply still grows or is being checked."""
        return response_id in self._replies

    def check_now(self, response_id: str) -> CheckReply | None:
        """Return a check of the text that no check has seen, unless one is running."""
        reply = self._replies.get(response_id)
        if reply is None or reply.pending or reply.checked >= reply.length:
            return None
        return self._check(response_id, reply)

    def _check(self, response_id: str, reply: _ReplyText) -> CheckReply | None:
        if reply.tripped:
            return None
        if reply.due and reply.length > reply.due:
            self.superseded += 1
        if reply.pending >= MAX_CHECKS:
            reply.due = reply.length
            return None
        reply.due = 0
        reply.checked = reply.length
        reply.pending += 1
        return CheckReply(response_id=response_id, text=reply.text, agent=reply.agent)

    def checked(self, response_id: str, *, tripped: bool) -> bool:
        """Note the result of a check. Returns whether it is the first to trip for this response."""
        reply = self._replies.get(response_id)
        if reply is None:
            return False
        reply.pending -= 1
        first = tripped and not reply.tripped
        reply.tripped |= tripped
        self._forget_if_complete(response_id, reply)
        return first

    def take_waiting(self, response_id: str) -> CheckReply | None:
        """Return the check that waits, of all text so far, if there is one.

        A check waits only while others run, so the end of a check is when another may begin.
        """
        reply = self._replies.get(response_id)
        return self._check(response_id, reply) if reply is not None and reply.due else None

    def _forget_if_complete(self, response_id: str, reply: _ReplyText) -> None:
        if reply.ended and not reply.pending:
            del self._replies[response_id]


def _always(_agent: Any) -> bool:
    return True


class ReplyGuard:
    """Pass the agent's output through the guardrails, and keep text checks and audio in step.

    Args:
        playback: the clock that counts the delivered audio.
        debounce: characters between two checks of a reply; ``None`` for no checks.
        gated: deliver audio only after the checks of its text.
        is_guarded: returns whether an agent's replies are checked at all.
        max_gated: bytes of audio that wait for checks.
    """

    def __init__(
        self,
        playback: Playback,
        debounce: int | None,
        *,
        gated: bool,
        is_guarded: Callable[[Any], bool] = _always,
        max_gated: int = sys.maxsize,
    ) -> None:
        self._is_guarded = is_guarded
        self._playback = playback
        self._starts = AudioStarts()
        self._windows = None if debounce is None else GuardrailWindows(debounce)
        is_gated = gated and debounce is not None
        self._gate = GuardedAudio(playback, self._starts, max_gated) if is_gated else None

    @property
    def is_gated(self) -> bool:
        """Whether audio waits for the checks of its text."""
        return self._gate is not None

    @property
    def superseded(self) -> int:
        """The number of checks that a later check of the same reply has superseded."""
        return 0 if self._windows is None else self._windows.superseded

    @property
    def gated_audio(self) -> int:
        """Bytes of audio that wait for checks."""
        return 0 if self._gate is None else self._gate.size

    @property
    def dropped_audio(self) -> int:
        """Bytes of audio that were dropped because too much of it waited for checks."""
        return 0 if self._gate is None else self._gate.dropped

    @property
    def holding(self) -> Sequence[str]:
        """The ids of the responses whose audio is held back."""
        return () if self._gate is None else self._gate.holding

    def audio(self, event: ev.Audio, now: float) -> Sequence[Effect]:
        """Take audio of a response. Returns what may be delivered, and the check that is due."""
        if self._gate is None:
            key = (event.item_id, event.content_index)
            if self._playback.receive(key, event.response_id, len(event.data), now):
                return self._starts.announce(event)
            return (event,)
        return self._hold(self._gate, event, now)

    def audio_end(self, event: ev.AudioEnd, now: float) -> Sequence[Effect]:
        """Take the end of an item's audio."""
        return (event,) if self._gate is None else self._hold(self._gate, event, now)

    def _hold(self, gate: GuardedAudio, event: OutputEvent, now: float) -> Sequence[Effect]:
        assert self._windows is not None
        length = self._windows.length(event.response_id)
        return [*gate.hold(event, length, now), *self._check_pending(event.response_id)]

    def _check_pending(self, response_id: str) -> Sequence[Effect]:
        if self._windows is None or response_id not in self.holding:
            return ()
        check = self._windows.check_now(response_id)
        return () if check is None else (check,)

    def text(self, response_id: str, agent: Any, delta: str, now: float) -> Sequence[Effect]:
        """Take text of a response. Returns the check that is due, or audio that needs none."""
        if self._windows is None:
            return ()
        if not self._is_guarded(agent):
            gate = self._gate
            return () if gate is None else gate.passed(response_id, sys.maxsize, now)
        check = self._windows.add_text(response_id, agent, delta)
        return self._check_pending(response_id) if check is None else (check,)

    def end(self, response_id: str, agent: Any, text: str, now: float) -> Sequence[Effect]:
        """End a response whose final text is ``text``."""
        if self._gate is None:
            self._starts.forget(response_id)
        if self._windows is None:
            return ()
        if self._windows.has_tripped(response_id):
            self.discard(response_id)
        if not self._is_guarded(agent) and not self._windows.is_open(response_id):
            return self._release(response_id, now)
        check = self._windows.end(response_id, agent, text)
        return self._release(response_id, now) if check is None else (check,)

    def checked(
        self, response_id: str, length: int, now: float, *, tripped: bool
    ) -> tuple[bool, Sequence[Effect]]:
        """Take the result of a check of ``length`` characters.

        Returns:
            Whether it is the first to trip for this response, and if not, what may be delivered and
            the check that has waited for this one.
        """
        if self._windows is None:
            return False, ()
        if self._windows.checked(response_id, tripped=tripped):
            return True, ()
        waiting = self._windows.take_waiting(response_id)
        next_check: Sequence[Effect] = () if waiting is None else (waiting,)
        if self._gate is None or tripped:
            return False, next_check
        released = self._gate.passed(response_id, length, now)
        after = self._release(response_id, now) or self._check_pending(response_id)
        return False, [*released, *next_check, *after]

    def _release(self, response_id: str, now: float) -> Sequence[Effect]:
        """Release what is still held back, once nothing of the response is to be checked."""
        if self._gate is None or self._windows is None or self._windows.is_open(response_id):
            return ()
        return self._gate.all_passed(response_id, now)

    def discard(self, only: str | None = None) -> list[ItemKey]:
        """Discard held audio, of one response or of all. Returns the items that were not heard at all."""
        return [] if self._gate is None else self._gate.discard(only)


class InputGuard:
    """Numbers what the user says and requests the checks of it.

    Args:
        enabled: whether the session checks anything.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._serial = 0

    def check(self, text: str, agent: Any) -> list[Effect]:
        """Request a check of what the user has said to ``agent``."""
        self._serial += 1
        return [CheckInput(serial=self._serial, text=text, agent=agent)] if self._enabled else []

    def is_latest(self, serial: int) -> bool:
        """Return whether the user has said nothing after the text with this number."""
        return serial == self._serial
