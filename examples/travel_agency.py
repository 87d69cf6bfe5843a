"""Three agents of a travel agency: parallel tools, handoffs, an approval, a guardrail, a summary.

The program plays the traveller, and a local server follows a script of what the model says and calls,
so no API key is needed. Everything else works as in a real call.

1. Reception looks for flights, hotels and a tour in parallel. The flight search fails, the hotel
   search times out, and the traveller interrupts the third tool.
2. Reception hands off to Bookings, and Bookings to Payments. The call of Bookings that needs approval
   is approved only after the second handoff; it still runs the tool of Bookings.
3. While Payments speaks, an out-of-band response summarizes the conversation. Payments reads out a
   card number, and the guardrail is slow: it trips after the answer was generated, but before all of
   it was heard.
"""

from __future__ import annotations

import logging

import trio

from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    RealtimeSession,
    ToolContext,
    events,
    function_tool,
    open_realtime_session,
    output_guardrail,
    serve_local,
)
from trio_realtime.local import Call, Say, ScriptedResponder

# report() below prints failed tools; the log would repeat them with tracebacks.
logging.getLogger("trio_realtime.tools").setLevel(logging.CRITICAL)

CARD = "4000 0012 3456 7899"

# --- Reception ----------------------------------------------------------------------------------


@function_tool
async def find_flights(city: str) -> str:
    """Flights to a city."""
    raise ConnectionError(f"the airline does not know {city} today")


@function_tool(timeout=0.2)
async def find_hotels(city: str) -> str:
    """Hotels in a city."""
    await trio.sleep_forever()  # the hotel system does not respond
    return city


@function_tool
async def plan_tour(city: str) -> str:
    """A walk through a city."""
    try:
        await trio.sleep_forever()  # planning takes a while
    finally:
        print(f"    (the planner for {city} was cancelled)")
    return city


# --- Bookings and Payments ----------------------------------------------------------------------


@function_tool(needs_approval=True)
async def hold_room(hotel: str, nights: int, context: ToolContext[None]) -> str:
    """Hold a room until tomorrow."""
    return f"{hotel} holds a room for {nights} nights, requested by {context.agent.name}"


@function_tool
async def charge(amount: int) -> str:
    """Charge the traveller's card, in euros."""
    return f"{amount} EUR paid by card {CARD}"


@output_guardrail
async def no_card_numbers(_context: AgentContext[None], text: str) -> bool:
    """Trip if the agent reads out the card number."""
    await trio.sleep(0.6)  # for example, a remote classifier
    return CARD in text


payments = RealtimeAgent[None](name="Payments", tools=[charge], output_guardrails=[no_card_numbers])
bookings = RealtimeAgent[None](name="Bookings", tools=[hold_room], handoffs=[payments])
reception = RealtimeAgent[None](
    name="Reception", tools=[find_flights, find_hotels, plan_tour], handoffs=[bookings]
)

# --- what the model says and calls, one list or Say per response --------------------------------

OSLO = {"city": "Oslo"}
SCRIPT = ScriptedResponder(
    [
        [Call("find_flights", OSLO), Call("find_hotels", OSLO), Call("plan_tour", OSLO)],
        Call("transfer_to_bookings"),
        [Call("hold_room", {"hotel": "Fjord", "nights": 2}), Call("transfer_to_payments")],
        Call("charge", {"amount": 240}),
        Say(f"All is paid, with your card number {CARD}, and the room is yours", audio_ms=3000),
        Say("Traveller to Oslo, two nights at the Fjord, paid."),
        Say("All is paid, and the room is yours.", audio_ms=500),
    ]
)


# --- the call -----------------------------------------------------------------------------------


async def main() -> None:
    """Run one call, from the first question to the last answer."""
    async with (
        serve_local(responder=SCRIPT) as server,
        open_realtime_session(reception, endpoint=server.endpoint) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(report, session)
        await parallel_tools(session)
        await hand_off(session)
        await trip_guardrail(session)
        await session.drain()
        nursery.cancel_scope.cancel()


async def parallel_tools(session: RealtimeSession[None]) -> None:
    """Run three tools in parallel, and interrupt after two of them have failed."""
    with session.subscribe(events.ToolEnd) as ends:
        await session.send_message("Flights, a hotel and a tour in Oslo, please!")
        await ends.receive()
        await ends.receive()
    await session.interrupt()  # returns after the third tool has been cancelled


async def hand_off(session: RealtimeSession[None]) -> None:
    """Approve a tool call after another agent has become the current one."""
    with session.subscribe(events.ToolApprovalRequired, events.Handoff) as channel:
        await session.send_message("Then book me two nights at the Fjord.")
        pending: list[str] = []
        while not pending or session.current_agent is not payments:
            match await channel.receive():
                case events.ToolApprovalRequired(call_id=call_id):
                    pending.append(call_id)
                case _:
                    pass
    with session.subscribe(events.Audio) as audio:
        await session.approve_tool_call(pending[0])
        await audio.receive()  # the card was charged, and Payments starts speaking


async def trip_guardrail(session: RealtimeSession[None]) -> None:
    """Request a summary while Payments speaks, and wait until the guardrail trips."""
    with session.subscribe(events.GuardrailTripped, events.AgentEnd) as channel:
        summary = await session.create_response(
            conversation="none", output_modalities=["text"], instructions="Summarize in one line."
        )
        text = (await summary).text
        state = "is still speaking" if session.playback.remaining else "has finished"
        print(f"summary, while {session.current_agent.name} {state}: {text}")
        while not isinstance(await channel.receive(), events.GuardrailTripped):
            pass  # the turn has ended, but its audio is still playing


async def report(session: RealtimeSession[None]) -> None:
    """Print what happens."""
    async for event in session:
        match event:
            case events.Handoff(from_agent=old, to_agent=new):
                print(f"  {old.name} -> {new.name}")
            case events.ToolApprovalRequired(tool_name=name):
                print(f"  {name}: needs approval")
            case events.ToolEnd(tool_name=name, outcome=outcome, output_text=text):
                print(f"  {name}: {outcome}: {text.replace(CARD, '(card)')}")
            case events.ToolCancelled(tool_name=name):
                print(f"  {name}: cancelled")
            case events.GuardrailTripped(guardrail_results=(trip, *_)):
                print(f"  {trip.name} tripped")
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (interrupted after {ms / 1000:.0f} s)")
            case events.AgentEnd(agent=agent, status="completed", output=text) if text:
                print(f"{agent.name}: {text.replace(CARD, '(card)')}")
            case events.Error(error=error):
                print(f"  error: {error}")
            case _:
                pass


if __name__ == "__main__":
    trio.run(main)
