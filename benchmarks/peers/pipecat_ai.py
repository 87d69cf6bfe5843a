"""A pipeline of ``pipecat-ai`` with its service for OpenAI Realtime, on asyncio.

The pipeline is that of the documentation without a transport, which would pace the audio and carry it on:
the aggregators of the context, the service, and a processor in the place of the speaker. Nothing paces the
audio, so all modes run. The messages for browsers (RTVI) and the tracking of turns are off, as nothing reads
them.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - pipecat-ai runs on asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import attrs
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext, LLMContextMessage
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

from benchmarks.burst.load import Load, Measurement, Meter
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions
from benchmarks.peers.failure import give_up

RATE = 24_000

MESSAGES: Final[Sequence[LLMContextMessage]] = ({"role": "user", "content": "Go on."},)


def run_burst(url: str, load: Load) -> Measurement:
    """Count the frames that reach the speaker."""
    return asyncio.run(_consume(url, load))


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all pipelines in one loop."""
    return run_sessions(url, load, _talk)


class Speaker(FrameProcessor):
    """Hands over the frames that reach the place of the speaker.

    Attributes:
        frames: the frames of audio and text, and the ends of responses.
        responding: set when the service has asked for the first response.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.responding = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Hand over a frame, and push it on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, (TTSAudioRawFrame, TTSTextFrame, LLMFullResponseEndFrame)):
            self.frames.put_nowait(frame)
        elif isinstance(frame, LLMFullResponseStartFrame):
            self.responding.set()
        await self.push_frame(frame, direction)


@attrs.frozen
class Bot:
    """A running pipeline, its service, and its speaker."""

    worker: PipelineWorker
    service: OpenAIRealtimeLLMService
    speaker: Speaker

    async def next_audio(self) -> bytes:
        """Return the audio of the next delta."""
        while True:
            frame = await self.speaker.frames.get()
            if isinstance(frame, TTSAudioRawFrame):
                return frame.audio

    async def send_audio(self, audio: bytes) -> None:
        """Send a frame of the microphone."""
        await self.worker.queue_frame(InputAudioRawFrame(audio, RATE, 1))


@asynccontextmanager
async def _run(url: str) -> AsyncGenerator[Bot]:
    service = OpenAIRealtimeLLMService(api_key="unused", base_url=url)
    context = LLMContext([*MESSAGES])
    user, assistant = LLMContextAggregatorPair(context)
    speaker = Speaker()
    worker = PipelineWorker(
        Pipeline([user, service, speaker, assistant]),
        enable_rtvi=False,
        enable_turn_tracking=False,
    )
    worker.add_event_handler("on_pipeline_error", _fail)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        await worker.queue_frame(LLMRunFrame())
        await speaker.responding.wait()
        yield Bot(worker, service, speaker)
        await worker.cancel()


async def _fail(_: PipelineWorker, frame: ErrorFrame) -> None:
    give_up(f"pipecat-ai: {frame.error}")


async def _talk(url: str, exchange: Exchange) -> None:
    async with _run(url) as bot:
        await exchange.run(bot.next_audio, bot.send_audio)


async def _consume(url: str, load: Load) -> Measurement:
    async with _run(url) as bot:
        return await _measure(bot, Meter(load))


async def _measure(bot: Bot, meter: Meter) -> Measurement:
    while True:
        frame = await bot.speaker.frames.get()
        if isinstance(frame, TTSAudioRawFrame):
            meter.count_audio(frame.audio)
        elif isinstance(frame, TTSTextFrame):
            meter.count_text()
        elif meter.end_turn():
            return meter.result()
        else:
            # From the beginning of the pipeline, the message would not reach the service: the
            # aggregator of the user adds it to the context only.
            await bot.service.queue_frame(LLMMessagesAppendFrame([*MESSAGES], run_llm=True))
