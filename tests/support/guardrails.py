"""A guardrail that notes what it sees, and replies for it to see."""

from __future__ import annotations

import trio

from trio_realtime import AgentContext, GuardrailResult, output_guardrail
from trio_realtime.agents import OutputGuardrail
from trio_realtime.testing import ScriptedPeer


class RecordingGuardrail:
    """Trips on a word, after a while.

    Args:
        word: what it objects to.
        takes: virtual seconds that a check takes.
        name: of the guardrail.

    Attributes:
        seen: the text of each check, in the order in which they began.
        agents: the agent that each was asked about.
        guardrail: the guardrail itself.
    """

    def __init__(self, word: str = "secret", *, takes: float = 0.0, name: str = "watch") -> None:
        self.seen: list[str] = []
        self.agents: list[str] = []
        self._word = word
        self._takes = takes
        self.guardrail: OutputGuardrail = output_guardrail(name=name)(self._check)

    async def _check(self, about: AgentContext[None], text: str) -> GuardrailResult:
        self.seen.append(text)
        self.agents.append(about.agent.name)
        await trio.sleep(self._takes)
        return GuardrailResult(self._word in text, info=len(text))


def begin_reply(
    peer: ScriptedPeer, *deltas: str, number: int = 1, audio: bytes = b"", spoken: bool = True
) -> None:
    """The response of this number begins a message of this number, and says this much of it."""
    response_id, item_id = f"resp_{number}", f"item_{number}"
    peer.begin_response(response_id)
    peer.open_message(response_id, item_id)
    for delta in deltas:
        (peer.transcript if spoken else peer.text)(response_id, item_id, delta)
    if audio:
        peer.audio(response_id, item_id, audio)
