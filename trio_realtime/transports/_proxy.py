"""Connect through a proxy: HTTP CONNECT (RFC 9110, section 9.3.6) and SOCKS5 (RFC 1928).

The result is a stream to the server. TLS and the WebSocket run inside of it, also for ``ws`` URLs, so
the proxy sees the credentials of a ``ws`` connection but not those of a ``wss`` connection. The
credentials of the proxy are sent only to the proxy.
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import SplitResult, unquote, urlsplit

import h11
import trio

from trio_realtime._redaction import redact_url

from ._credentials import basic_credentials, mask_secrets
from ._http import next_event, receive
from ._retry_after import parse_retry_after
from ._streams import closed_on_error, error_text, open_tcp, start_tls
from .base import ConnectOptions, MissingPackage, TransportConnectError

__all__ = ["open_tunnel"]

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
# tinyproxy answers a wrong password with 401, and a missing one with 407.
_AUTHENTICATION_STATUSES = (401, 407)
_MAX_RESPONSE_BYTES = 64 * 1024
_MAX_QUOTE_CHARS = 100


async def open_tunnel(options: ConnectOptions, host: str, port: int) -> trio.abc.Stream:
    """Connect to a server through ``options.proxy``. Failure and cancellation leave no socket open.

    Args:
        options: The options of the connection.
        host: The host name or address of the server.
        port: The port of the server.

    Raises:
        TransportConnectError: The message names the proxy, without its credentials.
        MissingPackage: The proxy needs an optional package.
    """
    assert options.proxy is not None
    proxy = urlsplit(options.proxy)
    if proxy.scheme.startswith("socks"):
        return await _open_socks_tunnel(proxy, host, port)
    stream = await open_tcp(_host(proxy), _port(proxy), _name(proxy))
    if proxy.scheme == "https":
        stream = await start_tls(stream, options.ssl_context, _host(proxy), _name(proxy))
    async with closed_on_error(stream):
        await _request_tunnel(stream, options, proxy, _authority(host, port))
    return stream


def _host(proxy: SplitResult) -> str:
    return proxy.hostname or ""


def _port(proxy: SplitResult) -> int:
    return proxy.port or _DEFAULT_PORTS[proxy.scheme]


def _name(proxy: SplitResult) -> str:
    return f"the proxy {redact_url(proxy.geturl())}"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- HTTP ---------------------------------------------------------------------------------------


async def _request_tunnel(
    stream: trio.abc.Stream, options: ConnectOptions, proxy: SplitResult, target: str
) -> None:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_RESPONSE_BYTES)
    response = await _exchange(stream, http, _connect_request(proxy, target))
    if response is None:
        raise TransportConnectError(f"{_name(proxy)} does not speak HTTP, or closed the connection")
    if not 200 <= response.status_code < 300:
        raise _refusal(response, options, proxy, target)
    if http.trailing_data[0]:
        # The client of TLS and WebSocket speaks first, so these bytes are not those of the server.
        raise TransportConnectError(f"{_name(proxy)} sent data of its own through the tunnel")


def _connect_request(proxy: SplitResult, target: str) -> h11.Request:
    credentials = basic_credentials(proxy)
    headers = [("Host", target)]
    if credentials is not None:
        headers.append(("Proxy-Authorization", credentials))
    return h11.Request(method="CONNECT", target=target, headers=headers)


async def _exchange(
    stream: trio.abc.Stream, http: h11.Connection, request: h11.Request
) -> h11.Response | None:
    """Send the request and return the response; ``None`` if there is no valid one."""
    data = (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")
    with suppress(trio.BrokenResourceError):  # a proxy may answer before it has read everything
        await stream.send_all(data)
    while True:
        event = next_event(http)
        if event is h11.NEED_DATA:
            http.receive_data(await receive(stream))
        elif not isinstance(event, h11.InformationalResponse):
            # At least one `receive` was a checkpoint.
            return event if isinstance(event, h11.Response) else None  # noqa: ASYNC910


def _refusal(
    response: h11.Response, options: ConnectOptions, proxy: SplitResult, target: str
) -> TransportConnectError:
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers
    ]
    status = response.status_code
    if status in _AUTHENTICATION_STATUSES:
        problem = _authentication_problem(headers, options, proxy)
    else:
        problem = f"did not connect to {target}"
    reason = _quote(response.reason.decode("latin-1"), options)
    shown = f"HTTP status {status} {reason}".rstrip()
    return TransportConnectError(
        f"{_name(proxy)} {problem} ({shown})", status=status, retry_after=parse_retry_after(headers)
    )


def _quote(text: str, options: ConnectOptions) -> str:
    return mask_secrets(text, options)[:_MAX_QUOTE_CHARS]


def _authentication_problem(
    headers: list[tuple[str, str]], options: ConnectOptions, proxy: SplitResult
) -> str:
    schemes = [
        value.split(maxsplit=1)[0]
        for name, value in headers
        if name.lower() in ("proxy-authenticate", "www-authenticate") and value.strip()
    ]
    if schemes and "basic" not in map(str.lower, schemes):
        names = _quote(" or ".join(schemes), options)
        return f"requires authentication with {names}, but only Basic is supported"
    if proxy.username is None:
        return (
            "requires a user name and a password: add them to its URL, as in "
            "http://user:password@host:port"
        )
    return "rejected the user name and the password of its URL"


# --- SOCKS --------------------------------------------------------------------------------------


async def _open_socks_tunnel(proxy: SplitResult, host: str, port: int) -> trio.abc.Stream:
    try:
        # Imported here, because the extra is optional.
        from python_socks import ProxyConnectionError, ProxyError, ProxyType
        from python_socks.async_.trio import Proxy
    except ImportError:
        raise MissingPackage(
            f"{_name(proxy)} needs the package python-socks: pip install 'trio-realtime[socks]'"
        ) from None
    connector = Proxy(
        ProxyType.SOCKS5,
        _host(proxy),
        _port(proxy),
        username=unquote(proxy.username) if proxy.username else None,
        password=unquote(proxy.password) if proxy.password else None,
        rdns=proxy.scheme == "socks5h",
    )
    try:
        # The caller limits the time.
        socket = await connector.connect(host, port, timeout=float("inf"))
    except ProxyConnectionError as exc:
        message = f"could not connect to {_name(proxy)}: {error_text(exc)}"
        raise TransportConnectError(message) from exc
    except (OSError, ValueError, ProxyError) as exc:
        target = _authority(host, port)
        message = f"{_name(proxy)} did not connect to {target}: {error_text(exc)}"
        raise TransportConnectError(message) from exc
    return trio.SocketStream(socket)
