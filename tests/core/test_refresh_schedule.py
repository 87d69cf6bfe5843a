"""When a connection that works is replaced before the service ends it."""

from __future__ import annotations

import math

import pytest

from trio_realtime.config import ReconnectPolicy
from trio_realtime.core import RefreshSchedule


@pytest.mark.parametrize("expires_at", [-3600.0, 99.0, 100.0])
def test_an_end_that_is_not_in_the_future_says_nothing(expires_at: float) -> None:
    """The clocks differ. Replacing the connection would not help, and would go on forever."""
    schedule = RefreshSchedule(ReconnectPolicy())
    schedule.connected(100.0, expires_at, 3600.0)
    assert schedule.looks_at == 100.0 + 3600.0 - 300.0

    schedule.connected(100.0, expires_at, math.inf)
    assert schedule.looks_at == math.inf
