"""What the scenarios of tests name by import path."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio
import trio.lowlevel

from trio_realtime import (
    PCMU,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    ToolContext,
    Transcription,
    function_tool,
)
from trio_realtime.local import Say, Step, Turn
from trio_realtime.testing.scenarios import JudgedConversation, Verdict


@function_tool
async def get_weather(city: str) -> str:
    """Weather."""
    await trio.sleep(0.25)
    return f"Sunny in {city}"


@function_tool(timeout=5)
def read_file(name: str) -> str:
    """Read a file, in a thread."""
    time.sleep(0.02)
    return f"{name} is empty"


@function_tool(needs_approval=True)
async def pay(euros: int) -> str:
    """Pay."""
    return f"{euros} EUR paid"


@function_tool
async def who(context: ToolContext[str]) -> str:
    """Name the caller."""
    return context.context


@function_tool(on_failure="end_session")
async def explode() -> str:
    """Fail, and end the session."""
    raise ConnectionError("boom")


agent = RealtimeAgent[None](name="Clerk", tools=[get_weather, read_file, pay, explode])
caller = "Ada"


class Line:
    """The context of an agent that hangs up."""

    session: RealtimeSession[Line]


@function_tool
async def hang_up(context: ToolContext[Line]) -> None:
    """End the call."""
    await context.context.session.end_call(instructions=None)


async def connect(session: RealtimeSession[Line]) -> None:
    """Let the tools find the session."""
    session.context.session = session


polite_agent = RealtimeAgent[Line](name="Clerk", tools=[hang_up])
phone = SessionConfig(
    input_format=PCMU, output_format=PCMU, transcription=Transcription(model="gpt-4o-transcribe")
)
number = 5


def make_agent() -> RealtimeAgent[str]:
    """Return an agent whose tools need a context."""
    return RealtimeAgent(name="Clerk", tools=[who])


class Parrot:
    """A responder that says how many turns there were."""

    def respond(self, turn: Turn) -> Sequence[Step]:
        """Return the steps of one turn."""
        return [Say(f"{len(turn.items)} items")]


# --- judges --------------------------------------------------------------------------------------

judged: list[JudgedConversation] = []


def accept(conversation: JudgedConversation) -> bool:
    """Accept every conversation."""
    judged.append(conversation)
    return True


async def reject(_conversation: JudgedConversation) -> Verdict:
    """Reject every conversation, after a while."""
    await trio.lowlevel.checkpoint()
    return Verdict(passed=False, reason="it is rude")


def refuse(_conversation: JudgedConversation) -> bool:
    """Reject every conversation without a reason."""
    return False


def crash(_conversation: JudgedConversation) -> bool:
    """Fail."""
    raise ConnectionError("no model")


def mumble(_conversation: JudgedConversation) -> str:
    """Return no verdict."""
    return "good"
