"""The two tracks of a recording: sizes, silence and levels of their audio."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

from trio_realtime.audio import decode_alaw, decode_ulaw, sample_rate
from trio_realtime.audio.formats import silent_sample
from trio_realtime.audio.samples import samples
from trio_realtime.wire import AudioFormat

Track: TypeAlias = Literal["user", "agent"]
"""A track of a recording: what the user said, or what the user heard of the agent."""

TRACKS: Final[tuple[Track, ...]] = ("user", "agent")

_QUIET: Final = 330
"""The largest sample of audio that counts as silent: -40 dBFS."""


@attrs.frozen
class TrackFormat:
    """The format of a track, and what follows from it.

    Attributes:
        audio_format: PCM16, G.711 µ-law or A-law.
        rate: samples per second.
        silent_sample: one sample of silence.
        sample_size: bytes of a sample.
    """

    audio_format: AudioFormat
    rate: int
    silent_sample: bytes
    sample_size: int

    @classmethod
    def of(cls, audio_format: AudioFormat) -> TrackFormat:
        """Return the format of a track with this audio.

        Raises:
            UsageError: the format is none of PCM16, µ-law and A-law.
        """
        sample = silent_sample(audio_format)
        return cls(audio_format, sample_rate(audio_format), sample, len(sample))

    def silence(self, count: int) -> bytes:
        """Return ``count`` samples of silence."""
        return self.silent_sample * count

    def count(self, data: bytes) -> int:
        """Return the number of whole samples."""
        return len(data) // self.sample_size

    def ms(self, count: int) -> float:
        """Return the duration of ``count`` samples in milliseconds."""
        return count * 1000 / self.rate

    def samples_in(self, ms: float) -> int:
        """Return the number of samples of ``ms`` milliseconds, to the nearest sample.

        More than 30 years, also an infinite number, count as that.
        """
        return round(min(ms, 1e12) * self.rate / 1000)

    def is_quiet(self, data: bytes) -> bool:
        """Return whether no sample is louder than -40 dBFS."""
        numbers = samples(self.to_pcm(data))
        return not numbers or (max(numbers) < _QUIET and min(numbers) > -_QUIET)

    def to_pcm(self, data: bytes) -> bytes:
        """Return audio of the track as PCM16 at the rate of the track."""
        match self.audio_format.type:
            case "audio/pcmu":
                return decode_ulaw(data)
            case "audio/pcma":
                return decode_alaw(data)
            case _:
                return data
