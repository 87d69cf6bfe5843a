"""The amount of data that a client exchanges, and the measurement of it. Shared by all processes."""

from __future__ import annotations

import gc
import struct
import time
from typing import Any, Final, Literal, TypeAlias, final

import attrs

from benchmarks.percentiles import percentile
from benchmarks.sampling import Sampler

Mode: TypeAlias = Literal["lock", "paced"]

BYTES_PER_MS: Final = 48
"""PCM16 mono at 24 kHz."""

STAMP: Final = struct.Struct("<d")
"""The time of sending at the beginning of the audio."""

WARM_UP: Final = 20
"""The number of deltas that each session receives before the clock starts."""


@attrs.frozen(kw_only=True)
class DuplexLoad:
    """What each client does.

    Attributes:
        mode: how the audio is exchanged.
        sessions: the number of sessions at once.
        frames: the number of deltas that each session receives, and of frames that its microphone sends.
        frame_ms: milliseconds of audio in each.
        tls: whether the connections use TLS.
        freeze: whether the objects of the open sessions are exempt from later garbage collections.
        sample: whether the client samples its own stack.
    """

    mode: Mode = "lock"
    sessions: int = 30
    frames: int = 200
    frame_ms: int = 20
    tls: bool = False
    freeze: bool = False
    sample: bool = False

    @property
    def frame_bytes(self) -> int:
        return self.frame_ms * BYTES_PER_MS

    def delay(self, number: int) -> float:
        """Return a part of an interval, in seconds: microphones do not speak in the same instant."""
        return self.frame_ms / 1000 * (number * 0.618 % 1)

    @property
    def microphone(self) -> bytes:
        """The audio of each frame of the microphone: quiet noise."""
        return bytes(range(1, 9)) * (self.frame_bytes // 8)


@attrs.frozen(kw_only=True)
class DuplexMeasurement:
    """What one client took, in seconds.

    Attributes:
        cpu: CPU time.
        wall: wall-clock time.
        p50, p99, p999: latencies.
        late: p99 of the time by which the server missed the deadlines of its deltas; 0 if it has none. The
            latencies do not include it, but deltas that are late arrive together.
        layers: the share of the CPU time in each layer; empty unless the load asks for it.
    """

    cpu: float
    wall: float
    p50: float
    p99: float
    p999: float
    late: float = 0.0
    layers: dict[str, float] = attrs.field(factory=dict[str, float])

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)


class WrongAudio(Exception):
    """A session did not receive what was sent, so the measurement is invalid."""


@final
class DuplexMeter:
    """Measures from the moment at which all sessions are warm to the last frame of the last one."""

    def __init__(self, load: DuplexLoad) -> None:
        self._load = load
        self._sessions_left = load.sessions
        self._latencies: list[float] = []
        self._cpu = self._wall = 0.0
        self._sampler = Sampler()

    def start(self) -> None:
        """Start the clock.

        The objects of all sessions are collected first: a collection of the oldest generation takes tens of
        milliseconds with a hundred sessions, and would fall into some runs and not into others.
        """
        self._latencies.clear()
        gc.collect()
        if self._load.freeze:
            gc.freeze()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        if self._load.sample:
            self._sampler.start()

    def receive(self, audio: bytes) -> None:
        """Count one delta that a consumer has received."""
        if len(audio) != self._load.frame_bytes:
            raise WrongAudio(f"received {len(audio)} bytes instead of {self._load.frame_bytes}")
        self._latencies.append(time.monotonic() - STAMP.unpack_from(audio)[0])

    def end_session(self) -> bool:
        """Count a session that is done. Returns whether it was the last one, which stops the clock."""
        self._sessions_left -= 1
        if self._sessions_left:
            return False
        self._sampler.stop()
        self._cpu = time.process_time() - self._cpu
        self._wall = time.perf_counter() - self._wall
        return True

    def result(self) -> DuplexMeasurement:
        """Return the measurement of all sessions.

        Raises:
            WrongAudio: part of the audio is missing.
        """
        expected = self._load.sessions * self._load.frames
        if len(self._latencies) != expected:
            raise WrongAudio(f"received {len(self._latencies)} deltas instead of {expected}")
        ordered = sorted(self._latencies)
        return DuplexMeasurement(
            cpu=self._cpu,
            wall=self._wall,
            p50=percentile(ordered, 0.5),
            p99=percentile(ordered, 0.99),
            p999=percentile(ordered, 0.999),
            layers=self._sampler.shares(),
        )
