"""Invariant 13: a guardrail sees every reply at least once in full."""

from __future__ import annotations

from trio_realtime import events as ev
from trio_realtime.testing.simulation.log import Entry, InvariantViolation, Log

__all__ = ["GuardrailCheck"]


class GuardrailCheck:
    """Checks invariant 13.

    Args:
        log: the log to observe.
        gated: whether audio waits until its text was checked.
    """

    def __init__(self, log: Log, *, gated: bool) -> None:
        self._gated = gated
        self._texts: set[str] = set()
        self._outputs: dict[str, str] = {}
        self._tripped: set[str] = set()
        self._passed: list[str] = []
        self._transcripts: dict[str, str] = {}
        log.observe(self._checked, "check", "verdict")
        log.observe(self._received, "in")
        log.observe(self._event, "event")
        log.observe(self._quiet, "quiet")

    def _checked(self, entry: Entry) -> None:
        if entry.what == "check":
            self._texts.add(entry.about)
        else:
            text, trips = entry.about
            if not trips:
                self._passed.append(text)

    def _received(self, entry: Entry) -> None:
        frame = entry.about
        if frame["type"] == "response.output_audio_transcript.delta":
            response_id = frame["response_id"]
            text = self._transcripts.get(response_id, "") + (frame.get("delta") or "")
            self._transcripts[response_id] = text

    def _event(self, entry: Entry) -> None:
        name, event = entry.about
        match event:
            case ev.ResponseEnd(response_id=response_id, output=output) if name == "main":
                self._outputs[response_id] = output
            case ev.GuardrailTripped(response_id=str(response_id), call_id=None):
                self._tripped.add(response_id)
            case ev.Audio() if self._gated and name == "main":
                self._check_gate(event)
            case _:
                pass

    def _check_gate(self, event: ev.Audio) -> None:
        text = self._transcripts.get(event.response_id, "")
        if text and not any(passed and text.startswith(passed[:5]) for passed in self._passed):
            raise InvariantViolation(13, f"audio of {event.response_id} before its text has passed")

    def _quiet(self, _entry: Entry) -> None:
        for response_id, output in self._outputs.items():
            if not output or response_id in self._tripped:
                continue
            if not any(text.endswith(output) for text in self._texts):
                raise InvariantViolation(13, f"no guardrail has seen all of {output!r}")
        self._outputs.clear()
