"""The settings of a session, apart from the agent and the endpoint.

Settings of the service's session object keep their names and types
(:class:`~trio_realtime.wire.Session`). A setting that is ``UNSET`` is not sent, so the service keeps its
default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast, get_args

import attrs

from ._declarations import check_callable, explains
from ._validation import is_number
from .errors import ConfigurationError
from .wire import (
    PCM24K,
    UNSET,
    AudioFormat,
    AudioInput,
    AudioOutput,
    AudioSettings,
    CustomVoice,
    NoiseReduction,
    Reasoning,
    SemanticVad,
    ServerVad,
    Session,
    ToolSpec,
    Transcription,
    TurnDetection,
    UnknownTurnDetection,
    Unset,
    json_copy,
)

if TYPE_CHECKING:
    from .agents import FeedbackFormatter, RejectionFormatter, SessionHooks

OverflowPolicy = Literal["fail", "drop_oldest_audio", "drop_oldest"]
"""What happens when a consumer exceeds a limit. ``"drop_oldest"`` means ``"drop_oldest_audio"``."""


def _positive(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not is_number(value) or not value > 0:
        raise ConfigurationError(f"{attribute.name} must be a number > 0, got {value!r}")


def _positive_or_none(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None:
        _positive(_config, attribute, value)


def _count_or_none(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value is not None and not is_count:
        raise ConfigurationError(f"{attribute.name} must be an int > 0 or None, got {value!r}")


def _not_negative(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not is_number(value) or not value >= 0:
        raise ConfigurationError(f"{attribute.name} must be a number >= 0, got {value!r}")


def check_overflow(value: OverflowPolicy) -> None:
    """Check an overflow policy.

    Raises:
        ConfigurationError: the policy is unknown.
    """
    if value not in get_args(OverflowPolicy):
        names = ", ".join(get_args(OverflowPolicy))
        raise ConfigurationError(f"overflow must be one of {names}, got {value!r}")


def _check_overflow(_config: Any, _: Any, value: OverflowPolicy) -> None:
    check_overflow(value)


def _check_format_rejection(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None:
        check_callable(value, attribute.name, "context")


def _check_format_feedback(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    check_callable(value, attribute.name, "context", "trips")
    if iscoroutinefunction(value):
        raise ConfigurationError(f"{attribute.name} must be a plain function, not an async one")


def _check_guardrails(_config: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    # The session checks the kinds: this module does not know the classes of guardrails.
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{attribute.name} must be a list, got {value!r:.80}")
    for guardrail in cast("Sequence[Any]", value):
        if not hasattr(guardrail, "fail_closed"):
            decorator = attribute.name.removesuffix("s")
            raise ConfigurationError(
                f"{attribute.name}: {guardrail!r:.80} is not a guardrail: decorate the function with "
                f"@{decorator}"
            )


def _modalities(value: tuple[str, ...] | list[str] | Unset) -> tuple[str, ...] | Unset:
    # Not a str, whose letters would be the modalities.
    return tuple(value) if isinstance(value, list) else value


def _check_modalities(_config: Any, _: Any, value: tuple[str, ...] | Unset) -> None:
    if not isinstance(value, Unset) and value not in (("audio",), ("text",)):
        raise ConfigurationError(
            f'output_modalities must be ("audio",) or ("text",), got {value!r}'
        )


def _extra(value: Mapping[str, Any] | Unset) -> Mapping[str, Any] | Unset:
    try:
        return checked_extra(value)
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from None


def checked_extra(
    value: Mapping[str, Any] | Unset, *, arguments: Collection[str] = ()
) -> Mapping[str, Any] | Unset:
    """Return a copy of extra keys as a JSON object.

    Args:
        value: the keys.
        arguments: keys for which there is an argument, whose value the session must know.

    Raises:
        ValueError: they are no mapping, JSON cannot represent them, or a key has an argument.
    """
    if isinstance(value, Unset):
        return value
    given: Any = value
    if not isinstance(given, Mapping):
        raise ValueError(f"extra must be a mapping, got {given!r:.80}")  # noqa: TRY004
    for key in arguments:
        if key in given:
            raise ValueError(f"extra must not have the key {key!r}: use the argument {key}")
    try:
        return json_copy(value)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"extra must be a JSON object: {exc}") from None


@attrs.frozen(kw_only=True)
class ReconnectPolicy:
    """When a session connects again, and what it remembers for the next connection.

    A session connects again when its connection is lost, and before the service ends it at its maximum
    duration. The next connection is given the conversation. The key of the endpoint is requested each
    time.

    A connection is not replaced if trying again cannot help: the service rejects the key, the model or the
    settings, or closes with a code that says so (1002, 1003, 1007 to 1010, 3000, 4000, 4004). Nor is that of
    a call that the session has joined, whose conversation the service keeps.

    Args:
        max_attempts: attempts to connect after each loss. Then the session ends with the last failure.
        max_attempts_in_session: attempts to connect in the whole session, without those that replace a
            connection before its maximum duration.
        initial_delay: seconds before the second attempt; the first one follows at once. Each further delay is
            twice as long.
        max_delay: seconds of the longest delay. A ``Retry-After`` of the service may be longer.
        jitter: the fraction of each delay that is random, from 0 to 1, so that many sessions do not
            connect in the same instant.
        max_speech: seconds of what the user is saying that are remembered and sent again.
        max_audio_while_away: seconds of what the user says while there is no connection that are
            remembered. After a longer outage, older audio is dropped, also that from before the outage.
        max_duration: seconds that the service lets a connection live. By default, the time that the service
            names (``expires_at``), or else 60 minutes, and 30 for Azure. ``math.inf`` to replace no
            connection that works.
        refresh_before: seconds before ``max_duration`` from which the session looks for a moment in which
            nobody speaks and nothing is open, to replace the connection.
        force_before: seconds before ``max_duration`` at which it no longer waits for such a moment.

    Raises:
        ConfigurationError: a value is out of range.
    """

    max_attempts: int = attrs.field(default=8, validator=_positive)
    max_attempts_in_session: int = attrs.field(default=200, validator=_positive)
    initial_delay: float = attrs.field(default=0.5, validator=_positive)
    max_delay: float = attrs.field(default=30.0, validator=_positive)
    jitter: float = attrs.field(default=0.5, validator=_not_negative)
    max_speech: float = attrs.field(default=30.0, validator=_not_negative)
    max_audio_while_away: float = attrs.field(default=5.0, validator=_not_negative)
    max_duration: float | None = attrs.field(default=None, validator=_positive_or_none)
    refresh_before: float = attrs.field(default=300.0, validator=_positive)
    force_before: float = attrs.field(default=60.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.jitter > 1:
            raise ConfigurationError(f"jitter must be at most 1, got {self.jitter!r}")
        if self.force_before > self.refresh_before:
            raise ConfigurationError(
                f"force_before must be at most refresh_before ({self.refresh_before:g}), "
                f"got {self.force_before:g}"
            )


@attrs.frozen(kw_only=True)
class UsageLimits:
    """Budgets of a session; ``None`` for no limit.

    A budget is checked when it is used, so a response may exceed it. A budget that is used up ends the
    session after the grace period (:class:`SessionConfig`, ``limit_grace``).

    Args:
        total_tokens: tokens of all responses, input and output, as the service reports them.
        input_tokens: tokens that the model has read. Each response reads the conversation again.
        output_tokens: tokens that the model has generated, as audio, text and calls.
        tool_calls: calls that the model makes, including handoffs. The last one is still answered.
        tool_rounds: responses in a row that call functions and say nothing, within one turn of the
            agent. The response that follows is created with ``tool_choice="none"``, so that the model
            answers with what it has. If it calls functions nevertheless, the session ends.

    Raises:
        ConfigurationError: a limit is not a positive int.
    """

    total_tokens: int | None = attrs.field(default=None, validator=_count_or_none)
    input_tokens: int | None = attrs.field(default=None, validator=_count_or_none)
    output_tokens: int | None = attrs.field(default=None, validator=_count_or_none)
    tool_calls: int | None = attrs.field(default=None, validator=_count_or_none)
    tool_rounds: int | None = attrs.field(default=None, validator=_count_or_none)


def _phrases(value: Collection[str]) -> tuple[str, ...]:
    given: Any = value
    if isinstance(given, list | tuple | set | frozenset):
        phrases = cast("Collection[Any]", given)
        if all(isinstance(phrase, str) for phrase in phrases):
            return tuple(phrases)
    raise ConfigurationError(f"ignored_phrases must be a list of phrases, got {value!r}")


RESUME_INSTRUCTIONS: Final = (
    "Your last answer was interrupted by a noise, not by the user. Go on exactly where it broke off, and "
    "do not mention the interruption."
)
"""What the agent is asked, by default, when an interruption turns out to be none."""


@attrs.frozen(kw_only=True)
class InterruptionPolicy:
    """When the user's speech interrupts the agent.

    By default, speech interrupts at once: the service interrupts by itself, or else the session does.

    With ``min_speech``, ``ignored_phrases`` or ``resume``, the session decides, and the service only detects
    speech: the turn detection is sent with ``interrupt_response`` and ``create_response`` switched off, and
    the session requests the response to each turn of the user. Speech while the agent neither speaks nor
    works is always a turn of the user.

    - Speech of ``min_speech`` or longer interrupts as soon as it is known to last so long.
      ``server_vad`` reports the end of speech only after ``silence_duration_ms``, so the interruption
      comes after both times. With another turn detection, it comes after ``min_speech``.
    - Shorter speech is ignored without ``ignored_phrases``. With them, it is ignored if it consists of
      them, and interrupts otherwise, once the transcript is there.
    - Speech that has interrupted may turn out to be no interruption, with ``resume``: its transcript is
      empty, or one of the ignored phrases. Then the agent is asked to go on. The answer to other speech
      waits for the transcript.

    Args:
        min_speech: seconds of speech that interrupt.
        ignored_phrases: what a listener says without wanting to speak, for example ``["mm-hm", "yeah"]``.
            Case and punctuation make no difference. Needs ``transcription``.
        resume: ask the agent to go on after an interruption that was none. Needs ``transcription``.
        resume_instructions: what the agent is asked then, after its own instructions.
        transcript_timeout: seconds to wait for a transcript. Speech without one is a turn of the user.
        create_response: request the response to each turn of the user; ``False`` if your program does. Only
            used where the session decides.

    Raises:
        ConfigurationError: a value is out of range.
    """

    min_speech: float = attrs.field(default=0.0, validator=_not_negative)
    ignored_phrases: Sequence[str] = attrs.field(default=(), converter=_phrases)
    resume: bool = False
    resume_instructions: str = RESUME_INSTRUCTIONS
    transcript_timeout: float = attrs.field(default=2.0, validator=_positive)
    create_response: bool = True

    @property
    def waits(self) -> bool:
        """Whether the session decides, instead of interrupting at once."""
        return self.min_speech > 0 or self.needs_transcript

    @property
    def needs_transcript(self) -> bool:
        """Whether a decision depends on what the user has said."""
        return bool(self.ignored_phrases) or self.resume


def apply_interruption(
    policy: InterruptionPolicy | None, detection: TurnDetection | Unset | None
) -> TurnDetection | Unset | None:
    """Return the turn detection that a policy needs.

    Raises:
        ValueError: the turn detection contradicts the policy.
    """
    if detection is None or (policy is not None and not policy.waits):
        return detection
    off = ("interrupt_response",) if policy is None else ("interrupt_response", "create_response")
    chosen = ServerVad() if isinstance(detection, Unset) else detection
    for name in off:
        given = getattr(chosen, name)
        if given is True or (given is False and name == "create_response"):
            raise ValueError(
                f"turn_detection: leave {name} out, because interruption={policy!r} decides"
            )
    if isinstance(chosen, UnknownTurnDetection):
        return UnknownTurnDetection(raw={**chosen.raw, **dict.fromkeys(off, False)})
    creates = chosen.create_response if policy is None else False
    return attrs.evolve(chosen, interrupt_response=False, create_response=creates)


_FORMATS = ((AudioFormat,), "PCM24K, PCMU, PCMA or another AudioFormat")
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "model": ((str, type(None)), "the name of a model"),
    "input_format": _FORMATS,
    "output_format": _FORMATS,
    "turn_detection": (
        (*get_args(TurnDetection), Unset, type(None)),
        "a ServerVad, a SemanticVad, or None for push-to-talk",
    ),
    "transcription": ((Transcription, Unset, type(None)), "a Transcription, or None"),
    "noise_reduction": ((NoiseReduction, Unset, type(None)), "a NoiseReduction, or None"),
    "voice": ((str, CustomVoice, Unset), "a name or a CustomVoice"),
    "reasoning": ((Reasoning, Unset), "a Reasoning"),
    "reconnect": ((ReconnectPolicy, type(None)), "a ReconnectPolicy, or None"),
    "limits": ((UsageLimits,), "a UsageLimits"),
    "interruption": ((InterruptionPolicy, type(None)), "an InterruptionPolicy, or None"),
}


_SDK_NAMES: Mapping[str, str] = {
    "model_settings": "its settings are arguments of SessionConfig itself",
    "model_name": "write model=",
    "instructions": "instructions belong to the agent: RealtimeAgent(instructions=...)",
    "tools": "tools belong to the agent: RealtimeAgent(tools=[...])",
    "handoffs": "handoffs belong to the agent: RealtimeAgent(handoffs=[...])",
    "modalities": "write output_modalities=",
    "audio": "write input_format=, output_format=, turn_detection=, transcription= and voice=",
    "input_audio_format": "write input_format=, for example PCMU",
    "output_audio_format": "write output_format=, for example PCMU",
    "input_audio_transcription": "write transcription=Transcription(...)",
    "input_audio_noise_reduction": "write noise_reduction=",
    "guardrails_settings": "write guardrail_debounce=",
    "tracing_disabled": "tracing is off by default",
    "async_tool_calls": "tools never block the session",
    "tool_execution": "write check_input_before_approval= at each tool",
    "tool_error_formatter": "write format_rejection=",
}
"""Arguments and keys of the agents SDK's run configuration."""


@explains(_SDK_NAMES)
@attrs.frozen(kw_only=True)
class SessionConfig:
    """Settings of one session.

    The settings up to ``extra`` are those of the service. One that is left out is not sent, so the
    service uses its own default. ``None``, where it is allowed, turns a setting off. The settings after
    ``extra`` are those of the library.

    Args:
        model: the name of the model, for example ``"gpt-realtime-2.1"``; the endpoint's default if
            ``None``.
        output_modalities: what the agent produces: ``("audio",)`` for speech with its transcript,
            or ``("text",)``.
        input_format: the encoding of the user's audio: ``PCM24K``, or ``PCMU`` or ``PCMA`` for
            phone lines. It is always sent, except to a call that the session joins, which has
            negotiated its format.
        output_format: the encoding of the agent's audio, like ``input_format``. The two may differ.
        turn_detection: how the service finds the end of the user's turn: :class:`ServerVad` by the
            volume, :class:`SemanticVad` by the words. ``None`` for push-to-talk: your program calls
            ``commit_audio``.
        transcription: how the user's speech is transcribed; ``None`` for no transcription. The
            model listens to the audio, so only your program needs the transcript.
        noise_reduction: a filter for the user's audio, which the service applies before turn
            detection and the model; ``None`` for no filter.
        voice: the voice of the agent: a name such as ``"marin"``, or a ``CustomVoice``. It
            overrides the voices of the agents. The service cannot change it once the agent has
            spoken.
        speed: how fast the agent speaks, as a multiple of the voice's own speed, from 0.25 to 1.5.
            It changes only between responses.
        tool_choice: whether the model calls tools: ``"auto"`` when it wants to, ``"none"`` never,
            ``"required"`` always, ``{"type": "function", "name": "..."}`` this one.
        parallel_tool_calls: whether one response may call several functions. For models that
            reason.
        max_output_tokens: the most tokens that one response may have, calls included: 1 to 4096, or
            ``"inf"`` for what the model allows. A response that reaches it ends as ``incomplete``.
        reasoning: how much the model reasons before it answers. For models that reason.
        tracing: whether OpenAI records a trace of the session: ``"auto"``, an object with
            ``workflow_name``, ``group_id`` and ``metadata``, or ``None`` for no trace.
        truncation: what the service does with a conversation that is too long for the model:
            ``"auto"`` drops the oldest messages, ``"disabled"`` fails the response, and ``{"type":
            "retention_ratio", "retention_ratio": 0.8}`` drops more at once, so that it happens less
            often.
        prompt: a stored prompt of the service, with ``id``, ``version`` and ``variables``. An
            agent's own prompt replaces it.
        include: names of additional fields that the service sends, for example
            ``("item.input_audio_transcription.logprobs",)``.
        extra: keys of the service's session that the library does not know. They are merged into what is
            sent, deeply and last, in the spelling of the service.
        interruption: when the user's speech interrupts the agent. ``None`` for never: the turn detection is
            then sent with ``interrupt_response`` switched off.
        output_guardrails: checks of what the agents say, in addition to the guardrails of the
            current agent.
        input_guardrails: checks of what the user writes or says, in addition to those of the
            current agent.
        hooks: hooks for all agents; see :class:`~trio_realtime.SessionHooks`.
        approval_timeout: seconds that a call may wait for ``approve_tool_call`` or ``reject_tool_call``.
            After that, it is rejected, and the model is informed. ``None`` for no limit.
        max_tool_output: characters of one tool result that the model is given. A longer result is not
            sent: the model is informed how long it was, and the call counts as ``failed``. The default is about
            25,000 tokens, nearly the whole context of a realtime model. ``None`` for no limit.
        format_rejection: a function, sync or async, that takes the :class:`~trio_realtime.ToolContext`
            of a call that was rejected without a message. It returns the text that the model is given.
        format_guardrail_feedback: a function that makes the message for the model when output guardrails
            trip. It takes an :class:`~trio_realtime.AgentContext` and the
            :class:`~trio_realtime.events.GuardrailTrip` objects, and returns the text. It must be a plain
            function, because the agent is stopped only after it has returned. By default, the message
            has the names of the guardrails and their ``feedback``.
        guardrail_audio_gate: hold the agent's audio until the text that covers it has passed all output
            guardrails. This delays audio by one check. Audio whose text trips a guardrail is never
            delivered.
        guardrail_debounce: characters between two checks of a growing reply; 0 for one check of the
            whole reply.
        history_update_interval: seconds between two ``history_updated`` events of a growing item; 0 for
            one event with each delta. The end of an item is always reported.
        max_history_audio: bytes of audio that the items of the history retain; the oldest audio is
            dropped first. 0, the default, retains none. The user's audio is requested from the service.
        connect_timeout: seconds to connect, and to have the settings and the items of ``history=``
            acknowledged.
        request_timeout: seconds that the service may take to begin a response, or to acknowledge settings
            or an edit of the history. After that, the request fails and the next one is sent. ``None``
            for no limit.
        reconnect: when the session connects again; ``None`` to end with the first connection.
        close_timeout: seconds that closing the connection may take when the block is left.
        ping_interval: seconds between two WebSocket pings; ``None`` for no pings. After a message was
            sent, a ping follows within a quarter of it. Pings notice a lost service, and keep proxies
            from closing a quiet connection.
        ping_timeout: seconds that the service may stay silent after a ping; ``None`` for no pings. After
            that, the connection is lost (1006). A message that is arriving is not silence. The in-memory
            transports and some custom ones have no pings and ignore both settings.
        idle_timeout: seconds without activity after which the session ends: no speech of the user, no
            message, no response, no call, and no audio of the agent to be heard. The audio of
            ``send_audio`` counts as speech if there is no turn detection. ``None`` for no limit.
        max_duration: seconds after which the session ends, from its opening; ``None`` for no limit.
        limits: budgets of tokens and calls.
        limit_grace: seconds that the agent has, once a limit is reached, to finish its answer and be
            heard before the session is closed as by ``aclose``; 0 to close at once.
        max_message_size: characters of one incoming frame. A larger frame ends the connection (1009).
        max_concurrent_calls: calls that are carried out at once; ``None`` for no limit. Later calls wait
            in order. A call that waits for approval does not count, and a call that was answered early
            does. An interruption cancels waiting calls, too.
        max_buffered_events: events that a consumer may leave unread.
        max_buffered_audio: bytes of audio that a consumer may leave unread, that may wait for guardrails or in
            ``paced_audio``, and that the outcome of an out-of-band response has.
        max_buffered_bytes: bytes of all events that a consumer may leave unread, audio included. It
            counts the texts and bytes of events.
        overflow: what happens when a consumer exceeds one of these limits. ``"fail"`` raises
            :class:`~trio_realtime.errors.ConsumerTooSlow` after the buffered events.
            ``"drop_oldest_audio"``, or ``"drop_oldest"`` for short, drops the oldest unread audio. Other
            events are never dropped: if they alone exceed the limit, the consumer gets
            ``ConsumerTooSlow``.
        max_outgoing_audio: bytes of audio that may wait to be sent; ``send_audio`` waits above that.
        max_audio_latency: seconds that the user's audio may wait to be sent, counted from when it was
            spoken; ``None`` for no limit. Older audio is dropped and reported with a ``warning`` event, so
            that a connection that stalls does not deliver it late. A recording that is sent faster than
            real time counts as spoken at its own pace.
        max_outgoing_text: bytes of other frames that may wait to be sent; ``send_message`` and the other
            sending methods wait above that.

    Raises:
        ConfigurationError: a setting cannot work. The message names it.
    """

    model: str | None = None
    output_modalities: tuple[str, ...] | Unset = attrs.field(
        default=UNSET, converter=_modalities, validator=_check_modalities
    )
    input_format: AudioFormat = PCM24K
    output_format: AudioFormat = PCM24K
    turn_detection: TurnDetection | Unset | None = UNSET
    transcription: Transcription | Unset | None = UNSET
    noise_reduction: NoiseReduction | Unset | None = UNSET
    voice: str | CustomVoice | Unset = UNSET
    speed: float | Unset = UNSET
    tool_choice: Any = UNSET
    parallel_tool_calls: bool | Unset = UNSET
    max_output_tokens: int | str | Unset = UNSET
    reasoning: Reasoning | Unset = UNSET
    tracing: Any = UNSET
    truncation: Any = UNSET
    prompt: Any = UNSET
    include: tuple[str, ...] | Unset | None = UNSET
    extra: Mapping[str, Any] | Unset = attrs.field(default=UNSET, converter=_extra)

    interruption: InterruptionPolicy | None = InterruptionPolicy()
    output_guardrails: Sequence[Any] = attrs.field(default=(), validator=_check_guardrails)
    input_guardrails: Sequence[Any] = attrs.field(default=(), validator=_check_guardrails)
    hooks: SessionHooks[Any] | None = None
    approval_timeout: float | None = attrs.field(default=None, validator=_positive_or_none)
    max_tool_output: int | None = attrs.field(default=100_000, validator=_count_or_none)
    format_rejection: RejectionFormatter | None = attrs.field(
        default=None, validator=_check_format_rejection
    )
    format_guardrail_feedback: FeedbackFormatter | None = attrs.field(
        default=None, validator=_check_format_feedback
    )
    guardrail_audio_gate: bool = False
    guardrail_debounce: int = attrs.field(default=100, validator=_not_negative)
    history_update_interval: float = attrs.field(default=0.1, validator=_not_negative)
    max_history_audio: int = attrs.field(default=0, validator=_not_negative)
    connect_timeout: float = attrs.field(default=10.0, validator=_positive)
    request_timeout: float | None = attrs.field(default=15.0, validator=_positive_or_none)
    reconnect: ReconnectPolicy | None = attrs.field(factory=ReconnectPolicy)
    close_timeout: float = attrs.field(default=1.0, validator=_positive)
    ping_interval: float | None = attrs.field(default=20.0, validator=_positive_or_none)
    ping_timeout: float | None = attrs.field(default=10.0, validator=_positive_or_none)
    idle_timeout: float | None = attrs.field(default=None, validator=_positive_or_none)
    max_duration: float | None = attrs.field(default=None, validator=_positive_or_none)
    limits: UsageLimits = UsageLimits()
    limit_grace: float = attrs.field(default=10.0, validator=_not_negative)
    max_message_size: int = attrs.field(default=32 * 1024 * 1024, validator=_positive)
    max_concurrent_calls: int | None = attrs.field(default=64, validator=_count_or_none)
    max_buffered_events: int = attrs.field(default=16_384, validator=_positive)
    max_buffered_audio: int = attrs.field(default=32 * 1024 * 1024, validator=_positive)
    max_buffered_bytes: int = attrs.field(default=64 * 1024 * 1024, validator=_positive)
    overflow: OverflowPolicy = attrs.field(default="fail", validator=_check_overflow)
    max_outgoing_audio: int = attrs.field(default=1024 * 1024, validator=_positive)
    max_audio_latency: float | None = attrs.field(default=2.0, validator=_positive_or_none)
    max_outgoing_text: int = attrs.field(default=1024 * 1024, validator=_positive)

    def __attrs_post_init__(self) -> None:
        for name, (kinds, expected) in _KINDS.items():
            if not isinstance(getattr(self, name), kinds):
                raise ConfigurationError(f"{name} must be {expected}, got {getattr(self, name)!r}")
        for name in ("input_format", "output_format"):
            rate = getattr(self, name).rate
            if rate is not None and not (is_number(rate) and rate > 0):
                raise ConfigurationError(f"{name}: the rate must be in Hz and > 0, got {rate!r}")
        needs_transcript = self.interruption is not None and self.interruption.needs_transcript
        if needs_transcript and not isinstance(self.transcription, Transcription):
            raise ConfigurationError(
                "ignored_phrases and resume of the InterruptionPolicy need transcripts: give "
                "transcription=Transcription(model=...)"
            )
        try:
            self.session_settings(instructions="", tools=())
        except (ValueError, TypeError) as exc:
            raise ConfigurationError(str(exc)) from None

    def session_settings(
        self,
        *,
        instructions: str,
        tools: tuple[ToolSpec, ...],
        voice: str | Unset = UNSET,
        prompt: Any = None,
    ) -> Session:
        """Return the settings for an agent with these instructions and tools.

        The list of tools is always sent, even if empty: otherwise the service keeps the old one.
        """
        own = {name: getattr(self, name) for name in SettingsChanges.__annotations__}
        own["turn_detection"] = apply_interruption(self.interruption, self.turn_detection)
        if isinstance(self.voice, Unset):
            own["voice"] = voice
        if prompt is not None:
            own["prompt"] = prompt
        return attrs.evolve(settings_of(own), instructions=instructions, tools=tools)


class SettingsChanges(TypedDict, total=False):
    """The settings that may change while a session runs: the arguments of ``update_settings``.

    Each key means the same as the argument of :class:`SessionConfig` with its name. A key that is left
    out leaves the setting unchanged.
    """

    output_modalities: tuple[str, ...] | Unset
    input_format: AudioFormat
    output_format: AudioFormat
    turn_detection: TurnDetection | Unset | None
    transcription: Transcription | Unset | None
    noise_reduction: NoiseReduction | Unset | None
    voice: str | CustomVoice | Unset
    speed: float | Unset
    tool_choice: Any
    parallel_tool_calls: bool | Unset
    max_output_tokens: int | str | Unset
    reasoning: Reasoning | Unset
    tracing: Any
    truncation: Any
    prompt: Any
    include: tuple[str, ...] | Unset | None
    extra: Mapping[str, Any] | Unset


_INPUT = {
    "input_format": "format",
    "transcription": "transcription",
    "noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}
_OUTPUT = {"output_format": "format", "voice": "voice", "speed": "speed"}


def settings_of(changes: Mapping[str, Any]) -> Session:
    """Return a session object with only these settings.

    Raises:
        ValueError: a setting cannot work.
    """
    given = {**changes}
    if "output_modalities" in given:
        given["output_modalities"] = _modalities(given["output_modalities"])
        _check_modalities(None, None, given["output_modalities"])
    if "extra" in given:
        given["extra"] = checked_extra(given["extra"])
    ins = {wire: given.pop(name) for name, wire in _INPUT.items() if name in given}
    outs = {wire: given.pop(name) for name, wire in _OUTPUT.items() if name in given}
    audio = AudioSettings(
        input=AudioInput(**ins) if ins else UNSET, output=AudioOutput(**outs) if outs else UNSET
    )
    return Session(audio=audio if ins or outs else UNSET, **given)


__all__ = [
    "InterruptionPolicy",
    "OverflowPolicy",
    "ReconnectPolicy",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "SettingsChanges",
    "UsageLimits",
]
