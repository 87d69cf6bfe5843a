"""Converts the sample rate of a stream of PCM16."""

from __future__ import annotations

import importlib
from array import array
from typing import Any, Protocol

from trio_realtime.audio.samples import samples, to_bytes


class Resampler(Protocol):
    """Converts the rate of audio that arrives in blocks."""

    def convert(self, pcm: bytes, *, is_last: bool) -> bytes:
        """Return what is ready. After the last block, that is everything."""
        ...


def make_resampler(rate: int, new_rate: int) -> Resampler:
    """Return a resampler. It is linear if the extra ``audio`` is not installed."""
    if rate == new_rate:
        return _Unchanged()
    try:
        numpy, soxr = importlib.import_module("numpy"), importlib.import_module("soxr")
    except ImportError:
        return LinearResampler(rate, new_rate)
    return _SoxrResampler(numpy, soxr, rate, new_rate)


class _Unchanged:
    """The rate stays."""

    def convert(self, pcm: bytes, *, is_last: bool) -> bytes:  # noqa: ARG002 - the protocol
        return pcm


class _SoxrResampler:
    """Resamples with soxr, which compensates for its own delay."""

    def __init__(self, numpy: Any, soxr: Any, rate: int, new_rate: int) -> None:
        self._numpy = numpy
        self._stream = soxr.ResampleStream(rate, new_rate, 1, dtype="float32")

    def convert(self, pcm: bytes, *, is_last: bool) -> bytes:
        numpy = self._numpy
        # soxr adds dither to integers, so it is given floats: the result must be reproducible.
        floats = numpy.frombuffer(pcm, "<i2").astype(numpy.float32)
        resampled = numpy.rint(self._stream.resample_chunk(floats, last=is_last))
        data: bytes = numpy.clip(resampled, -32768, 32767).astype("<i2").tobytes()
        return data


class LinearResampler:
    """Interpolates between neighbouring samples."""

    def __init__(self, rate: int, new_rate: int) -> None:
        self._rate = rate
        self._new_rate = new_rate
        self._samples: array[int] = array("h")
        self._first = 0
        self._written = 0

    def convert(self, pcm: bytes, *, is_last: bool) -> bytes:
        """Return what is ready. After the last block, that is everything."""
        numbers = self._samples + samples(pcm)
        end = self._first + len(numbers)
        if is_last and numbers:
            # The last sample has no neighbour, and keeps its value.
            numbers.append(numbers[-1])
        # Position of a new sample: written * rate / new_rate, which needs the sample after it.
        count = -(-(self._first + len(numbers) - 1) * self._new_rate // self._rate)
        count = min(count, -(-end * self._new_rate // self._rate))
        result = array("h")
        for index in range(self._written, count):
            whole, part = divmod(index * self._rate, self._new_rate)
            left = numbers[whole - self._first]
            right = numbers[whole - self._first + 1]
            result.append(left + round((right - left) * part / self._new_rate))
        self._written = max(self._written, count)
        done = min(self._written * self._rate // self._new_rate - self._first, len(numbers))
        self._samples = numbers[max(done, 0) :]
        self._first += max(done, 0)
        return to_bytes(result)
