"""Talk with an agent: a microphone, a player and the events, as three tasks.

The microphone is standard input and the player standard output, both raw PCM16 mono at 24 kHz, so
that any recorder and any player will do. With those of ALSA, and headphones, for nothing here takes
the agent's voice out of the microphone again::

    arecord -q -t raw -f S16_LE -r 24000 | python full_duplex.py | aplay -q -t raw -f S16_LE -r 24000

The call ends when the microphone does.
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
    """One call."""
    try:
        async with open_realtime_session(agent) as session, trio.open_nursery() as nursery:
            nursery.start_soon(play, session)
            nursery.start_soon(report, session)
            await listen(session)
            await session.drain()  # let it finish what it has to say
            nursery.cancel_scope.cancel()
    except* errors.NetworkError as lost:
        # A nursery of one's own makes a group of what its tasks raise.
        print(f"the service was lost: {lost.exceptions[0]}", file=sys.stderr)


async def listen(session: RealtimeSession[None]) -> None:
    """The microphone, until it is switched off."""
    while pcm := await trio.to_thread.run_sync(os.read, 0, CHUNK, abandon_on_cancel=True):
        await session.send_audio(pcm)


async def play(session: RealtimeSession[None]) -> None:
    """The player: each frame when it is time for it, so an interruption cuts what is not played."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            await trio.to_thread.run_sync(os.write, 1, frame.data, abandon_on_cancel=True)


async def report(session: RealtimeSession[None]) -> None:
    """What happens, in words."""
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


if __name__ == "__main__":
    trio.run(main)
