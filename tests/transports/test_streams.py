"""TLS with certificates of a private authority, and the errors of untrusted certificates."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from trio_realtime.transports import TransportConnectError
from trio_realtime.transports._streams import default_context, open_tcp, start_tls

pytestmark = pytest.mark.slow

PEER = "api.test:443"


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(autouse=True)
def new_default_context() -> Iterator[None]:
    default_context.cache_clear()
    yield
    default_context.cache_clear()


@asynccontextmanager
async def serve_tls(certificate: trustme.LeafCert) -> AsyncGenerator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def echo(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass  # the client rejected the certificate
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def echo_over_tls(port: int, context: ssl.SSLContext | None, host: str) -> bytes:
    tcp = await open_tcp("127.0.0.1", port, PEER)
    async with await start_tls(tcp, context, host, PEER) as stream:
        await stream.send_all(b"hello")
        return bytes(await stream.receive_some())


async def tls_error(port: int, context: ssl.SSLContext | None, host: str) -> str:
    with pytest.raises(TransportConnectError) as caught:
        await echo_over_tls(port, context, host)
    return str(caught.value)


async def test_a_context_trusts_the_certificate_of_a_private_authority(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with serve_tls(authority.issue_cert("server.test")) as port:
        assert await echo_over_tls(port, trusting, "server.test") == b"hello"


async def test_ssl_cert_file_names_the_trusted_authority(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    async with serve_tls(authority.issue_cert("server.test")) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert await echo_over_tls(port, None, "server.test") == b"hello"


async def test_an_unknown_authority_says_how_to_trust_it(authority: trustme.CA) -> None:
    async with serve_tls(authority.issue_cert("server.test")) as port:
        message = await tls_error(port, None, "server.test")
    assert message.startswith("the TLS certificate of api.test:443 was rejected: ")
    assert "unable to get local issuer certificate" in message
    assert "ca_file=" in message
    assert "SSL_CERT_FILE" in message


@pytest.mark.parametrize("host", ["other.test", "127.0.0.1"])
async def test_a_certificate_for_another_name_says_so(
    host: str, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with serve_tls(authority.issue_cert("server.test")) as port:
        message = await tls_error(port, trusting, host)
    assert "mismatch" in message
    assert host in message
    assert "connect to a host name that the certificate contains" in message
    assert "ca_file=" not in message


async def test_an_expired_certificate_says_so(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    expired = authority.issue_cert("server.test", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    async with serve_tls(expired) as port:
        message = await tls_error(port, trusting, "server.test")
    assert "certificate has expired" in message
    assert "the clock of this machine" in message


async def test_a_server_without_tls_names_the_failed_step(trusting: ssl.SSLContext) -> None:
    async def answer(tcp: trio.SocketStream) -> None:
        await tcp.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await tcp.receive_some()
        await tcp.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        message = await tls_error(listener.socket.getsockname()[1], trusting, "server.test")
        nursery.cancel_scope.cancel()
    assert message.startswith("the TLS handshake with api.test:443 failed: ")


async def test_an_impossible_host_name_is_an_error_and_closes_the_stream() -> None:
    near, _far = trio.testing.memory_stream_pair()
    with pytest.raises(TransportConnectError, match="TLS handshake with api"):
        await start_tls(near, None, ".test", PEER)
    with pytest.raises(trio.ClosedResourceError):
        await near.send_all(b"x")


async def test_a_failed_handshake_closes_the_stream() -> None:
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(b"not TLS")
    with pytest.raises(TransportConnectError):
        await start_tls(near, None, "server.test", PEER)
    with pytest.raises(trio.ClosedResourceError):
        await near.send_all(b"x")


async def test_a_cancelled_handshake_closes_the_stream() -> None:
    near, _far = trio.testing.memory_stream_pair()
    with trio.move_on_after(0.02) as scope:
        await start_tls(near, None, "server.test", PEER)
    assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        await near.send_all(b"x")
