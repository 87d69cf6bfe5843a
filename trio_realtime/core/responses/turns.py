"""Turns of the agent: a response, and the responses that follow from its function calls.

A turn begins with a response that continues no other turn and ends once, with its last response. A
caller that waits for the answer to a question waits for the end of the turn.
"""

from __future__ import annotations

from typing import Any

from trio_realtime import events as ev
from trio_realtime.core.effects import ResponseOutcome
from trio_realtime.usage import Usage


class Turn:
    """One turn of the agent.

    Attributes:
        id: the id of the first response.
        agent: the agent of the latest response; a handoff changes it.
        output: the text of the latest response that has any.
        tool_calls: the number of function calls so far.
        tool_rounds: the number of responses, up to the latest one, that had calls and no text.
        usage: the tokens of all responses so far.
        waiters: the tokens that are resolved when the turn ends.
    """

    __slots__ = ("agent", "id", "output", "tool_calls", "tool_rounds", "usage", "waiters")

    def __init__(self, turn_id: str, agent: Any) -> None:
        self.id: str = turn_id
        self.agent: Any = agent
        self.output: str = ""
        self.tool_calls: int = 0
        self.tool_rounds: int = 0
        self.usage: Usage = Usage()
        self.waiters: list[str] = []

    def add(self, outcome: ResponseOutcome, tool_calls: int, agent: Any) -> None:
        """Add a response that has ended to the totals of the turn."""
        self.agent = agent
        self.output = outcome.text or self.output
        self.tool_calls += tool_calls
        self.tool_rounds = self.tool_rounds + 1 if tool_calls and not outcome.text else 0
        if outcome.usage is not None:
            self.usage = self.usage.plus(outcome.usage)

    def start_event(self) -> ev.AgentStart:
        """Return the event for the beginning of the turn."""
        return ev.AgentStart(agent=self.agent, turn_id=self.id)

    def end_event(self, outcome: ResponseOutcome) -> ev.AgentEnd:
        """Return the event for the end of the turn, with the outcome of the last response."""
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
