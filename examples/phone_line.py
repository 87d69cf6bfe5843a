"""An agent on a phone line: G.711 both ways, full duplex, and the caller may interrupt.

A line is a stream of µ-law bytes, 8000 a second each way, as a telephony server hands them out. Here
one end is in the hands of a caller who is part of the program; :func:`answer` never notices. Without
a key in the environment, the agent is played by the local server.
"""

from __future__ import annotations

import os

import trio
import trio.testing

from trio_realtime import (
    PCMU,
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    Transcription,
    errors,
    events,
    function_tool,
    open_realtime_session,
    serve_local,
)

FRAME_MS = 20
FRAME = 8 * FRAME_MS  # bytes: G.711 has 8 of them in a millisecond


@function_tool(timeout=10)
async def lookup_order(number: int) -> str:
    """State of an order, by its number."""
    await trio.sleep(0.3)  # a database would be asked here
    return f"Order {number} was shipped on Monday and will be with you tomorrow, before noon"


agent = RealtimeAgent[None](
    name="Hotline",
    instructions="You answer the phone of a shop. Be brief.",
    tools=[lookup_order],
)
config = SessionConfig(
    input_format=PCMU,
    output_format=PCMU,
    turn_detection=ServerVad(silence_duration_ms=400),
    transcription=Transcription(model="gpt-4o-mini-transcribe"),
)


# --- the agent's end of the line


async def answer(line: trio.abc.Stream, endpoint: Endpoint) -> None:
    """One call, until the caller hangs up."""
    try:
        async with (
            open_realtime_session(agent, endpoint=endpoint, config=config) as session,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(speak, session, line)
            nursery.start_soon(report, session)
            await hear(line, session)
            nursery.cancel_scope.cancel()
    except* errors.NetworkError as lost:
        # A nursery of one's own makes a group of what its tasks raise: each of them may have been
        # told that the connection is gone.
        print(f"the service was lost: {lost.exceptions[0]}")
    except* trio.BrokenResourceError:
        print("the line went dead")  # while the agent was speaking


async def hear(line: trio.abc.Stream, session: RealtimeSession[None]) -> None:
    """What the caller says, as it comes, until they hang up."""
    while chunk := await line.receive_some(FRAME):
        await session.send_audio(bytes(chunk))


async def speak(session: RealtimeSession[None], line: trio.abc.Stream) -> None:
    """What the agent says: a frame every 20 ms, for a line has no buffer to fill in advance."""
    async with session.paced_audio(frame_ms=FRAME_MS, pad=True) as frames:
        async for frame in frames:
            await line.send_all(frame.data)


async def report(session: RealtimeSession[None]) -> None:
    """What happens, for whoever watches."""
    async for event in session:
        match event:
            case events.UserTranscript(transcript=text):
                print(f"caller: {text}")
            case events.ToolStart(tool=tool, arguments=arguments):
                print(f"  {tool.name}({arguments})")
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (interrupted after {ms} ms)")
            case events.AgentEnd(output=text, status="completed"):
                print(f"agent:  {text}")
            case events.Error(error=error):
                print(f"  error: {error}")


# --- the caller's end: somebody who hums, is silent, and listens

HUM = (b"\x90" * 10 + b"\x10" * 10) * 8  # a frame of a loud tone of 400 Hz
SILENCE = b"\xff" * FRAME
WORDS = ["What about order 42?", "Thank you, that will do!"]  # what the local server understands


async def call(line: trio.abc.Stream) -> None:
    """Ask, listen for a while, interrupt the answer, listen again, hang up."""
    async with line, trio.open_nursery() as nursery:
        nursery.start_soon(listen, line)
        for frame, seconds in ((HUM, 0.8), (SILENCE, 2.4), (HUM, 0.8), (SILENCE, 3.0)):
            await utter(line, frame, seconds)
        nursery.cancel_scope.cancel()


async def utter(line: trio.abc.Stream, frame: bytes, seconds: float) -> None:
    """The same frame again and again, each at its time."""
    start = trio.current_time()
    for number in range(int(seconds * 1000 / FRAME_MS)):
        await trio.sleep_until(start + number * FRAME_MS / 1000)
        await line.send_all(frame)


async def listen(line: trio.abc.Stream) -> None:
    """Hear how much was said."""
    heard = 0
    try:
        while chunk := await line.receive_some():
            heard += len(chunk)
    finally:
        print(f"the caller hung up, having heard {heard / 8000:.1f} seconds")


# --- the exchange between them


async def main() -> None:
    """Put a call through: to the service that the environment names, else to the local server."""
    if os.environ.get("OPENAI_API_KEY"):
        await connect(Endpoint.from_env())
    else:
        async with serve_local(transcripts=WORDS) as server:
            await connect(server.endpoint)


async def connect(endpoint: Endpoint) -> None:
    """Lay a line, with the agent at one end and the caller at the other."""
    here, there = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, here, endpoint)
        nursery.start_soon(call, there)


if __name__ == "__main__":
    trio.run(main)
