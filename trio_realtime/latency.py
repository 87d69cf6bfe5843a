"""How fast a session answers: latencies of turns, and their percentiles over a session."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import attrs


@attrs.frozen(kw_only=True)
class TurnLatency:
    """The latencies of one turn of the agent, in seconds. ``None`` stands for what did not happen.

    Attributes:
        speech_to_audio: from the end of the user's speech to the first audio that was delivered. The service
            reports the end of speech only after the silence of its turn detection
            (``silence_duration_ms``), which is not included. With push-to-talk, the speech ends with
            ``commit_audio``.
        request_to_text: from the request to the first text or transcript. The request is the
            ``response.create``, or the end of the user's speech if the service responds by itself.
        request_to_audio: from the request to the first audio that was delivered.
        interruption_to_silence: from the beginning of the user's speech, or from ``interrupt()``, to the
            ``audio_interrupted`` event. It is not 0 only if the session waits to see whether the speech
            is an interruption.
        tool_time: seconds that the tools of the turn ran, one after the other or at the same time, summed over
            all calls. Time that a call waited for approval is not included.
    """

    speech_to_audio: float | None = None
    request_to_text: float | None = None
    request_to_audio: float | None = None
    interruption_to_silence: float | None = None
    tool_time: float | None = None


@attrs.frozen(kw_only=True)
class Percentiles:
    """Percentiles of measured times, in seconds. All are 0 if nothing was measured.

    Attributes:
        count: how many times were measured. The percentiles are those of the latest ones.
        p50, p90, p99: the time that 50, 90 and 99 percent of the values do not exceed.
        maximum: the longest time.
    """

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    maximum: float = 0.0


def percentiles_of(values: Sequence[float], count: int) -> Percentiles:
    """Return the percentiles of these values, by nearest rank. ``count`` includes older values."""
    if not values:
        return Percentiles(count=count)
    ranked = sorted(values)
    p50, p90, p99 = (ranked[ceil(share * len(ranked)) - 1] for share in (0.5, 0.9, 0.99))
    return Percentiles(count=count, p50=p50, p90=p90, p99=p99, maximum=ranked[-1])


@attrs.frozen(kw_only=True)
class LatencyStatistics:
    """The latencies of a session: those of :class:`TurnLatency`, over the latest 1,000 of each kind.

    ``tool_time`` has one value for each call, the others have one for each turn.
    """

    speech_to_audio: Percentiles = Percentiles()
    request_to_text: Percentiles = Percentiles()
    request_to_audio: Percentiles = Percentiles()
    interruption_to_silence: Percentiles = Percentiles()
    tool_time: Percentiles = Percentiles()


__all__ = ["LatencyStatistics", "Percentiles", "TurnLatency"]
