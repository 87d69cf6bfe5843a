"""How long the service may take to answer a request.

A request that is never answered would occupy its place for good: no other create, update or edit could be
sent. So each of them has a deadline, and fails when it has passed.
"""

from __future__ import annotations

import math

from trio_realtime.errors import RequestTimedOut


class RequestTimer:
    """The time of the current input, and the deadlines of the requests that were sent.

    Args:
        timeout: seconds that the service may take; ``math.inf`` for no limit.

    Attributes:
        now: the time of the current input, in seconds.
        received: the number of events that the service has sent.
        next_deadline: when the first deadline passes; ``math.inf`` if no request waits.
    """

    def __init__(self, timeout: float = math.inf) -> None:
        self.now: float = 0.0
        self.received: int = 0
        self.next_deadline: float = math.inf
        self._timeout = timeout
        self._deadlines: dict[str, float] = {}
        self._received_before: dict[str, int] = {}

    def start(self, name: str) -> None:
        """Note that a request was sent, under a name that no other open request has."""
        self._deadlines[name] = self.now + self._timeout
        self._received_before[name] = self.received
        self._update()

    def is_running(self, name: str) -> bool:
        """Return whether a request with this name is open."""
        return name in self._deadlines

    def stop(self, name: str) -> None:
        """Note that a request was answered or dropped."""
        if self._deadlines.pop(name, None) is not None:
            del self._received_before[name]
            self._update()

    def is_due(self, name: str) -> bool:
        """Return whether the deadline of a request has passed."""
        return self._deadlines.get(name, math.inf) <= self.now

    @property
    def is_waiting(self) -> bool:
        """Whether any request is open."""
        return bool(self._deadlines)

    def is_silent(self) -> bool:
        """Return whether the service has sent nothing at all since a request that is due."""
        return any(
            deadline <= self.now and self._received_before[name] == self.received
            for name, deadline in self._deadlines.items()
        )

    def clear(self) -> None:
        """Forget every request: the connection is gone."""
        self._deadlines.clear()
        self._received_before.clear()
        self._update()

    def due(self, prefix: str) -> list[str]:
        """Return the names with this prefix whose deadline has passed."""
        return [name for name in self._deadlines if name.startswith(prefix) and self.is_due(name)]

    def silence(self) -> str:
        """Return what is wrong with a service that is silent, for the user."""
        return f"the service was silent for {self._timeout:g} s after a request"

    def error(self, what: str) -> RequestTimedOut:
        """Return the exception for a request that was not answered."""
        return RequestTimedOut(f"the service did not answer {what} within {self._timeout:g} s")

    def _update(self) -> None:
        self.next_deadline = min(self._deadlines.values(), default=math.inf)
