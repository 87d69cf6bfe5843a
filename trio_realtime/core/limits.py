"""Time limits and budgets of a session.

A limit that is reached ends the session, once: :class:`~.effects.EndSession` names the setting, and the
shell lets the agent finish within the grace period. The exception is ``tool_rounds``: the next response
that follows from function calls must not call functions. Only if it does, the session ends.

A session is idle while the user does not speak, nothing is sent to the conversation or changes in it, no
response and no call runs or is requested, and no audio of the agent is to be heard. Audio that the user
sends counts only where the turns end by hand, because an open microphone sends silence too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from trio_realtime import wire as w
from trio_realtime.config import UsageLimits
from trio_realtime.events import LimitReached
from trio_realtime.session_end import LimitName
from trio_realtime.usage import Usage

from . import inputs as i
from .audio.playback import Playback
from .calls.ledger import ToolLedger
from .effects import Effect, EndSession

ACTIVITY: Final[tuple[type, ...]] = (
    w.InputAudioBufferSpeechStarted,
    w.InputAudioBufferSpeechStopped,
    w.InputAudioBufferDtmfEventReceived,
    w.ConversationItemAdded,
    w.ResponseCreated,
    w.ResponseDone,
    i.SendItem,
    i.CommitAudio,
    i.CreateResponse,
    i.Interrupt,
    i.UpdateHistory,
    i.SendRaw,
    i.CallFinished,
    i.ConnectionLost,
    i.ConnectionRestored,
)
"""The inputs that show that a session is in use."""


@attrs.frozen(kw_only=True)
class LimitSettings:
    """The limits of one session.

    Attributes:
        idle_timeout: seconds in which nothing happens.
        max_duration: seconds from the acknowledgement of the first settings.
        usage: the budgets.
        grace: seconds that the shell gives the agent to finish.
    """

    idle_timeout: float = math.inf
    max_duration: float = math.inf
    usage: UsageLimits = attrs.field(factory=UsageLimits)
    grace: float = 0.0

    @property
    def is_any(self) -> bool:
        """Whether there is any limit."""
        times = min(self.idle_timeout, self.max_duration)
        return times < math.inf or self.usage != UsageLimits()


NO_LIMITS: Final = LimitSettings()


class SessionLimits:
    """Watches the limits of a session.

    Args:
        settings: the limits.
        playback: knows what is still to be heard.
        ledger: counts the calls.
        is_quiet: whether there is a connection, and no response and no call runs or is requested.
        detects_speech: whether the service detects the user's speech.
        usage: the tokens so far.

    Attributes:
        enabled: whether there is any limit.
    """

    def __init__(
        self,
        settings: LimitSettings,
        playback: Playback,
        ledger: ToolLedger,
        is_quiet: Callable[[], bool],
        detects_speech: Callable[[], bool],
        usage: Callable[[], Usage],
    ) -> None:
        self.enabled: bool = settings.is_any
        self._settings = settings
        self._playback = playback
        self._ledger = ledger
        self._is_quiet = is_quiet
        self._detects_speech = detects_speech
        self._usage = usage
        self._ends_at = self._idle_at = math.inf
        self._is_open = False
        self._is_reached = False
        self._is_user_speaking = False

    @property
    def next_deadline(self) -> float:
        """When the next time limit is to be checked, in seconds; ``math.inf`` for never."""
        return math.inf if self._is_reached else min(self._ends_at, self._idle_at)

    # --- time

    def on_session_updated(self, _event: w.SessionUpdated, now: float) -> Sequence[Effect]:
        """Begin to count when the service has acknowledged the first settings."""
        if not self._is_open:
            self._is_open = True
            self._ends_at = now + self._settings.max_duration
            self._idle_at = now + self._settings.idle_timeout
        return ()

    def on_activity(self, event: Any, now: float) -> Sequence[Effect]:
        """Begin to count the idle time again."""
        match event:
            case w.InputAudioBufferSpeechStarted():
                self._is_user_speaking = True
            case w.InputAudioBufferSpeechStopped() | w.ResponseCreated() | i.ConnectionLost():
                self._is_user_speaking = False
            case _:
                pass
        if self._is_open:
            self._idle_at = self._playback.finishes_at(now) + self._settings.idle_timeout
        return ()

    def on_append_audio(self, event: i.AppendAudio, now: float) -> Sequence[Effect]:
        """Count audio as speech if the user's turns end by hand."""
        return () if self._detects_speech() else self.on_activity(event, now)

    def on_deadline_passed(self, _event: i.DeadlinePassed, now: float) -> Sequence[Effect]:
        """End the session if a time limit has passed."""
        if now >= self._ends_at:
            return self._reach("max_duration")
        if now < self._idle_at:
            return ()
        if self._is_user_speaking or not self._is_quiet():
            self._idle_at = now + self._settings.idle_timeout
            return ()
        heard_at = self._playback.finishes_at(now)
        if heard_at > now:
            self._idle_at = heard_at + self._settings.idle_timeout
            return ()
        return self._reach("idle_timeout")

    # --- budgets

    def on_output_item_done(
        self, _event: w.ResponseOutputItemDone, _now: float
    ) -> Sequence[Effect]:
        """End the session if the model has made as many calls as it may."""
        return self._check_calls()

    def _check_calls(self) -> Sequence[Effect]:
        limit = self._settings.usage.tool_calls
        if limit is not None and self._ledger.count >= limit:
            return self._reach("tool_calls")
        return ()

    def on_response_done(self, _event: w.ResponseDone, _now: float) -> Sequence[Effect]:
        """End the session if its responses have used as many tokens as they may."""
        limits, usage = self._settings.usage, self._usage()
        budgets: tuple[tuple[LimitName, int | None, int], ...] = (
            ("total_tokens", limits.total_tokens, usage.total_tokens),
            ("input_tokens", limits.input_tokens, usage.input_tokens),
            ("output_tokens", limits.output_tokens, usage.output_tokens),
        )
        for name, limit, used in budgets:
            if limit is not None and used >= limit:
                return self._reach(name)
        # Some calls are known only from ``response.done``.
        return self._check_calls()

    def check_rounds(self, rounds: int) -> tuple[bool, Sequence[Effect]]:
        """Check a response that is about to follow from function calls.

        Args:
            rounds: the responses in a row, up to now, that had calls and no text.

        Returns:
            Whether the response may call functions, and the effects.
        """
        limit = self._settings.usage.tool_rounds
        if limit is None or rounds < limit:
            return True, ()
        if rounds == limit:
            return False, (LimitReached(limit="tool_rounds"),)
        return False, self._reach("tool_rounds")

    # --- the end

    def _reach(self, limit: LimitName) -> Sequence[Effect]:
        if self._is_reached:
            return ()
        self._is_reached = True
        event = LimitReached(limit=limit, grace=self._settings.grace)
        return (event, EndSession(limit=limit))
