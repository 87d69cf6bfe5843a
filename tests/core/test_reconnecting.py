"""When a session connects again."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from trio_realtime import ReconnectPolicy, errors
from trio_realtime.core import ReconnectSchedule, RefreshSchedule, is_transient
from trio_realtime.core.reconnecting import FATAL_CLOSE_CODES, STABLE_AFTER

LOST = errors.ConnectionLost("gone", code=1006)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.SessionExpired("over"), True),
        (errors.RequestTimedOut("silent"), True),
        (errors.ConnectTimeout("slow"), True),
        (errors.ConnectFailed("refused"), True),
        (errors.ConnectFailed("overloaded", status=503), True),
        (errors.ConnectFailed("too many", status=429), True),
        (errors.ConnectFailed("bad", status=400), False),
        (errors.PeerError("oops", code="server_error"), True),
        (errors.PeerError("no", code="invalid_value"), False),
        (errors.PeerError("no"), False),
        (errors.AuthenticationFailed("no"), False),
        (errors.ModelNotAvailable("no"), False),
        (errors.SettingsRejected("no"), False),
        (errors.ConfigurationError("no"), False),
        (errors.UserCodeError("bug"), False),
        (errors.SessionClosed("closed"), False),
        (errors.ClosedByService("bye", code=1001), True),
        (errors.ConnectionLost("gone"), True),
    ],
)
def test_errors_after_which_trying_again_may_help(
    error: errors.RealtimeError, expected: bool
) -> None:
    assert is_transient(error) is expected


@pytest.mark.parametrize("code", sorted(FATAL_CLOSE_CODES))
def test_close_codes_after_which_it_does_not(code: int) -> None:
    assert not is_transient(errors.ConnectionLost("gone", code=code))


def schedule(random: float = 0.0, **changes: Any) -> ReconnectSchedule:
    policy = attrs.evolve(ReconnectPolicy(initial_delay=1.0, max_delay=10.0), **changes)
    return ReconnectSchedule(policy, lambda: random)


def test_the_delays_double_up_to_the_longest() -> None:
    attempts = schedule()
    delays = [attempts.next_delay(LOST) for _ in range(8)]
    assert delays == [0, 1, 2, 4, 8, 10, 10, 10]
    assert attempts.attempts == 8
    assert attempts.next_delay(LOST) is None


def test_jitter_shortens_the_delays() -> None:
    attempts = schedule(random=0.5, jitter=0.5)
    assert [attempts.next_delay(LOST) for _ in range(3)] == [0, 0.75, 1.5]


def test_many_attempts_do_not_overflow() -> None:
    attempts = schedule(max_attempts=5000, max_attempts_in_session=5000)
    delays = [attempts.next_delay(LOST) for _ in range(5000)]
    assert delays[-1] == 10.0


def test_retry_after_may_be_longer() -> None:
    attempts = schedule()
    limited = errors.ConnectFailed("too many", status=429, retry_after=60)
    assert attempts.next_delay(limited) == 60
    assert attempts.next_delay(errors.ConnectFailed("no", status=503, retry_after=0.1)) == 1


def test_a_fatal_error_counts_no_attempt() -> None:
    attempts = schedule()
    assert attempts.next_delay(errors.AuthenticationFailed("no")) is None
    assert attempts.attempts == 0


def test_a_connection_that_has_worked_resets_the_attempts_and_not_those_of_the_session() -> None:
    attempts = schedule(max_attempts=2, max_attempts_in_session=3)
    attempts.next_delay(LOST)
    attempts.connection_lost(STABLE_AFTER - 1)
    assert attempts.attempts == 1
    attempts.next_delay(LOST)
    assert attempts.next_delay(LOST) is None
    attempts.connection_lost(STABLE_AFTER)
    assert attempts.next_delay(LOST) == 0
    attempts.connection_lost(STABLE_AFTER)
    assert attempts.next_delay(LOST) is None


# --- before the maximum duration -----------------------------------------------------------------


def refreshed(
    now: float = 100.0,
    expires_at: float | None = None,
    default: float = 3600.0,
    **changes: Any,
) -> tuple[float, float]:
    policy = attrs.evolve(ReconnectPolicy(), **changes)
    refresh = RefreshSchedule(policy)
    refresh.connected(now, expires_at, default)
    return refresh.looks_at, refresh.forced_at


def test_the_default_duration_is_that_of_the_service() -> None:
    assert refreshed() == (3400, 3640)
    assert refreshed(default=math.inf) == (math.inf, math.inf)


def test_the_service_may_name_the_end() -> None:
    assert refreshed(expires_at=1100.0) == (800, 1040)


def test_the_policy_wins() -> None:
    assert refreshed(expires_at=1100.0, max_duration=2000.0) == (1800, 2040)


def test_a_short_connection_is_used_for_half_of_its_time() -> None:
    assert refreshed(max_duration=20.0) == (110, 110)


def test_a_failed_attempt_is_made_again_later() -> None:
    refresh = RefreshSchedule(ReconnectPolicy(max_delay=30.0))
    refresh.connected(0.0, None, 3600.0)
    refresh.attempt_failed(3300.0)
    assert (refresh.looks_at, refresh.forced_at) == (3330, 3540)
    refresh.attempt_failed(3540.0)
    assert (refresh.looks_at, refresh.forced_at) == (3570, 3570)


def test_without_a_policy_nothing_is_replaced() -> None:
    refresh = RefreshSchedule(None)
    refresh.connected(0.0, 10.0, 10.0)
    refresh.attempt_failed(5.0)
    assert (refresh.looks_at, refresh.forced_at) == (math.inf, math.inf)
