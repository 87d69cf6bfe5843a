"""The ``consumers`` benchmark. The tests check what consumers got, not the speed."""

from __future__ import annotations

import json

import attrs
import pytest

from benchmarks.commands import main
from benchmarks.consumers.command import ConsumersReport
from benchmarks.consumers.measure import SlowFigures, measure_slow


@pytest.mark.slow
def test_a_small_run_reports_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["consumers", "--consumers", "1,3", "--deltas", "20", "--repeat", "1", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert set(report["consumers"]) == {"1", "3"}
    assert set(report["slow"]) == {"no slow consumer", "fail", "drop_oldest_audio"}
    assert set(report["guardrails"]) == {"none", "guardrail", "guardrail and gate"}
    assert all(cost > 0 for costs in report["guardrails"].values() for cost in costs)


@pytest.mark.slow
async def test_a_slow_consumer_fails_alone() -> None:
    figures = await measure_slow("fail", 17_000)
    assert (figures.failure, figures.received) == ("ConsumerTooSlow", 17_000)
    assert figures.buffered_events == 17_000 - figures.dropped == 16_384


def test_an_event_that_a_reader_has_lost_is_a_failure() -> None:
    figures = SlowFigures(cpu=1e-5, received=20)
    report = ConsumersReport(
        deltas=20, consumers={1: [1e-5]}, slow={"fail": [figures]}, guardrails={"none": [1e-5]}
    )
    assert report.exit_status == 0
    lossy = attrs.evolve(report, slow={"fail": [attrs.evolve(figures, received=19)]})
    assert lossy.exit_status == 1
