"""What a demo measured, whether that is what the library promises, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs

from .audio_io import FRAME_MS

TurnKind = Literal["text", "tool", "speech", "barge_in"]


@attrs.frozen(kw_only=True)
class TurnFigures:
    """One turn of the agent. ``audio_ms`` is the audio that was received of it."""

    kind: TurnKind
    status: str
    text: str
    audio_ms: int


@attrs.frozen(kw_only=True)
class CallFigures:
    """One call. ``outputs_sent`` is how often the server was given an output for it."""

    name: str
    call_id: str
    outcome: str
    outputs_sent: int


@attrs.frozen(kw_only=True)
class Interruption:
    """What was cut off.

    Attributes:
        truncated_at_ms: where the server cut the item, by its own word.
        heard_ms: how much of it was played, by the session's word.
        stale_audio_events: audio of the response that came after the event that ends it.
        played_ms: how much of it the ear at the other end got, by its own count.
        cleaned_up: whether the cancelled tool's ``finally`` block ran.
    """

    item_id: str
    truncated_at_ms: int | None
    heard_ms: int
    stale_audio_events: int
    played_ms: int = attrs.field(metadata={"shown": False})
    cleaned_up: bool = attrs.field(metadata={"shown": False})


@attrs.frozen(kw_only=True)
class Report:
    """Everything that was measured in one run."""

    turns: tuple[TurnFigures, ...]
    tool_calls: tuple[CallFigures, ...]
    interrupted: Interruption | None
    leftover_tasks: int | None
    errors: tuple[str, ...]
    reply_wav: str | None

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong and every promise was kept."""
        return not any(self.problems())

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        figures = attrs.asdict(
            self, filter=lambda field, _value: field.metadata.get("shown", True) is True
        )
        figures["errors"] = list(self.problems())
        return {"ok": self.ok, **figures}

    def problems(self) -> Iterator[str]:
        """Each broken promise in a sentence."""
        yield from self.errors
        yield from self._problems_of_turns()
        yield from self._problems_of_calls()
        yield from self._problems_of_interruption()
        if self.leftover_tasks is None:
            yield "the tasks after the session were not counted"
        elif self.leftover_tasks:
            yield f"{self.leftover_tasks} task(s) were left after the session"
        if self.reply_wav is None:
            yield "the agent's speech was not written"

    def _problems_of_turns(self) -> Iterator[str]:
        """All four kinds took place; each was answered, the one barged into was cut off."""
        for kind in ("text", "tool", "speech", "barge_in"):
            if not any(turn.kind == kind for turn in self.turns):
                yield f"the {kind} turn did not take place"
        for turn in self.turns:
            expected = "cancelled" if turn.kind == "barge_in" else "completed"
            if turn.status != expected:
                yield f"the {turn.kind} turn ended {turn.status}, not {expected}"
            if not turn.text:
                yield f"nothing was said in the {turn.kind} turn"
            if (turn.audio_ms > 0) is (turn.kind == "text"):
                yield f"the {turn.kind} turn had {turn.audio_ms} ms of audio"

    def _problems_of_calls(self) -> Iterator[str]:
        """One call ran to its end, one was cancelled; the server got one output for each."""
        if sorted(call.outcome for call in self.tool_calls) != ["cancelled", "completed"]:
            yield "expected one completed and one cancelled call"
        for call in self.tool_calls:
            if call.outputs_sent != 1:
                yield f"the call of {call.name} was answered {call.outputs_sent} times"

    def _problems_of_interruption(self) -> Iterator[str]:
        """Nothing was played after it, and the server knows exactly how much was before."""
        cut = self.interrupted
        if cut is None:
            yield "nothing was interrupted"
            return
        if cut.stale_audio_events:
            yield f"{cut.stale_audio_events} audio event(s) came after the interruption"
        if cut.truncated_at_ms != cut.heard_ms:
            yield f"heard {cut.heard_ms} ms, but the server kept {cut.truncated_at_ms}"
        # The frame that plays at the moment of the cut has been handed out, but not heard.
        if not 0 <= cut.played_ms - cut.heard_ms <= FRAME_MS:
            yield f"the ear got {cut.played_ms} ms, but {cut.heard_ms} were told"
        if not cut.cleaned_up:
            yield "the finally block of the cancelled tool did not run"
