"""PCM audio as a value: formats and rates."""

from __future__ import annotations

import importlib
import math
import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import PcmAudio, peak_dbfs, rms_dbfs
from trio_realtime.audio.samples import samples
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.wire import PCM24K, PCMA, PCMU, AudioFormat

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]
pcm_bytes = st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2])


def tone(rate: int, hertz: float = 440, ms: int = 500, level: float = 0.5) -> PcmAudio:
    numbers = (
        round(32767 * level * math.sin(2 * math.pi * hertz * n / rate))
        for n in range(rate * ms // 1000)
    )
    return PcmAudio(b"".join(struct.pack("<h", number) for number in numbers), rate)


def crossings(audio: PcmAudio) -> int:
    """Count the samples that rise above zero: one for each period of a tone."""
    numbers = samples(audio.data)
    return sum(a < 0 <= b for a, b in pairwise(numbers))


def test_the_value() -> None:
    audio = PcmAudio(bytes(960))
    assert (audio.rate, audio.duration_ms) == (24_000, 20)
    assert audio.audio_format == PCM24K
    assert PcmAudio(bytes(16_000), 8_000).duration_ms == 1000
    assert repr(audio) == "PcmAudio(rate=24000)"


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("target", [8_000, 24_000])
def test_resampling_preserves_duration_level_and_pitch(rate: int, target: int) -> None:
    audio = tone(rate)
    resampled = audio.resample(target)
    assert resampled.rate == target
    assert resampled.duration_ms == pytest.approx(audio.duration_ms, abs=0.2)
    assert rms_dbfs(resampled.data) == pytest.approx(rms_dbfs(audio.data), abs=0.2)
    assert crossings(resampled) == pytest.approx(220, abs=2)


def test_resampling_is_reproducible_and_silence_stays_silent() -> None:
    audio = tone(48_000, ms=50)
    assert audio.resample(24_000) == audio.resample(24_000)
    assert not any(PcmAudio(bytes(960), 48_000).resample(24_000).data)


def test_full_scale_does_not_wrap_around_when_resampling_overshoots() -> None:
    square = struct.pack("<h", 32767) * 100 + struct.pack("<h", -32768) * 100
    numbers = samples(PcmAudio(square * 10, 8_000).resample(24_000).data)
    assert max(numbers) == 32767
    # A sample that wrapped around would differ from its neighbor by almost the full range.
    assert max(abs(a - b) for a, b in pairwise(numbers)) < 40_000


def test_resampling_removes_what_the_lower_rate_cannot_carry() -> None:
    # Without a filter, 10 kHz would appear as 6 kHz.
    assert peak_dbfs(tone(24_000, hertz=10_000).resample(16_000).data[2000:-2000]) < -60


@given(pcm_bytes)
def test_the_same_rate_needs_no_conversion(pcm: bytes) -> None:
    audio = PcmAudio(pcm)
    assert audio.resample(24_000) == audio
    assert audio.encode(PCM24K) == pcm
    assert PcmAudio.decode(pcm, PCM24K) == audio


@pytest.mark.parametrize("audio_format", [PCMU, PCMA])
@given(codes=st.binary(max_size=100))
def test_g711_survives_a_round_trip(audio_format: AudioFormat, codes: bytes) -> None:
    decoded = PcmAudio.decode(codes, audio_format)
    assert decoded.rate == 8_000
    # Negative zero of µ-law is encoded as positive zero.
    expected = codes.replace(b"\x7f", b"\xff") if audio_format == PCMU else codes
    assert decoded.encode(audio_format) == expected


def test_g711_is_encoded_at_8_khz() -> None:
    audio = tone(24_000)
    again = PcmAudio.decode(audio.encode(PCMU), PCMU)
    assert again.duration_ms == pytest.approx(500, abs=0.2)
    assert rms_dbfs(again.data) == pytest.approx(rms_dbfs(audio.data), abs=0.3)


@pytest.mark.parametrize("rate", [0, -1, 24.0, True, "24000", 10_000_000])
def test_a_rate_is_a_positive_int(rate: Any) -> None:
    with pytest.raises(UsageError, match="rate must be a number of samples per second"):
        PcmAudio(b"", rate)
    with pytest.raises(UsageError, match="rate must be a number of samples per second"):
        PcmAudio(b"").resample(rate)


def test_half_a_sample_is_rejected() -> None:
    with pytest.raises(UsageError, match="even number of bytes, got 3"):
        PcmAudio(b"abc")


def test_an_unknown_format_is_rejected() -> None:
    with pytest.raises(UsageError, match="'audio/opus' is unknown"):
        PcmAudio(bytes(2)).encode(AudioFormat(type="audio/opus"))
    with pytest.raises(UsageError, match="'audio/opus' is unknown"):
        PcmAudio.decode(bytes(2), AudioFormat(type="audio/opus"))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(ConfigurationError, match=r"48000 Hz to 24000 Hz .*trio-realtime\[audio\]"):
        PcmAudio(bytes(2), 48_000).resample(24_000)
    PcmAudio(bytes(2), 24_000).resample(24_000)
