"""A call in the terminal with openai-agents: a microphone, a loudspeaker, and a tool.

The loudspeaker takes audio in a callback, which runs in a thread of its own. It reports to the playback
tracker what was played, so that an interruption cuts the answer where the user stopped hearing it.
"""

from __future__ import annotations

import asyncio
import collections
import threading
from typing import Any

import sounddevice
from agents import function_tool
from agents.realtime import (
    RealtimeAgent,
    RealtimePlaybackTracker,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
)
from agents.realtime.model import RealtimeModelConfig

RATE = 24_000
BLOCK = RATE // 25


@function_tool
def opening_hours(day: str) -> str:
    """When the bakery is open on a day."""
    return f"On {day}, we are open from seven to six."


baker = RealtimeAgent(
    name="Baker",
    instructions="You answer the phone of a small bakery.",
    tools=[opening_hours],
)


class Loudspeaker:
    """Plays chunks of an answer, and forgets them when it is interrupted."""

    def __init__(self, tracker: RealtimePlaybackTracker) -> None:
        self._tracker = tracker
        self._chunks: collections.deque[tuple[bytes, str, int]] = collections.deque()
        self._lock = threading.Lock()

    def add(self, pcm: bytes, item_id: str, content_index: int) -> None:
        with self._lock:
            self._chunks.append((pcm, item_id, content_index))

    def clear(self) -> None:
        with self._lock:
            self._chunks.clear()

    def is_playing(self) -> bool:
        return bool(self._chunks)

    def fill(self, target: Any, frames: int, _time: Any, _status: Any) -> None:
        needed = frames * 2
        with self._lock:
            if not self._chunks:
                target[:] = bytes(needed)
                return
            pcm, item_id, content_index = self._chunks.popleft()
            if len(pcm) > needed:
                self._chunks.appendleft((pcm[needed:], item_id, content_index))
        part = pcm[:needed]
        target[:] = part.ljust(needed, b"\0")
        self._tracker.on_play_bytes(item_id=item_id, item_content_index=content_index, bytes=part)


class TerminalCall:
    def __init__(self) -> None:
        self.session: RealtimeSession | None = None
        self.tracker = RealtimePlaybackTracker()
        self.speaker = Loudspeaker(self.tracker)

    async def run(self) -> None:
        settings: RealtimeModelConfig = {
            "playback_tracker": self.tracker,
            "initial_model_settings": {
                "turn_detection": {"type": "semantic_vad", "interrupt_response": False},
            },
        }
        runner = RealtimeRunner(baker)
        output = sounddevice.RawOutputStream(
            samplerate=RATE, channels=1, dtype="int16", blocksize=BLOCK, callback=self.speaker.fill
        )
        with output:
            async with await runner.run(model_config=settings) as session:
                self.session = session
                listening = asyncio.create_task(self.listen())
                async for event in session:
                    self.show(event)
                listening.cancel()

    async def listen(self) -> None:
        with sounddevice.RawInputStream(samplerate=RATE, channels=1, dtype="int16") as microphone:
            while self.session is not None:
                if microphone.read_available < BLOCK:
                    await asyncio.sleep(0.01)
                    continue
                pcm, _overflowed = microphone.read(BLOCK)
                if not self.speaker.is_playing():  # the microphone hears the loudspeaker
                    await self.session.send_audio(bytes(pcm))

    def show(self, event: RealtimeSessionEvent) -> None:
        if event.type == "agent_start":
            print(f"{event.agent.name} begins")
        elif event.type == "agent_end":
            print(f"{event.agent.name} ends")
        elif event.type == "handoff":
            print(f"{event.from_agent.name} -> {event.to_agent.name}")
        elif event.type == "tool_start":
            print(f"{event.tool.name} starts")
        elif event.type == "tool_end":
            print(f"{event.tool.name}: {event.output}")
        elif event.type == "audio":
            self.speaker.add(event.audio.data, event.item_id, event.content_index)
        elif event.type == "audio_end":
            print("(all audio received)")
        elif event.type == "audio_interrupted":
            self.speaker.clear()
        elif event.type == "error":
            print("failed:", event.error)
        elif event.type == "raw_model_event":
            print("raw:", event.data.type)


if __name__ == "__main__":
    try:
        asyncio.run(TerminalCall().run())
    except KeyboardInterrupt:
        print("hung up")
