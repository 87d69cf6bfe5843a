"""G.711: µ-law and A-law, the two encodings of phone lines, with one byte per sample.

Both directions look the result up in a table, which is made on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from .samples import samples

__all__ = ["decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw"]

_Law: TypeAlias = Literal["ulaw", "alaw"]


def encode_ulaw(pcm: bytes | bytearray) -> bytes:
    """Encode PCM16 as µ-law, one byte per sample. The sample rate stays; phone lines have 8000 Hz."""
    return _encode(pcm, "ulaw")


def decode_ulaw(data: bytes | bytearray) -> bytes:
    """Decode µ-law to PCM16."""
    return _decode(data, "ulaw")


def encode_alaw(pcm: bytes | bytearray) -> bytes:
    """Encode PCM16 as A-law, one byte per sample. The sample rate stays; phone lines have 8000 Hz."""
    return _encode(pcm, "alaw")


def decode_alaw(data: bytes | bytearray) -> bytes:
    """Decode A-law to PCM16."""
    return _decode(data, "alaw")


def _encode(pcm: bytes | bytearray, law: _Law) -> bytes:
    # A negative index counts from the end of the table, as the sign bit requires.
    return bytes(map(_codes(law).__getitem__, samples(pcm)))


def _decode(data: bytes | bytearray, law: _Law) -> bytes:
    low, high = _sample_bytes(law)
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(low)
    pcm[1::2] = data.translate(high)
    return bytes(pcm)


# --- tables --------------------------------------------------------------------------------------


@lru_cache
def _codes(law: _Law) -> bytes:
    """Return the codes of the samples 0 to 32767, followed by those of -32768 to -1."""
    encode = _ENCODERS[law]
    return bytes(map(encode, (*range(0x8000), *range(-0x8000, 0))))


@lru_cache
def _sample_bytes(law: _Law) -> tuple[bytes, bytes]:
    """Return the low and the high bytes of the samples of the 256 codes."""
    decoded = [_DECODERS[law](code) & 0xFFFF for code in range(256)]
    return bytes(sample & 0xFF for sample in decoded), bytes(sample >> 8 for sample in decoded)


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


_DECODERS: Final[dict[_Law, Callable[[int], int]]] = {
    "ulaw": _ulaw_to_linear,
    "alaw": _alaw_to_linear,
}
_ENCODERS: Final[dict[_Law, Callable[[int], int]]] = {
    "ulaw": _linear_to_ulaw,
    "alaw": _linear_to_alaw,
}
