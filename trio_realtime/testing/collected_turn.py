"""A turn of the agent as a value, with assertions that show the conversation when they fail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from trio_realtime import events as ev
from trio_realtime.usage import Usage

from .matching import TextMatch, arguments_match

__all__ = ["CallOutcome", "CollectedCall", "CollectedTurn", "collected_calls"]

CallOutcome: TypeAlias = Literal[
    "completed", "failed", "timed_out", "rejected", "blocked", "unknown", "cancelled", "pending"
]
"""How a call ended: as :attr:`ToolEnd.outcome <trio_realtime.events.ToolEnd>`, or ``cancelled`` by an
interruption. ``pending`` is a call that has not ended."""


@attrs.frozen(kw_only=True)
class CollectedCall:
    """A function call of the agent.

    Attributes:
        name: the name of the tool.
        call_id: the id of the call.
        arguments_json: the arguments as the model wrote them.
        outcome: how the call ended.
        output: the text that the model was given; empty for a call that has not ended.
    """

    name: str
    call_id: str
    arguments_json: str
    outcome: CallOutcome = "pending"
    output: str = ""

    @property
    def arguments(self) -> Mapping[str, Any] | None:
        """The arguments by name; ``None`` if the model did not write a JSON object."""
        try:
            value: Any = json.loads(self.arguments_json)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType]

    def __str__(self) -> str:
        return f"{self.name} {self.arguments_json} ({self.outcome})"


def collected_calls(events: Iterable[ev.SessionEvent]) -> tuple[CollectedCall, ...]:
    """Return the function calls that the events report, in the order of their first event."""
    calls: dict[str, CollectedCall] = {}
    for event in events:
        match event:
            case ev.ToolStart(tool=tool, call_id=call_id, arguments=arguments):
                calls.setdefault(
                    call_id,
                    CollectedCall(name=tool.name, call_id=call_id, arguments_json=arguments),
                )
            case ev.ToolApprovalRequired(tool_name=name, call_id=call_id, arguments=arguments):
                calls[call_id] = CollectedCall(name=name, call_id=call_id, arguments_json=arguments)
            case ev.ToolEnd() | ev.ToolCancelled():
                calls[event.call_id] = _ended_call(event)
            case _:
                pass
    return tuple(calls.values())


def _ended_call(event: ev.ToolEnd | ev.ToolCancelled) -> CollectedCall:
    outcome: Any = "cancelled" if isinstance(event, ev.ToolCancelled) else event.outcome
    return CollectedCall(
        name=event.tool_name,
        call_id=event.call_id,
        arguments_json=event.arguments,
        outcome=outcome,
        output=event.output_text,
    )


@attrs.frozen(kw_only=True)
class CollectedTurn:
    """A turn of the agent: what it said, called and used. :func:`collect_turn` returns it.

    The methods that begin with ``assert_`` raise an :exc:`AssertionError` that shows the conversation.

    Attributes:
        events: all events from the end of the turn before to the end of this one, in order.
        outcome: the event that ended the turn, with its ``status`` and ``reason``.
        conversation: the turn as text, with times in seconds since the turn was awaited.
    """

    events: tuple[ev.SessionEvent, ...] = attrs.field(repr=False)
    outcome: ev.AgentEnd
    conversation: str

    @property
    def text(self) -> str:
        """The text that the agent wrote; empty if it spoke."""
        return "".join(event.delta for event in self.events if isinstance(event, ev.TextDelta))

    @property
    def transcript(self) -> str:
        """The transcript of what the agent said; empty if it wrote."""
        return "".join(
            event.delta for event in self.events if isinstance(event, ev.TranscriptDelta)
        )

    @property
    def audio(self) -> bytes:
        """The agent's audio in the output format, as far as it was delivered."""
        return b"".join(event.data for event in self.events if isinstance(event, ev.Audio))

    @property
    def tool_calls(self) -> tuple[CollectedCall, ...]:
        """The function calls, in order. A handoff is a call, too."""
        return collected_calls(self.events)

    @property
    def handoffs(self) -> tuple[str, ...]:
        """The names of the agents that became current, in order."""
        return tuple(event.to_agent.name for event in self.events if isinstance(event, ev.Handoff))

    @property
    def usage(self) -> Usage:
        """The tokens of all responses of the turn."""
        return self.outcome.usage

    def assert_completed(self) -> None:
        """Check that the turn was neither interrupted nor failed.

        Raises:
            AssertionError: its status is not ``completed``.
        """
        if self.outcome.status != "completed":
            why = self.outcome.message or self.outcome.reason
            raise self._failure("a turn that completes", f"it was {self.outcome.status}: {why}")

    def assert_said(
        self,
        contains: str | None = None,
        *,
        equals: str | None = None,
        regex: str | None = None,
    ) -> None:
        """Check what the agent wrote or said in the turn.

        Args:
            contains: a part of it.
            equals: all of it.
            regex: a regular expression that matches a part of it.

        Raises:
            AssertionError: the agent said something else.
            ValueError: no condition is given, or the regular expression is invalid.
        """
        match = TextMatch(contains=contains, equals=equals, regex=regex)
        said = self.text + self.transcript
        if not match.matches(said):
            raise self._failure(f"the agent says something {match}", f"it said {said!r}")

    def assert_called(self, tool_name: str, /, **arguments: Any) -> CollectedCall:
        """Check that the agent called a tool, whatever the outcome.

        Args:
            tool_name: the name of the tool.
            arguments: arguments that the call has. It may have others.

        Returns:
            CollectedCall: the first call that matches.

        Raises:
            AssertionError: there is no such call.
        """
        for call in self.tool_calls:
            if call.name == tool_name and arguments_match(arguments, call.arguments):
                return call
        given = f" with {json.dumps(arguments, default=repr)}" if arguments else ""
        raise self._failure(
            f"a call of {tool_name}{given}", f"the calls were: {_listed(self.tool_calls)}"
        )

    def assert_not_called(self, tool_name: str, /) -> None:
        """Check that the agent did not call a tool.

        Raises:
            AssertionError: it did.
        """
        calls = [call for call in self.tool_calls if call.name == tool_name]
        if calls:
            raise self._failure(f"no call of {tool_name}", f"the calls were: {_listed(calls)}")

    def assert_handed_off(self, agent_name: str, /) -> None:
        """Check that an agent became current during the turn.

        Raises:
            AssertionError: it did not.
        """
        if agent_name not in self.handoffs:
            raise self._failure(
                f"a handoff to {agent_name}", f"the handoffs were: {_listed(self.handoffs)}"
            )

    def _failure(self, expected: str, happened: str) -> AssertionError:
        return AssertionError(f"expected: {expected}\nbut {happened}\n\n{self.conversation}")


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values)) or "none"
