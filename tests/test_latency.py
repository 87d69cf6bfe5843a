"""Percentiles of latencies."""

from __future__ import annotations

from hypothesis import given, strategies as st

from trio_realtime.latency import Percentiles, percentiles_of


def test_percentiles_of_a_hundred_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]

    assert percentiles_of(values, 250) == Percentiles(
        count=250, p50=50.0, p90=90.0, p99=99.0, maximum=100.0
    )


def test_one_value_is_every_percentile() -> None:
    assert percentiles_of([0.5], 1) == Percentiles(count=1, p50=0.5, p90=0.5, p99=0.5, maximum=0.5)


def test_nothing_measured_is_zero() -> None:
    assert percentiles_of([], 0) == Percentiles()


@given(values=st.lists(st.floats(0, 1e6), min_size=1))
def test_each_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(
    values: list[float],
) -> None:
    found = percentiles_of(values, len(values))

    for share, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99), (1, found.maximum)):
        assert value in values
        assert sum(other <= value for other in values) >= share * len(values)
        assert sum(other < value for other in values) < share * len(values)
