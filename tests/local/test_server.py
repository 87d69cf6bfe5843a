"""The local server on real sockets."""

from __future__ import annotations

import json
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

from support.realtime_client import KEY, QUERY, receive, receive_until, send
from trio_realtime import Endpoint
from trio_realtime.local import (
    Close,
    LocalServer,
    Speech,
    ToneSynthesizer,
    serve_local,
)
from trio_realtime.transports import (
    ConnectOptions,
    HandshakeRejected,
    Transport,
    TransportClosed,
    connect_trio_websocket,
)

pytestmark = pytest.mark.slow

# -- connections ---------------------------------------------------------------------------------


async def request_text(transport: Transport, text: str) -> str:
    """Run one turn with text. Return the text of the response."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await send(transport, "conversation.item.create", item=item)
    await send(transport, "response.create", response={"output_modalities": ["text"]})
    frames = await receive_until(transport, "rate_limits.updated")
    return "".join(f["delta"] for f in frames if f["type"] == "response.output_text.delta")


def connect_options(server: LocalServer, **changes: Any) -> ConnectOptions:
    return attrs.evolve(ConnectOptions(f"{server.url}{QUERY}", headers=KEY), **changes)


@asynccontextmanager
async def connect(server: LocalServer) -> AsyncGenerator[Transport, None]:
    async with connect_trio_websocket(connect_options(server)) as transport:
        assert (await receive(transport))["type"] == "session.created"
        yield transport


async def test_it_serves_several_clients_at_once() -> None:
    async with serve_local() as server, connect(server) as one, connect(server) as two:
        assert await request_text(one, "first") == "You said: first"
        assert await request_text(two, "second") == "You said: second"
        assert len(server.connections) == 2


async def test_connections_record_their_frames() -> None:
    async with serve_local() as server, connect(server) as transport:
        await request_text(transport, "hello")
        (connection,) = server.connections
        assert [frame["type"] for frame in connection.received] == [
            "conversation.item.create",
            "response.create",
        ]
        assert connection.sent[0]["type"] == "session.created"
        assert connection.closed is None


async def test_its_endpoint_connects_to_it() -> None:
    async with serve_local(api_keys={"sk-one"}) as server:
        resolved = await server.endpoint.resolve("gpt-realtime-2.1")
        assert resolved.url == f"{server.url}{QUERY}"
        async with connect_trio_websocket(
            ConnectOptions(resolved.url, tuple(resolved.headers))
        ) as transport:
            assert (await receive(transport))["type"] == "session.created"


async def test_the_server_answers_a_close_of_the_client() -> None:
    async with serve_local() as server:
        async with connect(server):
            pass
        with trio.fail_after(2):
            await server.connections[0].ended.wait()
        assert server.connections[0].closed == Close(1000)


async def test_messages_of_15_mebibytes_of_audio_are_accepted() -> None:
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


class BlockingSynthesizer(ToneSynthesizer):
    """Blocks, and records whether it ran in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.ran_in_thread: list[bool] = []

    @property
    def blocking(self) -> bool:
        return True

    def synthesize(self, text: str) -> Speech:
        self.ran_in_thread.append(not trio.lowlevel.in_trio_run())
        return super().synthesize(text)


async def test_a_blocking_synthesizer_runs_in_a_thread() -> None:
    synthesizer = BlockingSynthesizer()
    async with (
        serve_local(synthesizer=synthesizer, pacing=math.inf) as server,
        connect(server) as transport,
    ):
        await send(transport, "response.create")
        await receive_until(transport, "rate_limits.updated")
    assert synthesizer.ran_in_thread == [True]


# -- leaving the block ---------------------------------------------------------------------------


async def stay_connected(
    server: LocalServer,
    left: trio.Event,
    *,
    task_status: trio.TaskStatus[Transport],
) -> None:
    async with connect(server) as transport:
        task_status.started(transport)
        await left.wait()


async def test_leaving_closes_the_connections_with_1001() -> None:
    async with trio.open_nursery() as nursery:
        left = trio.Event()
        async with serve_local() as server:
            # The client outlives the server.
            transport = await nursery.start(stay_connected, server, left)  # noqa: ASYNC111
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.code == 1001
        left.set()


async def test_a_cancelled_server_closes_the_connections_with_1001() -> None:
    async with trio.open_nursery() as nursery:
        left = trio.Event()
        with trio.CancelScope() as scope:
            async with serve_local() as server:
                transport = await nursery.start(stay_connected, server, left)  # noqa: ASYNC111
                scope.cancel()
                await trio.sleep_forever()
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.code == 1001
        left.set()


def upgrade_request(port: int) -> bytes:
    lines = [
        f"GET /v1/realtime{QUERY} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Authorization: Bearer local",
        *("", ""),
    ]
    return "\r\n".join(lines).encode()


async def test_leaving_is_bounded_with_a_client_that_does_not_answer() -> None:
    with trio.fail_after(5):
        async with serve_local() as server:
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            await stream.send_all(upgrade_request(server.port))
            await stream.receive_some()
            began = trio.current_time()
        assert trio.current_time() - began < 2.5
        await stream.aclose()


async def test_an_exception_of_the_block_is_raised_unwrapped() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serve_local() as server, connect(server):
            raise KeyError("mine")


# -- handshake -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff nonsense\r\n\r\n", b""])
async def test_a_client_without_websocket_does_not_end_the_server(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_local() as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        if data:
            await stream.send_all(data)
            with trio.fail_after(2):
                await stream.receive_some()
        await stream.aclose()
        async with connect(server) as transport:
            assert await request_text(transport, "still there?") == "You said: still there?"


async def test_other_paths_are_not_found() -> None:
    async with serve_local() as server:
        other = connect_options(server, url=f"ws://127.0.0.1:{server.port}/chat")
        with pytest.raises(HandshakeRejected) as caught:
            async with connect_trio_websocket(other):
                pass
        assert caught.value.status == 404


async def test_a_key_can_be_rejected_after_the_upgrade() -> None:
    async with (
        serve_local(api_keys={"sk-right"}) as server,
        connect_trio_websocket(connect_options(server)) as transport,
    ):
        assert (await receive(transport))["error"]["code"] == "invalid_api_key"
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.code == 3000
        assert caught.value.reason == "invalid_request_error.invalid_api_key"


async def test_a_key_can_be_rejected_with_http() -> None:
    async with serve_local(api_keys={"sk-right"}, auth_failure="http401") as server:
        with pytest.raises(HandshakeRejected) as caught:
            async with connect_trio_websocket(connect_options(server)):
                pass
    assert caught.value.status == 401
    assert json.loads(caught.value.body)["error"]["code"] == "invalid_api_key"


async def test_a_key_can_be_a_subprotocol() -> None:
    protocols = ("realtime", "openai-insecure-api-key.sk-right")
    async with serve_local(api_keys={"sk-right"}) as server:
        offer = connect_options(server, headers=(), subprotocols=protocols)
        async with connect_trio_websocket(offer) as transport:
            assert (await receive(transport))["type"] == "session.created"


# -- HTTP ----------------------------------------------------------------------------------------


async def request(stream: trio.abc.Stream, head: str, body: bytes = b"") -> tuple[int, Any]:
    """Send one HTTP request. Return the status and the body of the response."""
    lines = [f"{head} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", "", ""]
    await stream.send_all("\r\n".join(lines).encode() + body)
    with trio.fail_after(5):
        received = b"".join([bytes(data) async for data in stream])
    await stream.aclose()
    answer, _, text = received.partition(b"\r\n\r\n")
    return int(answer.split()[1]), json.loads(text)


async def test_a_response_arrives_although_the_body_was_not_read() -> None:
    async with serve_local() as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        path = "POST /v1/realtime/client_secrets"
        status, body = await request(stream, path, b"x" * 5_000_000)
        assert status == 413
        assert body["error"]["type"] == "invalid_request_error"


async def test_an_ephemeral_key_opens_a_session() -> None:
    async with serve_local(api_keys={"sk-right"}) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        path = "POST /v1/realtime/client_secrets?api-key=sk-right"
        status, body = await request(stream, path)
        assert status == 200
        endpoint = Endpoint.compatible(server.url_with_model, api_key=body["value"])
        resolved = await endpoint.resolve()
        async with connect_trio_websocket(
            ConnectOptions(resolved.url, tuple(resolved.headers))
        ) as transport:
            assert (await receive(transport))["type"] == "session.created"


# -- listening -----------------------------------------------------------------------------------


async def test_a_port_in_use_is_a_clear_error() -> None:
    async with serve_local() as server:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {server.port}: "):
            async with serve_local(port=server.port):
                pass


async def test_it_serves_tls(repository: Path) -> None:
    certificate = repository / "tests" / "transports" / "localhost.pem"
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate))
    async with serve_local(host="localhost", ssl_context=served) as server:
        assert server.url.startswith("wss://localhost:")
        async with connect_trio_websocket(
            connect_options(server, ssl_context=trusted)
        ) as transport:
            assert (await receive(transport))["type"] == "session.created"
        tcp = await trio.open_tcp_stream("localhost", server.port)
        tls = trio.SSLStream(tcp, trusted, server_hostname="localhost", https_compatible=True)
        assert (await request(tls, "GET /v1/models"))[0] == 200


async def test_a_client_without_tls_is_closed_by_a_server_with_tls(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(repository / "tests" / "transports" / "localhost.pem")
    async with serve_local(ssl_context=served) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        await stream.send_all(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
        with trio.fail_after(5):
            while await stream.receive_some():
                pass
        await stream.aclose()
    assert not [record for record in caplog.records if record.levelname != "INFO"]


async def test_a_chosen_port_is_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with serve_local(port=port) as server:
        assert server.port == port
        assert server.url == f"ws://127.0.0.1:{port}/v1/realtime"
