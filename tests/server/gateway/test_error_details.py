"""What clients are shown of errors."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.errors import ConnectFailed, McpServerFailed
from trio_realtime.events import Error, Reconnecting, SessionEnded, SessionEvent, SessionWarning
from trio_realtime.server.gateway.error_details import HIDDEN, without_error_details
from trio_realtime.server.rpc import RpcEncoder
from trio_realtime.server.rpc.run_events import RunEnded, RunError, RunFailure, RunWarning
from trio_realtime.session_end import SessionEnd

SECRET = "could not connect to db.internal, /srv/voice"
FAILURE = ConnectFailed(SECRET)
END = SessionEnd(by="network", reason="connection_lost", error=FAILURE)


@pytest.mark.parametrize(
    "event",
    [
        Error(error=McpServerFailed(SECRET, server="files")),
        Reconnecting(attempt=1, delay=0.5, error=FAILURE),
        SessionWarning(message=SECRET, code="setting_locked"),
        SessionEnded(end=END),
    ],
)
def test_the_texts_of_a_session_are_hidden(event: SessionEvent) -> None:
    encoded = RpcEncoder("s", "r").encode(event, time=1.0)
    assert SECRET in str(encoded.data)
    shown = without_error_details(encoded)
    assert SECRET not in str(shown.data)
    assert HIDDEN in str(shown.data)
    assert shown.data.keys() == encoded.data.keys()


def test_codes_types_and_reasons_stay() -> None:
    encoder = RpcEncoder("s", "r")
    ended = RunEnded(
        by="network",
        reason="connect_failed",
        message=SECRET,
        error=RunError(type="ConnectFailed", message=SECRET),
        failures=(RunFailure(part="recording", message=SECRET),),
        duration=1.5,
    )
    data: Any = without_error_details(encoder.make(ended.type, ended, time=1.0)).data
    assert (data["by"], data["reason"], data["duration"]) == ("network", "connect_failed", 1.5)
    assert data["message"] == HIDDEN
    assert data["error"] == {"type": "ConnectFailed", "message": HIDDEN}
    assert data["failures"] == [{"part": "recording", "message": HIDDEN}]
    warning = encoder.make(
        "run_warning", RunWarning(code="template_failed", message=SECRET), time=2.0
    )
    assert without_error_details(warning).data == {"code": "template_failed", "message": HIDDEN}


def test_other_events_are_the_same() -> None:
    event = RpcEncoder("s", "r").make("realtime_agent_end", {"message": "policy"}, time=1.0)
    assert without_error_details(event) is event
