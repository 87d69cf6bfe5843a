"""The ``capacity`` benchmark. The tests check the form of the report, not the speed."""

from __future__ import annotations

import json

import pytest

from benchmarks.capacity.report import CapacityReport
from benchmarks.clients import CLIENTS
from benchmarks.commands import main
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement


def measured(p99: float) -> DuplexMeasurement:
    return DuplexMeasurement(cpu=1.0, wall=2.0, p50=0.001, p99=p99, p999=0.1, late=0.002)


def test_the_capacity_ends_at_the_first_number_of_sessions_above_the_limit() -> None:
    report = CapacityReport(
        load=DuplexLoad(mode="paced"),
        limit=0.02,
        rounds={
            "session": {
                10: [measured(0.01)],
                20: [measured(0.01), measured(0.01), measured(0.5)],
                30: [measured(0.02)],
                40: [measured(0.01)],
            },
            "fast": {10: [measured(0.03)]},
            "agents": {10: [measured(0.01)], 20: [measured(0.01)]},
        },
    )
    assert report.to_json()["capacity"] == {"session": 20, "fast": 0, "agents": 20}
    assert report.ratios() == {"session/agents": 1.0, "fast/agents": 0.0}
    assert "50%" in report.to_markdown()


@pytest.mark.slow
def test_a_client_is_not_tried_after_two_failures(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--frames", "3", "--repeat", "1", "--json", "--freeze"]
    assert main(["capacity", "--sessions", "3,1,2", "--limit-ms", "0", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["rounds"]) == set(CLIENTS)
    assert all(set(numbers) == {"1", "2"} for numbers in report["rounds"].values())
    assert set(report["capacity"].values()) == {0}
