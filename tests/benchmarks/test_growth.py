"""The ``growth`` benchmark. The tests check the form of the report, not the speed."""

from __future__ import annotations

import json

import pytest

from benchmarks.commands import main
from benchmarks.growth.command import GrowthReport
from benchmarks.growth.measure import DeltaFigures, ItemFigures


@pytest.mark.slow
def test_a_small_run_reports_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--items", "3,20", "--deltas", "1,30", "--batch", "2", "--json"]
    assert main(["growth", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["items"] for one in report["items"]] == [3, 20]
    assert [one["deltas"] for one in report["deltas"]] == [1, 30]
    assert all(value > 0 for one in report["items"] for value in one.values())


def test_each_row_is_compared_with_the_first() -> None:
    report = GrowthReport(
        batch=1,
        items=[
            ItemFigures(items=10, audio=1e-5, transcript=1e-5, item=1e-5, history=1e-6),
            ItemFigures(items=1000, audio=1e-5, transcript=2e-5, item=1e-5, history=3e-6),
        ],
        deltas=[DeltaFigures(deltas=5, transcript=1e-5, history=1e-6)],
    )
    items, deltas = report.tables()
    assert items.rows[1] == ["1,000", "10.0", "1.00", "20.0", "2.00", "10.0", "1.00", "3.0", "3.00"]
    assert deltas.rows == [["5", "10.0", "1.00", "1.0", "1.00"]]
