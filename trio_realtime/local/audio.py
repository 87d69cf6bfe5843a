"""Audio conversion: the wire formats, G.711, RMS levels and duration.

Internally audio is signed 16-bit little-endian mono PCM, at 24 kHz for output. Output audio passes
through iterators, so that the server generates it piece by piece, as it sends it. The live service
has PCM at 24 kHz only; here it may have other rates.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from operator import mul
from typing import Final

import attrs

from .types import Json

__all__ = [
    "FORMATS",
    "PCM_RATES",
    "AudioFormat",
    "change_speed",
    "decode",
    "encode",
    "fit_duration",
    "loudness",
    "split",
]

SAMPLE_RATE: Final = 24_000
PCM_RATES: Final = (8_000, 16_000, 24_000, 48_000)


@attrs.frozen
class AudioFormat:
    """A wire format: its ``type``, samples per second and bytes per sample."""

    name: str
    sample_rate: int
    bytes_per_sample: int

    @classmethod
    def from_json(cls, given: Json) -> AudioFormat:
        """Return the format of a validated ``format`` object. The rate of PCM may be absent."""
        known = FORMATS[given["type"]]
        return attrs.evolve(known, sample_rate=given.get("rate", known.sample_rate))

    def to_json(self) -> Json:
        """Return the ``format`` object, with the rate of PCM."""
        rate = {"rate": self.sample_rate} if self.name == "audio/pcm" else {}
        return {"type": self.name, **rate}

    @property
    def bytes_per_ms(self) -> int:
        """Size of one millisecond, which is a whole number in each format."""
        return self.sample_rate * self.bytes_per_sample // 1000

    def duration_ms(self, size: int) -> float:
        """Return the duration of this many bytes, in milliseconds."""
        return size / self.bytes_per_ms

    def size(self, milliseconds: float) -> int:
        """Return the number of bytes of this duration, in whole samples."""
        return (
            int(milliseconds * self.bytes_per_ms) // self.bytes_per_sample * self.bytes_per_sample
        )


FORMATS: Final[Mapping[str, AudioFormat]] = {
    "audio/pcm": AudioFormat("audio/pcm", SAMPLE_RATE, 2),
    "audio/pcmu": AudioFormat("audio/pcmu", 8_000, 1),
    "audio/pcma": AudioFormat("audio/pcma", 8_000, 1),
}


def samples(pcm: bytes | bytearray) -> array[int]:
    """Decode little-endian PCM16. Ignores an odd last byte."""
    numbers = array("h", bytes(pcm[: len(pcm) // 2 * 2]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def to_bytes(numbers: array[int]) -> bytes:
    """Return samples as PCM16 bytes, little-endian. The inverse of :func:`samples`."""
    if sys.byteorder == "big":
        numbers = array("h", numbers)
        numbers.byteswap()
    return numbers.tobytes()


# -- G.711 ---------------------------------------------------------------------------------------


def _ulaw_to_linear(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _alaw_to_linear(code: int) -> int:
    code ^= 0x55
    segment = code >> 4 & 7
    magnitude = ((code & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def _linear_to_ulaw(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF


def _linear_to_alaw(sample: int) -> int:
    # The standard encodes negative samples as ~x, which is one step closer to zero.
    sign, magnitude = (0x80, sample) if sample >= 0 else (0, ~sample)
    magnitude >>= 4
    exponent = max(0, magnitude.bit_length() - 4)
    mantissa = (magnitude >> max(0, exponent - 1)) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55


_DECODERS: Final = {"audio/pcmu": _ulaw_to_linear, "audio/pcma": _alaw_to_linear}
_ENCODERS: Final = {"audio/pcmu": _linear_to_ulaw, "audio/pcma": _linear_to_alaw}


@lru_cache
def decoding_table(name: str) -> tuple[int, ...]:
    """Return the samples of the 256 codes of a G.711 format."""
    return tuple(map(_DECODERS[name], range(256)))


@lru_cache
def encoding_table(name: str) -> bytes:
    """Return the codes of all 65536 samples, indexed by ``sample & 0xFFFF``."""
    coder = _ENCODERS[name]
    return bytes(coder(s if s < 0x8000 else s - 0x10000) for s in range(0x10000))


# -- conversion ----------------------------------------------------------------------------------


def encode(pcm: bytes, audio_format: AudioFormat) -> bytes:
    """Encode PCM16 at 24 kHz in a wire format."""
    if audio_format.name == "audio/pcm":
        if audio_format.sample_rate == SAMPLE_RATE:
            return pcm
        return to_bytes(_resample(samples(pcm), audio_format.sample_rate))
    table = encoding_table(audio_format.name)
    return bytes(table[sample & 0xFFFF] for sample in _resample(samples(pcm), 8_000))


def _resample(numbers: array[int], rate: int) -> array[int]:
    """Convert samples at 24 kHz to one of the other rates, by averages of two or three samples."""
    if rate > SAMPLE_RATE:
        following = numbers[1:] + numbers[-1:]
        between = array("h", ((a + b) // 2 for a, b in zip(numbers, following, strict=True)))
        return _interleave(numbers, between)
    triples = list(zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=False))
    if rate == 8_000:
        return array("h", ((a + b + c) // 3 for a, b, c in triples))
    return _interleave(
        array("h", ((2 * a + b) // 3 for a, b, _ in triples)),
        array("h", ((b + 2 * c) // 3 for _, b, c in triples)),
    )


def _interleave(even: array[int], odd: array[int]) -> array[int]:
    whole = array("h", bytes(4 * len(even)))
    whole[0::2] = even
    whole[1::2] = odd
    return whole


def decode(data: bytes | bytearray, audio_format: AudioFormat) -> array[int]:
    """Decode samples, at the sample rate of the format."""
    if audio_format.name == "audio/pcm":
        return samples(data)
    table = decoding_table(audio_format.name)
    return array("h", [table[code] for code in data])


def loudness(data: bytes | bytearray, audio_format: AudioFormat) -> float:
    """Return the root mean square of the samples, from 0 (silence) to 32768."""
    numbers = decode(data, audio_format)
    if not numbers:
        return 0.0
    return float((sum(map(mul, numbers, numbers)) / len(numbers)) ** 0.5)


# -- pieces of audio -----------------------------------------------------------------------------


def split(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Join the pieces, and split the result into blocks of ``size`` bytes; the last may be shorter."""
    pending = bytearray()
    for piece in pieces:
        pending += piece
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)


def change_speed(pieces: Iterable[bytes], speed: float) -> Iterator[bytes]:
    """Change the speed at the same pitch, by dropping or repeating blocks of 20 ms."""
    if speed == 1.0:
        yield from pieces
        return
    emitted = 0
    for index, block in enumerate(split(pieces, SAMPLE_RATE // 50 * 2)):
        while int(emitted * speed) <= index:
            yield block
            emitted += 1


def fit_duration(generate: Callable[[], Iterable[bytes]], milliseconds: float) -> Iterator[bytes]:
    """Yield audio of exactly this duration.

    Args:
        generate: returns the audio from its beginning. Called again when the audio is too short;
            without any audio, the result is silent.
        milliseconds: the duration.
    """
    remaining = FORMATS["audio/pcm"].size(milliseconds)
    while remaining:
        before = remaining
        for piece in generate():
            yield piece[:remaining]
            remaining -= min(len(piece), remaining)
            if not remaining:
                return
        if remaining == before:
            yield from _silence(remaining)
            return


def _silence(size: int) -> Iterator[bytes]:
    block = bytes(SAMPLE_RATE)
    for start in range(0, size, len(block)):
        yield block[: size - start]
