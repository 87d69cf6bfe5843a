"""Read and write WAV files.

The standard library writes them. It cannot read all of those that programs write: headers of the extensible
form (Python 3.11), samples that are floats or G.711, and the output of a pipe, whose header was
written before the length was known. So this module reads the chunks of the file itself.

The functions block, and hold the whole file in memory.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import wave
from array import array
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import IO, TypeAlias

import attrs

from trio_realtime.errors import UsageError

from .g711 import decode_alaw, decode_ulaw
from .pcm import PcmAudio
from .samples import samples, to_bytes

__all__ = ["WavSource", "read_wav", "write_wav"]

WavSource: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""A WAV file: its path, or a binary file."""


class _Kind(IntEnum):
    """The encodings of samples, as the ``fmt`` chunk numbers them."""

    PCM = 1
    FLOAT = 3
    ALAW = 6
    ULAW = 7
    EXTENSIBLE = 0xFFFE


@attrs.frozen
class _Encoding:
    """The ``fmt`` chunk: the kind of the samples, and their number and size."""

    kind: int
    channels: int
    rate: int
    bits: int

    @classmethod
    def parse(cls, chunk: bytes) -> _Encoding:
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind == _Kind.EXTENSIBLE and len(chunk) >= 26:
            (kind,) = struct.unpack_from("<H", chunk, 24)  # the first bytes of the GUID
        return cls(kind, channels, rate, bits)


def read_wav(source: WavSource) -> PcmAudio:
    """Read a WAV file as 16-bit mono samples, at the rate of the file.

    The samples may be integers of 8, 16, 24 or 32 bits, floats, µ-law or A-law. Several channels are
    mixed to their mean. A file that ends early is read as far as it goes.

    Args:
        source: the path of the file, or a binary file that is read to its end.

    Raises:
        UsageError: it is not a WAV file, or its samples are compressed. The message says what to do.
        OSError: the file cannot be read.
    """
    name, data = _read(source)
    try:
        encoding, body = _chunks(data)
        channels = _decode(body, encoding)
    except _InvalidWav as exc:
        raise UsageError(f"{name} is not a WAV file that can be read: {exc}") from None
    return PcmAudio(_mix(channels), encoding.rate)


def _read(source: WavSource) -> tuple[str, bytes]:
    """Return the name of a file, for messages, and its bytes."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source), Path(source).read_bytes()
    if not hasattr(source, "read"):
        raise UsageError(
            f"expected the path of a WAV file, or a file opened in binary mode, got {source!r:.80}"
        )
    return str(getattr(source, "name", "the audio")), source.read()


class _InvalidWav(Exception):
    """The bytes are not a WAV file that can be read. The message says why."""


def _chunks(data: bytes) -> tuple[_Encoding, memoryview]:
    """Return the encoding and the samples."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise _InvalidWav("it does not begin with RIFF and WAVE")
    encoding = None
    start = 12
    while start + 8 <= len(data):
        name = data[start : start + 4]
        (size,) = struct.unpack_from("<I", data, start + 4)
        body = memoryview(data)[start + 8 :]
        if name == b"fmt " and min(size, len(body)) >= 16:
            encoding = _Encoding.parse(bytes(body[:size]))
        elif name == b"data":
            if encoding is None:
                raise _InvalidWav("its format is missing")
            # A program that writes to a pipe does not know the size. It writes 0 or a very large one.
            return encoding, body[: size or None]
        start += 8 + size + size % 2
    raise _InvalidWav("it ends before its samples")


def _decode(body: memoryview, encoding: _Encoding) -> list[array[int]]:
    """Return the 16-bit samples of each channel."""
    if not (0 < encoding.channels <= 64 and 0 < encoding.rate <= 1_000_000):
        raise _InvalidWav(f"it has {encoding.channels} channels at {encoding.rate} Hz")
    frame = encoding.channels * max(encoding.bits // 8, 1)
    numbers = _to_pcm16(bytes(body[: len(body) // frame * frame]), encoding)
    return [numbers[channel :: encoding.channels] for channel in range(encoding.channels)]


def _to_pcm16(data: bytes, encoding: _Encoding) -> array[int]:
    match encoding.kind, encoding.bits:
        case (_Kind.PCM, 8):
            pcm = bytearray(2 * len(data))
            pcm[1::2] = data.translate(bytes(code ^ 0x80 for code in range(256)))
            return samples(pcm)
        case (_Kind.PCM, 16):
            return samples(data)
        case (_Kind.PCM, 24 | 32):
            # The upper two bytes of each sample.
            width = encoding.bits // 8
            pcm = bytearray(2 * (len(data) // width))
            pcm[0::2] = data[width - 2 :: width]
            pcm[1::2] = data[width - 1 :: width]
            return samples(pcm)
        case (_Kind.FLOAT, 32 | 64):
            return _floats_to_pcm16(data, "f" if encoding.bits == 32 else "d")
        case (_Kind.ALAW, 8):
            return samples(decode_alaw(data))
        case (_Kind.ULAW, 8):
            return samples(decode_ulaw(data))
        case _:
            raise _InvalidWav(
                f"its samples have the encoding {encoding.kind} with {encoding.bits} bits; convert it "
                "first, for example with: ffmpeg -i INPUT -c:a pcm_s16le OUTPUT.wav"
            )


def _floats_to_pcm16(data: bytes, typecode: str) -> array[int]:
    floats: array[float] = array(typecode, data)
    if sys.byteorder == "big":
        floats.byteswap()
    # Not a number compares false, and becomes 0.
    scaled = (value * 32768 if -1 <= value <= 1 else _clipped(value) for value in floats)
    return array("h", (min(round(value), 32767) for value in scaled))


def _clipped(value: float) -> float:
    return 32767 if value > 1 else -32768 if value < -1 else 0


def _mix(channels: list[array[int]]) -> bytes:
    if len(channels) == 1:
        return to_bytes(channels[0])
    return to_bytes(array("h", _means(channels)))


def _means(channels: list[array[int]]) -> Iterable[int]:
    count = len(channels)
    return (sum(frame) // count for frame in zip(*channels, strict=True))


def write_wav(target: WavSource, audio: PcmAudio) -> None:
    """Write audio to a WAV file with 16-bit mono samples. An existing file is overwritten.

    Args:
        target: the path of the file, or a binary file, which stays open and need not be seekable.
        audio: the audio.

    Raises:
        OSError: the file cannot be written.
    """
    # A file that cannot seek needs a header that is right from the beginning.
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, audio.rate, 0, "NONE", "not compressed"))
        file.writeframes(audio.data)
    if isinstance(target, str | os.PathLike):
        Path(target).write_bytes(data.getbuffer())
    else:
        target.write(data.getbuffer())
