"""How much is sent, and what arrived of it. Shared by the server and all contestants."""

from __future__ import annotations

import time
from typing import Any, final

import attrs

AUDIO_BYTES = 4800
"""Of one audio frame: 100 ms of PCM16 mono at 24 kHz."""

AUDIO_PER_TEXT = 4
GROUP = AUDIO_PER_TEXT + 1
"""Frames after which the stream repeats its pattern."""

LONGEST_TURN = 1000
"""Frames of one response: 80 s of speech."""

WARM_UP_TURNS = 1
"""Turns that come first and are not measured."""


@attrs.frozen(kw_only=True)
class Load:
    """Turns of equal length. Only the frames of audio and transcript count."""

    turns: int
    frames_per_turn: int

    @classmethod
    def of(cls, frames: int) -> Load:
        """About as many frames: whole groups in turns of equal length, one group at least."""
        turns = max(1, round(frames / LONGEST_TURN))
        groups = max(1, round(frames / turns / GROUP))
        return cls(turns=turns, frames_per_turn=groups * GROUP)

    @property
    def frames(self) -> int:
        return self.turns * self.frames_per_turn

    @property
    def text_frames(self) -> int:
        return self.frames // GROUP

    @property
    def audio_frames(self) -> int:
        return self.text_frames * AUDIO_PER_TEXT

    @property
    def audio_bytes(self) -> int:
        return self.audio_frames * AUDIO_BYTES


@attrs.frozen(kw_only=True)
class Measurement:
    """What one contestant took in, and what it cost. Seconds."""

    cpu: float
    wall: float
    audio_frames: int
    audio_bytes: int
    text_frames: int

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)


class Incomplete(Exception):
    """Not all that was sent arrived, so the figures say nothing."""


@final
class Meter:
    """Counts what a contestant consumes. The clocks run from the end of the warm-up."""

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

    def audio(self, data: bytes) -> None:
        """A frame of audio is there, decoded."""
        self.audio_frames += 1
        self.audio_bytes += len(data)

    def text(self) -> None:
        """A piece of the transcript is there."""
        self.text_frames += 1

    def ends_turn(self) -> bool:
        """A turn is over. Returns whether it was the last."""
        self._turns_left -= 1
        if self._turns_left == self._load.turns:
            self._restart()
        return self._turns_left == 0

    def result(self) -> Measurement:
        """To be asked at once after the last turn.

        Raises:
            Incomplete: something is missing.
        """
        measured = Measurement(
            cpu=time.process_time() - self._cpu,
            wall=time.perf_counter() - self._wall,
            audio_frames=self.audio_frames,
            audio_bytes=self.audio_bytes,
            text_frames=self.text_frames,
        )
        for name in ("audio_frames", "audio_bytes", "text_frames"):
            here, sent = getattr(measured, name), getattr(self._load, name)
            if here != sent:
                raise Incomplete(f"{name}: {here} of {sent} arrived")
        return measured
