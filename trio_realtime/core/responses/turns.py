"""Turns of the agent: a response, and the responses that follow from its function calls.

A turn begins with a response that continues none, rides along while its calls are answered, and ends
with the last response, once. Whoever waits for the answer to a question waits for the turn.
"""

from __future__ import annotations

from typing import Any

from trio_realtime import events as ev
from trio_realtime.core.effects import ResponseOutcome
from trio_realtime.usage import Usage


class Turn:
    """One turn, from its first response on."""

    __slots__ = ("agent", "id", "output", "tool_calls", "usage", "waiters")

    def __init__(self, turn_id: str, agent: Any) -> None:
        self.id: str = turn_id
        self.agent: Any = agent
        self.output: str = ""
        self.tool_calls: int = 0
        self.usage: Usage = Usage()
        self.waiters: list[str] = []

    def add(self, outcome: ResponseOutcome, tool_calls: int, agent: Any) -> None:
        """One more response of the turn has ended; after a handoff it is another agent's."""
        self.agent = agent
        self.output = outcome.text or self.output
        self.tool_calls += tool_calls
        if outcome.usage is not None:
            self.usage = self.usage.plus(outcome.usage)

    def start(self) -> ev.AgentStart:
        """The event of its beginning."""
        return ev.AgentStart(agent=self.agent, turn_id=self.id)

    def end(self, outcome: ResponseOutcome) -> ev.AgentEnd:
        """The event of its end, with the last response's outcome."""
        return ev.AgentEnd(
            agent=self.agent,
            turn_id=self.id,
            response_id=outcome.response_id,
            status=outcome.status,
            reason=outcome.reason,
            message=outcome.message,
            output=self.output,
            tool_calls=self.tool_calls,
            usage=self.usage,
        )
