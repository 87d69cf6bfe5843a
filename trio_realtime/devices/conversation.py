"""A session with a microphone and a speaker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.audio import PcmAudio, sample_rate
from trio_realtime.errors import ConsumerTooSlow, InternalError, RealtimeError, SessionClosed
from trio_realtime.events import Audio, AudioEnd, AudioInterrupted
from trio_realtime.session import EventChannel, RealtimeSession
from trio_realtime.wire import AudioFormat

from .host import AudioHost
from .microphone import Microphone, open_microphone
from .playback_buffer import SpokenItem
from .speaker import Speaker, open_speaker

MAX_BUFFERED: Final = 32 * 1024 * 1024
"""Bytes of PCM16 that may wait for the speaker: more than ten minutes at 24 kHz."""


@attrs.frozen
class Devices:
    """The devices of :func:`open_devices`."""

    microphone: Microphone
    speaker: Speaker


@asynccontextmanager
async def open_devices(
    session: RealtimeSession[Any],
    *,
    input_device: int | str | None = None,
    output_device: int | str | None = None,
    half_duplex: bool = False,
    host: AudioHost | None = None,
) -> AsyncGenerator[Devices]:
    """Join a session with a microphone and a speaker for the duration of a block.

    Tasks in the background send what the microphone records, and play what the agent says. An
    interruption drops the audio that the speaker does not have yet. The session learns what was heard:
    what the speaker has taken, without the part that its delay still holds back. For example::

        async with open_realtime_session(agent) as session, open_devices(session):
            async for event in session:
                ...

    Leaving the block closes both devices at once, and audio plays by the clock again; see
    :attr:`RealtimeSession.playback <trio_realtime.RealtimeSession.playback>`.

    Args:
        session: the session. Its formats must be PCM16 or G.711.
        input_device, output_device: the index of a device, or its name or a part of it; those of the
            system by default.
        half_duplex: send silence while the agent is heard. This is for a loudspeaker without echo
            cancellation; the user cannot interrupt the agent by speaking.
        host: the audio system; PortAudio by default.

    Raises:
        DeviceError: a device cannot be opened, or it has stopped, which cancels the block. The message
            says what to do.
        ConsumerTooSlow: more than ten minutes of audio wait to be played.
        RealtimeError: what ended the session, if the block has not raised it.
    """
    failures: list[RealtimeError] = []

    async def run(nursery: trio.Nursery, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except SessionClosed:
            pass  # the block decides what follows
        except RealtimeError as exc:
            failures.append(exc)
            nursery.cancel_scope.cancel(reason=f"a device cannot go on: {exc}")

    rates = sample_rate(session.input_format), sample_rate(session.output_format)
    async with (
        open_microphone(input_device, rate=rates[0], host=host) as microphone,
        open_speaker(output_device, rate=rates[1], host=host) as speaker,
    ):
        player = _Player(session, speaker)
        with session.subscribe(Audio, AudioEnd, AudioInterrupted) as channel:
            try:
                async with open_bare_nursery(InternalError) as nursery:
                    echo = speaker if half_duplex else None
                    nursery.start_soon(run, nursery, lambda: _send(session, microphone, echo))
                    nursery.start_soon(run, nursery, lambda: player.play(channel))
                    nursery.start_soon(run, nursery, player.report)
                    yield Devices(microphone, speaker)
            finally:
                session.playback.stop_reports()
    if failures:
        raise failures[0]


async def _send(
    session: RealtimeSession[Any], microphone: Microphone, echo: Speaker | None
) -> None:
    """Send what the microphone records, or silence while a speaker that it may record is audible."""
    audio_format = session.input_format
    async for frame in microphone:
        sent = bytes(len(frame)) if echo is not None and echo.is_audible else frame
        await session.send_audio(PcmAudio(sent, microphone.rate).encode(audio_format))


class _Player:
    """Plays the agent's audio, and reports what was heard of it."""

    def __init__(self, session: RealtimeSession[Any], speaker: Speaker) -> None:
        self._playback = session.playback
        self._format = session.output_format
        self._speaker = speaker
        self._buffer = speaker.buffer
        self._newest: SpokenItem | None = None

    async def play(self, channel: EventChannel[Any]) -> None:
        """Handle the events of the agent's audio until the session ends."""
        async for event in channel:
            match event:
                case Audio(response_id=response_id, item_id=item_id, content_index=index):
                    item = SpokenItem(response_id, item_id, index)
                    self._buffer.put(item, _decode(event.data, self._format))
                    self._begin(item)
                case AudioEnd(response_id=response_id, item_id=item_id, content_index=index):
                    self._buffer.end(SpokenItem(response_id, item_id, index))
                case AudioInterrupted(response_id=response_id):
                    self._buffer.discard(response_id)
                case _:
                    pass

    def _begin(self, item: SpokenItem) -> None:
        if self._buffer.queued > MAX_BUFFERED:
            raise ConsumerTooSlow(
                f"{self._buffer.queued} bytes of audio wait for the speaker {self._speaker.name}"
            )
        if item != self._newest:
            # From the first report on, only reports count: nothing of the item was heard yet.
            self._newest = item
            self._playback.played(item.item_id, item.content_index, 0)

    async def report(self) -> None:
        """Report what was heard, each time that the speaker has taken a frame."""
        while True:
            await self._speaker.wait_progress()
            for item, ms in self._buffer.take_reports():
                self._playback.played(item.item_id, item.content_index, ms)


def _decode(data: bytes, audio_format: AudioFormat) -> bytes:
    # PCM may be divided within a sample, and is complete again in the buffer.
    if audio_format.type == "audio/pcm":
        return data
    return PcmAudio.decode(data, audio_format).data
