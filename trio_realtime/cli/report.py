"""The measurements of one demo run, and the check that they meet the library's guarantees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs

from .audio_io import FRAME_MS

TurnKind = Literal["text", "tool", "speech", "barge_in"]


@attrs.frozen(kw_only=True)
class TurnMetrics:
    """Measurements of one turn of the agent. ``audio_ms`` is the audio received for it."""

    kind: TurnKind
    status: str
    text: str
    audio_ms: int


@attrs.frozen(kw_only=True)
class CallMetrics:
    """Measurements of one tool call. ``outputs_sent`` is the number of outputs the server got."""

    name: str
    call_id: str
    outcome: str
    outputs_sent: int


@attrs.frozen(kw_only=True)
class InterruptionMetrics:
    """Measurements of the interrupted item.

    Attributes:
        truncated_at_ms: where the server truncated the item, as reported by the server.
        heard_ms: how much of the item was heard, as reported by the session.
        stale_audio_events: number of audio events of the response after its interruption.
        played_ms: how much of the item the client played, as counted by the client.
        cleaned_up: whether the ``finally`` block of the cancelled tool ran.
    """

    item_id: str
    truncated_at_ms: int | None
    heard_ms: int
    stale_audio_events: int
    played_ms: int = attrs.field(metadata={"shown": False})
    cleaned_up: bool = attrs.field(metadata={"shown": False})


@attrs.frozen
class Check:
    """One guarantee of the library. ``problems`` say where the run did not meet it."""

    guarantee: str
    problems: tuple[str, ...]


@attrs.frozen(kw_only=True)
class DemoReport:
    """All measurements of one demo run."""

    turns: tuple[TurnMetrics, ...]
    tool_calls: tuple[CallMetrics, ...]
    interrupted: InterruptionMetrics | None
    leftover_tasks: int | None
    errors: tuple[str, ...]
    reply_wav: str | None

    @property
    def ok(self) -> bool:
        """Whether the run succeeded and met every guarantee."""
        return not any(self.problems())

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        metrics = attrs.asdict(
            self, filter=lambda field, _value: field.metadata.get("shown", True) is True
        )
        metrics["errors"] = list(self.problems())
        return {"ok": self.ok, **metrics}

    def problems(self) -> Iterator[str]:
        """Yield one sentence for each error and each guarantee that was not met."""
        yield from self.errors
        for check in self.checks():
            yield from check.problems

    def checks(self) -> tuple[Check, ...]:
        """Return what was checked, in words for readers who do not know the library."""
        heard = "" if self.interrupted is None else f" ({self.interrupted.heard_ms} ms)"
        return (
            Check(
                "The agent answered every question, in text and in speech.",
                tuple(self._turn_problems()),
            ),
            Check("Each tool call got exactly one result.", tuple(self._call_problems())),
            Check(
                f"When you interrupted, the conversation kept what you had heard{heard}, and no more.",
                tuple(self._interruption_problems()),
            ),
            Check("No sound of the interrupted answer came after that.", tuple(self._late_audio())),
            Check(
                "The tool that was running was stopped, and its cleanup code ran.",
                tuple(self._cleanup_problems()),
            ),
            Check("After the call, no background task was left.", tuple(self._leftover_problems())),
            Check("The agent's speech was recorded.", tuple(self._recording_problems())),
        )

    def _leftover_problems(self) -> Iterator[str]:
        if self.leftover_tasks is None:
            yield "the tasks left after the session were not counted"
        elif self.leftover_tasks:
            yield f"{self.leftover_tasks} task(s) were left after the session"

    def _recording_problems(self) -> Iterator[str]:
        if self.reply_wav is None:
            yield "the agent's speech was not written"

    def _turn_problems(self) -> Iterator[str]:
        """All four kinds of turn took place and completed, except that a barge-in cancels one."""
        for kind in ("text", "tool", "speech", "barge_in"):
            if not any(turn.kind == kind for turn in self.turns):
                yield f"the {kind} turn did not take place"
        for turn in self.turns:
            expected = "cancelled" if turn.kind == "barge_in" else "completed"
            if turn.status != expected:
                yield f"the {turn.kind} turn ended with status {turn.status}, not {expected}"
            if not turn.text:
                yield f"the {turn.kind} turn had no text"
            if (turn.audio_ms > 0) is (turn.kind == "text"):
                yield f"the {turn.kind} turn had {turn.audio_ms} ms of audio"

    def _call_problems(self) -> Iterator[str]:
        """One call completed and one was cancelled; the server got exactly one output for each."""
        if sorted(call.outcome for call in self.tool_calls) != ["cancelled", "completed"]:
            yield "expected one completed and one cancelled call"
        for call in self.tool_calls:
            if call.outputs_sent != 1:
                yield f"the call of {call.name} was answered {call.outputs_sent} times"

    def _interruption_problems(self) -> Iterator[str]:
        """The server knows exactly what was heard."""
        interrupted = self.interrupted
        if interrupted is None:
            yield "no item was interrupted"
            return
        heard_ms, played_ms = interrupted.heard_ms, interrupted.played_ms
        if interrupted.truncated_at_ms != heard_ms:
            yield (
                f"{heard_ms} ms were heard, but the server truncated the item at "
                f"{interrupted.truncated_at_ms} ms"
            )
        # The frame that was playing at the interruption was handed out, but not heard.
        if not 0 <= played_ms - heard_ms <= FRAME_MS:
            yield f"the client played {played_ms} ms, but the session reported {heard_ms} ms"

    def _late_audio(self) -> Iterator[str]:
        if self.interrupted is not None and self.interrupted.stale_audio_events:
            late = self.interrupted.stale_audio_events
            yield f"{late} audio event(s) came after the interruption"

    def _cleanup_problems(self) -> Iterator[str]:
        if self.interrupted is not None and not self.interrupted.cleaned_up:
            yield "the finally block of the cancelled tool did not run"
