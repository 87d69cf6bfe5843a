"""Audio as a value: samples with their rate."""

from __future__ import annotations

import importlib
from typing import Any

import attrs

from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.wire import AudioFormat

from .formats import sample_rate
from .g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

__all__ = ["PcmAudio"]

_MAX_RATE = 1_000_000


def _check_data(_instance: Any, _attribute: Any, data: bytes) -> None:
    if len(data) % 2:
        raise UsageError(f"16-bit samples have an even number of bytes, got {len(data)}")


def _check_rate(_instance: Any, _attribute: Any, rate: Any) -> None:
    if type(rate) is not int or not 0 < rate <= _MAX_RATE:
        raise UsageError(f"rate must be a number of samples per second, got {rate!r:.80}")


@attrs.frozen
class PcmAudio:
    """Audio as PCM16: 16-bit little-endian samples, mono.

    Args:
        data: the samples.
        rate: samples per second.

    Raises:
        UsageError: ``data`` has an odd number of bytes, or the rate is not a positive int.
    """

    data: bytes = attrs.field(repr=False, converter=bytes, validator=_check_data)
    rate: int = attrs.field(default=24_000, validator=_check_rate)

    @classmethod
    def decode(cls, data: bytes | bytearray, audio_format: AudioFormat) -> PcmAudio:
        """Decode audio of a session, which is in the session's input or output format.

        Raises:
            UsageError: the format is none of PCM16, µ-law and A-law.
        """
        rate = sample_rate(audio_format)
        match audio_format.type:
            case "audio/pcmu":
                return cls(decode_ulaw(data), rate)
            case "audio/pcma":
                return cls(decode_alaw(data), rate)
            case _:
                return cls(data, rate)

    def encode(self, audio_format: AudioFormat) -> bytes:
        """Return the audio in a format of a session. The rate is converted if it is another one.

        Raises:
            UsageError: the format is none of PCM16, µ-law and A-law.
            ConfigurationError: the rate must be converted, and the extra ``audio`` is not installed.
        """
        pcm = self.resample(sample_rate(audio_format)).data
        match audio_format.type:
            case "audio/pcmu":
                return encode_ulaw(pcm)
            case "audio/pcma":
                return encode_alaw(pcm)
            case _:
                return pcm

    def resample(self, rate: int) -> PcmAudio:
        """Return the audio at another sample rate. This takes long for long audio: use a thread.

        Raises:
            UsageError: the rate is not a positive int.
            ConfigurationError: the extra ``audio`` is not installed. It is not needed where the rate
                stays.
        """
        if rate == self.rate or not self.data:
            return attrs.evolve(self, rate=rate)
        _check_rate(None, None, rate)
        numpy, soxr = _libraries(self.rate, rate)
        floats = numpy.frombuffer(self.data, "<i2").astype(numpy.float32)
        # soxr adds dither to integers, so it is given floats: the result must be reproducible.
        resampled = numpy.rint(soxr.resample(floats, self.rate, rate))
        return PcmAudio(numpy.clip(resampled, -32768, 32767).astype("<i2").tobytes(), rate)

    @property
    def duration_ms(self) -> float:
        """Milliseconds of audio."""
        return len(self.data) * 500 / self.rate

    @property
    def audio_format(self) -> AudioFormat:
        """The format of :attr:`data`, for functions that take one."""
        return AudioFormat(type="audio/pcm", rate=self.rate)


def _libraries(old_rate: int, new_rate: int) -> tuple[Any, Any]:
    try:
        return importlib.import_module("numpy"), importlib.import_module("soxr")
    except ImportError as exc:
        raise ConfigurationError(
            f"converting audio from {old_rate} Hz to {new_rate} Hz needs soxr and numpy: "
            "pip install 'trio-realtime[audio]'"
        ) from exc
