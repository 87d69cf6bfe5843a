"""Step 5: the agent hands the caller over to another agent."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

import trio_realtime
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    ToolContext,
    Transcription,
    events,
    function_tool,
    handoff,
    open_realtime_session,
    serve_local,
)
from trio_realtime.audio import PcmAudio, write_wav
from trio_realtime.local import Call, Say, ScriptedResponder, Step

# --- the agents


@dataclass
class Hotel:
    """What the tools of a call share.

    Attributes:
        bookings: one line for each booking.
    """

    bookings: list[str] = field(default_factory=list[str])


@function_tool
async def find_room(nights: int) -> str:
    """Find a free room.

    Args:
        nights: how many nights the guest stays.
    """
    return f"Room 12 is free. {nights} nights are {80 * nights} euros."


@function_tool
async def book_room(room: int, nights: int, guest: str, context: ToolContext[Hotel]) -> str:
    """Book a room.

    Args:
        room: the number of the room.
        nights: how many nights the guest stays.
        guest: the name of the guest.
        context: not seen by the model.
    """
    context.context.bookings.append(f"{guest}: room {room}, {nights} nights")
    return "Booked."


bookings = RealtimeAgent[Hotel](
    name="Bookings",
    instructions="You book rooms. Ask for the name of the guest. Be brief.",
    tools=[book_room],
)
reception = RealtimeAgent[Hotel](
    name="Reception",
    instructions="You answer the phone of a hotel. Be brief.",
    tools=[find_room],
    handoffs=[handoff(bookings, description="Books a room.")],
)
config = SessionConfig(
    turn_detection=ServerVad(), transcription=Transcription(model="gpt-live-transcribe")
)

# --- its end of the line


async def report(session: RealtimeSession[Any]) -> None:
    """Print what happens."""
    async for event in session:
        match event:
            case events.UserTranscript(transcript=text):
                print(f"caller: {text}")
            case events.ToolEnd(tool_name=name, arguments=arguments, output_text=output):
                print(f"  {name}({arguments}) -> {output}")
            case events.AgentEnd(agent=agent, output=text):
                print(f"{agent.name}: {text}")
            case events.Handoff(from_agent=old, to_agent=new):
                print(f"  {old.name} -> {new.name}")
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (interrupted after {ms / 1000:.0f} s)")
            case _:
                pass


async def play(session: RealtimeSession[Any], recording: bytearray) -> None:
    """Record each frame of the agent's voice when it is due, as a loudspeaker would play it."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            recording += frame.data


# --- the caller


async def call(session: RealtimeSession[Any], questions: int) -> None:
    """Ask questions, and listen to each answer."""
    for _ in range(questions):
        with session.subscribe(events.AgentEnd) as answers:
            await session.send_file(SPEECH)
            await answers.receive()
        await session.drain()


# --- what the local server hears and says

SPEECH = Path(trio_realtime.__file__).parent / "cli" / "speech.wav"
HEARD = ["I would like to book room 12 for two nights.", "My name is Kim."]
SAID: list[Step] = [
    Call("transfer_to_bookings"),
    Say("Bookings. Your name, please?"),
    Call("book_room", {"room": 12, "nights": 2, "guest": "Kim"}),
    Say("Thank you. The room is yours."),
]


async def main() -> None:
    """Make one call, write the agents' voices to reply.wav, and print the bookings."""
    recording, hotel = bytearray(), Hotel()
    async with (
        serve_local(transcripts=HEARD, responder=ScriptedResponder(SAID)) as server,
        open_realtime_session(
            reception, endpoint=server.endpoint, config=config, context=hotel
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(report, session)
        nursery.start_soon(play, session, recording)
        await call(session, len(HEARD))
        nursery.cancel_scope.cancel()
    write_wav("reply.wav", PcmAudio(bytes(recording)))
    print("recorded reply.wav")
    print("bookings:", *hotel.bookings)


if __name__ == "__main__":
    trio.run(main)
