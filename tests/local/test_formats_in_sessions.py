"""Audio formats of sessions with the local server: every figure in milliseconds is exact."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_realtime import PCMA, PCMU, RealtimeAgent, SessionConfig, events, open_realtime_session
from trio_realtime.local import Say, ScriptedResponder, local_connector
from trio_realtime.session import PacedAudio
from trio_realtime.wire import AudioFormat

FORMATS = [
    *(AudioFormat(type="audio/pcm", rate=rate) for rate in (8_000, 16_000, 24_000, 48_000)),
    *(PCMU, PCMA),
]


def name_of(audio_format: AudioFormat) -> str:
    return f"{audio_format.type}-{audio_format.rate}"


@attrs.define
class Player:
    """Reads paced audio, with the time of each frame."""

    frames: list[events.Audio] = attrs.field(factory=list[events.Audio])
    times: list[float] = attrs.field(factory=list[float])

    async def play(self, paced: PacedAudio) -> None:
        async for frame in paced:
            self.frames.append(frame)
            self.times.append(trio.current_time())


@pytest.mark.parametrize("audio_format", FORMATS, ids=name_of)
async def test_audio_is_paced_played_and_truncated_exactly(
    audio_format: AudioFormat, autojump_clock: MockClock
) -> None:
    service = local_connector(responder=ScriptedResponder([Say("Hello", audio_ms=3000)] * 2))
    config = SessionConfig(
        input_format=audio_format, output_format=audio_format, turn_detection=None
    )
    player = Player()
    async with (
        open_realtime_session(
            RealtimeAgent(name="Assistant"),
            endpoint=service.endpoint,
            transport=service,
            config=config,
        ) as session,
        trio.open_nursery() as nursery,
        session.paced_audio(frame_ms=20) as paced,
    ):
        nursery.start_soon(player.play, paced)
        await session.create_response()
        await trio.sleep(5.0)
        assert player.times[-1] - player.times[0] == pytest.approx(3.0 - 0.02)
        assert {len(frame.data) for frame in player.frames} == {20 * audio_format.bytes_per_ms}
        assert len(player.frames) == 150
        assert session.playback.position(player.frames[0].item_id) == 3000

        await session.create_response()
        await trio.sleep(1.01)
        await session.interrupt()
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()
    (connection,) = service.connections
    (truncation,) = [
        frame for frame in connection.received if frame["type"] == "conversation.item.truncate"
    ]
    assert truncation["item_id"] == player.frames[150].item_id
    assert truncation["audio_end_ms"] == 1000
    assert not [frame for frame in connection.sent if frame["type"] == "error"]
