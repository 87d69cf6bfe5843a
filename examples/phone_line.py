"""An agent on a phone line: G.711 in both directions, full duplex, and the caller can interrupt.

A line is a stream of µ-law bytes, 8000 per second in each direction, as a telephony server provides.
In this program the caller is simulated, which makes no difference to :func:`answer`. Without an API key
in the environment, the program uses the local server.
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
FRAME = 8 * FRAME_MS  # bytes: G.711 has 8 per millisecond


@function_tool(timeout=10)
async def lookup_order(number: int) -> str:
    """Look up the state of an order by its number."""
    await trio.sleep(0.3)  # a real tool would query a database
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
    transcription=Transcription(model="gpt-live-transcribe"),
)


# --- the agent's end of the line


async def answer(line: trio.abc.Stream, endpoint: Endpoint) -> None:
    """Answer one call, until the caller hangs up."""
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
        # The nursery raises an exception group: several tasks may notice the lost connection.
        print(f"lost the connection: {lost.exceptions[0]}")
    except* trio.BrokenResourceError:
        print("the caller hung up while the agent was speaking")


async def hear(line: trio.abc.Stream, session: RealtimeSession[None]) -> None:
    """Send the caller's audio as it arrives, until the caller hangs up."""
    while chunk := await line.receive_some(FRAME):
        await session.send_audio(bytes(chunk))


async def speak(session: RealtimeSession[None], line: trio.abc.Stream) -> None:
    """Play the agent's audio in real time, one frame every 20 ms: a phone line has no buffer."""
    async with session.paced_audio(frame_ms=FRAME_MS, pad=True) as frames:
        async for frame in frames:
            await line.send_all(frame.data)


async def report(session: RealtimeSession[None]) -> None:
    """Print what happens."""
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
            case _:
                pass


# --- the caller's end of the line

HUM = (b"\x90" * 10 + b"\x10" * 10) * 8  # one frame of a loud 400 Hz tone
SILENCE = b"\xff" * FRAME
WORDS = ["What about order 42?", "Thank you, that will do!"]  # the transcripts of the local server


async def call(line: trio.abc.Stream) -> None:
    """Ask a question, listen, interrupt the answer, listen again, and hang up."""
    async with line, trio.open_nursery() as nursery:
        nursery.start_soon(listen, line)
        for frame, seconds in ((HUM, 0.8), (SILENCE, 2.4), (HUM, 0.8), (SILENCE, 3.0)):
            await utter(line, frame, seconds)
        nursery.cancel_scope.cancel()


async def utter(line: trio.abc.Stream, frame: bytes, seconds: float) -> None:
    """Send the same frame repeatedly, in real time."""
    start = trio.current_time()
    for number in range(int(seconds * 1000 / FRAME_MS)):
        await trio.sleep_until(start + number * FRAME_MS / 1000)
        await line.send_all(frame)


async def listen(line: trio.abc.Stream) -> None:
    """Receive the agent's audio, and print how much there was."""
    heard = 0
    try:
        while chunk := await line.receive_some():
            heard += len(chunk)
    finally:
        print(f"the caller hung up, having heard {heard / 8000:.1f} seconds")


# --- the connection of both ends


async def main() -> None:
    """Use the service configured in the environment, or else the local server."""
    if os.environ.get("OPENAI_API_KEY"):
        await connect(Endpoint.from_env())
    else:
        async with serve_local(transcripts=WORDS) as server:
            await connect(server.endpoint)


async def connect(endpoint: Endpoint) -> None:
    """Connect the caller and the agent by a line in memory."""
    agent_end, caller_end = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, agent_end, endpoint)
        nursery.start_soon(call, caller_end)


if __name__ == "__main__":
    trio.run(main)
