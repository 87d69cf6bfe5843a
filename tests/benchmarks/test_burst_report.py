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


def test_ratios_are_medians_of_the_rounds_of_a_burst() -> None:
    report = BurstReport(
        load=LOAD,
        rounds={
            "session": [measurement(3e-4), measurement(6e-4), measurement(4e-4)],
            "agents": [measurement(2e-4), measurement(3e-4), measurement(1e-4)],
        },
    )
    assert math.isclose(report.ratios()["session/agents"], 2.0)
    assert math.isclose(min(report.cpu_us("session")), 15.0)
    assert "2.00" in report.to_text()


def test_a_client_that_is_not_installed_is_reported() -> None:
    report = BurstReport(
        load=LOAD,
        rounds={"session": [measurement(3e-4)]},
        missing={"agents": "openai-agents is not installed"},
    )
    assert report.ratios() == {}
    assert "agents: not measured, openai-agents is not installed" in report.to_text()
