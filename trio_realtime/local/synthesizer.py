"""How answers sound: PCM16, 24 kHz, mono. A tone for every letter, or eSpeak NG where it exists."""

from __future__ import annotations

import importlib
import math
import shutil
import struct
import subprocess
from array import array
from functools import lru_cache
from typing import Any, Final, Protocol

from .audio import SAMPLE_RATE, to_bytes

__all__ = ["EspeakSynthesizer", "ToneSynthesizer", "Synthesizer"]

_SPEAK_TIMEOUT: Final = 30.0


class Synthesizer(Protocol):
    """Whoever speaks.

    ``blocking`` says that :meth:`speak` may take long: the server then calls it in a thread.
    """

    @property
    def blocking(self) -> bool:
        """Whether :meth:`speak` waits for something outside of this process."""
        ...

    def speak(self, text: str) -> bytes:
        """The speech for a text: signed 16-bit little-endian samples at 24 kHz, one channel."""
        ...


class ToneSynthesizer:
    """A short tone for every letter, silence for the rest. Always the same for the same text.

    Args:
        ms_per_character: how long each character sounds, in milliseconds.
    """

    def __init__(self, ms_per_character: int = 60) -> None:
        self._ms = ms_per_character

    @property
    def blocking(self) -> bool:
        """Never."""
        return False

    def speak(self, text: str) -> bytes:
        """A row of tones, ``len(text) * ms_per_character`` milliseconds long."""
        return b"".join(_syllable(character, self._ms) for character in text)


@lru_cache(maxsize=512)
def _syllable(character: str, milliseconds: int) -> bytes:
    count = SAMPLE_RATE * milliseconds // 1000
    if not character.isalnum():
        return bytes(2 * count)
    pitch = 140.0 + 12.0 * (ord(character.lower()) % 32)
    step = 2 * math.pi * pitch / SAMPLE_RATE
    # Fades in and out like a syllable; a little of the octave makes it less of a whistle.
    return to_bytes(
        array(
            "h",
            (
                int(
                    9000
                    * math.sin(math.pi * (n + 0.5) / count)
                    * (0.75 * math.sin(step * n) + 0.25 * math.sin(2 * step * n))
                )
                for n in range(count)
            ),
        )
    )


class EspeakSynthesizer:
    """Speech by the eSpeak NG program, resampled by the ``soxr`` package. Both must be installed.

    Args:
        voice: eSpeak's name of a voice or language, for example ``en-us``.
        words_per_minute: how fast to speak.
        program: name or path of the program.

    Raises:
        FileNotFoundError: there is no such program. Install eSpeak NG, or use :class:`ToneSynthesizer`.
        ImportError: ``soxr`` is missing.
    """

    def __init__(
        self, voice: str = "en", *, words_per_minute: int = 170, program: str = "espeak-ng"
    ) -> None:
        path = shutil.which(program)
        if path is None:
            raise FileNotFoundError(f"the speech program {program!r} is not installed")
        self._resampler: Any = importlib.import_module("soxr")
        self._command = (path, "-v", voice, "-s", str(words_per_minute), "--stdin", "--stdout")
        self._spoken = lru_cache(maxsize=256)(self._run)

    @property
    def blocking(self) -> bool:
        """Always: it runs a program."""
        return True

    def speak(self, text: str) -> bytes:
        """Run the program, once for each text.

        Raises:
            subprocess.SubprocessError: the program failed or took longer than 30 seconds.
        """
        return self._spoken(text) if text.strip() else b""

    def _run(self, text: str) -> bytes:
        done = subprocess.run(
            self._command,
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=_SPEAK_TIMEOUT,
        )
        rate, pcm = split_wave(done.stdout)
        return self._resample(pcm, rate)

    def _resample(self, pcm: bytes, rate: int) -> bytes:
        numpy: Any = importlib.import_module("numpy")
        numbers = numpy.frombuffer(pcm, dtype="<i2")
        spoken: bytes = self._resampler.resample(numbers, rate, SAMPLE_RATE).astype("<i2").tobytes()
        return spoken


def split_wave(wave: bytes) -> tuple[int, bytes]:
    """Sample rate and samples of a mono 16-bit WAV stream.

    A program that writes to a pipe cannot know the length beforehand, so the lengths in the header
    are not believed: the samples go on to the end.

    Raises:
        ValueError: not such a stream.
    """
    head = wave.find(b"fmt ")
    data = wave.find(b"data")
    if wave[:4] != b"RIFF" or head < 0 or data < 0:
        raise ValueError("the speech program did not answer with a WAV stream")
    _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", wave, head + 8)
    if (channels, bits) != (1, 16):
        raise ValueError(f"expected mono 16-bit samples, got {channels} channel(s) of {bits} bits")
    pcm = wave[data + 8 :]
    return rate, pcm[: len(pcm) // 2 * 2]
