"""Opening a session: what comes out where it does not come about."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import SupportsConnect, open_test_session, task_count
from trio_realtime import RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ModelNotAvailable,
    PeerError,
    RealtimeError,
    SettingsRejected,
)
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import (
    ConnectOptions,
    HandshakeRejected,
    Transport,
    TransportConnectError,
    TransportConnectTimeout,
)


async def try_to_open(peer: SupportsConnect, **settings: Any) -> None:
    async with open_test_session(peer, **settings):
        pytest.fail("the block must not run")


@pytest.mark.parametrize(
    ("failure", "error", "says"),
    [
        (HandshakeRejected(401, "Incorrect API key"), AuthenticationFailed, "Incorrect API key"),
        (HandshakeRejected(403, "not yours"), AuthenticationFailed, "403"),
        (HandshakeRejected(404, "DeploymentNotFound"), ModelNotAvailable, "DeploymentNotFound"),
        (HandshakeRejected(503, "overloaded"), ConnectFailed, "overloaded"),
        (TransportConnectError("name not found"), ConnectFailed, "name not found"),
        (TransportConnectTimeout("no answer"), ConnectTimeout, "no answer"),
    ],
)
async def test_a_failed_dial_is_one_plain_error(
    failure: Exception, error: type[RealtimeError], says: str
) -> None:
    class Connecting(AbstractAsyncContextManager[Transport]):
        async def __aenter__(self) -> Transport:
            raise failure

        async def __aexit__(self, *_: object) -> None:
            pytest.fail("it was never entered")

    class Unreachable:
        def connect(self, dial: ConnectOptions) -> Connecting:
            return Connecting()

    before = task_count()
    with pytest.raises(error, match=says) as caught:
        await try_to_open(Unreachable())
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
async def test_a_service_that_accepts_and_then_refuses_is_told_apart(
    code: int, error_code: str | None, error: type[RealtimeError], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer(greet=False)
    if error_code is not None:
        peer.reject(None, error_code, "what the service says")
    peer.close(code, "the reason")
    before = task_count()
    with pytest.raises(error) as caught:
        await try_to_open(peer)
    assert caught.type is error
    assert ("what the service says" if error_code else "the reason") in str(caught.value)
    assert task_count() == before


async def test_refused_settings_come_out_with_the_services_words(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(acknowledge=False)

    async def refuse() -> None:
        await wait_all_tasks_blocked()
        frame = peer.received[0]
        error = {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "Invalid value: 'loud'.",
            "param": "session.audio.output.voice",
            "event_id": frame["event_id"],
        }
        peer.send({"type": "error", "error": error})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        with pytest.raises(SettingsRejected, match="Invalid value: 'loud'") as caught:
            await try_to_open(peer, voice="loud")
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "session.audio.output.voice"
    assert peer.closed is not None


@pytest.mark.parametrize("greets", [True, False])
async def test_a_service_that_says_nothing_costs_the_connect_timeout(
    greets: bool, autojump_clock: MockClock
) -> None:
    """Silent from the start, or after its greeting."""
    peer = ScriptedPeer(greet=greets, acknowledge=False)
    before, began = task_count(), trio.current_time()
    with pytest.raises(ConnectTimeout, match="4 s"):
        await try_to_open(peer, connect_timeout=4)
    assert trio.current_time() - began == pytest.approx(4)
    assert peer.sent_types() == ["session.update"] * greets
    assert task_count() == before


async def test_settings_are_sent_after_the_greeting_and_before_the_block(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant", instructions="Be brief.")
    async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
        (update,) = peer.received
    assert update["session"]["type"] == "realtime"
    assert update["session"]["instructions"] == "Be brief."
    assert update["session"]["tools"] == []  # D18: always named, also none


async def test_a_sideband_connection_begins_without_a_greeting(autojump_clock: MockClock) -> None:
    """There, the first frame is ``session.updated``; it does not acknowledge what is sent later."""
    peer = ScriptedPeer(greet=False, acknowledge=False)
    peer.send({"type": "session.updated", "session": peer.session})

    async def acknowledge() -> None:
        await trio.sleep(3)
        peer.send({"type": "session.updated", "session": peer.session})

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(acknowledge)
        async with open_test_session(peer):
            assert trio.current_time() - began == pytest.approx(3)
    assert peer.sent_types() == ["session.update"]


async def test_a_cancellation_while_connecting_stays_one_and_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(greet=False)
    before = task_count()
    with trio.move_on_after(2) as scope:
        await try_to_open(peer)
    assert scope.cancelled_caught
    assert peer.closed is not None
    assert task_count() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"speed": 9},
        {"connect_timeout": 0},
        {"output_modalities": ("audio", "text")},
        {"output_format": "audio/pcmu"},
    ],
)
def test_settings_that_cannot_be_are_refused_where_they_are_given(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        SessionConfig(**settings)


@pytest.mark.parametrize(
    ("body", "words", "code"),
    [
        (
            '{"error":{"message":"Wrong key.","code":"invalid_api_key"}}',
            "Wrong key.",
            "invalid_api_key",
        ),
        ('{"error":{"message":"No.","code":401}}', "No.", "401"),
        ("<html>no</html>", "<html>no</html>", None),
        ('{"detail":"no"}', '{"detail":"no"}', None),
    ],
)
async def test_the_words_of_an_http_refusal_are_the_services(
    body: str, words: str, code: str | None, autojump_clock: MockClock
) -> None:
    @asynccontextmanager
    async def refuse(_dial: ConnectOptions) -> AsyncGenerator[Transport]:
        raise HandshakeRejected(401, body)
        yield

    with pytest.raises(AuthenticationFailed) as caught:
        async with open_realtime_session(
            RealtimeAgent[None](name="A"), endpoint=TEST_ENDPOINT, transport=refuse
        ):
            raise AssertionError("it opened")
    assert str(caught.value).endswith(words)
    assert caught.value.code == code
