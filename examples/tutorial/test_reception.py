"""Step 7: tests of the agents, in memory and in virtual time."""

from collections.abc import Sequence

import trio
from step6_approval import SPEECH, Hotel, config, decide, reception

from trio_realtime import events, open_realtime_session
from trio_realtime.audio import read_wav
from trio_realtime.local import Call, Say, ScriptedResponder, Step, local_connector
from trio_realtime.testing import run_virtual


async def talk(script: Sequence[Step], *messages: str) -> Hotel:
    """Send the messages of a caller to agents whose model follows a script."""
    responder, hotel = ScriptedResponder(script), Hotel()
    service = local_connector(responder=responder)
    async with (
        open_realtime_session(
            reception, transport=service, endpoint=service.endpoint, config=config, context=hotel
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(decide, session)
        for message in messages:
            await session.ask(message)
        nursery.cancel_scope.cancel()
    assert responder.remaining == 0
    return hotel


def booking(nights: int) -> Call:
    return Call("book_room", {"room": 12, "nights": nights, "guest": "Kim"})


def test_two_weeks_are_booked() -> None:
    script = [Call("transfer_to_bookings"), booking(14), Say("The room is yours.")]
    assert run_virtual(talk, script, "Two weeks, please.").bookings == ["Kim: room 12, 14 nights"]


def test_a_longer_stay_is_not_booked() -> None:
    script = [Call("transfer_to_bookings"), booking(15), Say("I may not do that.")]
    assert run_virtual(talk, script, "15 nights, please.").bookings == []


def test_the_caller_interrupts_the_agent() -> None:
    async def main() -> int:
        service = local_connector(responder=ScriptedResponder([Say("Hello! " * 20), Say("Yes?")]))
        async with open_realtime_session(
            reception, transport=service, endpoint=service.endpoint, config=config, context=Hotel()
        ) as session:
            await session.ask("Good morning!")
            with session.subscribe(events.AudioInterrupted) as interruptions:
                await session.send_file(read_wav(SPEECH))
                return (await interruptions.receive()).played_ms

    assert run_virtual(main) < 2000
