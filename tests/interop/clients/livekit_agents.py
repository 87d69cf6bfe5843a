"""An agent of LiveKit Agents with the realtime model of ``livekit-plugins-openai``, without a room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common import FRAME_SIZE, LONG_TEXT, QUESTION, RATE, TEXT, errors, main, speak, weather_in
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities
from livekit.plugins.openai.realtime import RealtimeModel

arguments: dict[str, str] = {}


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    arguments["city"] = city
    return weather_in(city)


class Microphone(AudioInput):
    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()

    async def push(self, frame: bytes) -> None:
        await self._frames.put(rtc.AudioFrame(frame, RATE, 1, FRAME_SIZE // 2))


class Speaker(AudioOutput):
    """Discards audio, and reports that it was played at the speed of speech."""

    def __init__(self) -> None:
        capabilities = AudioOutputCapabilities(pause=False)
        super().__init__(label="speaker", capabilities=capabilities, sample_rate=RATE)
        self._started: float | None = None
        self._duration = 0.0
        self._end: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self._duration += frame.duration
        if self._started is None:
            self._started = time.time()
            self.on_playback_started(created_at=self._started)

    def flush(self) -> None:
        super().flush()
        if self._started is not None:
            left = max(0.0, self._started + self._duration - time.time())
            self._end = asyncio.get_running_loop().call_later(left, self._finish)

    def clear_buffer(self) -> None:
        if self._started is not None:
            self._finish(interrupted=True)

    def _finish(self, *, interrupted: bool = False) -> None:
        assert self._started is not None
        played = min(self._duration, time.time() - self._started)
        if self._end is not None:
            self._end.cancel()
        self._started, self._duration, self._end = None, 0.0, None
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Model(RealtimeModel):
    """The model of the plugin. It passes the events of the server on to ``events``."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, api_key="local")
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def session(self, **options: Any) -> Any:
        session = super().session(**options)
        session.on("openai_server_event_received", self.events.put_nowait)
        return session

    async def until(self, *kinds: str) -> Any:
        while (event := await self.events.get())["type"] not in kinds:
            pass
        return event

    async def reply(self) -> str:
        while True:
            event = await self.until("response.done")
            for item in event["response"]["output"]:
                if item["type"] == "message":
                    return str(item["content"][0]["transcript"])


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[tuple[AgentSession[Any], Model, Microphone]]:
    model, user = Model(url), Microphone()
    # There is no echo to cancel, so speech may interrupt from the start.
    session: AgentSession[Any] = AgentSession(llm=model, aec_warmup_duration=None)
    session.input.audio, session.output.audio = user, Speaker()
    session.on("error", lambda event: errors.append(str(event.error)))
    await session.start(agent=Agent(instructions="Be brief.", tools=[get_weather]))
    try:
        yield session, model, user
    finally:
        await session.aclose()


async def text(url: str) -> dict[str, Any]:
    async with connect(url) as (session, model, _):
        speech = session.generate_reply(user_input=TEXT)
        reply = await model.reply()
        await speech
        return {"reply": reply}


async def tool(url: str) -> dict[str, Any]:
    async with connect(url) as (session, model, _):
        speech = session.generate_reply(user_input=QUESTION)
        reply = await model.reply()
        await speech
        return {"reply": reply, "arguments": arguments}


async def vad(url: str) -> dict[str, Any]:
    async with connect(url) as (_, model, user):
        speaking = asyncio.create_task(speak(user.push))
        reply = await model.reply()
        await speaking
        return {"reply": reply}


async def barge_in(url: str) -> dict[str, Any]:
    async with connect(url) as (session, model, user):
        session.generate_reply(user_input=LONG_TEXT)
        await model.until("response.output_audio.delta")
        await asyncio.sleep(0.5)  # it is heard for a while
        speaking = asyncio.create_task(speak(user.push))
        result: dict[str, Any] = {}
        while len(result) < 2:
            event = await model.until("response.done", "conversation.item.truncated")
            if event["type"] == "response.done":
                result.setdefault("status", event["response"]["status"])
            else:
                result["truncated_ms"] = event["audio_end_ms"]
        await speaking
        return result


main({"text": text, "tool": tool, "vad": vad, "barge_in": barge_in})
