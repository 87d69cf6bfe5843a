"""Open TCP and TLS streams, with errors that name the peer and the reason.

This module uses the network and the system's trust store.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from trio_realtime._nursery import leaves_of

from .base import TransportConnectError

__all__ = ["closed_on_error", "default_context", "error_text", "open_tcp", "start_tls", "tls_error"]

_CERTIFICATE_HINTS = {
    **dict.fromkeys(
        (2, 18, 19, 20, 21),  # the chain does not end in a trusted certificate
        "to trust a private certificate authority, pass ca_file= to the endpoint or set "
        "SSL_CERT_FILE to a file with its certificate",
    ),
    **dict.fromkeys((9, 10), "check the certificate of the server and the clock of this machine"),
    **dict.fromkeys((62, 64), "connect to a host name that the certificate contains"),
}


async def open_tcp(host: str, port: int, peer: str) -> trio.abc.Stream:
    """Connect to a TCP port. ``peer`` names it in error messages.

    Raises:
        TransportConnectError: The message contains ``peer`` and the system's error text.
    """
    try:
        return await trio.open_tcp_stream(host, port)
    except (OSError, UnicodeError) as exc:
        raise TransportConnectError(f"could not connect to {peer}: {error_text(exc)}") from exc


async def start_tls(
    stream: trio.abc.Stream, context: ssl.SSLContext | None, host: str, peer: str
) -> trio.abc.Stream:
    """Perform the TLS handshake of a client. On failure and on cancellation, close the stream.

    Args:
        stream: The stream to encrypt.
        context: The TLS context, or ``None`` for one with the system's trust store.
        host: The name that the certificate must contain.
        peer: The name for error messages.

    Raises:
        TransportConnectError: The message contains ``peer`` and what is wrong with the certificate.
    """
    try:
        async with closed_on_error(stream):
            # https_compatible: either side may close without close_notify.
            tls = trio.SSLStream(
                stream, context or default_context(), server_hostname=host, https_compatible=True
            )
            await tls.do_handshake()
            return tls
    except (OSError, ValueError, trio.BrokenResourceError) as exc:  # ValueError: the host name
        raise tls_error(exc, peer) from exc


@asynccontextmanager
async def closed_on_error(stream: trio.abc.AsyncResource) -> AsyncGenerator[None]:
    """Close the stream at once if the block raises or is cancelled."""
    try:
        yield
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise


def error_text(exc: BaseException) -> str:
    """Return the reasons of an exception. Trio's own message only says that all attempts failed."""
    return "; ".join(dict.fromkeys(str(leaf) for leaf in leaves_of(exc.__cause__ or exc)))


def tls_error(exc: BaseException, peer: str) -> TransportConnectError:
    """Return the error of a failed handshake. The cause of the exception is that of :mod:`ssl`."""
    reason = exc.__cause__
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = _CERTIFICATE_HINTS.get(reason.verify_code)
        text = f"the TLS certificate of {peer} was rejected: {reason.verify_message.rstrip('.')}"
        return TransportConnectError(f"{text}; {hint}" if hint else text)
    return TransportConnectError(f"the TLS handshake with {peer} failed: {error_text(exc)}")


@functools.cache
def default_context() -> ssl.SSLContext:
    """Return a context with the system's trust store."""
    # Cached, because reading the trust store takes tens of milliseconds.
    return ssl.create_default_context()
