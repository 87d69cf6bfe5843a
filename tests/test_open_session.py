"""Opening a session where it cannot be opened."""

from __future__ import annotations

import pytest

from trio_realtime import RealtimeAgent, open_realtime_session
from trio_realtime.errors import UsageError


def test_session_needs_trio() -> None:
    """A program on another event loop gets an error that says what to do, before anything fails inside of trio."""
    opening = open_realtime_session(RealtimeAgent[None](name="Assistant")).__aenter__()
    with pytest.raises(UsageError, match=r"a session needs trio: run the program with trio\.run"):
        opening.send(None)
