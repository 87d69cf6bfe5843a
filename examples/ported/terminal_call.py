"""A call in the terminal: a microphone, a loudspeaker, and a tool.

Ported from a program of openai-agents; `tests/data/migrate/terminal_call.py` is the original. What changed:

- The microphone is standard input and the loudspeaker standard output, both PCM16 mono at 24 kHz, so that
  no sound device is needed. With ALSA::

      arecord -q -t raw -f S16_LE -r 24000 | python terminal_call.py | aplay -q -t raw -f S16_LE -r 24000

- `paced_audio` replaces the queue, the lock, the callback and the playback tracker: it delivers each frame
  when it is due, reports it as played, and drops the rest at an interruption.
- The tasks belong to a nursery. The original has to cancel the one that listens, and loses its exceptions.
- A handoff or an unknown call has a `tool_end` without a tool, so the program prints `tool_name`.

It runs on the local server, or on OpenAI if `OPENAI_API_KEY` is set.
"""

from __future__ import annotations

import os
import sys

import trio

from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SemanticVad,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)

CHUNK = 48 * 40  # bytes: 40 ms of 16-bit samples at 24 kHz


@function_tool
def opening_hours(day: str) -> str:
    """When the bakery is open on a day."""
    return f"On {day}, we are open from seven to six."


baker = RealtimeAgent[None](
    name="Baker",
    instructions="You answer the phone of a small bakery.",
    tools=[opening_hours],
)
config = SessionConfig(turn_detection=SemanticVad(interrupt_response=False))


async def main() -> None:
    """Run one call, until the end of standard input."""
    async with (
        open_realtime_session(baker, config=config) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, session)
        nursery.start_soon(show, session)
        await listen(session)
        await session.drain()  # let the agent finish speaking
        nursery.cancel_scope.cancel()


async def listen(session: RealtimeSession[None]) -> None:
    """Send what the microphone hears, except while it hears the loudspeaker."""
    while pcm := await trio.to_thread.run_sync(os.read, 0, CHUNK, abandon_on_cancel=True):
        if session.playback.remaining <= 0:
            await session.send_audio(pcm)


async def play(session: RealtimeSession[None]) -> None:
    """Play each frame when it is due."""
    async with session.paced_audio(frame_ms=40) as frames:
        async for frame in frames:
            await trio.to_thread.run_sync(os.write, 1, frame.data, abandon_on_cancel=True)


async def show(session: RealtimeSession[None]) -> None:
    """Print what happens to standard error."""
    async for event in session:
        for line in describe(event):
            print(line, file=sys.stderr)


def describe(event: events.SessionEvent) -> list[str]:
    """The lines to print about an event; most events have none."""
    match event:
        case events.AgentStart(agent=agent):
            return [f"{agent.name} begins"]
        case events.AgentEnd(agent=agent, output=text):
            return [f"{agent.name} ends: {text}"]
        case events.Handoff(from_agent=before, to_agent=after):
            return [f"{before.name} -> {after.name}"]
        case events.ToolStart(tool=tool):
            return [f"{tool.name} starts"]
        case events.ToolEnd(tool_name=name, output=output):
            return [f"{name}: {output}"]
        case events.AudioEnd():
            return ["(all audio received)"]
        case events.AudioInterrupted(played_ms=ms):
            return [f"(interrupted after {ms} ms)"]
        case events.Error(error=error):
            return [f"failed: {error}"]
        case _:
            return []


if __name__ == "__main__":
    try:
        trio.run(main)
    except KeyboardInterrupt:
        print("hung up", file=sys.stderr)
