"""Step 3: speech from a WAV file in, the agent's voice to a WAV file out."""

import wave
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
from trio_realtime.local import Call, Say, ScriptedResponder, Step

RATE = 24_000  # samples per second, of two bytes each
FRAME = RATE * 2 * 20 // 1000  # bytes: 20 ms
SILENCE = bytes(30 * FRAME)  # 600 ms; the service ends the caller's turn after 500 ms

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


def read_wav(path: Path) -> bytes:
    """Return the samples of a WAV file: 16 bits, mono, 24 kHz."""
    with path.open("rb") as file, wave.open(file) as source:
        if (source.getnchannels(), source.getsampwidth(), source.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{path} must be 16-bit mono at {RATE} Hz")
        return bytes(source.readframes(source.getnframes()))


def write_wav(path: Path, samples: bytes | bytearray) -> None:
    """Write 16-bit mono samples at 24 kHz to a WAV file."""
    with path.open("wb") as file, wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(RATE)
        target.writeframes(samples)


async def say(session: RealtimeSession[Any], speech: bytes) -> None:
    """Send speech in real time, as a microphone would, and then silence, which ends the turn."""
    samples = speech + SILENCE
    start = trio.current_time()
    for number, offset in enumerate(range(0, len(samples), FRAME)):
        await trio.sleep_until(start + number * 0.02)
        await session.send_audio(samples[offset : offset + FRAME])


async def call(session: RealtimeSession[Any], speech: bytes) -> None:
    """Ask a question, and listen to the answer."""
    with session.subscribe(events.AgentEnd) as answers:
        await say(session, speech)
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
    speech, recording = read_wav(SPEECH), bytearray()
    async with (
        serve_local(transcripts=HEARD, responder=ScriptedResponder(SAID)) as server,
        open_realtime_session(reception, endpoint=server.endpoint, config=config) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(report, session)
        nursery.start_soon(play, session, recording)
        await call(session, speech)
        nursery.cancel_scope.cancel()
    write_wav(Path("reply.wav"), recording)
    print("recorded reply.wav")


if __name__ == "__main__":
    trio.run(main)
