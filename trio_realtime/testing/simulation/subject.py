"""What the checks look at: one session and everything around it."""

from __future__ import annotations

from typing import Any, Final

import attrs

from trio_realtime import RealtimeSession

from .consumers import Consumer
from .log import Log
from .network import Network
from .plan import Plan

__all__ = [
    "API_KEY",
    "CLOSE_TIMEOUT",
    "MAX_AUDIO_LATENCY",
    "REQUEST_TIMEOUT",
    "WRONG_KEY",
    "Subject",
]

API_KEY: Final = "sk-simulation-9f8e7d6c5b4a"
"""The key of the server. It must not appear anywhere."""
WRONG_KEY: Final = "sk-simulation-wrong-0a1b2c"
"""A key that the server refuses."""
CLOSE_TIMEOUT: Final = 1.0
"""The ``close_timeout`` of the session."""
MAX_AUDIO_LATENCY: Final = 2.0
"""The ``max_audio_latency`` of the session."""
REQUEST_TIMEOUT: Final = 15.0
"""The ``request_timeout`` of the session."""


@attrs.define(eq=False)
class Subject:
    """One session and everything around it.

    Attributes:
        plan: the plan of the session.
        log: the log of what has happened.
        network: the network.
        session: the session; ``None`` until it is open.
        consumers: its consumers. The first one reads the main channel without a pause.
        raw: the consumer of its raw events.
        failure: the exception that has left the block.
        reports: the texts of log records, exceptions and other objects, for the search for secrets.
    """

    plan: Plan
    log: Log
    network: Network
    session: RealtimeSession[Any] | None = None
    consumers: list[Consumer] = attrs.field(factory=list[Consumer])
    raw: Consumer = attrs.field(factory=lambda: Consumer("raw"))
    failure: BaseException | None = None
    reports: list[str] = attrs.field(factory=list[str])

    @property
    def main(self) -> Consumer:
        """The consumer of the main channel."""
        return self.consumers[0]
