"""A guardrail that records its checks, and replies to check."""

from __future__ import annotations

import trio

from trio_realtime import AgentContext, GuardrailResult, output_guardrail
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
