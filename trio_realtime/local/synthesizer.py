"""Synthesizers: they turn text into speech, as tones or with eSpeak NG."""

from __future__ import annotations

import importlib
import io
import math
import re
import shutil
import subprocess
from array import array
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Protocol

import attrs

from trio_realtime.audio import read_wav
from trio_realtime.audio.samples import to_bytes

from .audio import FORMATS, SAMPLE_RATE

__all__ = ["EspeakSynthesizer", "Speech", "Synthesizer", "ToneSynthesizer"]

_SYNTHESIS_TIMEOUT: Final = 30.0
#: A sentence, or up to 300 characters of a longer one.
_SENTENCE: Final = re.compile(
    r".{1,300}?(?:[.!?…]+(?=\s)|\Z)|.{1,300}(?=\s)|.{1,300}", flags=re.DOTALL
)
#: Several seconds of speech each.
_CACHED_SENTENCES: Final = 16
_CHARACTERS_PER_WORD: Final = 6


@attrs.frozen
class Speech:
    """Speech that is generated piece by piece, so that long speech needs little memory.

    Args:
        pieces: signed 16-bit little-endian mono PCM at 24 kHz, in pieces of any length. The server
            takes the next piece when it needs it, and none after the response was cancelled.
        duration_ms: duration of all pieces, in milliseconds. It may be an estimate: it only decides
            how the transcript is spread over the audio.
    """

    pieces: Iterable[bytes] = attrs.field(repr=False)
    duration_ms: float

    @classmethod
    def of(cls, speech: bytes | Speech) -> Speech:
        """Return the speech, also if it is given as PCM."""
        if isinstance(speech, Speech):
            return speech
        return cls((speech,), FORMATS["audio/pcm"].duration_ms(len(speech)))


class Synthesizer(Protocol):
    """Turns text into speech. One synthesizer serves all connections of a server."""

    @property
    def blocking(self) -> bool:
        """Whether generating speech blocks. The server then does it in a thread."""
        ...

    def synthesize(self, text: str) -> bytes | Speech:
        """Return the speech as signed 16-bit little-endian mono PCM at 24 kHz.

        Return a :class:`Speech` to generate long speech while the server sends it. The server calls
        this again for the same text if the step of the responder asks for longer speech.
        """
        ...


class ToneSynthesizer:
    """A :class:`Synthesizer` that plays a tone for each letter. Its output is deterministic.

    Args:
        ms_per_character: duration of each character, in milliseconds.
    """

    def __init__(self, ms_per_character: int = 60) -> None:
        self._ms = ms_per_character

    @property
    def blocking(self) -> bool:
        """Always False."""
        return False

    def synthesize(self, text: str) -> Speech:
        """Return tones of ``len(text) * ms_per_character`` milliseconds. Other characters are silent."""
        pieces = (_syllable(_pitch(character), self._ms) for character in text)
        return Speech(pieces, len(text) * self._ms)


def _pitch(character: str) -> float | None:
    """Return the frequency of the tone for a character in hertz, one of 32; None for silence."""
    return 140.0 + 12.0 * (ord(character.lower()[0]) % 32) if character.isalnum() else None


@lru_cache(maxsize=64)
def _syllable(pitch: float | None, milliseconds: int) -> bytes:
    count = SAMPLE_RATE * milliseconds // 1000
    if pitch is None:
        return bytes(2 * count)
    step = 2 * math.pi * pitch / SAMPLE_RATE
    # Fades in and out like a syllable. A quieter octave softens the tone.
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
    """A :class:`Synthesizer` that runs the eSpeak NG program. Requires the package ``soxr``.

    Args:
        voice: eSpeak's name of a voice or language, for example ``en-us``.
        words_per_minute: speed of the speech.
        program: name or path of the eSpeak NG program.

    Raises:
        FileNotFoundError: the program is not installed. Install eSpeak NG, or use
            :class:`ToneSynthesizer`.
        ImportError: ``soxr`` is not installed.
    """

    def __init__(
        self, voice: str = "en", *, words_per_minute: int = 170, program: str = "espeak-ng"
    ) -> None:
        path = shutil.which(program)
        if path is None:
            raise FileNotFoundError(f"the speech program {program!r} is not installed")
        importlib.import_module("soxr")  # fail here, not when the agent begins to speak
        self._command = (path, "-v", voice, "-s", str(words_per_minute), "--stdin", "--stdout")
        self._ms_per_character = 60_000 / (words_per_minute * _CHARACTERS_PER_WORD)
        self._cached_speech = lru_cache(maxsize=_CACHED_SENTENCES)(self._run)

    @property
    def blocking(self) -> bool:
        """Always True, because it runs a program."""
        return True

    def synthesize(self, text: str) -> Speech:
        """Return the speech. The program runs once for each sentence, when its audio is needed.

        The iterator of the pieces raises ``subprocess.SubprocessError`` if the program fails, or
        takes longer than 30 seconds.
        """
        return Speech(self._speak(text), len(text) * self._ms_per_character)

    def _speak(self, text: str) -> Iterator[bytes]:
        for match in _SENTENCE.finditer(text):
            sentence = match.group().strip()
            if sentence:
                yield self._cached_speech(sentence)

    def _run(self, text: str) -> bytes:
        done = subprocess.run(
            self._command,
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=_SYNTHESIS_TIMEOUT,
        )
        return read_wav(io.BytesIO(done.stdout)).resample(SAMPLE_RATE).data
