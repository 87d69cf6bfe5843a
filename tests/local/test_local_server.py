"""The local server on real sockets, and in memory on a virtual clock."""

from __future__ import annotations

import json
import logging
import math
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from trio_realtime.local import (
    Close,
    Limits,
    LocalServer,
    Pause,
    Say,
    ScriptedResponder,
    Step,
    ToneSynthesizer,
    Turn,
    local_connector,
    serve_local,
)
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    HandshakeRejected,
    Transport,
    TransportClosed,
    connect_trio_websocket,
)

pytestmark = pytest.mark.slow

Frame = dict[str, Any]
KEY = (("Authorization", "Bearer local"),)
PATH = "?model=gpt-realtime"
IN_MEMORY = f"ws://localhost/v1/realtime{PATH}"


async def receive(transport: Transport) -> Frame:
    message = await transport.receive()
    assert isinstance(message, str)
    frame: Frame = json.loads(message)
    return frame


async def receive_until(transport: Transport, kind: str) -> list[Frame]:
    frames = [await receive(transport)]
    while frames[-1]["type"] != kind:
        frames.append(await receive(transport))
    return frames


async def send(transport: Transport, kind: str, **fields: Any) -> None:
    await transport.send(json.dumps({"type": kind, **fields}))


async def ask(transport: Transport, text: str) -> str:
    """One text turn; returns what was answered."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await send(transport, "conversation.item.create", item=item)
    await send(transport, "response.create", response={"output_modalities": ["text"]})
    frames = await receive_until(transport, "rate_limits.updated")
    return "".join(f["delta"] for f in frames if f["type"] == "response.output_text.delta")


def dial(server: LocalServer, **changes: Any) -> ConnectOptions:
    return attrs.evolve(ConnectOptions(f"{server.url}{PATH}", headers=KEY), **changes)


@asynccontextmanager
async def connect(server: LocalServer) -> AsyncGenerator[Transport, None]:
    async with connect_trio_websocket(dial(server)) as transport:
        assert (await receive(transport))["type"] == "session.created"
        yield transport


# -- sockets -------------------------------------------------------------------------------------


async def test_it_serves_several_clients_at_once() -> None:
    async with serve_local() as server, connect(server) as one, connect(server) as two:
        assert await ask(one, "first") == "You said: first"
        assert await ask(two, "second") == "You said: second"
        assert len(server.connections) == 2


async def test_connections_keep_what_was_said() -> None:
    async with serve_local() as server, connect(server) as transport:
        await ask(transport, "hello")
        (connection,) = server.connections
        assert [frame["type"] for frame in connection.received] == [
            "conversation.item.create",
            "response.create",
        ]
        assert connection.sent[0]["type"] == "session.created"
        assert connection.closed is None


async def test_its_endpoint_leads_to_it() -> None:
    async with serve_local(api_keys={"sk-one"}) as server:
        resolved = await server.endpoint.resolve("gpt-realtime")
        assert resolved.url == f"{server.url}{PATH}"
        async with connect_trio_websocket(
            ConnectOptions(resolved.url, tuple(resolved.headers))
        ) as transport:
            assert (await receive(transport))["type"] == "session.created"


async def test_a_client_that_closes_is_answered() -> None:
    async with serve_local() as server:
        async with connect(server):
            pass
        with trio.fail_after(2):
            await server.connections[0].ended.wait()
        assert server.connections[0].closed == Close(1000)


async def test_leaving_closes_the_connections_with_1001() -> None:
    async with trio.open_nursery() as nursery:
        left = trio.Event()
        async with serve_local() as server:
            # The client outlives the server on purpose.
            transport = await nursery.start(hold, server, left)  # noqa: ASYNC111
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.code == 1001
        left.set()


async def hold(
    server: LocalServer,
    left: trio.Event,
    *,
    task_status: trio.TaskStatus[Transport],
) -> None:
    async with connect(server) as transport:
        task_status.started(transport)
        await left.wait()


async def test_a_cancelled_server_closes_the_connections_with_1001_too() -> None:
    async with trio.open_nursery() as nursery:
        left = trio.Event()
        with trio.CancelScope() as scope:
            async with serve_local() as server:
                transport = await nursery.start(hold, server, left)  # noqa: ASYNC111
                scope.cancel()
                await trio.sleep_forever()
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.code == 1001
        left.set()


async def test_leaving_takes_a_second_at_most_with_a_client_that_is_deaf() -> None:
    with trio.fail_after(5):
        async with serve_local() as server:
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            await stream.send_all(upgrade_request(server.port))
            await stream.receive_some()
            began = trio.current_time()
        assert trio.current_time() - began < 2.5
        await stream.aclose()


def upgrade_request(port: int) -> bytes:
    lines = [
        f"GET /v1/realtime{PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Authorization: Bearer local",
        *("", ""),
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff nonsense\r\n\r\n", b""])
async def test_who_speaks_no_websocket_does_not_end_the_server(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_local() as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        if said:
            await stream.send_all(said)
            with trio.fail_after(2):
                await stream.receive_some()
        await stream.aclose()
        async with connect(server) as transport:
            assert await ask(transport, "still there?") == "You said: still there?"


async def test_a_port_in_use_is_a_clear_error() -> None:
    async with serve_local() as server:
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1 port {server.port}: "):
            async with serve_local(port=server.port):
                pass


async def test_an_exception_of_the_block_comes_out_bare() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serve_local() as server, connect(server):
            raise KeyError("mine")


async def test_other_paths_are_not_found() -> None:
    async with serve_local() as server:
        other = dial(server, url=f"ws://127.0.0.1:{server.port}/chat")
        with pytest.raises(HandshakeRejected) as caught:
            async with connect_trio_websocket(other):
                pass
        assert caught.value.status == 404


async def test_a_bad_key_is_told_after_the_upgrade() -> None:
    async with (
        serve_local(api_keys={"sk-right"}) as server,
        connect_trio_websocket(dial(server)) as transport,
    ):
        assert (await receive(transport))["error"]["code"] == "invalid_api_key"
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.code == 3000
        assert caught.value.reason == "invalid_request_error.invalid_api_key"


async def test_a_bad_key_may_be_told_by_http() -> None:
    async with serve_local(api_keys={"sk-right"}, auth_failure="http401") as server:
        with pytest.raises(HandshakeRejected) as caught:
            async with connect_trio_websocket(dial(server)):
                pass
    assert caught.value.status == 401
    assert json.loads(caught.value.body)["error"]["code"] == "invalid_api_key"


async def test_a_key_may_come_as_a_subprotocol() -> None:
    protocols = ("realtime", "openai-insecure-api-key.sk-right")
    async with serve_local(api_keys={"sk-right"}) as server:
        offer = dial(server, headers=(), subprotocols=protocols)
        async with connect_trio_websocket(offer) as transport:
            assert (await receive(transport))["type"] == "session.created"


async def test_messages_of_15_mebibytes_of_audio_are_taken() -> None:
    async with serve_local() as server, connect(server) as transport:
        await send(
            transport,
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": None}}},
        )
        await transport.send(
            '{"type":"input_audio_buffer.append","audio":"%s"}' % ("AAAA" * (5 * 1024 * 1024))
        )
        await send(transport, "input_audio_buffer.commit")
        with trio.fail_after(20):
            frames = await receive_until(transport, "conversation.item.done")
        assert [frame["type"] for frame in frames][1] == "input_audio_buffer.committed"


async def test_it_serves_tls(repository: Path) -> None:
    certificate = repository / "tests" / "transports" / "localhost.pem"
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate))
    async with serve_local(host="localhost", ssl_context=served) as server:
        assert server.url.startswith("wss://localhost:")
        async with connect_trio_websocket(dial(server, ssl_context=trusted)) as transport:
            assert (await receive(transport))["type"] == "session.created"


async def test_a_chosen_port_is_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with serve_local(port=port) as server:
        assert server.port == port
        assert server.url == f"ws://127.0.0.1:{port}/v1/realtime"


class SlowVoice(ToneSynthesizer):
    """Says that it blocks, and remembers whether it ran outside of trio's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[bool] = []

    @property
    def blocking(self) -> bool:
        return True

    def speak(self, text: str) -> bytes:
        self.outside.append(not trio.lowlevel.in_trio_run())
        return super().speak(text)


async def test_a_blocking_voice_speaks_in_a_thread() -> None:
    voice = SlowVoice()
    async with serve_local(voice=voice, pacing=math.inf) as server, connect(server) as transport:
        await send(transport, "response.create")
        await receive_until(transport, "rate_limits.updated")
    assert voice.outside == [True]


# -- memory --------------------------------------------------------------------------------------


class Broken:
    """A brain with a bug."""

    def answer(self, turn: Turn) -> list[Step]:
        raise ZeroDivisionError("a bug in the brain")


async def test_a_bug_ends_one_connection_and_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    connector = local_connector(brain=Broken())
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await receive(transport)
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
    assert caught.value.code == 1011
    (record,) = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        assert (await receive(transport))["type"] == "session.created"


async def test_a_session_in_memory_runs_on_the_virtual_clock(
    autojump_clock: trio.testing.MockClock,
) -> None:
    brain = ScriptedResponder([[Pause(100.0), Say("slow", audio_ms=60_000)]])
    connector = local_connector(brain=brain, pacing=1.0)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        began = trio.current_time()
        await send(transport, "response.create")
        await receive_until(transport, "rate_limits.updated")
        assert trio.current_time() - began == pytest.approx(160.0)
    assert connector.connections[0].closed == Close(1000)


async def test_a_response_can_be_cancelled_however_fast_it_is_generated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    brain = ScriptedResponder([Say("word " * 200)])
    connector = local_connector(brain=brain, pacing=math.inf)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await receive_until(transport, "response.output_audio.delta")
        await send(transport, "response.cancel")
        frames = await receive_until(transport, "response.done")
    assert frames[-1]["response"]["status"] == "cancelled"


async def test_the_endpoint_in_memory_has_a_key_that_is_let_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connector = local_connector(api_keys={"sk-right"})
    resolved = await connector.endpoint.resolve()
    async with connector(ConnectOptions(resolved.url, tuple(resolved.headers))) as transport:
        assert (await receive(transport))["type"] == "session.created"


async def test_two_runs_in_memory_are_the_same(autojump_clock: trio.testing.MockClock) -> None:
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


async def test_a_session_in_memory_expires(autojump_clock: trio.testing.MockClock) -> None:
    async with local_connector()(ConnectOptions(IN_MEMORY, KEY)) as transport:
        began = trio.current_time()
        await receive_until(transport, "error")
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert trio.current_time() - began == pytest.approx(3600.0)
    assert caught.value.code == 1001


async def test_a_client_that_does_not_read_is_closed_with_1013(
    autojump_clock: trio.testing.MockClock,
) -> None:
    brain = ScriptedResponder([Say("word " * 2000)])
    limits = Limits(read_timeout=5.0)
    connector = local_connector(brain=brain, pacing=math.inf, limits=limits)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await trio.sleep(20.0)
        with pytest.raises(TransportClosed):
            await receive_until(transport, "response.done")
    assert connector.connections[0].closed == Close(1013, "the client reads too slowly")


async def test_in_memory_a_bad_key_is_told_either_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with local_connector(api_keys={"sk-right"})(ConnectOptions(IN_MEMORY, KEY)) as transport:
        assert (await receive(transport))["error"]["code"] == "invalid_api_key"
    by_http = local_connector(api_keys={"sk-right"}, auth_failure="http401")
    with pytest.raises(HandshakeRejected):
        async with by_http(ConnectOptions(IN_MEMORY, KEY)):
            pass


async def test_recorded_frames_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    connector = local_connector(limits=Limits(recorded_frames=3))
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await receive_until(transport, "rate_limits.updated")
    assert len(connector.connections[0].frames) == 3


def test_the_connector_is_a_connector() -> None:
    connector: Connector = local_connector()
    assert callable(connector)


@pytest.mark.parametrize(
    "settings", [{"pacing": 0.0}, {"pacing": -1.0}, {"latency": -0.1}, {"session_seconds": 0.0}]
)
def test_senseless_settings_are_refused(settings: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        local_connector(**settings)
