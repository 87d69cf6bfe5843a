"""Step 4: the caller interrupts the agent."""

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
    item_text,
    open_realtime_session,
    serve_local,
)
from trio_realtime.audio import PcmAudio, write_wav
from trio_realtime.local import Call, Say, ScriptedResponder, Step
from trio_realtime.wire import MessageItem, OutputAudio

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
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (interrupted after {ms / 1000:.0f} s)")
            case _:
                pass


async def play(session: RealtimeSession[Any], recording: bytearray, heard: trio.Event) -> None:
    """Record each frame of the agent's voice when it is due, as a loudspeaker would play it."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            recording += frame.data
            if len(recording) >= 48_000:  # a second
                heard.set()


def print_history(session: RealtimeSession[Any]) -> None:
    """Print the messages of the conversation, and how much the caller heard of each."""
    print("the conversation:")
    for item in session.history:
        match item:
            case MessageItem(role="user"):
                print(f"  user: {item_text(item)}")
            case MessageItem(role="assistant", content=[OutputAudio(heard_ms=ms), *_]):
                heard = "all" if ms is None else f"{ms / 1000:.0f} s"
                print(f"  assistant, {heard} was heard: {item_text(item)}")
            case _:
                pass


# --- the caller


async def call(session: RealtimeSession[Any], heard: trio.Event) -> None:
    """Ask a question, interrupt the answer after a second, and listen to the next answer."""
    with session.subscribe(events.AgentEnd) as answers:
        await session.send_file(SPEECH)
        await heard.wait()
        await session.send_file(SPEECH)
        await answers.receive()
        await answers.receive()
    await session.drain()


# --- what the local server hears and says

SPEECH = Path(trio_realtime.__file__).parent / "cli" / "speech.wav"
HEARD = ["Have you got a room for two nights?", "Sorry, I meant three nights."]
SAID: list[Step] = [
    Call("find_room", {"nights": 2}),
    Say("Room 12 is free. Two nights are 160 euros."),
    Call("find_room", {"nights": 3}),
    Say("Three nights are 240 euros."),
]


async def main() -> None:
    """Make one call, write the agent's voice to reply.wav, and print the conversation."""
    recording = bytearray()
    heard = trio.Event()
    async with (
        serve_local(transcripts=HEARD, responder=ScriptedResponder(SAID)) as server,
        open_realtime_session(reception, endpoint=server.endpoint, config=config) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(report, session)
        nursery.start_soon(play, session, recording, heard)
        await call(session, heard)
        print_history(session)
        nursery.cancel_scope.cancel()
    write_wav("reply.wav", PcmAudio(bytes(recording)))
    print("recorded reply.wav")


if __name__ == "__main__":
    trio.run(main)
