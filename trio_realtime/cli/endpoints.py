"""Chooses the service that a command connects to.

``--local`` starts a local server in this process and ``--url`` names any other server. Without either,
the command uses the service configured in the environment, or a local server if there is none.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import attrs
from cyclopts import Group, Parameter

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    open_realtime_session,
    serve_local,
)
from trio_realtime.endpoints import DEFAULT_MODEL, SERVICE_VARIABLES
from trio_realtime.wire.dialects import DialectName

from .exit import UserFacingError

#: The variable that has the same meaning as ``--api-key``.
KEY_VARIABLE = "TRIO_REALTIME_API_KEY"

SERVICE = Group(
    "Service",
    help="By default, the service configured in the environment, or else a local server.",
)


@Parameter(name="*", group=SERVICE)
@attrs.frozen(kw_only=True)
class EndpointOptions:
    """Command-line options that choose the service.

    Args:
        local: start a local server and connect to it.
        url: connect to the server at this URL.
        api_key: the key, instead of the one in the environment. Keys of other variables than
            :data:`KEY_VARIABLE` are never sent to ``url``.
        model: the model to request.
        dialect: the spelling of the protocol; by default, the URL decides.
        proxy: URL of a proxy, or an empty string for a direct connection; by default, the environment
            decides.
        ca_file: PEM file with the certificates to trust instead of those of the system.
    """

    local: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Use a local server; needs no API key."),
    ] = False
    url: Annotated[
        str | None, Parameter(help="URL of any server: `ws://`, `wss://`, `http://` or `https://`.")
    ] = None
    api_key: Annotated[
        str | None, Parameter(env_var=KEY_VARIABLE, help="API key of the service.")
    ] = None
    model: Annotated[str | None, Parameter(help="Name of the model.")] = None
    dialect: Annotated[
        DialectName | None,
        Parameter(
            help="Variant of the protocol that the server speaks; by default, the URL decides."
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Parameter(
            help="URL of a proxy: `http://`, `https://`, `socks5://` or `socks5h://`. "
            'By default, that of the environment; `""` for a direct connection.'
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        Parameter(help="PEM file with the certificates to trust, instead of those of the system."),
    ] = None


def is_local(options: EndpointOptions) -> bool:
    """Return whether the options and the environment choose a local server."""
    if options.local or options.url is not None:
        return options.local
    return options.api_key is None and not any(map(os.environ.get, SERVICE_VARIABLES))


def make_endpoint(options: EndpointOptions) -> Endpoint:
    """Return the endpoint of a service that is not a local server of this process.

    Raises:
        ConfigurationError: an option or a variable is invalid.
    """
    key, dialect, proxy, ca_file = options.api_key, options.dialect, options.proxy, options.ca_file
    if options.url is not None:
        if key is None and is_loopback(options.url):
            key = "local"  # local servers require a key and accept any
        return Endpoint.compatible(
            options.url,
            api_key=key,
            model=DEFAULT_MODEL,
            dialect=dialect,
            proxy=proxy,
            ca_file=ca_file,
        )
    if any(map(os.environ.get, SERVICE_VARIABLES)):
        return Endpoint.from_env(api_key=key, dialect=dialect, proxy=proxy, ca_file=ca_file)
    return Endpoint.openai(key, dialect=dialect, proxy=proxy, ca_file=ca_file)


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_options(options: EndpointOptions) -> None:
    """Check that the options do not contradict each other.

    Raises:
        UserFacingError: they do.
    """
    if options.local and options.url is not None:
        raise UserFacingError("--local and --url contradict each other: choose one")
    if not is_local(options):
        return
    if options.dialect == "voice_live":
        raise UserFacingError("the local server does not speak voice_live: choose ga or beta")
    for name, value in (("--proxy", options.proxy), ("--ca-file", options.ca_file)):
        if value:
            raise UserFacingError(
                f"{name} has no effect on the local server: choose a service with --url"
            )


@asynccontextmanager
async def open_endpoint(options: EndpointOptions) -> AsyncGenerator[Endpoint]:
    """Yield the endpoint that the options choose. A local server runs for the duration of the block.

    Raises:
        UserFacingError: the options contradict each other.
        ConfigurationError: an option or a variable is invalid.
    """
    check_options(options)
    if not is_local(options):
        yield make_endpoint(options)
        return
    async with serve_local(dialect="beta" if options.dialect == "beta" else "ga") as server:
        yield server.endpoint


@asynccontextmanager
async def open_session(
    agent: RealtimeAgent[None], options: EndpointOptions, config: SessionConfig
) -> AsyncGenerator[RealtimeSession[None]]:
    """Open a session with the service that the options choose.

    Raises:
        UserFacingError: the options contradict each other.
        RealtimeError: see ``open_realtime_session``.
    """
    check_options(options)
    config = config if options.model is None else attrs.evolve(config, model=options.model)
    async with AsyncExitStack() as stack:
        if is_local(options) and not options.local and options.dialect is None:
            endpoint = None  # the library uses its local server, and warns about that
        else:
            endpoint = await stack.enter_async_context(open_endpoint(options))
        yield await stack.enter_async_context(
            open_realtime_session(agent, endpoint=endpoint, config=config)
        )
