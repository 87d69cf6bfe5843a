"""The local server in memory, on a virtual clock."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from support.realtime_client import KEY, QUERY, Frame, receive, receive_until, send
from trio_realtime.local import (
    Close,
    Pause,
    Say,
    ScriptedResponder,
    local_connector,
)
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    HandshakeRejected,
    TransportClosed,
)


def test_the_connector_is_a_connector() -> None:
    connector: Connector = local_connector()
    assert callable(connector)


IN_MEMORY = f"ws://localhost/v1/realtime{QUERY}"


async def test_a_session_in_memory_runs_on_the_virtual_clock(
    autojump_clock: trio.testing.MockClock,
) -> None:
    responder = ScriptedResponder([[Pause(100.0), Say("slow", audio_ms=60_000)]])
    connector = local_connector(responder=responder, pacing=1.0)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        began = trio.current_time()
        await send(transport, "response.create")
        await receive_until(transport, "rate_limits.updated")
        assert trio.current_time() - began == pytest.approx(160.0)
    assert connector.connections[0].closed == Close(1000)


async def test_the_endpoint_has_a_valid_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connector = local_connector(api_keys={"sk-right"})
    resolved = await connector.endpoint.resolve()
    async with connector(ConnectOptions(resolved.url, tuple(resolved.headers))) as transport:
        assert (await receive(transport))["type"] == "session.created"


async def test_two_sessions_with_the_same_inputs_are_equal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def run() -> list[Frame]:
        connector = local_connector(epoch=0.0)
        async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
            frames = [await receive(transport)]
            await send(transport, "response.create")
            frames += await receive_until(transport, "rate_limits.updated")
        return frames

    one, two = await run(), await run()
    del one[0]["session"]["expires_at"], two[0]["session"]["expires_at"]
    assert one == two


async def test_a_session_expires(autojump_clock: trio.testing.MockClock) -> None:
    async with local_connector()(ConnectOptions(IN_MEMORY, KEY)) as transport:
        began = trio.current_time()
        await receive_until(transport, "error")
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert trio.current_time() - began == pytest.approx(3600.0)
    assert caught.value.code == 1001


async def test_a_key_can_be_rejected_in_both_ways(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with local_connector(api_keys={"sk-right"})(ConnectOptions(IN_MEMORY, KEY)) as transport:
        assert (await receive(transport))["error"]["code"] == "invalid_api_key"
    by_http = local_connector(api_keys={"sk-right"}, auth_failure="http401")
    with pytest.raises(HandshakeRejected):
        async with by_http(ConnectOptions(IN_MEMORY, KEY)):
            pass
