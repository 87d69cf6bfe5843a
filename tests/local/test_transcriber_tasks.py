"""Transcribers that are functions of the user."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Awaitable

import pybase64
import pytest
import trio
import trio.testing

from support.realtime_client import KEY, QUERY, Frame, receive_until, send
from trio_realtime.local import (
    Transcriber,
    TranscriptionFailed,
    TranscriptionResult,
    UserAudio,
    local_connector,
)
from trio_realtime.transports import ConnectOptions, Transport

IN_MEMORY = f"ws://localhost/v1/realtime{QUERY}"
AUDIO = pybase64.b64encode(bytes(9600)).decode()
SESSION = {
    "type": "realtime",
    "output_modalities": ["text"],
    "audio": {
        "input": {"turn_detection": None, "transcription": {"model": "gpt-4o-transcribe"}},
    },
}
FAILED = "conversation.item.input_audio_transcription.failed"


async def ask_by_voice(transport: Transport) -> None:
    await send(transport, "session.update", session=SESSION)
    await send(transport, "input_audio_buffer.append", audio=AUDIO)
    await send(transport, "input_audio_buffer.commit")
    await send(transport, "response.create")


async def frames_with(transcriber: Transcriber) -> list[Frame]:
    """Return the frames of a spoken turn, up to the end of the response."""
    connector = local_connector(transcriber=transcriber)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await ask_by_voice(transport)
        return await receive_until(transport, "response.done")


async def answer_with(transcriber: Transcriber) -> str:
    frames = await frames_with(transcriber)
    texts = [frame["text"] for frame in frames if frame["type"] == "response.output_text.done"]
    (text,) = texts
    return str(text)


def describe(audio: UserAudio) -> str:
    return f"{len(audio.data)} bytes of {audio.format} at {audio.sample_rate}"


async def describe_slowly(audio: UserAudio) -> str:
    await trio.sleep(0.01)
    return describe(audio)


class OtherCancelled(BaseException):
    """An exception like the one that cancels asyncio tasks."""


class Describer:
    async def __call__(self, audio: UserAudio) -> str:
        return await describe_slowly(audio)

    def transcribe(self, audio: UserAudio) -> str:
        return describe(audio)


def describe_later(audio: UserAudio) -> Awaitable[str]:
    return describe_slowly(audio)


@pytest.mark.parametrize(
    "transcriber",
    [
        describe,
        describe_slowly,
        describe_later,
        Describer(),
        Describer().transcribe,
        functools.partial(describe_slowly),
        functools.partial(describe),
    ],
)
async def test_a_transcriber_is_any_callable(transcriber: Transcriber) -> None:
    assert await answer_with(transcriber) == "You said: 9600 bytes of audio/pcm at 24000"


async def test_a_plain_function_runs_in_a_worker_thread() -> None:
    threads: list[threading.Thread] = []

    def transcribe(audio: UserAudio) -> None:
        threads.append(threading.current_thread())

    assert await answer_with(transcribe) == "I heard 0.2 seconds of audio."
    assert threads[0] is not threading.current_thread()


async def test_a_slow_plain_function_does_not_block_other_clients() -> None:
    released = threading.Event()

    def transcribe(audio: UserAudio) -> str:
        return "released" if released.wait(10.0) else "blocked"

    connector = local_connector(transcriber=transcribe)
    async with (
        connector(ConnectOptions(IN_MEMORY, KEY)) as transport,
        connector(ConnectOptions(IN_MEMORY, KEY)) as other,
    ):
        await ask_by_voice(transport)
        await receive_until(transport, "response.created")
        for client in (transport, other):
            await send(client, "input_audio_buffer.clear")
            await receive_until(client, "input_audio_buffer.cleared")
        released.set()
        frames = await receive_until(transport, "response.output_text.done")
    assert frames[-1]["text"] == "You said: released"


async def test_plain_functions_run_one_at_a_time() -> None:
    running = 0
    most = 0

    def transcribe(audio: UserAudio) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threading.Event().wait(0.005)
        running -= 1
        return "Hello"

    connector = local_connector(transcriber=transcribe)

    async def converse() -> None:
        async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
            await ask_by_voice(transport)
            await receive_until(transport, "response.done")

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(converse)
    assert most == 1


async def test_an_async_function_runs_on_the_clock_of_the_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def transcribe(audio: UserAudio) -> str:
        await trio.sleep(60.0)
        return "slow"

    began = trio.current_time()
    assert await answer_with(transcribe) == "You said: slow"
    assert trio.current_time() - began == pytest.approx(60.0, abs=2.0)


async def test_the_end_of_a_connection_cancels_an_async_function(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cancelled = trio.Event()

    async def transcribe(audio: UserAudio) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    connector = local_connector(transcriber=transcribe)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await ask_by_voice(transport)
        await receive_until(transport, "response.created")
    assert cancelled.is_set()


async def test_the_end_of_a_connection_does_not_wait_for_a_thread() -> None:
    released = threading.Event()
    ended = threading.Event()

    def transcribe(audio: UserAudio) -> None:
        released.wait(10.0)
        ended.set()

    connector = local_connector(transcriber=transcribe)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await ask_by_voice(transport)
        await receive_until(transport, "response.created")
    assert not ended.is_set()
    released.set()
    assert await trio.to_thread.run_sync(ended.wait, 10.0)


async def test_a_client_that_is_gone_gets_no_result(autojump_clock: trio.testing.MockClock) -> None:
    async def transcribe(audio: UserAudio) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.1)
        return "too late"

    connector = local_connector(transcriber=transcribe)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await ask_by_voice(transport)
        await receive_until(transport, "response.created")
    (connection,) = connector.connections
    assert connection.closed is not None
    assert connection.closed.code == 1000


@pytest.mark.parametrize("failure", [ValueError("no model"), OtherCancelled()])
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_exception_fails_the_transcription(
    failure: BaseException, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def transcribe(audio: UserAudio) -> TranscriptionResult:
        raise failure

    async def transcribe_async(audio: UserAudio) -> TranscriptionResult:
        raise failure

    frames = await frames_with(transcribe_async if is_async else transcribe)
    (failed,) = [frame for frame in frames if frame["type"] == FAILED]
    assert failed["error"]["code"] == "transcriber_error"
    assert "no model" not in failed["error"]["message"]
    assert frames[-1]["response"]["status"] == "completed"
    (record,) = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert record.name == "trio_realtime.local"
    assert record.exc_info is not None
    assert record.exc_info[1] is failure


async def test_audio_that_waits_for_a_slow_transcriber_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sizes: list[int] = []

    async def transcribe(audio: UserAudio) -> str:
        sizes.append(len(audio.data))
        await trio.sleep(10.0)
        return "Hello"

    connector = local_connector(transcriber=transcribe)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "session.update", session=SESSION)
        audio = pybase64.b64encode(bytes(12 * 1024 * 1024)).decode()
        for expected in (2, 4):
            for _ in range(3):
                await send(transport, "input_audio_buffer.append", audio=audio)
                await send(transport, "input_audio_buffer.commit")
            (*_, failed) = await receive_until(transport, FAILED)
            assert failed["error"]["code"] == "transcriber_overloaded"
            await trio.sleep(20.0)
            assert len(sizes) == expected


async def test_a_result_of_another_type_fails_the_transcription(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def transcribe(audio: UserAudio) -> bytes:
        return b"Hello"

    frames = await frames_with(transcribe)  # type: ignore[arg-type]
    assert FAILED in [frame["type"] for frame in frames]
    assert "expected a str, a TranscriptionFailed or None" in caplog.text


async def test_a_failure_can_be_returned() -> None:
    async def transcribe(audio: UserAudio) -> TranscriptionFailed:
        return TranscriptionFailed("unclear", "Mumbling.")

    frames = await frames_with(transcribe)
    (failed,) = [frame for frame in frames if frame["type"] == FAILED]
    assert failed["error"]["code"] == "unclear"


def test_a_transcriber_must_be_callable() -> None:
    with pytest.raises(TypeError, match="transcriber"):
        local_connector(transcriber="whisper-1")  # type: ignore[arg-type]
