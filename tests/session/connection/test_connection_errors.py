"""Errors of transports and of the service become exceptions of the library."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.events import collect_events
from support.sessions import open_and_fail, open_test_session, task_count
from trio_realtime import Endpoint, RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ModelNotAvailable,
    PeerError,
    RealtimeError,
    SessionExpired,
)
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    HandshakeRejected,
    MissingPackage,
    Transport,
    TransportConnectError,
    TransportConnectTimeout,
    connect_trio_websocket,
)


@pytest.mark.parametrize(
    ("failure", "error", "says"),
    [
        (HandshakeRejected(401, "Incorrect API key"), AuthenticationFailed, "Incorrect API key"),
        (HandshakeRejected(403, "not yours"), AuthenticationFailed, "403"),
        (HandshakeRejected(404, "DeploymentNotFound"), ModelNotAvailable, "DeploymentNotFound"),
        (HandshakeRejected(503, "overloaded"), ConnectFailed, "overloaded"),
        (TransportConnectError("name not found"), ConnectFailed, "name not found"),
        (TransportConnectTimeout("within 9.9 s"), ConnectTimeout, "no connection to the service"),
        (MissingPackage("pip install it"), ConfigurationError, "pip install it"),
    ],
)
async def test_failed_connection_raises_one_plain_error(
    failure: Exception, error: type[RealtimeError], says: str
) -> None:
    class Connecting(AbstractAsyncContextManager[Transport]):
        async def __aenter__(self) -> Transport:
            raise failure

        async def __aexit__(self, *_: object) -> None:
            pytest.fail("the context was never entered")

    class Unreachable:
        def connect(self, options: ConnectOptions) -> Connecting:
            return Connecting()

    before = task_count()
    with pytest.raises(error, match=says) as caught:
        await open_and_fail(Unreachable())
    assert caught.type is error
    assert caught.value.__cause__ is failure
    assert task_count() == before
    if isinstance(failure, HandshakeRejected) and isinstance(caught.value, ConnectFailed):
        assert caught.value.status == failure.status


@pytest.mark.parametrize(
    ("code", "error_code", "error"),
    [
        (3000, "invalid_api_key", AuthenticationFailed),
        (3000, None, AuthenticationFailed),
        (4000, "invalid_model", ModelNotAvailable),
        (4004, "model_not_found", ModelNotAvailable),
        (4000, "beta_api_shape_disabled", PeerError),
        (1011, None, ConnectionLost),
        (1000, None, ConnectionLost),
    ],
)
async def test_rejection_after_the_handshake_is_classified(
    code: int, error_code: str | None, error: type[RealtimeError], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer(greet=False)
    if error_code is not None:
        peer.reject(None, error_code, "what the service says")
    peer.close(code, "the reason")
    before = task_count()
    with pytest.raises(error) as caught:
        await open_and_fail(peer)
    assert caught.type is error
    assert ("what the service says" if error_code else "the reason") in str(caught.value)
    assert task_count() == before


@pytest.mark.parametrize(
    ("body", "says", "code"),
    [
        (
            '{"error":{"message":"Wrong key.","code":"invalid_api_key"}}',
            "Wrong key.",
            "invalid_api_key",
        ),
        ('{"error":{"message":"No.","code":401}}', "No.", "401"),
        ("<html>no</html>", "(HTTP 401): no", None),
        ('{"detail":"no"}', '{"detail":"no"}', None),
    ],
)
async def test_http_rejection_carries_the_message_of_the_service(
    body: str, says: str, code: str | None, autojump_clock: MockClock
) -> None:
    @asynccontextmanager
    async def reject_handshake(_options: ConnectOptions) -> AsyncGenerator[Transport]:
        raise HandshakeRejected(401, body)
        yield

    with pytest.raises(AuthenticationFailed) as caught:
        async with open_realtime_session(
            RealtimeAgent[None](name="A"), endpoint=TEST_ENDPOINT, transport=reject_handshake
        ):
            raise AssertionError("the session opened")
    assert str(caught.value).endswith(says)
    assert caught.value.code == code


@pytest.mark.slow
async def test_a_rejected_key_whose_body_never_comes_is_no_timeout() -> None:
    async def reject(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 500\r\n\r\nWrong k")
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, reject, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        error = await error_of_opening(
            connect_trio_websocket,
            endpoint=Endpoint.compatible(f"http://127.0.0.1:{port}", api_key="sk-0123456789"),
            connect_timeout=0.4,
        )
        nursery.cancel_scope.cancel()
    assert type(error) is AuthenticationFailed
    assert str(error) == "the service rejected the key (HTTP 401): Wrong k"


def rejecting(failure: Exception) -> Connector:
    """Return a connector that fails."""

    @asynccontextmanager
    async def connect(_options: ConnectOptions) -> AsyncGenerator[Transport]:
        raise failure
        yield

    return connect


async def error_of_opening(
    connector: Connector, endpoint: Endpoint = TEST_ENDPOINT, **settings: Any
) -> RealtimeError:
    with pytest.raises(RealtimeError) as caught:
        async with open_realtime_session(
            RealtimeAgent[None](name="A"),
            endpoint=endpoint,
            transport=connector,
            config=SessionConfig(**settings),
        ):
            raise AssertionError("the session opened")
    return caught.value


async def test_a_timeout_says_the_configured_value_once(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def connect(options: ConnectOptions) -> AsyncGenerator[Transport]:
        with trio.move_on_after(options.connect_timeout):
            await trio.sleep_forever()
        raise TransportConnectTimeout(f"no connection within {options.connect_timeout:g} s")
        yield

    error = await error_of_opening(connect, connect_timeout=7.5)
    assert type(error) is ConnectTimeout
    assert str(error) == "no connection to the service within 7.5 s"


@pytest.mark.parametrize(
    "failure",
    [
        HandshakeRejected(429, "slow down", (("Retry-After", "20"),)),
        TransportConnectError("the proxy refused", status=429, retry_after=20.0),
    ],
)
async def test_a_refused_connection_has_the_seconds_of_retry_after(
    failure: Exception, autojump_clock: MockClock
) -> None:
    error = await error_of_opening(rejecting(failure))
    assert isinstance(error, ConnectFailed)
    assert (error.status, error.retry_after) == (429, 20.0)


async def test_the_message_names_the_seconds_of_retry_after(autojump_clock: MockClock) -> None:
    headers = (("Retry-After", "20"),)
    error = await error_of_opening(rejecting(HandshakeRejected(429, "slow down", headers)))
    assert str(error).endswith("HTTP status 429: slow down (try again after 20 s)")


async def test_a_redirect_names_its_target_and_not_its_page(autojump_clock: MockClock) -> None:
    page = "<html><title>301 Moved Permanently</title></html>"
    headers = (("Location", "https://other.test/v1?key=1"),)
    error = await error_of_opening(rejecting(HandshakeRejected(301, page, headers)))
    assert type(error) is ConnectFailed
    assert "redirects to https://other.test/v1?*** (HTTP status 301)" in str(error)
    assert "Moved" not in str(error)


async def test_expired_session_raises_session_expired(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.reject(None, "session_expired", "Your session hit the maximum duration of 60 minutes.")
        peer.close(1001)
        with pytest.raises(SessionExpired, match="60 minutes"):
            await collect_events(session, [])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1001, "Your session hit the maximum duration of 60 minutes."),
        (1000, "session_expired"),
        (1000, "Session expired"),
        (4408, "The session has timed out"),
        (1008, "max_session_duration reached"),
        (1000, "Call duration limit of 600 s exceeded"),
        (1000, "The session has reached its time limit"),
    ],
)
async def test_a_close_that_says_that_the_time_is_over_is_an_expired_session(
    code: int, reason: str, autojump_clock: MockClock
) -> None:
    """Without an ``error`` event before it."""
    peer = ScriptedPeer()
    with pytest.raises(SessionExpired, match=reason):
        async with open_test_session(peer) as session:
            peer.close(code, reason)
            await collect_events(session, [])


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "bye",
        "going away",
        "The server hit a limit on memory",
        "Message exceeds the maximum length",
        "Maximum sessions per organization exceeded",
        "Concurrent session limit reached",
    ],
)
async def test_any_other_reason_is_no_expired_session(
    reason: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ConnectionLost):
        async with open_test_session(peer) as session:
            peer.close(1001, reason)
            await collect_events(session, [])
