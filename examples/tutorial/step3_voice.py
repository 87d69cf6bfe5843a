"""Step 3: speech from a WAV file in, the agent's voice to a WAV file out."""

from pathlib import Path
from typing import Any

import trio

import trio_realtime
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    Transcription,
    events,
    function_tool,
    open_realtime_session,
    serve_local,
)
from trio_realtime.audio import PcmAudio, write_wav
from trio_realtime.local import Call, Say, ScriptedResponder, Step

# --- the agent


@function_tool
async def find_room(nights: int) -> str:
    """Find a free room.

    Args:
        nights: how many nights the guest stays.
    """
    return f"Room 12 is free. {nights} nights are {80 * nights} euros."


reception = RealtimeAgent[None](
    name="Reception",
    instructions="You answer the phone of a hotel. Be brief.",
    tools=[find_room],
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
            case _:
                pass


async def play(session: RealtimeSession[Any], recording: bytearray) -> None:
    """Record each frame of the agent's voice when it is due, as a loudspeaker would play it."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            recording += frame.data


# --- the caller


async def call(session: RealtimeSession[Any]) -> None:
    """Ask a question, and listen to the answer."""
    with session.subscribe(events.AgentEnd) as answers:
        await session.send_file(SPEECH)
        await answers.receive()
    await session.drain()


# --- what the local server hears and says

SPEECH = Path(trio_realtime.__file__).parent / "cli" / "speech.wav"
HEARD = ["Have you got a room for two nights?"]
SAID: list[Step] = [
    Call("find_room", {"nights": 2}),
    Say("Room 12 is free. Two nights are 160 euros."),
]


async def main() -> None:
    """Make one call, and write the agent's voice to reply.wav."""
    recording = bytearray()
    async with (
        serve_local(transcripts=HEARD, responder=ScriptedResponder(SAID)) as server,
        open_realtime_session(reception, endpoint=server.endpoint, config=config) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(report, session)
        nursery.start_soon(play, session, recording)
        await call(session)
        nursery.cancel_scope.cancel()
    write_wav("reply.wav", PcmAudio(bytes(recording)))
    print("recorded reply.wav")


if __name__ == "__main__":
    trio.run(main)
