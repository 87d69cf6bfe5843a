"""The figures of a report."""

from __future__ import annotations

import math

from benchmarks.burst.load import Load, Measurement
from benchmarks.burst.report import BurstReport

LOAD = Load(turns=2, frames_per_turn=10)


def measurement(cpu: float) -> Measurement:
    return Measurement(
        cpu=cpu,
        wall=2 * cpu,
        audio_frames=LOAD.audio_frames,
        audio_bytes=LOAD.audio_bytes,
        text_frames=LOAD.text_frames,
    )


def test_ratios_are_computed_from_the_best_and_the_median_round() -> None:
    report = BurstReport(
        load=LOAD,
        rounds={
            "session": [measurement(3e-4), measurement(6e-4), measurement(4e-4)],
            "bare": [measurement(2e-4), measurement(3e-4), measurement(1e-4)],
        },
        missing=["agents"],
    )
    ratio = report.ratios()["session/bare"]
    assert math.isclose(ratio["best"], 3.0)
    assert math.isclose(ratio["median"], 2.0)
    assert math.isclose(min(report.cpu_us("session")), 15.0)
    assert "openai-agents is not installed" in report.to_text()
