"""Audio bytes: the three wire formats, G.711 both ways, loudness. Knows nothing of sessions.

Inside the room audio is signed 16-bit little-endian mono; at 24 kHz where it is to be spoken.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from functools import lru_cache
from operator import mul
from typing import Final

import attrs

__all__ = ["FORMATS", "AudioFormat", "change_speed", "decode", "encode", "loudness"]

SAMPLE_RATE: Final = 24_000


@attrs.frozen
class AudioFormat:
    """One of the wire formats: its name, and how many bytes one millisecond takes."""

    name: str
    bytes_per_ms: int
    bytes_per_sample: int

    def duration_ms(self, size: int) -> float:
        """Milliseconds that so many bytes last."""
        return size / self.bytes_per_ms

    def size(self, milliseconds: float) -> int:
        """Bytes of so many milliseconds, never half a sample."""
        return (
            int(milliseconds * self.bytes_per_ms) // self.bytes_per_sample * self.bytes_per_sample
        )


FORMATS: Final[Mapping[str, AudioFormat]] = {
    "audio/pcm": AudioFormat("audio/pcm", 48, 2),
    "audio/pcmu": AudioFormat("audio/pcmu", 8, 1),
    "audio/pcma": AudioFormat("audio/pcma", 8, 1),
}


def samples(pcm: bytes | bytearray) -> array[int]:
    """Little-endian PCM16 as numbers; a last odd byte is left out."""
    numbers = array("h", bytes(pcm[: len(pcm) // 2 * 2]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def to_bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = array("h", numbers)
        numbers.byteswap()
    return numbers.tobytes()


# -- G.711 -------------------------------------------------------------------------------------


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
    # Negative values are coded one step nearer to zero, as the standard's ~x does.
    sign, magnitude = (0x80, sample) if sample >= 0 else (0, ~sample)
    magnitude >>= 4
    exponent = max(0, magnitude.bit_length() - 4)
    mantissa = (magnitude >> max(0, exponent - 1)) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55


_DECODERS: Final = {"audio/pcmu": _ulaw_to_linear, "audio/pcma": _alaw_to_linear}
_ENCODERS: Final = {"audio/pcmu": _linear_to_ulaw, "audio/pcma": _linear_to_alaw}


@lru_cache
def decoding_table(name: str) -> tuple[int, ...]:
    """The 256 samples that the codes of a G.711 format stand for."""
    return tuple(map(_DECODERS[name], range(256)))


@lru_cache
def encoding_table(name: str) -> bytes:
    """The codes of all 65536 samples, index ``sample & 0xFFFF``."""
    coder = _ENCODERS[name]
    return bytes(coder(s if s < 0x8000 else s - 0x10000) for s in range(0x10000))


# -- whole pieces ------------------------------------------------------------------------------


def encode(pcm: bytes, form: AudioFormat) -> bytes:
    """PCM16 at 24 kHz in a wire format: G.711 is 8 kHz, so three samples become one."""
    if form.name == "audio/pcm":
        return pcm
    table = encoding_table(form.name)
    numbers = samples(pcm)
    thirds = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=False)
    return bytes(table[(a + b + c) // 3 & 0xFFFF] for a, b, c in thirds)


def decode(data: bytes | bytearray, form: AudioFormat) -> array[int]:
    """Samples at the format's own rate."""
    if form.name == "audio/pcm":
        return samples(data)
    table = decoding_table(form.name)
    return array("h", [table[code] for code in data])


def loudness(data: bytes | bytearray, form: AudioFormat) -> float:
    """Root mean square of the samples: 0 for silence, 32768 at most."""
    numbers = decode(data, form)
    if not numbers:
        return 0.0
    return float((sum(map(mul, numbers, numbers)) / len(numbers)) ** 0.5)


def change_speed(pcm: bytes, speed: float) -> bytes:
    """Speak faster (above 1) or slower at the same pitch: 20 ms blocks left out or said twice."""
    if speed == 1.0:
        return pcm
    block = SAMPLE_RATE // 50 * 2
    starts = range(0, len(pcm), block)
    wanted = max(1, round(len(starts) / speed)) if starts else 0
    chosen = (starts[min(int(i * speed), len(starts) - 1)] for i in range(wanted))
    return b"".join(pcm[start : start + block] for start in chosen)


def fit(pcm: bytes, milliseconds: float) -> bytes:
    """Exactly so long: cut off, or said again from the start."""
    size = FORMATS["audio/pcm"].size(milliseconds)
    if not pcm:
        return bytes(size)
    return (pcm * (size // len(pcm) + 1))[:size]
