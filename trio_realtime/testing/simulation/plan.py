"""A plan: everything that happens in one simulated session, drawn before the session runs.

A plan is a value. Its ``repr`` is the Python expression that creates it, so a plan that was printed
can be pasted into a test and run again.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import attrs

from trio_realtime.local import Call, Fail, Incomplete, Pause, Say

__all__ = [
    "FORBIDDEN",
    "Action",
    "ActionKind",
    "Check",
    "ConsumerPlan",
    "Decision",
    "Plan",
    "Reply",
    "Settings",
]

FORBIDDEN = "forbidden"
"""The guardrails of a simulation trip on text that contains this word."""

Reply: TypeAlias = tuple[Say | Call | Pause | Fail | Incomplete, ...]
"""What the model does in one response."""

ActionKind: TypeAlias = Literal[
    # the user
    "write",
    "write quietly",
    "write much",
    "ask",
    "speak",
    "push to talk",
    "noise",
    "interrupt",
    "change of mind",
    "mute",
    "unmute",
    "create response",
    "create and cancel",
    "out of band",
    "delete item",
    "rewrite item",
    "reorder",
    "settings",
    "refused settings",
    "other agent",
    "refused agent",
    "raw event",
    "clear audio",
    # the network
    "stall",
    "drop",
    "server closes",
    "unknown event",
    # the end of the session
    "leave",
    "raise",
    "cancel block",
    "aclose",
    "end call",
]


@attrs.frozen
class Action:
    """Something that happens at a time.

    Args:
        at: seconds since the session was opened.
        kind: what happens.
        value: an argument, whose meaning depends on the kind.
        cancel_after: number of checkpoints after which the task that does it is cancelled; ``None``
            if it is not cancelled.
    """

    at: float
    kind: ActionKind
    value: Any = None
    cancel_after: int | None = None


@attrs.frozen
class Check:
    """How a guardrail behaves in one check. Whether it trips depends on the text.

    Args:
        seconds: how long the check takes; ``math.inf`` for a check that hangs.
        fails: whether it raises.
    """

    seconds: float = 0.0
    fails: bool = False


@attrs.frozen
class Decision:
    """The decision about one call that needs approval.

    Args:
        seconds: how long it takes; ``math.inf`` if it comes only at the end of the session.
        approve: whether the call is approved.
        always: whether the decision holds for later calls.
    """

    seconds: float = 0.0
    approve: bool = True
    always: bool = False


@attrs.frozen
class ConsumerPlan:
    """A consumer besides the one that reads the main channel.

    Args:
        kind: ``all`` events, ``audio`` and its interruptions only, or ``paced`` audio.
        pause: seconds that it takes for each event.
        stops_at: time at which it stops reading until the session ends; ``None`` for never.
        cancelled_at: time at which its task is cancelled; ``None`` for never.
        overflow: the policy of its channel.
    """

    kind: Literal["all", "audio", "paced"] = "all"
    pause: float = 0.0
    stops_at: float | None = None
    cancelled_at: float | None = None
    overflow: Literal["fail", "drop_oldest"] = "fail"


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of the session, of the server and of the network.

    Args:
        modality: ``audio`` or ``text``.
        audio_format: ``pcmu`` or ``pcm``.
        vad: whether the server detects turns.
        interrupt_response: whether the server cancels a response when the user speaks.
        barge_in: whether the session interrupts on the user's speech.
        gated: whether audio waits until its text was checked.
        debounce: characters between two checks.
        latency: seconds that a frame takes in each direction.
        pacing: speed at which the server generates audio, relative to real time.
        interleave: whether the server's output items overlap.
        max_events, max_audio: bounds of each consumer's channel, in events and bytes.
        max_outgoing: bound of outgoing audio and of other frames, in bytes each.
        send_buffer: number of frames that the network takes before a send waits.
        extra_fields: whether the server adds unknown fields and nulls to its events.
        repeat: the seed for events that the server repeats after their response has ended; ``None``
            for no repetition.
        session_seconds: seconds after which the server ends the session.
        wrong_key: whether the server refuses the key.
        transcribing: seconds that a transcription takes.
        reconnects: whether the session connects again when a connection is lost.
    """

    modality: Literal["audio", "text"] = "audio"
    audio_format: Literal["pcmu", "pcm"] = "pcmu"
    vad: bool = True
    interrupt_response: bool = True
    barge_in: bool = True
    gated: bool = False
    debounce: int = 20
    latency: float = 0.0
    pacing: float = 10.0
    interleave: bool = False
    max_events: int = 16_384
    max_audio: int = 32 * 1024 * 1024
    max_outgoing: int = 1024 * 1024
    send_buffer: int = 1000
    extra_fields: bool = False
    repeat: int | None = None
    session_seconds: float = 3600.0
    wrong_key: bool = False
    transcribing: float = 0.0
    reconnects: bool = False


@attrs.frozen(kw_only=True)
class Plan:
    """One simulated session.

    Args:
        seed: the seed of the order of tasks, and of what the plan leaves open.
        actions: what happens at which time, in order of time.
        replies: the model's responses in order. Later responses are short.
        checks: the guardrails' behavior in order. Later checks take no time.
        decisions: the decisions about calls, in order. Later calls are approved at once.
        consumers: consumers besides the one that reads the main channel.
        settings: settings of all parts.
    """

    seed: int
    actions: tuple[Action, ...] = ()
    replies: tuple[Reply, ...] = ()
    checks: tuple[Check, ...] = ()
    decisions: tuple[Decision, ...] = ()
    consumers: tuple[ConsumerPlan, ...] = ()
    settings: Settings = Settings()

    @property
    def size(self) -> int:
        """The number of parts that can be left out."""
        parts = (self.actions, self.replies, self.checks, self.decisions, self.consumers)
        steps = sum(len(reply) for reply in self.replies)
        cancelled = sum(action.cancel_after is not None for action in self.actions)
        default = Settings()
        changed: int = sum(
            getattr(self.settings, field.name) != getattr(default, field.name)
            for field in attrs.fields(Settings)
        )
        return sum(map(len, parts)) + steps + cancelled + changed

    def describe(self) -> str:
        """Return the Python expression that creates this plan, with one part per line."""
        lines = [f"Plan(\n    seed={self.seed},"]
        for name in ("actions", "replies", "checks", "decisions", "consumers"):
            parts = getattr(self, name)
            if parts:
                inner = "".join(f"        {_expression(part)},\n" for part in parts)
                lines.append(f"    {name}=(\n{inner}    ),")
        if self.settings != Settings():
            lines.append(f"    settings={_expression(self.settings)},")
        return "\n".join([*lines, ")"])


def _expression(value: Any) -> str:
    """Return an expression that creates the value, without the arguments that have their default."""
    kind: Any = value.__class__
    if kind is tuple:
        parts: tuple[Any, ...] = value
        return "(" + "".join(f"{_expression(part)}, " for part in parts).rstrip() + ")"
    if value == math.inf:
        return "math.inf"
    if not attrs.has(kind):
        return repr(value)
    arguments: list[str] = []
    for field in attrs.fields(kind):
        given = getattr(value, field.name)
        default: Any = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory()
        if given != default:
            arguments.append(f"{field.name}={_expression(given)}")
    return f"{kind.__name__}({', '.join(arguments)})"
