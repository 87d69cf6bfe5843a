"""Sample rates of streams, and Opus."""

from __future__ import annotations

import importlib
import math
import sys
import wave
from array import array
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st

from trio_realtime.audio import rms_dbfs
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.server.recording import RecordingFailed, encode_opus
from trio_realtime.server.recording.resampler import LinearResampler, Resampler, make_resampler


def sine(count: int, rate: int, *, frequency: float = 440, amplitude: float = 10_000) -> array[int]:
    step = 2 * math.pi * frequency / rate
    return array("h", (round(amplitude * math.sin(step * n)) for n in range(count)))


def converted(resampler: Resampler, pcm: bytes, block: int) -> array[int]:
    blocks = [pcm[start : start + block] for start in range(0, len(pcm), block)]
    parts = [
        resampler.convert(data, is_last=index == len(blocks) - 1)
        for index, data in enumerate(blocks)
    ]
    return array("h", b"".join(parts))


@pytest.mark.parametrize("kind", [make_resampler, LinearResampler])
@pytest.mark.parametrize(("rate", "new_rate"), [(8000, 24_000), (16_000, 24_000), (44_100, 48_000)])
def test_audio_stays_where_it_was(kind: Any, rate: int, new_rate: int) -> None:
    result = converted(kind(rate, new_rate), sine(rate, rate).tobytes(), 2 * 1000)
    assert abs(len(result) - new_rate) <= 1
    expected = sine(new_rate, new_rate)
    pairs = list(zip(result, expected, strict=False))[200:-200]
    # The same sine at the same position: a shift by one sample would be off by 1000.
    assert max(abs(a - b) for a, b in pairs) < 200


@settings(deadline=None)
@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=50),
    st.integers(1, 20),
    st.sampled_from([(8, 24), (24, 8), (16, 24), (7, 5), (5, 7)]),
)
def test_blocks_do_not_matter(numbers: list[int], block: int, rates: tuple[int, int]) -> None:
    pcm = array("h", numbers).tobytes()
    whole = converted(LinearResampler(*rates), pcm, len(pcm))
    assert converted(LinearResampler(*rates), pcm, 2 * block) == whole
    assert len(whole) == -(-len(numbers) * rates[1] // rates[0])
    assert whole[0] == numbers[0]


def test_without_the_extra_it_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert isinstance(make_resampler(8000, 24_000), LinearResampler)


def test_audio_at_the_same_rate_is_unchanged() -> None:
    pcm = sine(100, 8000).tobytes()
    assert make_resampler(8000, 8000).convert(pcm, is_last=False) == pcm


# --- opus ---------------------------------------------------------------------------------------


def write_stereo(path: Path, rate: int, seconds: float) -> None:
    """Write a sine on the left, and one of a tenth of its amplitude on the right."""
    count = round(rate * seconds)
    numbers = array("h", bytes(4 * count))
    numbers[0::2] = sine(count, rate)
    numbers[1::2] = sine(count, rate, amplitude=1000)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, rate, 0, "NONE", ""))
        file.writeframes(numbers.tobytes())


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def read_ogg(path: Path) -> tuple[int, array[int], array[int]]:
    soundfile: Any = importlib.import_module("soundfile")
    data, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return rate, array("h", data[:, 0].tobytes()), array("h", data[:, -1].tobytes())


@pytest.mark.parametrize(
    ("rate", "new_rate"), [(8000, 8000), (24_000, 24_000), (22_050, 24_000), (44_100, 48_000)]
)
async def test_opus_has_the_same_duration_and_level(
    tmp_path: Path, rate: int, new_rate: int
) -> None:
    wav, ogg = tmp_path / "recording.wav", tmp_path / "recording.ogg"
    write_stereo(wav, rate, 3.3)
    await encode_opus(wav, ogg)
    got_rate, left, right = read_ogg(ogg)
    assert got_rate == new_rate
    assert abs(len(left) / new_rate - 3.3) < 0.03
    assert abs(rms_dbfs(left.tobytes()) - rms_dbfs(sine(rate, rate).tobytes())) < 1
    assert abs(rms_dbfs(left.tobytes()) - rms_dbfs(right.tobytes()) - 20) < 1
    assert 40_000 < ogg.stat().st_size * 8 / 3.3 < 80_000  # bits per second
    assert files_in(tmp_path) == ["recording.ogg", "recording.wav"]


async def test_a_silent_empty_recording_can_be_encoded(tmp_path: Path) -> None:
    write_stereo(tmp_path / "a.wav", 8000, 0)
    await encode_opus(tmp_path / "a.wav", tmp_path / "a.ogg")
    assert (tmp_path / "a.ogg").stat().st_size > 0


async def test_cancelling_leaves_no_file(tmp_path: Path) -> None:
    write_stereo(tmp_path / "a.wav", 8000, 60)
    with trio.CancelScope() as scope:

        async def cancel_when_it_writes() -> None:
            while not any(name.endswith(".tmp") for name in files_in(tmp_path)):
                await trio.lowlevel.checkpoint()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_it_writes)
            await encode_opus(tmp_path / "a.wav", tmp_path / "a.ogg")
    assert scope.cancelled_caught
    assert files_in(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("missing", ["soundfile", "numpy"])
async def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    module: ModuleType | None = None
    monkeypatch.setitem(sys.modules, missing, module)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-realtime\[opus\]'"):
        await encode_opus(tmp_path / "a.wav", tmp_path / "a.ogg")


async def test_what_cannot_be_encoded_is_an_error(tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    with pytest.raises(RecordingFailed, match="could not be encoded"):
        await encode_opus(wav, tmp_path / "a.ogg")
    write_stereo(wav, 8000, 0.1)
    with pytest.raises(RecordingFailed, match="could not be encoded"):
        await encode_opus(wav, tmp_path / "missing" / "a.ogg")
    with pytest.raises(UsageError, match="bit_rate must be from 12000 to 500000, got 2"):
        await encode_opus(wav, tmp_path / "a.ogg", bit_rate=2)
    await trio.Path(wav).write_bytes(b"not a WAV file")
    with pytest.raises(UsageError, match="is not a WAV file with PCM16"):
        await encode_opus(wav, tmp_path / "a.ogg")
    assert files_in(tmp_path) == ["a.wav"]
