"""The ``serve`` command: run the local server on a port, for any client of the protocol."""

from __future__ import annotations

import errno
import math
import socket
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NoReturn

import attrs
import trio

from trio_realtime import serve_local
from trio_realtime.local import (
    EspeakSynthesizer,
    LocalServer,
    ServerConfigDict,
    Synthesizer,
    ToneSynthesizer,
)
from trio_realtime.local.config import LocalDialect

from .exit import UserFacingError, print_message

#: Addresses of documentation networks. Choosing a route to them sends nothing.
_ELSEWHERE: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@attrs.frozen(kw_only=True)
class ServeOptions:
    """Options of the command that concern the socket.

    Args:
        host: address to listen on.
        port: port to listen on; 0 chooses a free one.
        certfile: PEM file with the certificate chain, to serve ``wss``.
        keyfile: PEM file with the private key, if ``certfile`` has none.
    """

    host: str
    port: int
    certfile: Path | None = None
    keyfile: Path | None = None


async def serve(options: ServeOptions, config: ServerConfigDict) -> NoReturn:
    """Run the server until cancelled. Prints its URLs, and nothing else, once clients can connect.

    Raises:
        UserFacingError: the server cannot listen on this host and port, or the certificate cannot
            be used.
    """
    ssl_context = make_ssl_context(options.certfile, options.keyfile)
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(
                serve_local(host=options.host, port=options.port, ssl_context=ssl_context, **config)
            )
        except OSError as exc:
            raise UserFacingError(f"{exc.strerror or exc}; {_hint(exc)}") from exc
        for url in reachable_urls(server, options.host):
            print(url, flush=True)
        if "api_keys" not in config and not _is_loopback(options.host):
            print_message(
                f"warning: anyone who can reach port {server.port} can use this server; "
                "require a key with --api-key, or listen on --host 127.0.0.1"
            )
        await trio.sleep_forever()


def _hint(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "choose another --port, or 0 for a free one"
    return "choose another --host, for example 127.0.0.1"


# --- addresses -----------------------------------------------------------------------------------


def reachable_urls(server: LocalServer, host: str) -> Iterator[str]:
    """Yield a URL for each address that clients can use, with the model.

    A server that listens on all addresses is reachable on loopback and, from other machines, on the
    address of the default route.
    """
    if not _is_unspecified(host):
        yield server.url_with_model
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for address in (_LOOPBACK[family], _outgoing_address(family)):
        if address is not None:
            yield server.url_for(address, with_model=True)


def _outgoing_address(family: socket.AddressFamily) -> str | None:
    """Return the address of this machine on its default route; None if it has no route."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE[family], 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- TLS -----------------------------------------------------------------------------------------


def make_ssl_context(certfile: Path | None, keyfile: Path | None) -> ssl.SSLContext | None:
    """Return the TLS context for a certificate; None without one.

    Raises:
        UserFacingError: a file is missing or invalid, or the key does not belong to the certificate.
    """
    if certfile is None:
        if keyfile is not None:
            raise UserFacingError("--keyfile needs --certfile, the certificate of this key")
        return None
    for option, path in (("--certfile", certfile), ("--keyfile", keyfile)):
        if path is not None:
            _check_readable(option, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certfile, keyfile, password=_reject_password)
    except ssl.SSLError as exc:
        raise UserFacingError(_explain(exc, certfile, keyfile)) from exc
    return context


def _check_readable(option: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as exc:
        raise UserFacingError(f"{option} {path}: {exc.strerror}; name a PEM file") from exc


def _reject_password() -> NoReturn:
    # Without this, OpenSSL asks for the password on the terminal.
    raise UserFacingError("the private key has a password; use a key without one")


def _explain(error: ssl.SSLError, certfile: Path, keyfile: Path | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {keyfile or certfile} does not belong to the certificate in {certfile}"
    if keyfile is None:
        return (
            f"--certfile {certfile} must have a certificate and its private key in PEM format; "
            "name the file of the key with --keyfile if it is another one"
        )
    return (
        f"--certfile {certfile} must have a certificate, and --keyfile {keyfile} a private key, "
        "both in PEM format"
    )


# --- configuration -------------------------------------------------------------------------------


def make_server_config(
    *, model: str, pace: str, voice: str, api_keys: tuple[str, ...], dialect: LocalDialect
) -> ServerConfigDict:
    """Convert the options of the command to the configuration of the server.

    Raises:
        UserFacingError: an option has an invalid value.
    """
    config = ServerConfigDict(
        default_model=model,
        pacing=_parse_pace(pace),
        synthesizer=make_synthesizer(voice),
        dialect=dialect,
    )
    if api_keys:
        config["api_keys"] = frozenset(api_keys)
    else:
        config["require_key"] = False
    return config


def _parse_pace(pace: str) -> float:
    try:
        factor = math.inf if pace == "unlimited" else float(pace)
    except ValueError:
        factor = math.nan
    if not factor > 0:
        raise UserFacingError(f"--pace must be a number > 0 or 'unlimited'; got {pace!r}")
    return factor


def make_synthesizer(name: str) -> Synthesizer:
    """Create the synthesizer for ``tone``, ``espeak`` or ``auto`` (espeak if it is installed).

    Raises:
        UserFacingError: ``espeak`` was requested but is not installed.
    """
    if name == "tone":
        return ToneSynthesizer()
    try:
        return EspeakSynthesizer()
    except FileNotFoundError as exc:
        if name == "auto":
            return ToneSynthesizer()
        raise UserFacingError(f"{exc}; install espeak-ng, or choose --voice tone") from exc
