"""A guardrail that records its checks, agents with guardrails, and replies to check."""

from __future__ import annotations

from typing import Any

import trio

from support.events import drain_events
from trio_realtime import (
    AgentContext,
    GuardrailResult,
    RealtimeAgent,
    RealtimeSession,
    events,
    output_guardrail,
)
from trio_realtime.agents import OutputGuardrail
from trio_realtime.testing import ScriptedPeer


class RecordingGuardrail:
    """An output guardrail that trips on a word and records its checks.

    Args:
        word: The word that trips the guardrail.
        delay: Virtual seconds that a check takes.
        name: The name of the guardrail.

    Attributes:
        seen: The text of each check, in the order in which they started.
        agents: The name of the agent of each check.
        guardrail: The guardrail itself.
    """

    def __init__(self, word: str = "secret", *, delay: float = 0.0, name: str = "watch") -> None:
        self.seen: list[str] = []
        self.agents: list[str] = []
        self._word = word
        self._delay = delay
        self.guardrail: OutputGuardrail = output_guardrail(name=name)(self._check)

    async def _check(self, about: AgentContext[None], text: str) -> GuardrailResult:
        self.seen.append(text)
        self.agents.append(about.agent.name)
        await trio.sleep(self._delay)
        return GuardrailResult(self._word in text, info=len(text))


def begin_reply(
    peer: ScriptedPeer, *deltas: str, number: int = 1, audio: bytes = b"", spoken: bool = True
) -> None:
    """Start a response and its message, both with this number, and send deltas and audio."""
    response_id, item_id = f"resp_{number}", f"item_{number}"
    peer.begin_response(response_id)
    peer.open_message(response_id, item_id)
    for delta in deltas:
        (peer.transcript if spoken else peer.text)(response_id, item_id, delta)
    if audio:
        peer.audio(response_id, item_id, audio)


def guarded_agent(*guardrails: RecordingGuardrail, name: str = "Guarded") -> RealtimeAgent[None]:
    """Return an agent with these guardrails."""
    return RealtimeAgent(
        name=name, output_guardrails=[recording.guardrail for recording in guardrails]
    )


def agent_with_guardrails(*guardrails: OutputGuardrail, **settings: Any) -> RealtimeAgent[None]:
    """Return an agent with these output guardrails and settings."""
    return RealtimeAgent(name="Guarded", output_guardrails=guardrails, **settings)


async def next_trip(session: RealtimeSession[None]) -> events.GuardrailTripped:
    """Wait until a guardrail trips."""
    with trio.fail_after(60):
        async for event in session:
            if isinstance(event, events.GuardrailTripped):
                return event
    raise AssertionError("the session ended before a guardrail tripped")


def drain_trips(session: RealtimeSession[None]) -> list[events.GuardrailTripped]:
    """Return the buffered trips."""
    return drain_events(session.events, events.GuardrailTripped)
