"""Decide whether the user's speech interrupts the agent, and whether it is answered.

Without a policy that waits, speech interrupts at once, and the service responds when it ends. With one, the
session decides both, for each utterance:

=================  ==========================================  ===========================================
state              meaning                                     left when
=================  ==========================================  ===========================================
``SPEAKING``       the user speaks over the agent, so far not  it lasts ``min_speech``: it interrupts, and
                   long enough                                 is ``INTERRUPTING``; it ends: ``UNCLEAR``
                                                               if there are phrases to ignore, or else it
                                                               is ignored
``INTERRUPTING``   the user speaks, and has interrupted        it ends: ``CHECKING`` if the agent may be
                                                               resumed, or else ``ANSWERABLE``
``TURN``           the user speaks, and the agent was silent   it ends: ``ANSWERABLE``
``UNCLEAR``        it was short; the transcript decides        ignored phrases: it is ignored; other words,
                                                               or no transcript in time: it interrupts, and
                                                               is ``ANSWERABLE``
``CHECKING``       it has interrupted; the transcript tells    nothing or ignored phrases: the agent is
                   whether that was right                      asked to go on; other words, or no
                                                               transcript in time: ``ANSWERABLE``
``ANSWERABLE``     it is a turn of the user                    it is an item: a response is requested
=================  ==========================================  ===========================================
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from trio_realtime import events as ev
from trio_realtime.config import InterruptionPolicy
from trio_realtime.wire import (
    ConversationItemAdded,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioTranscriptionCompleted,
    InputAudioTranscriptionFailed,
    ResponseParams,
    ServerVad,
)

from .effects import Effect
from .inputs import DeadlinePassed
from .interruption import Interruption
from .responses.requests import ResponseRequests
from .settings import SessionSettings

DEFAULT_SILENCE: Final = 0.5
"""Seconds of silence that end speech, where the settings of ``server_vad`` do not say."""

MAX_UTTERANCES: Final = 16
"""The number of utterances that may be undecided. The oldest is forgotten above that."""


class SpeechState(enum.Enum):
    """What is known of an utterance of the user."""

    SPEAKING = "speaking"
    INTERRUPTING = "interrupting"
    TURN = "turn"
    UNCLEAR = "unclear"
    CHECKING = "checking"
    ANSWERABLE = "answerable"


_S = SpeechState
_WAITS_FOR_TRANSCRIPT: Final = (_S.UNCLEAR, _S.CHECKING)


@attrs.define
class _Utterance:
    """An utterance that is not answered or ignored yet.

    Attributes:
        item_id: the id of its item.
        deadline: when the next decision is due at the latest.
        is_item: whether it has become an item.
    """

    item_id: str
    state: SpeechState
    deadline: float = math.inf
    is_item: bool = False


class BargeIn:
    """Applies the interruption policy of the session to the user's speech.

    Args:
        policy: the policy; ``None`` if speech does not interrupt.
        interruption: stops the agent.
        requests: requests responses.
        settings: say whether the service interrupts by itself, and how much silence ends speech.
        is_active: returns whether the agent speaks or works, so that there is something to interrupt.
    """

    def __init__(
        self,
        policy: InterruptionPolicy | None,
        interruption: Interruption,
        requests: ResponseRequests,
        settings: SessionSettings,
        is_active: Callable[[float], bool],
    ) -> None:
        self._policy = policy
        self._interruption = interruption
        self._requests = requests
        self._settings = settings
        self._is_active = is_active
        self._utterances: dict[str, _Utterance] = {}

    @property
    def next_deadline(self) -> float:
        """When the next decision is due, in seconds; ``math.inf`` for none."""
        return min((one.deadline for one in self._utterances.values()), default=math.inf)

    @property
    def is_answer_due(self) -> bool:
        """Whether an utterance has ended that is not answered or ignored yet."""
        ended = (*_WAITS_FOR_TRANSCRIPT, _S.ANSWERABLE)
        return any(one.state in ended for one in self._utterances.values())

    # --- the user's speech

    def on_speech_started(self, event: InputAudioBufferSpeechStarted, now: float) -> list[Effect]:
        """Stop the agent because the user speaks, or wait to see whether it is an interruption."""
        started = ev.SpeechStarted(item_id=event.item_id, audio_start_ms=event.audio_start_ms)
        session = self._settings.session
        if session is not None and session.interrupts_response:
            # The service cancels by itself, and a second cancel could hit the next response.
            return [started, *self._interruption.interrupt_all(now, cancel=False)]
        policy = self._policy
        if policy is None:
            return [started]
        if not policy.waits:
            return [started, *self._interruption.interrupt_all(now)]
        return [started, *self._begin(event.item_id, policy, now)]

    def _begin(self, item_id: str, policy: InterruptionPolicy, now: float) -> list[Effect]:
        if len(self._utterances) >= MAX_UTTERANCES:
            del self._utterances[next(iter(self._utterances))]
        utterance = self._utterances[item_id] = _Utterance(item_id, _S.TURN)
        if not self._is_active(now):
            return []
        if policy.min_speech == 0:
            return self._interrupt(utterance, now)
        utterance.state = _S.SPEAKING
        # The service reports the end of short speech only after its silence.
        utterance.deadline = now + policy.min_speech + self._silence()
        return []

    def _silence(self) -> float:
        session = self._settings.session
        audio = session.audio if session is not None else None
        detection = audio.input.turn_detection if audio and audio.input else None
        if not isinstance(detection, ServerVad):
            return 0.0
        milliseconds = detection.silence_duration_ms
        return DEFAULT_SILENCE if milliseconds is None else milliseconds / 1000

    def _interrupt(self, utterance: _Utterance, now: float) -> list[Effect]:
        utterance.state, utterance.deadline = _S.INTERRUPTING, math.inf
        return self._interruption.interrupt_all(now)

    def on_speech_stopped(self, event: InputAudioBufferSpeechStopped, now: float) -> list[Effect]:
        """Decide about speech that has ended, or wait for its transcript."""
        utterance, policy = self._utterances.get(event.item_id), self._policy
        if utterance is None or policy is None:
            return []
        match utterance.state:
            case SpeechState.TURN:
                return self._answer(utterance)
            case SpeechState.INTERRUPTING if not policy.resume:
                return self._answer(utterance)
            case SpeechState.INTERRUPTING:
                utterance.state = _S.CHECKING
            case SpeechState.SPEAKING if not policy.ignored_phrases:
                return self._ignore(utterance, None)
            case SpeechState.SPEAKING:
                utterance.state = _S.UNCLEAR
            case _:
                return []
        utterance.deadline = now + policy.transcript_timeout
        return []

    # --- its item and its transcript

    def on_committed(self, event: InputAudioBufferCommitted, _now: float) -> list[Effect]:
        """Answer what has become an item."""
        return self._became_item(event.item_id)

    def on_item_added(self, event: ConversationItemAdded, _now: float) -> list[Effect]:
        """Do the same for a service that does not report commits."""
        return self._became_item(event.item.id or "")

    def _became_item(self, item_id: str) -> list[Effect]:
        utterance = self._utterances.get(item_id)
        if utterance is None:
            return []
        utterance.is_item = True
        return self._answer(utterance) if utterance.state is _S.ANSWERABLE else []

    def on_transcription_completed(
        self, event: InputAudioTranscriptionCompleted, now: float
    ) -> list[Effect]:
        """Decide by what the user has said."""
        utterance, policy = self._utterances.get(event.item_id), self._policy
        if utterance is None or policy is None or utterance.state not in _WAITS_FOR_TRANSCRIPT:
            return []
        if not consists_of(event.transcript, policy.ignored_phrases):
            return self._accept(utterance, now)
        resumes = utterance.state is _S.CHECKING
        ignored = self._ignore(utterance, event.transcript, resumed=resumes)
        return [*ignored, *self._resume(policy)] if resumes else ignored

    def on_transcription_failed(
        self, event: InputAudioTranscriptionFailed, now: float
    ) -> list[Effect]:
        """Take speech without a transcript for a turn of the user."""
        utterance = self._utterances.get(event.item_id)
        if utterance is None or utterance.state not in _WAITS_FOR_TRANSCRIPT:
            return []
        return self._accept(utterance, now)

    def on_deadline_passed(self, _event: DeadlinePassed, now: float) -> list[Effect]:
        """Interrupt for speech that has lasted, and answer speech whose transcript does not come."""
        effects: list[Effect] = []
        for utterance in [one for one in self._utterances.values() if one.deadline <= now]:
            if utterance.state is _S.SPEAKING:
                effects += self._interrupt(utterance, now)
            else:
                effects += self._accept(utterance, now)
        return effects

    # --- decisions

    def _accept(self, utterance: _Utterance, now: float) -> list[Effect]:
        """Take an utterance for a turn of the user. If it has not interrupted yet, it does now."""
        interrupts = utterance.state is _S.UNCLEAR and self._is_active(now)
        effects = self._interruption.interrupt_all(now) if interrupts else []
        return [*effects, *self._answer(utterance)]

    def _answer(self, utterance: _Utterance) -> list[Effect]:
        """Request the response to an utterance, as soon as it is an item."""
        utterance.state, utterance.deadline = _S.ANSWERABLE, math.inf
        if not utterance.is_item:
            return []
        del self._utterances[utterance.item_id]
        return self.request_answer()

    def request_answer(self) -> list[Effect]:
        """Request a response, unless the application does so."""
        if self._policy is None or not self._policy.create_response:
            return []
        return self._requests.request_automatically()

    def _ignore(
        self, utterance: _Utterance, transcript: str | None, *, resumed: bool = False
    ) -> list[Effect]:
        del self._utterances[utterance.item_id]
        return [ev.SpeechIgnored(item_id=utterance.item_id, transcript=transcript, resumed=resumed)]

    def _resume(self, policy: InterruptionPolicy) -> list[Effect]:
        """Request that the agent goes on with what was interrupted."""
        session = self._settings.session
        own = session.instructions if session is not None and session.instructions else ""
        instructions = "\n\n".join(filter(None, (own, policy.resume_instructions)))
        return self._requests.request_automatically(ResponseParams(instructions=instructions))


def consists_of(text: str, phrases: Iterable[str]) -> bool:
    """Return whether a text has no words but these phrases, in any order and number.

    Case, punctuation and hyphens make no difference. A text without words consists of any phrases.
    """
    words = _words(text)
    known = [found for phrase in phrases if (found := _words(phrase))]
    reachable = {0}  # how many words can be covered by phrases
    for position in range(len(words)):
        if position in reachable:
            reachable |= {
                position + len(phrase)
                for phrase in known
                if words[position : position + len(phrase)] == phrase
            }
    return len(words) in reachable


def _words(text: str) -> Sequence[str]:
    return re.findall(r"\w+", text.casefold().replace("'", ""))
