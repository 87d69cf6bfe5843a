"""WAV files: encodings, channels, headers and errors."""

from __future__ import annotations

import io
import math
import struct
import wave
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import (
    PcmAudio,
    encode_alaw,
    encode_ulaw,
    read_wav,
    rms_dbfs,
    write_wav,
)
from trio_realtime.audio.samples import samples, to_bytes
from trio_realtime.errors import UsageError

TONE = [round(16_000 * math.sin(2 * math.pi * 440 * n / 24_000)) for n in range(2_400)]
PCM = to_bytes(array("h", TONE))
LEVEL = rms_dbfs(PCM)
GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"


def wav_file(
    data: bytes,
    *,
    kind: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate: int = 24_000,
    size: int | None = None,
    extension: bytes = b"",
    before: bytes = b"",
) -> io.BytesIO:
    """Return a WAV file, with any ``size`` in the header of its samples."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits) + extension
    chunks = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return io.BytesIO(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


def integers(width: int) -> bytes:
    """Return the tone as integers of this many bytes."""
    scaled = (number << 8 * width >> 16 for number in TONE)
    if width == 1:
        return bytes(number + 128 for number in scaled)
    return b"".join(number.to_bytes(width, "little", signed=True) for number in scaled)


@given(data=st.binary(max_size=200), rate=st.integers(1, 200_000))
def test_written_audio_is_read_back(data: bytes, rate: int) -> None:
    audio = PcmAudio(data[: len(data) // 2 * 2], rate)
    file = io.BytesIO()
    write_wav(file, audio)
    file.seek(0)
    assert read_wav(file) == audio


def test_written_files_are_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    write_wav(path, PcmAudio(PCM, 8_000))
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, 8_000, 2_400)
        assert file.readframes(2_400) == PCM
    assert read_wav(str(path)) == read_wav(path) == PcmAudio(PCM, 8_000)


@pytest.mark.parametrize(
    ("kind", "bits", "data"),
    [
        *((1, 8 * width, integers(width)) for width in (1, 2, 3, 4)),
        (3, 32, array("f", (number / 32768 for number in TONE)).tobytes()),
        (3, 64, array("d", (number / 32768 for number in TONE)).tobytes()),
        (6, 8, encode_alaw(PCM)),
        (7, 8, encode_ulaw(PCM)),
    ],
    ids=["8 bit", "16 bit", "24 bit", "32 bit", "float", "double", "A-law", "u-law"],
)
def test_every_encoding_has_the_same_samples(kind: int, bits: int, data: bytes) -> None:
    audio = read_wav(wav_file(data, kind=kind, bits=bits))
    assert audio.rate == 24_000
    assert rms_dbfs(audio.data) == pytest.approx(LEVEL, abs=0.1)
    tolerance = {8: 1024}.get(bits, 1)
    for expected, number in zip(TONE, samples(audio.data), strict=True):
        assert number == pytest.approx(expected, abs=tolerance)


def test_floats_out_of_range_are_limited() -> None:
    floats = array("f", [1.0, -1.0, 7.0, -7.0, math.inf, -math.inf, math.nan, 0.5]).tobytes()
    numbers = samples(read_wav(wav_file(floats, kind=3, bits=32)).data)
    assert list(numbers) == [32767, -32768, 32767, -32768, 32767, -32768, 0, 16384]


def test_channels_are_mixed_to_their_mean() -> None:
    interleaved = array("h", [100, 300, -32768, -32768, 32767, 0, 5, 0]).tobytes()
    assert list(samples(read_wav(wav_file(interleaved, channels=2)).data)) == [
        200,
        -32768,
        16383,
        2,
    ]
    six = array("h", [6, 0, 0, 0, 0, 0]).tobytes()
    assert list(samples(read_wav(wav_file(six, channels=6)).data)) == [1]


def test_other_chunks_and_an_extensible_header_are_read() -> None:
    extension = struct.pack("<HHI", 22, 16, 4) + b"\1\0" + GUID
    before = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    file = wav_file(PCM, kind=0xFFFE, extension=extension, before=before)
    assert read_wav(file).data == PCM


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF], ids=hex)
def test_the_output_of_a_pipe_extends_to_its_end(size: int) -> None:
    assert read_wav(wav_file(PCM, size=size)).data == PCM


def test_a_file_that_ends_early_is_read_up_to_its_last_complete_frame() -> None:
    cut = wav_file(PCM, channels=2).getvalue()[:-1001]
    assert len(read_wav(io.BytesIO(cut)).data) == (len(PCM) - 1001) // 4 * 2


def test_what_follows_the_samples_is_ignored() -> None:
    file = io.BytesIO(wav_file(PCM).getvalue() + b"LIST\4\0\0\0abcd")
    assert read_wav(file).data == PCM


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin with RIFF"),
        (b"hello, this is text", "does not begin with RIFF"),
        (b"RIFF\4\0\0\0WAVE", "ends before its samples"),
        (b"RIFF\4\0\0\0WAVEfmt \2\0\0\0ab", "ends before its samples"),
        (b"RIFF\4\0\0\0WAVEdata\2\0\0\0ab", "its format is missing"),
        (wav_file(PCM, kind=2, bits=4).getvalue(), "encoding 2 with 4 bits; convert it first"),
        (wav_file(PCM, bits=12).getvalue(), "encoding 1 with 12 bits; convert it first"),
        (wav_file(PCM, channels=0).getvalue(), "0 channels at 24000 Hz"),
        (wav_file(PCM, rate=0).getvalue(), "1 channels at 0 Hz"),
    ],
    ids=["empty", "text", "no chunks", "short", "no format", "ADPCM", "12 bit", "channels", "rate"],
)
def test_an_unusable_file_is_rejected_with_a_reason(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=rf"bad\.wav is not a WAV file .*: .*{reason}"):
        read_wav(path)
    with pytest.raises(UsageError, match="the audio is not a WAV file"):
        read_wav(io.BytesIO(data))


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "none.wav")


@given(st.data())
def test_damage_is_reported_or_read_but_never_crashes(data: Any) -> None:
    damaged = bytearray(wav_file(PCM[:40], channels=2).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        audio = read_wav(io.BytesIO(bytes(damaged)))
    except UsageError:
        return
    assert 0 < audio.rate <= 1_000_000
