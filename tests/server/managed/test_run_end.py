"""Why a run ended: decided from what the server, the session and the network did."""

from __future__ import annotations

import pytest

from trio_realtime.errors import ConnectFailed, ConnectionLost, InternalError
from trio_realtime.server.managed.run_end import PartFailure, RunEnd, StopReason, run_end_of
from trio_realtime.session_end import SessionEnd

CLOSED = SessionEnd(by="application", reason="closed")
HUNG_UP = SessionEnd(by="user", reason="hung_up")
CRASHED = SessionEnd(by="application", reason="block_raised", error=RuntimeError("a bug"))
LOST = SessionEnd(by="network", reason="connection_lost", error=ConnectionLost("lost"))


def end(
    stop: StopReason | None = None,
    session: SessionEnd | None = None,
    error: BaseException | None = None,
) -> RunEnd:
    return run_end_of(stop=stop, session=session, error=error, failures=(), duration=1.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (end("client_lost", CLOSED), ("client", "client_lost")),
        (end("client_ended", CLOSED), ("client", "client_ended")),
        (end("server_drain", CLOSED), ("server", "server_drain")),
        (end("store_failed", CLOSED), ("server", "store_failed")),
        (end("stopped", CLOSED), ("application", "stopped")),
        (end("stopped"), ("application", "stopped")),
        (end(None, CLOSED), ("application", "closed")),
        (end(None, HUNG_UP), ("user", "hung_up")),
        # The user hung up before the server had closed the session.
        (end("client_lost", HUNG_UP), ("user", "hung_up")),
        (end(None, LOST), ("network", "connection_lost")),
        (end("stopped", LOST), ("network", "connection_lost")),
        (end(None, None, ConnectFailed("refused")), ("network", "connect_failed")),
        (end(), ("application", "cancelled")),
        (end(None, None, OSError("a bug")), ("server", "crashed")),
        (end(None, None, InternalError("a bug")), ("server", "crashed")),
        (end(None, CRASHED, RuntimeError("a bug")), ("server", "crashed")),
        # The session had ended before a part crashed.
        (end(None, CLOSED, RuntimeError("a bug")), ("server", "crashed")),
        (end("stopped", CLOSED, RuntimeError("a bug")), ("server", "crashed")),
        (end(None, LOST, RuntimeError("a bug")), ("network", "connection_lost")),
    ],
)
def test_the_reason(given: RunEnd, expected: tuple[str, str]) -> None:
    assert (given.by, given.reason) == expected


def test_a_failure_is_part_of_the_end() -> None:
    failures = (PartFailure("recording", "disk full"),)
    ended = run_end_of(stop=None, session=LOST, error=None, failures=failures, duration=2.5)
    assert ended.error is LOST.error
    assert ended.message == str(LOST.error)
    assert (ended.failures, ended.duration, ended.session) == (failures, 2.5, LOST)


def test_a_stop_is_no_error() -> None:
    assert end("stopped", None, ConnectFailed("cancelled")).error is None
