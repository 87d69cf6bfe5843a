"""Validation of the upgrade request."""

from __future__ import annotations

import pytest

from trio_realtime.local import (
    Close,
    ConnectionRequest,
)
from trio_realtime.local.harness import ProtocolHarness, types_of

PATH = "/v1/realtime?model=gpt-realtime-2.1"


KEY = (("Authorization", "Bearer sk-right"),)


@pytest.mark.parametrize(
    ("request_", "code", "close"),
    [
        (
            ConnectionRequest(PATH, (("Authorization", "Bearer sk-wrong-key"),)),
            "invalid_api_key",
            Close(3000, "invalid_request_error.invalid_api_key"),
        ),
        (ConnectionRequest(PATH), None, Close(3000, "invalid_request_error")),
        (
            ConnectionRequest("/v1/realtime?model=gpt-5", KEY),
            "invalid_model",
            Close(4000, "invalid_request_error.invalid_model"),
        ),
        (
            ConnectionRequest("/v1/realtime", KEY),
            "missing_model",
            Close(4000, "invalid_request_error.missing_model"),
        ),
        (
            ConnectionRequest(PATH, (*KEY, ("openai-beta", "realtime=v1"))),
            "beta_api_shape_disabled",
            Close(4000, "invalid_request_error.beta_api_shape_disabled"),
        ),
    ],
)
def test_a_rejected_client_receives_an_error_and_a_close(
    request_: ConnectionRequest, code: str | None, close: Close
) -> None:
    harness = ProtocolHarness(request_, api_keys={"sk-right"}, models={"gpt-realtime-2.1"})
    (frame,) = harness.frames
    assert frame["error"]["code"] == code
    assert frame["error"]["event_id"] is None
    assert harness.closed == close
    assert harness.send("response.create") == []
    assert harness.protocol.next_deadline() is None


def test_keys_never_appear_in_output() -> None:
    request = ConnectionRequest(
        "/v1/realtime?model=m&api-key=sk-in-query",
        (("Authorization", "Bearer sk-in-header"),),
        ("realtime", "openai-insecure-api-key.sk-in-protocol"),
    )
    harness = ProtocolHarness(request, api_keys={"sk-right"})
    printed = f"{request!r} {harness.frames} {harness.protocol._config!r}"
    assert "sk-" not in printed


@pytest.mark.parametrize(
    "request_",
    [
        ConnectionRequest(PATH, KEY),
        ConnectionRequest(PATH, (("api-key", "sk-right"),)),
        ConnectionRequest(f"{PATH}&api-key=sk-right"),
        ConnectionRequest(PATH, subprotocols=("realtime", "openai-insecure-api-key.sk-right")),
        ConnectionRequest("/openai/realtime?api-version=x&deployment=gpt-realtime-2.1", KEY),
        ConnectionRequest("/v1/realtime?call_id=rtc_1", KEY),
        ConnectionRequest("/v1/realtime?intent=transcription", KEY),
    ],
)
def test_a_key_can_be_in_a_header_a_subprotocol_or_the_query(request_: ConnectionRequest) -> None:
    harness = ProtocolHarness(request_, api_keys={"sk-right"}, models={"gpt-realtime-2.1"})
    assert types_of(harness.frames) == ["session.created"]


def test_the_server_can_accept_any_key_or_none() -> None:
    assert ProtocolHarness(ConnectionRequest(PATH), require_key=False).closed is None
    assert (
        ProtocolHarness(ConnectionRequest(PATH, (("Authorization", "Bearer any"),))).closed is None
    )
