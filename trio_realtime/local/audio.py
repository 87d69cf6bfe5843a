"""The audio of the local server: the wire formats, their conversion, and its duration.

Internally audio is signed 16-bit little-endian mono PCM, at 24 kHz for output. Output audio passes
through iterators, so that the server generates it piece by piece, as it sends it. The live service
has PCM at 24 kHz only; here it may have other rates.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import attrs

from trio_realtime.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from trio_realtime.audio.levels import root_mean_square
from trio_realtime.audio.samples import samples, to_bytes

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


# -- conversion ----------------------------------------------------------------------------------

_ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "audio/pcm": bytes,
    "audio/pcmu": encode_ulaw,
    "audio/pcma": encode_alaw,
}
_DECODERS: Final[Mapping[str, Callable[[bytes | bytearray], bytes]]] = {
    "audio/pcm": bytes,
    "audio/pcmu": decode_ulaw,
    "audio/pcma": decode_alaw,
}


def encode(pcm: bytes, audio_format: AudioFormat) -> bytes:
    """Encode PCM16 at 24 kHz in a wire format."""
    if audio_format.sample_rate != SAMPLE_RATE:
        pcm = to_bytes(_resample(samples(pcm), audio_format.sample_rate))
    return _ENCODERS[audio_format.name](pcm)


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
    return samples(_DECODERS[audio_format.name](data))


def loudness(data: bytes | bytearray, audio_format: AudioFormat) -> float:
    """Return the root mean square of the samples, from 0 (silence) to 32768."""
    return root_mean_square(decode(data, audio_format))


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
