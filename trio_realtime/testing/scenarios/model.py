"""What a scenario file contains: one frozen class for each kind of step, expectation and reply.

The first field of a class is the key that distinguishes it from the others of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import attrs

from trio_realtime import events as ev
from trio_realtime.testing.collected_turn import CallOutcome
from trio_realtime.testing.matching import TextMatch


def _not_negative(_: Any, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value >= 0:
        raise ValueError(f"{attribute.name} must be at least 0, got {value!r}")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be greater than 0, got {value!r}")


_EVENTS: Mapping[str, type[Any]] = {
    kind.type: kind for kind in get_args(ev.AnyEvent) if kind is not ev.RawModelEvent
}


# --- expectations ------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ExpectCall:
    """A function call, with at least these arguments.

    Without ``outcome`` and ``output``, the call matches as soon as it begins or waits for approval.
    """

    call: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    outcome: CallOutcome | None = None
    output: TextMatch | None = None
    within_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class ExpectSaid:
    """A response of the agent whose text or transcript matches."""

    said: TextMatch
    within_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class ExpectHandoff:
    """A handoff to the agent of this name."""

    handoff: str
    within_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class HeardRange:
    """How much of an interrupted item was heard, in milliseconds."""

    min_ms: float = attrs.field(default=0.0, validator=_not_negative)
    max_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class ExpectInterrupted:
    """An interruption of the agent's speech, which truncates the item."""

    interrupted: HeardRange
    within_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class ExpectGuardrail:
    """A guardrail of this name that trips."""

    guardrail: str
    within_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class ExpectEvent:
    """A session event of this type, whose fields have these values.

    An agent or a tool is compared by its name, and anything else that is no JSON value by its text.
    """

    event: str
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    within_ms: float | None = attrs.field(default=None, validator=_not_negative)

    def __attrs_post_init__(self) -> None:
        kind = _EVENTS.get(self.event)
        if kind is None:
            raise ValueError(f"{self.event!r} is not the type of a session event")
        fields = (field.name.removeprefix("_") for field in attrs.fields(kind))
        names = {name for name in fields if hasattr(kind, name)}
        for name in self.fields.keys() - names:
            raise ValueError(
                f"the event {self.event} has no field {name!r}, only {', '.join(sorted(names))}"
            )


Expectation: TypeAlias = (
    ExpectCall | ExpectSaid | ExpectHandoff | ExpectInterrupted | ExpectGuardrail | ExpectEvent
)


# --- steps -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class User:
    """The user writes a message."""

    user: str


@attrs.frozen(kw_only=True)
class Play:
    """The user speaks: the audio of a WAV file, in real time, followed by silence."""

    play: str
    silence_ms: float = attrs.field(default=1000.0, validator=_not_negative)


@attrs.frozen(kw_only=True)
class Interrupt:
    """The application interrupts the agent."""

    interrupt: None


@attrs.frozen(kw_only=True)
class Approve:
    """The application approves the oldest undecided call of a tool, once it waits for approval."""

    approve: str


@attrs.frozen(kw_only=True)
class Reject:
    """The application rejects the oldest undecided call of a tool, once it waits for approval."""

    reject: str
    message: str | None = None


@attrs.frozen(kw_only=True)
class Wait:
    """Time passes."""

    wait_ms: float = attrs.field(validator=_not_negative)


@attrs.frozen(kw_only=True)
class Expect:
    """Something happens, or has happened since the last action."""

    expect: Expectation


def _has_time(_: Any, _attribute: attrs.Attribute[Any], value: Expectation) -> None:
    if value.within_ms is None:
        raise ValueError("expect_no needs within_ms: the time in which nothing of this may happen")


@attrs.frozen(kw_only=True)
class ExpectNo:
    """Something does not happen within ``within_ms`` after the last action."""

    expect_no: Expectation = attrs.field(validator=_has_time)


Action: TypeAlias = User | Play | Interrupt | Approve | Reject
Step: TypeAlias = Action | Wait | Expect | ExpectNo


# --- replies of the local server ---------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SayReply:
    """A message of the model."""

    say: str
    audio_ms: float | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class CallReply:
    """A function call of the model. ``arguments`` is a mapping, or a text that is sent unchanged."""

    call: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict[str, Any])


@attrs.frozen(kw_only=True)
class HostedCallReply:
    """A call of a tool of a hosted MCP server."""

    hosted_call: str
    server: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict[str, Any])


@attrs.frozen(kw_only=True)
class FailReply:
    """The response fails with this error code."""

    fail: str
    message: str = "The server had an error while processing your request."


@attrs.frozen(kw_only=True)
class IncompleteReply:
    """The response ends early."""

    incomplete: Literal["max_output_tokens", "content_filter"]


@attrs.frozen(kw_only=True)
class PauseReply:
    """The model takes a pause."""

    pause_ms: float = attrs.field(validator=_not_negative)


Reply: TypeAlias = SayReply | CallReply | HostedCallReply | FailReply | IncompleteReply | PauseReply


Script: TypeAlias = Sequence[Sequence[Reply]] | str
"""The replies of each response, or the import path of a responder."""


def _not_empty(_: Any, attribute: attrs.Attribute[Any], value: Sequence[Any]) -> None:
    if not value:
        raise ValueError(f"{attribute.name} must have at least one entry")


# --- the file ----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Scenario:
    """A scenario as its file describes it. :func:`.load_scenario` returns it.

    Paths are relative to the folder of the file, and import paths have the form ``module:name``.

    Attributes:
        path: the file.
        step_lines: the line of each step in the file.
        name: what is tested; the name of the file by default.
        agent: import path of a :class:`~trio_realtime.RealtimeAgent`, or of a function that returns one.
        context: import path of the session's context, or of a function that returns it.
        setup: import path of a function that gets the session before the first step.
        config: import path of a :class:`~trio_realtime.SessionConfig`.
        modality: what the agent produces, if there is no ``config``: audio by default.
        python_path: folders to import from.
        responder: what the model of the local server says and calls: one entry for each response, or the
            import path of a :class:`~trio_realtime.local.Responder`. By default, it follows rules.
        transcripts: transcripts of the user's speech on the local server, in order.
        clock: ``virtual`` time, or ``real`` time for agents that wait for more than trio knows of.
        timeout: seconds that a step waits at most.
        steps: what happens, in order.
        judge: import paths of functions that judge the conversation.
    """

    path: Path
    step_lines: Sequence[int]
    name: str
    agent: str
    context: str | None = None
    setup: str | None = None
    config: str | None = None
    modality: Literal["audio", "text"] | None = None
    python_path: Sequence[str] = (".",)
    responder: Script | None = None
    transcripts: Sequence[str] = ()
    clock: Literal["virtual", "real"] = "virtual"
    timeout: float = attrs.field(default=30.0, validator=_positive)
    steps: Sequence[Step] = attrs.field(validator=_not_empty)
    judge: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        if self.config is not None and self.modality is not None:
            raise ValueError("give config or modality: a config has its own output_modalities")
