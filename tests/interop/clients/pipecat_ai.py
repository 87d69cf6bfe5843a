"""A pipeline of Pipecat with its service for OpenAI Realtime, without a transport for audio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common import LONG_TEXT, QUESTION, RATE, TEXT, errors, main, speak, weather_in
from loguru import logger
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMRunFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

arguments: dict[str, str] = {}
received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
parse_server_event = events.parse_server_event


def parse_and_record(message: str) -> Any:
    received.put_nowait(json.loads(message))
    return parse_server_event(message)


events.parse_server_event = parse_and_record

# The package does not use logging.
logger.remove()
logger.add(lambda message: errors.append(str(message)), level="ERROR", format="{name}: {message}")


async def get_weather(params: FunctionCallParams, city: str) -> None:
    """Current weather in a city.

    Args:
        city: The city.
    """
    arguments["city"] = city
    await params.result_callback(weather_in(city))


class Observer(FrameProcessor):
    """Sees the frames that reach the end of the pipeline; reports errors and interruptions."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.interrupted.set()
        await self.push_frame(frame, direction)


class Client:
    """A running pipeline, and what the service received."""

    def __init__(self, worker: PipelineWorker, observer: Observer) -> None:
        self.worker = worker
        self.observer = observer

    async def until(self, *kinds: str) -> Any:
        while (event := await received.get())["type"] not in kinds:
            pass
        return event

    async def reply(self) -> str:
        while True:
            event = await self.until("response.done")
            for item in event["response"]["output"]:
                if item["type"] == "message":
                    return str(item["content"][0]["transcript"])

    async def send_audio(self, frame: bytes) -> None:
        await self.worker.queue_frame(InputAudioRawFrame(frame, RATE, 1))


@asynccontextmanager
async def connect(url: str, *messages: str) -> AsyncIterator[Client]:
    service = OpenAIRealtimeLLMService(api_key="local", base_url=url)
    context = LLMContext([{"role": "user", "content": text} for text in messages], [get_weather])
    user, assistant = LLMContextAggregatorPair(context)
    observer = Observer()
    worker = PipelineWorker(Pipeline([user, service, observer, assistant]))

    @worker.event_handler("on_pipeline_error")
    async def on_pipeline_error(_: Any, frame: ErrorFrame) -> None:
        errors.append(frame.error)

    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_pipeline_started(_: Any, __: Frame) -> None:
        started.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        client = Client(worker, observer)
        await started.wait()
        if messages:
            await worker.queue_frame(LLMRunFrame())
        yield client
    finally:
        await worker.cancel()
        await running


async def text(url: str) -> dict[str, Any]:
    async with connect(url, TEXT) as client:
        return {"reply": await client.reply()}


async def tool(url: str) -> dict[str, Any]:
    async with connect(url, QUESTION) as client:
        return {"reply": await client.reply(), "arguments": arguments}


async def vad(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.until("session.updated")
        speaking = asyncio.create_task(speak(client.send_audio))
        reply = await client.reply()
        await speaking
        return {"reply": reply}


async def barge_in(url: str) -> dict[str, Any]:
    async with connect(url, LONG_TEXT) as client:
        await client.until("response.output_audio.delta")
        speaking = asyncio.create_task(speak(client.send_audio))
        result: dict[str, Any] = {}
        while len(result) < 2:
            event = await client.until("response.done", "conversation.item.truncated")
            if event["type"] == "response.done":
                result.setdefault("status", event["response"]["status"])
            else:
                result["truncated_ms"] = event["audio_end_ms"]
        await client.observer.interrupted.wait()
        await speaking
        return result


main({"text": text, "tool": tool, "vad": vad, "barge_in": barge_in})
