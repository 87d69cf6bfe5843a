"""Push-to-talk in the terminal: Enter begins a recording, Enter ends it, q ends the program.

The voice comes from question.wav, which the program makes, and the agent's voice goes to
reply.wav. Enter while the agent speaks interrupts it. It needs no key: the service is local.
"""

from pathlib import Path

import trio

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    Transcription,
    errors,
    events,
    open_realtime_session,
    serve_local,
)
from trio_realtime.audio import PcmAudio, write_wav
from trio_realtime.local import ToneSynthesizer

QUESTION = Path("question.wav")
REPLY = Path("reply.wav")
MINIMUM_MS = 100  # the service rejects shorter recordings

agent = RealtimeAgent[None](name="Assistant", instructions="Be brief.")
config = SessionConfig(
    turn_detection=None, transcription=Transcription(model="gpt-live-transcribe")
)


async def record(session: RealtimeSession[None]) -> None:
    """Be a microphone that hears a WAV file, again and again, until cancelled."""
    while True:
        await session.send_file(QUESTION)


async def talk(session: RealtimeSession[None]) -> None:
    """Record and request an answer for each pair of lines, until q or the end of the input."""
    while await line("Enter: speak, q: quit"):
        await session.interrupt()
        await session.clear_audio()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, session)
            go_on = await line("recording; Enter: send")
            nursery.cancel_scope.cancel()
        if (trio.current_time() - began) * 1000 < MINIMUM_MS:
            print("too short")
            await session.clear_audio()
        else:
            await session.commit_audio()
            await session.create_response()
        if not go_on:
            break
    await session.drain()  # let the agent finish


async def line(prompt: str) -> bool:
    """Wait for a line of the terminal; return whether the program goes on."""
    print(f"[{prompt}]", flush=True)
    try:
        text = await trio.to_thread.run_sync(input, abandon_on_cancel=True)
    except EOFError:
        return False
    return text.strip() != "q"


async def report(session: RealtimeSession[None]) -> None:
    """Print the conversation."""
    async for event in session:
        match event:
            case events.UserTranscript(transcript=text):
                print(f"you: {text}")
            case events.AgentEnd(output=text, status="completed"):
                print(f"agent: {text}")
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (interrupted after {ms} ms)")
            case events.Error(error=error):
                print(f"  error: {error}")
            case _:
                pass


async def play(session: RealtimeSession[None], reply: bytearray) -> None:
    """Keep what the user hears of the agent."""
    async with session.paced_audio() as voice:
        async for frame in voice:
            reply += frame.data


async def run(endpoint: Endpoint) -> None:
    """Have one conversation."""
    speech = b"".join(ToneSynthesizer().synthesize("Is it going to rain in Oslo?").pieces)
    write_wav(QUESTION, PcmAudio(speech))
    reply = bytearray()
    try:
        async with (
            open_realtime_session(agent, endpoint=endpoint, config=config) as session,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(report, session)
            nursery.start_soon(play, session, reply)
            await talk(session)
            nursery.cancel_scope.cancel()
    except* errors.NetworkError as lost:
        print(f"lost the connection: {lost.exceptions[0]}")
    finally:
        audio = PcmAudio(reply)
        write_wav(REPLY, audio)
        print(f"{REPLY}: {audio.duration_ms:.0f} ms")


async def main() -> None:
    """Run the local server, and have a conversation with it."""
    words = ["Is it going to rain in Oslo, and what should I wear?", "Never mind."]
    async with serve_local(transcripts=words) as server:
        await run(server.endpoint)


if __name__ == "__main__":
    trio.run(main)
