"""Whether events meet an expectation, and what to say if they do not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from trio_realtime import events as ev
from trio_realtime.testing.collected_turn import CollectedCall, collected_calls
from trio_realtime.testing.matching import arguments_match

from .model import (
    Expectation,
    ExpectCall,
    ExpectEvent,
    ExpectGuardrail,
    ExpectHandoff,
    ExpectInterrupted,
    ExpectSaid,
)

__all__ = ["TimedEvent", "described", "first_match", "observed"]

TimedEvent: TypeAlias = tuple[float, ev.SessionEvent]
"""The time of an event in seconds, and the event."""


def first_match(expectation: Expectation, events: Sequence[TimedEvent]) -> TimedEvent | None:
    """Return the first event that meets an expectation, whenever it happened."""
    meets = _test_of(expectation)
    return next((timed for timed in events if meets(timed[1])), None)


def _test_of(expectation: Expectation) -> Callable[[ev.SessionEvent], bool]:
    match expectation:
        case ExpectCall():
            return lambda event: any(
                _is_call(expectation, call) for call in collected_calls([event])
            )
        case ExpectSaid(said=text):
            return lambda event: isinstance(event, ev.ResponseEnd) and text.matches(event.output)
        case ExpectHandoff(handoff=name):
            return lambda event: isinstance(event, ev.Handoff) and event.to_agent.name == name
        case ExpectInterrupted(interrupted=heard):
            return lambda event: (
                isinstance(event, ev.AudioInterrupted)
                and event.played_ms >= heard.min_ms
                and (heard.max_ms is None or event.played_ms <= heard.max_ms)
            )
        case ExpectGuardrail(guardrail=name):
            return lambda event: (
                isinstance(event, ev.GuardrailTripped)
                and any(trip.name == name for trip in event.guardrail_results)
            )
        case ExpectEvent(event=kind, fields=fields):
            return lambda event: (
                event.type == kind
                and all(_has_value(getattr(event, name), value) for name, value in fields.items())
            )


def _is_call(expected: ExpectCall, call: CollectedCall) -> bool:
    has_ended = call.outcome != "pending"
    return (
        call.name == expected.call
        and arguments_match(expected.arguments, call.arguments)
        and (expected.outcome is None or call.outcome == expected.outcome)
        and (expected.output is None or (has_ended and expected.output.matches(call.output)))
    )


def _has_value(actual: Any, expected: Any) -> bool:
    """Compare a field of an event with a value of the file."""
    name = getattr(actual, "name", None)
    if isinstance(name, str):
        actual = name
    elif actual is not None and not isinstance(actual, str | int | float):
        actual = str(actual)
    return arguments_match({"value": expected}, {"value": actual})


# --- messages ----------------------------------------------------------------------------------


def described(expectation: Expectation) -> str:
    """Return an expectation as text, without its time."""
    match expectation:
        case ExpectCall(call=name):
            return f"a call of {name}{_call_details(expectation)}"
        case ExpectSaid(said=text):
            return f"the agent says something {text}"
        case ExpectHandoff(handoff=name):
            return f"a handoff to {name}"
        case ExpectInterrupted(interrupted=heard):
            upper = "" if heard.max_ms is None else f" and at most {heard.max_ms:g} ms"
            return f"an interruption after at least {heard.min_ms:g} ms{upper} were heard"
        case ExpectGuardrail(guardrail=name):
            return f"the guardrail {name} trips"
        case ExpectEvent(event=kind, fields=fields):
            return f"an event {kind}{f' with {_as_json(fields)}' if fields else ''}"


def _call_details(expected: ExpectCall) -> str:
    details = [
        f"with {_as_json(expected.arguments)}" if expected.arguments else "",
        f"with the outcome {expected.outcome}" if expected.outcome is not None else "",
        f"with an output {expected.output}" if expected.output is not None else "",
    ]
    return "".join(f" {detail}" for detail in details if detail)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def observed(expectation: Expectation, events: Sequence[TimedEvent]) -> str:
    """Return what happened of the kind that an expectation is about."""
    happened = [event for _, event in events]
    match expectation:
        case ExpectCall():
            return _listed("the calls were", map(str, collected_calls(happened)))
        case ExpectSaid():
            said = [repr(event.output) for event in happened if isinstance(event, ev.ResponseEnd)]
            return _listed("the agent said", said)
        case ExpectHandoff():
            names = [event.to_agent.name for event in happened if isinstance(event, ev.Handoff)]
            return _listed("the handoffs were", names)
        case ExpectInterrupted():
            heard = [
                f"{event.played_ms} ms"
                for event in happened
                if isinstance(event, ev.AudioInterrupted)
            ]
            return _listed("the agent was interrupted after", heard)
        case ExpectGuardrail():
            trips = [
                trip.name
                for event in happened
                if isinstance(event, ev.GuardrailTripped)
                for trip in event.guardrail_results
            ]
            return _listed("the guardrails that tripped were", trips)
        case ExpectEvent(event=kind, fields=fields):
            same = [
                _as_json({name: _shown(getattr(event, name)) for name in fields})
                for event in happened
                if event.type == kind
            ]
            if same:
                return _listed(f"the events {kind} had", same)
            counts = Counter(event.type for event in happened)
            return _listed("the events were", (f"{n} {name}" for name, n in counts.items()))


def _shown(value: Any) -> Any:
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else value


def _listed(heading: str, values: Any) -> str:
    return f"{heading}: {', '.join(values) or 'none'}"
