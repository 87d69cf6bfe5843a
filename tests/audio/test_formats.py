"""Sizes, durations, frames and silence of the audio formats."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import PcmAudio, duration_ms, frame_size, frames, sample_rate, silence
from trio_realtime.errors import UsageError
from trio_realtime.wire import PCM24K, PCMA, PCMU, AudioFormat

FORMATS = [PCM24K, PCMU, PCMA, AudioFormat(rate=8_000), AudioFormat(rate=11_025), AudioFormat()]
formats = st.sampled_from(FORMATS)


@pytest.mark.parametrize(
    ("audio_format", "rate"),
    list(zip(FORMATS, [24_000, 8_000, 8_000, 8_000, 11_025, 24_000], strict=True)),
)
def test_the_rate_of_a_format(audio_format: AudioFormat, rate: int) -> None:
    assert sample_rate(audio_format) == rate


def test_sizes_and_durations() -> None:
    assert frame_size() == 960
    assert frame_size(PCMU) == 160
    assert frame_size(AudioFormat(rate=11_025)) == 440  # 220.5 samples last 20 ms
    assert duration_ms(bytes(480)) == 10
    assert duration_ms(bytes(480), PCMA) == 60


@given(data=st.binary(max_size=3000), form=formats, frame_ms=st.floats(0.01, 100))
def test_frames_join_to_the_audio_and_have_one_size(
    data: bytes, form: AudioFormat, frame_ms: float
) -> None:
    parts = list(frames(data, form, frame_ms=frame_ms))
    assert b"".join(parts) == data
    assert {len(part) for part in parts[:-1]} <= {frame_size(form, frame_ms)}
    assert not parts or 0 < len(parts[-1]) <= frame_size(form, frame_ms)


@given(count=st.integers(0, 1500), form=formats, frame_ms=st.integers(1, 60))
def test_padding_adds_less_than_a_frame_of_silence(
    count: int, form: AudioFormat, frame_ms: int
) -> None:
    size = len(silence(1000 / sample_rate(form), form)) or 1
    data = b"\x11" * size * count
    joined = b"".join(frames(data, form, frame_ms=frame_ms, pad=True))
    assert joined.startswith(data)
    assert len(joined) % frame_size(form, frame_ms) == 0
    assert len(joined) - len(data) < frame_size(form, frame_ms)
    padding = joined[len(data) :]
    assert padding == silence(duration_ms(padding, form) + 0.001, form)


@given(ms=st.floats(0, 500), form=formats)
def test_silence_lasts_as_long_as_asked_and_is_silent(ms: float, form: AudioFormat) -> None:
    quiet = silence(ms, form)
    assert duration_ms(quiet, form) == pytest.approx(ms, abs=1000 / sample_rate(form))
    assert duration_ms(quiet, form) <= ms
    assert (
        max(map(abs, PcmAudio.decode(quiet, form).data), default=0) <= 8
    )  # the smallest A-law code


@pytest.mark.parametrize("frame_ms", [0, -20, float("nan")])
def test_a_frame_needs_a_positive_duration(frame_ms: float) -> None:
    with pytest.raises(UsageError, match="frame_ms must be more than 0"):
        frames(bytes(10), frame_ms=frame_ms)


def test_silence_is_not_negative() -> None:
    with pytest.raises(UsageError, match="must not be negative, got -1"):
        silence(-1)


def test_an_unknown_format_is_rejected() -> None:
    with pytest.raises(
        UsageError, match=r"'audio/opus' is unknown: use one of audio/pcm, audio/pcmu"
    ):
        sample_rate(AudioFormat(type="audio/opus"))
