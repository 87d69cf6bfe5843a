"""The comparison of clients in a scenario, and the scenarios that use it, end to end."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from benchmarks.clients import CLIENTS
from benchmarks.commands import main
from benchmarks.comparison import Column, ComparisonReport, Layout
from benchmarks.options import positives
from benchmarks.percentiles import Latencies, percentile
from benchmarks.ratios import ratios_to_reference

LAYOUT = Layout(
    name="test",
    heading="{count} things",
    columns=(Column("cpu", "CPU time", 1000), Column("wall", "wall", 1, 2)),
    compared=("cpu",),
)
REPORT = ComparisonReport(
    layout=LAYOUT,
    settings={"count": 3},
    rounds={
        "session": [
            {"cpu": 1.0, "wall": 1.0},
            {"cpu": 4.0, "wall": 2.0},
            {"cpu": 9.0, "wall": 3.0},
        ],
        "agents": [{"cpu": 1.0, "wall": 1.0}, {"cpu": 2.0, "wall": 1.0}, {"cpu": 3.0, "wall": 1.0}],
    },
)


def test_a_comparison_has_medians_and_ratios_within_the_rounds() -> None:
    assert REPORT.ratios("cpu") == {"session/agents": 2.0}
    (table,) = REPORT.tables()
    assert table.columns == ["client", "CPU time", "ratio", "wall"]
    assert table.rows == [["session", "4,000.0", "2.00", "2.00"], ["agents", "2,000.0", "", "1.00"]]
    assert REPORT.title() == "3 things"
    assert REPORT.to_json()["ratios"] == {"cpu": {"session/agents": 2.0}}


def test_a_round_without_a_figure_of_the_reference_does_not_count() -> None:
    assert ratios_to_reference({"fast": [1.0, 9.0], "agents": [2.0, 0.0]}) == {"fast/agents": 0.5}
    assert ratios_to_reference({"fast": [1.0], "agents": [0.0]}) == {}


def test_a_list_of_numbers_is_sorted() -> None:
    assert positives("20,1,3") == [1, 3, 20]


def test_percentiles_of_latencies_are_taken_once() -> None:
    latencies = Latencies()
    for number in range(100, 0, -1):
        latencies.add("first", number)
    assert latencies.take() == {"first_p50": 51, "first_p99": 100, "first_count": 100}
    assert latencies.take() == {}
    assert percentile([1.0], 0.999) == 1.0


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--repeat", "1", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["benchmark"] == arguments[0]
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "figures"),
    [
        (["lifecycle", "--sessions", "2"], {"open_cpu", "open_wall", "answer_cpu", "answer_wall"}),
        (["memory", "--sessions", "3", "--frames", "2"], {"idle", "conversation"}),
        (
            ["memory", "--sessions", "3", "--frames", "2", "--tracemalloc"],
            {"idle", "conversation"},
        ),
        (["tools", "--calls", "3"], {"cpu", "output_p50", "output_p99", "output_count"}),
    ],
)
def test_every_client_has_figures(
    arguments: list[str], figures: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_command(capsys, *arguments)
    assert set(report["rounds"]) == set(CLIENTS)
    for (measured,) in report["rounds"].values():
        assert set(measured) == figures
        assert all(math.isfinite(value) for value in measured.values())


@pytest.mark.slow
@pytest.mark.parametrize(("cancels", "frames"), [("client", 2), ("service", 1)])
def test_every_client_answers_every_barge_in(
    cancels: str, frames: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_command(capsys, "interruption", "--interruptions", "5", "--cancels", cancels)
    assert set(report["rounds"]) == set(CLIENTS)
    assert set(report["stops"]) == {"1", "8", "64"}
    for (measured,) in report["rounds"].values():
        assert measured["unanswered_count"] == 0
        assert measured["first_count"] == 5
        assert measured["frames_p50"] == frames
        assert measured["first_p50"] <= measured["last_p50"]


@pytest.mark.slow
def test_imports_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_command(capsys, "imports")
    assert set(report["rounds"]) == {"session", "agents"}
    assert report["rounds"]["session"][0]["modules"] > 100
