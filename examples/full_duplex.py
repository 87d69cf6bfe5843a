"""Talk to an agent: a microphone, a player and the session events, in three tasks.

The program reads the microphone from standard input and writes the agent's voice to standard output,
both as raw PCM16 mono at 24 kHz, so it works with any recorder and player. For example, with ALSA (use
headphones: there is no echo cancellation)::

    arecord -q -t raw -f S16_LE -r 24000 | python full_duplex.py | aplay -q -t raw -f S16_LE -r 24000

The call ends at the end of standard input.
"""

from __future__ import annotations

import os
import sys

import trio

from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    errors,
    events,
    function_tool,
    open_realtime_session,
)

CHUNK = 48 * 20  # bytes: 20 ms of 16-bit samples at 24 kHz


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sunny in {city}"


agent = RealtimeAgent[None](name="Assistant", instructions="Be brief.", tools=[get_weather])


async def main() -> None:
    """Run one call."""
    try:
        async with open_realtime_session(agent) as session, trio.open_nursery() as nursery:
            nursery.start_soon(play, session)
            nursery.start_soon(report, session)
            await listen(session)
            await session.drain()  # let the agent finish speaking
            nursery.cancel_scope.cancel()
    except* errors.NetworkError as lost:
        # The nursery raises an exception group.
        print(f"lost the connection: {lost.exceptions[0]}", file=sys.stderr)


async def listen(session: RealtimeSession[None]) -> None:
    """Send audio from the microphone until it ends."""
    while pcm := await trio.to_thread.run_sync(os.read, 0, CHUNK, abandon_on_cancel=True):
        await session.send_audio(pcm)


async def play(session: RealtimeSession[None]) -> None:
    """Play each frame when it is due, so that an interruption discards the rest."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            await trio.to_thread.run_sync(os.write, 1, frame.data, abandon_on_cancel=True)


async def report(session: RealtimeSession[None]) -> None:
    """Print what happens."""
    async for event in session:
        match event:
            case events.UserTranscript(transcript=text):
                print(f"you:   {text}", file=sys.stderr)
            case events.ToolEnd(tool_name=name, output_text=text):
                print(f"  {name}: {text}", file=sys.stderr)
            case events.AudioInterrupted(played_ms=ms):
                print(f"  (interrupted after {ms} ms)", file=sys.stderr)
            case events.AgentEnd(output=text, status="completed"):
                print(f"agent: {text}", file=sys.stderr)
            case events.Error(error=error):
                print(f"  error: {error}", file=sys.stderr)
            case _:
                pass


if __name__ == "__main__":
    trio.run(main)
