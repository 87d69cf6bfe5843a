"""When a session connects again: after a loss, and before a connection reaches its maximum duration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from trio_realtime.config import ReconnectPolicy
from trio_realtime.errors import (
    ConnectFailed,
    ConnectionLost,
    PeerError,
    RealtimeError,
    RequestTimedOut,
    SessionExpired,
)

FATAL_CLOSE_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 3000, 4000, 4004})
"""Close codes after which the same connection would fail again: the frames, the key, the model, the request."""

TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
"""HTTP statuses below 500 after which trying again may help (RFC 9110, RFC 6585, RFC 8470)."""

TRANSIENT_ERRORS: Final = frozenset({"server_error", "rate_limit_exceeded", "rate_limit_error"})
"""Error codes of the service after which trying again may help."""


def is_transient(error: RealtimeError) -> bool:
    """Return whether connecting again may help after this error."""
    match error:
        case SessionExpired() | RequestTimedOut():
            return True
        case ConnectionLost(code=code):
            return code not in FATAL_CLOSE_CODES
        case ConnectFailed(status=status):
            return status is None or status >= 500 or status in TRANSIENT_STATUSES
        case PeerError(code=str(code)):
            return code in TRANSIENT_ERRORS
        case _:
            return False


STABLE_AFTER: Final = 10.0
"""Seconds after which a connection counts as one that works."""


class ReconnectSchedule:
    """The attempts to connect again, within the budgets of the policy.

    Args:
        policy: the delays and the budgets.
        random: returns a random number from 0 to 1.

    Attributes:
        attempts: the number of attempts since the last loss.
    """

    def __init__(self, policy: ReconnectPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._attempts_in_session = 0
        self.attempts: int = 0

    def connection_lost(self, lived: float) -> None:
        """Note that a connection was lost.

        Attempts are counted from zero only after a connection that has worked for a while. Otherwise a
        service that accepts each connection and drops it at once would be called without a pause.

        Args:
            lived: seconds that the connection was used.
        """
        if lived >= STABLE_AFTER:
            self.attempts = 0

    def next_delay(self, error: RealtimeError) -> float | None:
        """Return the seconds until the next attempt, which is counted; ``None`` if there is none.

        Args:
            error: why there is no connection.
        """
        policy = self._policy
        if not is_transient(error):
            return None
        if self.attempts >= policy.max_attempts:
            return None
        if self._attempts_in_session >= policy.max_attempts_in_session:
            return None
        self.attempts += 1
        self._attempts_in_session += 1
        delay = 0.0
        if self.attempts > 1:
            exponent = min(self.attempts - 2, 64)
            delay = min(policy.initial_delay * 2.0**exponent, policy.max_delay)
            delay *= 1 - policy.jitter * self._random()
        retry_after = error.retry_after if isinstance(error, ConnectFailed) else None
        return max(delay, retry_after or 0.0)


class RefreshSchedule:
    """When a connection that works is replaced, because the service is going to end it.

    Args:
        policy: how long before the end; ``None`` for never.

    Attributes:
        looks_at: when to begin to look for a quiet moment, in seconds.
        forced_at: when to stop waiting for one, in seconds.
    """

    def __init__(self, policy: ReconnectPolicy | None) -> None:
        self._policy = policy
        self.looks_at: float = math.inf
        self.forced_at: float = math.inf

    def connected(self, now: float, expires_at: float | None, default_duration: float) -> None:
        """Note that a connection was opened.

        Args:
            now: seconds.
            expires_at: when the service ends the connection, if it says so.
            default_duration: seconds that such a service lets a connection live.
        """
        policy = self._policy
        if policy is None:
            return
        if policy.max_duration is not None:
            end = now + policy.max_duration
        else:
            # An end in the past says only that the clocks differ. A new connection would have it too.
            end = now + default_duration
            if expires_at is not None and expires_at > now:
                end = expires_at
        # A connection with less time than the margins is not replaced at once, again and again.
        earliest = now + (end - now) / 2
        self.looks_at = max(end - policy.refresh_before, earliest)
        self.forced_at = max(end - policy.force_before, earliest)

    def attempt_failed(self, now: float) -> None:
        """Note that the connection could not be replaced: try again later."""
        policy = self._policy
        if policy is not None:
            self.looks_at = now + policy.max_delay
            self.forced_at = max(self.forced_at, self.looks_at)
