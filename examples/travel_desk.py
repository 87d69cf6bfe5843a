"""Three agents at a travel desk: tools side by side, handoffs, an approval, a guardrail, a side note.

The traveller and the service are part of the program, so it needs no key: the service plays a script
of what the model says and calls. Everything else is as it would be in a real call.

1. Reception looks for flights, hotels and a tour at the same time. The airline's system is down, the
   hotels' does not answer in time, and the traveller interrupts the third.
2. Reception hands over to Bookings, and Bookings to Payments. What Bookings has asked for is approved
   only then, and it is Bookings' own tool that runs.
3. While Payments speaks, a note is written beside the conversation; Payments says too much, and the
   guardrail is slow: it trips when the answer has long been generated, though not yet heard.
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

# The report below says what failed; the log would say it with a traceback.
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
    await trio.sleep_forever()  # nobody answers
    return city


@function_tool
async def plan_tour(city: str) -> str:
    """A walk through a city."""
    try:
        await trio.sleep_forever()  # a planner at work
    finally:
        print(f"    (the planner for {city} was told to stop)")
    return city


# --- Bookings and Payments ----------------------------------------------------------------------


@function_tool(needs_approval=True)
async def hold_room(hotel: str, nights: int, context: ToolContext[None]) -> str:
    """Hold a room until tomorrow."""
    return f"{hotel} holds a room for {nights} nights, asked by {context.agent.name}"


@function_tool
async def charge(amount: int) -> str:
    """Charge the traveller's card, in euros."""
    return f"{amount} EUR paid by card {CARD}"


@output_guardrail
async def no_card_numbers(_about: AgentContext[None], text: str) -> bool:
    """No card number is ever read out."""
    await trio.sleep(0.6)  # a classifier somewhere
    return CARD in text


payments = RealtimeAgent[None](name="Payments", tools=[charge], output_guardrails=[no_card_numbers])
bookings = RealtimeAgent[None](name="Bookings", tools=[hold_room], handoffs=[payments])
reception = RealtimeAgent[None](
    name="Reception", tools=[find_flights, find_hotels, plan_tour], handoffs=[bookings]
)

# --- what the model says and calls, response by response ----------------------------------------

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
    """One call, from the first question to the last answer."""
    async with (
        serve_local(responder=SCRIPT) as server,
        open_realtime_session(reception, endpoint=server.endpoint) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(report, session)
        await side_by_side(session)
        await hand_over(session)
        await say_too_much(session)
        await session.drain()
        nursery.cancel_scope.cancel()


async def side_by_side(session: RealtimeSession[None]) -> None:
    """Two of three tools have ended badly when the traveller has waited long enough."""
    with session.subscribe(events.ToolEnd) as ends:
        await session.send_message("Flights, a hotel and a tour in Oslo, please!")
        await ends.receive()
        await ends.receive()
    # "Never mind!"
    await session.interrupt()  # returns when the third has ended, too


async def hand_over(session: RealtimeSession[None]) -> None:
    """Somebody approves, but only when another agent has taken over already."""
    with session.subscribe(events.ToolApprovalRequired, events.Handoff) as happening:
        await session.send_message("Then book me two nights at the Fjord.")
        waiting: list[str] = []
        while not waiting or session.current_agent is not payments:
            match await happening.receive():
                case events.ToolApprovalRequired(call_id=call_id):
                    waiting.append(call_id)
                case _:
                    pass
    with session.subscribe(events.Audio) as voice:
        await session.approve_tool_call(waiting[0])
        await voice.receive()  # the card is charged, and Payments begins to speak


async def say_too_much(session: RealtimeSession[None]) -> None:
    """A note is taken while Payments speaks; then the guardrail trips."""
    with session.subscribe(events.GuardrailTripped, events.AgentEnd) as happening:
        note = await session.create_response(
            conversation="none", output_modalities=["text"], instructions="Sum up in one line."
        )
        noted = (await note).text
        heard = "is still speaking" if session.playback.remaining else "has spoken"
        print(f"note, while {session.current_agent.name} {heard}: {noted}")
        while not isinstance(await happening.receive(), events.GuardrailTripped):
            pass  # the turn has ended, and is still being heard


async def report(session: RealtimeSession[None]) -> None:
    """What happens, in words."""
    async for event in session:
        match event:
            case events.Handoff(from_agent=before, to_agent=now):
                print(f"  {before.name} -> {now.name}")
            case events.ToolApprovalRequired(tool_name=name):
                print(f"  {name}: waits for approval")
            case events.ToolEnd(tool_name=name, outcome=outcome, output_text=text):
                print(f"  {name}: {outcome}: {text.replace(CARD, '(card)')}")
            case events.ToolCancelled(tool_name=name):
                print(f"  {name}: cancelled")
            case events.GuardrailTripped(guardrail_results=(trip, *_)):
                print(f"  {trip.name} tripped")
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (silent after {ms / 1000:.0f} s of it)")
            case events.AgentEnd(agent=agent, status="completed", output=text) if text:
                print(f"{agent.name}: {text.replace(CARD, '(card)')}")
            case events.Error(error=error):
                print(f"  error: {error}")
            case _:
                pass


if __name__ == "__main__":
    trio.run(main)
