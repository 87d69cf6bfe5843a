"""The agent of a hotel, which most of the scenarios in this folder test."""

from __future__ import annotations

import trio

from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    SessionConfig,
    Transcription,
    function_tool,
    output_guardrail,
)
from trio_realtime.testing.scenarios import JudgedConversation, Verdict


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sunny in {city}"


@function_tool
async def get_tide(city: str) -> str:
    """The next high tide in a city."""
    await trio.sleep(0.5)  # for example, another service
    return f"High tide in {city} at noon"


@function_tool(timeout=2)
async def find_taxi(street: str) -> str:
    """Find a taxi nearby."""
    await trio.sleep_forever()  # the taxi company does not answer
    return street


@function_tool(needs_approval=True)
async def charge_minibar(room: int, euros: int) -> str:
    """Charge what a guest took from the minibar."""
    return f"{euros} EUR charged to room {room}"


@output_guardrail
async def no_door_codes(_context: AgentContext[None], text: str) -> bool:
    """Trip if the agent says the code of a door."""
    return "4711" in text


agent = RealtimeAgent[None](
    name="Concierge",
    instructions="You help the guests of a hotel. Be brief.",
    tools=[get_weather, get_tide, find_taxi, charge_minibar],
    output_guardrails=[no_door_codes],
)

phone = SessionConfig(transcription=Transcription(model="gpt-4o-transcribe"))


def is_brief(conversation: JudgedConversation) -> Verdict:
    """Judge whether the concierge says at most 20 words at a time."""
    for entry in conversation.entries:
        words = len(entry.text.split())
        if entry.speaker == "Concierge" and words > 20:
            return Verdict(passed=False, reason=f"{words} words at once: {entry.text}")
    return Verdict(passed=True)
