"""What the methods of a session refuse, and what they convert."""

from __future__ import annotations

import array
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from trio.testing import MockClock

from support.sessions import open_test_session
from support.wire import sent_types
from trio_realtime import RealtimeSession
from trio_realtime.errors import UsageError
from trio_realtime.session.arguments import audio_bytes, message_parts
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import InputText

SAMPLES = array.array("h", [1, -2, 300])


@pytest.mark.parametrize(
    "audio",
    [
        SAMPLES.tobytes(),
        bytearray(SAMPLES.tobytes()),
        memoryview(SAMPLES.tobytes()),
        SAMPLES,
        memoryview(SAMPLES),
    ],
)
def test_bytes_and_16_bit_integers_are_audio(audio: Any) -> None:
    found = audio_bytes(audio)
    assert (type(found), found) == (bytes, SAMPLES.tobytes())


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (array.array("f", [0.5]), r"got an array of format 'f': convert it to samples"),
        (array.array("d", [0.5]), r"got an array of format 'd'"),
        (array.array("i", [1]), r"got an array of format 'i'"),
        ("AAAA", r"^expected audio as bytes, got str$"),
        ([1, 2], r"^expected audio as bytes, got list$"),
        (None, r"^expected audio as bytes, got NoneType$"),
        (480, r"^expected audio as bytes, got int$"),
    ],
)
def test_anything_else_is_no_audio(audio: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        audio_bytes(audio)


def test_arrays_of_numpy_are_audio_if_their_samples_are() -> None:
    numpy: Any = pytest.importorskip("numpy")
    every_second = numpy.arange(6, dtype=numpy.int16)[::2]
    assert audio_bytes(every_second) == numpy.array([0, 2, 4], dtype=numpy.int16).tobytes()
    with pytest.raises(UsageError, match="format 'f'"):
        audio_bytes(numpy.zeros(4, dtype=numpy.float32))


@pytest.mark.parametrize("content", [5, None, b"x", {"type": "input_text"}, {"x"}])
def test_a_message_is_text_or_a_list(content: Any) -> None:
    with pytest.raises(UsageError, match=r"^expected a str, or a list of texts and parts, got "):
        message_parts(content)


def test_a_list_of_texts_is_a_message() -> None:
    assert message_parts(["a", "b"]) == (InputText(text="a"), InputText(text="b"))


REFUSED: list[Callable[[RealtimeSession[Any]], Awaitable[Any]]] = [
    lambda s: s.send_audio("AAAA"),  # type: ignore[arg-type]
    lambda s: s.send_message(5),  # type: ignore[arg-type]
    lambda s: s.update_settings(speed="fast"),  # type: ignore[arg-type]
    lambda s: s.update_settings(speed=math.nan),
]


@pytest.mark.parametrize("call", REFUSED)
async def test_a_refused_argument_sends_nothing_and_the_session_goes_on(
    call: Callable[[RealtimeSession[Any]], Awaitable[Any]], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await call(session)
        await session.send_audio(bytes(960))
        assert await sent_types(peer) == ["input_audio_buffer.append"]


@pytest.mark.parametrize("ms", [math.nan, "12", None])
async def test_a_report_of_playback_that_is_no_number_is_refused(
    ms: Any, autojump_clock: MockClock
) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        with pytest.raises(UsageError, match=r"^ms must be a number of milliseconds, got "):
            session.playback.played("item_1", 0, ms)
        session.playback.played("item_1", 0, 20)
