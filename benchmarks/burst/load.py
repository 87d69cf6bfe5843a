"""The amount of data to send, and the measurement of a client. Shared by all processes."""

from __future__ import annotations

import time
from typing import Any, final

import attrs

AUDIO_BYTES = 4800
"""Size of one audio frame: 100 ms of PCM16 mono at 24 kHz."""

AUDIO_PER_TEXT = 4
"""Audio frames per transcript frame."""

GROUP_FRAMES = AUDIO_PER_TEXT + 1
"""Frames in one repetition of the pattern."""

MAX_TURN_FRAMES = 1000
"""Maximum frames of one response: 80 s of speech."""

WARM_UP_TURNS = 1
"""Turns before the measurement starts."""


@attrs.frozen(kw_only=True)
class Load:
    """Turns of equal length. Counts only the frames of audio and transcript."""

    turns: int
    frames_per_turn: int

    @classmethod
    def approximately(cls, frames: int) -> Load:
        """Create a load of about this many frames: complete groups in turns of equal length."""
        turns = max(1, round(frames / MAX_TURN_FRAMES))
        groups = max(1, round(frames / turns / GROUP_FRAMES))
        return cls(turns=turns, frames_per_turn=groups * GROUP_FRAMES)

    @property
    def frames(self) -> int:
        return self.turns * self.frames_per_turn

    @property
    def text_frames(self) -> int:
        return self.frames // GROUP_FRAMES

    @property
    def audio_frames(self) -> int:
        return self.text_frames * AUDIO_PER_TEXT

    @property
    def audio_bytes(self) -> int:
        return self.audio_frames * AUDIO_BYTES


@attrs.frozen(kw_only=True)
class Measurement:
    """What one client received, and the CPU and wall-clock time it took, in seconds."""

    cpu: float
    wall: float
    audio_frames: int
    audio_bytes: int
    text_frames: int

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)


class IncompleteStream(Exception):
    """Part of the stream did not arrive, so the measurement is invalid."""


@final
class Meter:
    """Counts what a client consumes, and measures its time from the end of the warm-up."""

    __slots__ = (
        "_cpu",
        "_load",
        "_turns_left",
        "_wall",
        "audio_bytes",
        "audio_frames",
        "text_frames",
    )

    def __init__(self, load: Load) -> None:
        self._load = load
        self._turns_left = load.turns + WARM_UP_TURNS
        self._restart()

    def _restart(self) -> None:
        self.audio_frames = self.audio_bytes = self.text_frames = 0
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def count_audio(self, data: bytes) -> None:
        """Count one frame of decoded audio."""
        self.audio_frames += 1
        self.audio_bytes += len(data)

    def count_text(self) -> None:
        """Count one transcript delta."""
        self.text_frames += 1

    def end_turn(self) -> bool:
        """Count the end of a turn. Returns whether it was the last turn."""
        self._turns_left -= 1
        if self._turns_left == self._load.turns:
            self._restart()
        return self._turns_left == 0

    def result(self) -> Measurement:
        """Return the measurement. Call this immediately after the last turn.

        Raises:
            IncompleteStream: part of the stream is missing.
        """
        measured = Measurement(
            cpu=time.process_time() - self._cpu,
            wall=time.perf_counter() - self._wall,
            audio_frames=self.audio_frames,
            audio_bytes=self.audio_bytes,
            text_frames=self.text_frames,
        )
        for name in ("audio_frames", "audio_bytes", "text_frames"):
            received, sent = getattr(measured, name), getattr(self._load, name)
            if received != sent:
                raise IncompleteStream(f"{name}: received {received} of {sent}")
        return measured
