"""Write the picture of the README: the call of ``trio-realtime demo`` on a timeline.

Run it after a change::

    python docs/draw_call.py

The script makes the call of the demo in virtual time, and draws what its events say. What the user says, and
when, is written here; everything else comes from the session.
"""

from __future__ import annotations

import sys
import textwrap
import wave
from pathlib import Path

import trio

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from svg import Bar, Mark, draw_timeline

import trio_realtime
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.cli.assistant import get_weather
from trio_realtime.cli.demo import TalkativeResponder
from trio_realtime.local import local_connector
from trio_realtime.testing import run_virtual

PICTURE = DOCS / "images" / "call.svg"
SPEECH = Path(trio_realtime.__file__).parent / "cli" / "speech.wav"
FRAME = 960  # bytes: 20 ms
SILENCE = bytes(32 * FRAME)
SECONDS = 14.4
"""Seconds that the picture shows."""
MAX_WORDS = 36
"""Characters of an answer that the picture shows."""

WRITES, SPEAKS, HEARD, TOOLS = "you write", "you speak", "the agent speaks", "tools run"
WORDS = ("what it says", "")


@function_tool
async def search_archive(topic: str) -> str:
    """Search the archive. Takes a minute."""
    await trio.sleep(60)
    return f"Nothing on {topic}."


class CallRecord:
    """What happens in a call, in seconds since its beginning.

    Attributes:
        bars, marks: what is drawn.
    """

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.marks: list[Mark] = []
        self._start = trio.current_time()
        self._heard: dict[str, tuple[float, float]] = {}
        self._texts: dict[str, str] = {}
        self._tools: dict[str, float] = {}

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return trio.current_time() - self._start

    def hear(self, frame: events.Audio) -> None:
        """Note that a frame of the agent's voice is played."""
        first, _ = self._heard.get(frame.item_id, (self.now(), 0.0))
        self._heard[frame.item_id] = (first, self.now() + len(frame.data) / 48_000)

    def add(self, event: events.SessionEvent) -> None:
        """Note what an event says."""
        match event:
            case events.TranscriptDelta(item_id=item_id, delta=delta):
                self._texts[item_id] = self._texts.get(item_id, "") + delta
            case events.ToolStart(call_id=call_id):
                self._tools[call_id] = self.now()
            case events.ToolEnd(call_id=call_id, tool_name=name):
                self.bars.append(Bar(TOOLS, self._tools[call_id], self.now(), "tool", name))
            case events.ToolCancelled(call_id=call_id, tool_name=name):
                label = f"{name}, cancelled"
                self.bars.append(Bar(TOOLS, self._tools[call_id], self.now(), "tool", label))
            case events.AudioInterrupted(item_id=item_id, played_ms=ms):
                self.marks += [
                    Mark(self.now(), "the agent is interrupted", "stop"),
                    Mark(self.now(), f"its answer is truncated at {ms} ms", "stop"),
                ]
            case _:
                pass

    def finish(self) -> None:
        """Add what the user has heard. The words are longer than the bars, so they alternate in two lanes."""
        for index, (item_id, (start, end)) in enumerate(self._heard.items()):
            words = textwrap.shorten(self._texts[item_id], MAX_WORDS, placeholder=" ...")
            self.bars.append(Bar(HEARD, start, end, "agent"))
            self.bars.append(Bar(WORDS[index % 2], start, start, "agent", words))


async def make_call() -> CallRecord:
    """Make the call of the demo, from its second part on."""
    record = CallRecord()
    service = local_connector(responder=TalkativeResponder(), pacing=3, interleave=False)
    agent = RealtimeAgent[None](name="Assistant", tools=[get_weather, search_archive])
    config = SessionConfig(turn_detection=ServerVad())
    async with (
        open_realtime_session(
            agent, transport=service, endpoint=service.endpoint, config=config
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(follow, session, record)
        nursery.start_soon(play, session, record)
        with session.subscribe(events.AgentEnd) as ends:
            await write(session, record, "What is the weather in Oslo?")
            await ends.receive()
            await session.drain()
            await speak(session, record)
            await ends.receive()
            await session.drain()
            with session.subscribe(events.AudioStart) as starts:
                await write(session, record, "Please search the archive for lighthouses.")
                await starts.receive()
            await trio.sleep(1)  # the user hears a second of the answer
            await speak(session, record)
            await ends.receive()  # of the interrupted answer
            await ends.receive()
            await session.drain()
        nursery.cancel_scope.cancel()
    record.finish()
    return record


async def write(session: RealtimeSession[None], record: CallRecord, text: str) -> None:
    """Send a text message."""
    record.bars.append(Bar(WRITES, record.now(), record.now(), "user", text))
    await session.send_message(text)


async def speak(session: RealtimeSession[None], record: CallRecord) -> None:
    """Send the recorded speech in real time, and then silence, which ends the turn."""
    with SPEECH.open("rb") as file, wave.open(file) as source:
        speech: bytes = source.readframes(source.getnframes())
    start, first = trio.current_time(), record.now()
    label = "a recorded sentence"
    record.bars.append(Bar(SPEAKS, first, first + len(speech) / 48_000, "user", label))
    samples = speech + SILENCE
    for number, offset in enumerate(range(0, len(samples), FRAME)):
        await trio.sleep_until(start + number * 0.02)
        await session.send_audio(samples[offset : offset + FRAME])


async def play(session: RealtimeSession[None], record: CallRecord) -> None:
    """Play the agent's voice."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            record.hear(frame)


async def follow(session: RealtimeSession[None], record: CallRecord) -> None:
    """Note all events."""
    async for event in session:
        record.add(event)


def generated_files() -> dict[Path, str]:
    """Return the content that the picture must have."""
    record = run_virtual(make_call)
    title = "The call of the demo on a timeline: text, a tool, speech, and an interruption"
    return {
        PICTURE: draw_timeline(
            title,
            (WRITES, SPEAKS, TOOLS, HEARD, *WORDS),
            record.bars,
            record.marks,
            seconds=SECONDS,
            scale=True,
        )
    }


if __name__ == "__main__":
    for path, content in generated_files().items():
        path.write_text(content, encoding="utf-8")
