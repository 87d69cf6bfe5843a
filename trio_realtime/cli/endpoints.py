"""Chooses the service that a command connects to.

``--local`` starts a local server in this process and ``--url`` names any other server. Without either,
the command uses the service configured in the environment, or a local server if there is none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    open_realtime_session,
    serve_local,
)
from trio_realtime.endpoints import DEFAULT_MODEL

from .exit import UserFacingError


@attrs.frozen(kw_only=True)
class EndpointOptions:
    """Command-line options that choose the service.

    Args:
        local: start a local server and connect to it.
        url: connect to the server at this URL.
        api_key: the key for ``url``. Keys in the environment are never sent to ``url``.
    """

    local: bool = False
    url: str | None = None
    api_key: str | None = None


@asynccontextmanager
async def open_session(
    agent: RealtimeAgent[None], options: EndpointOptions, config: SessionConfig
) -> AsyncGenerator[RealtimeSession[None]]:
    """Open a session with the service that the options choose.

    Raises:
        UserFacingError: the options contradict each other.
        RealtimeError: see ``open_realtime_session``.
    """
    if options.local and options.url is not None:
        raise UserFacingError("--local and --url contradict each other: choose one")
    if not options.local:
        async with open_realtime_session(
            agent, endpoint=_make_endpoint(options), config=config
        ) as session:
            yield session
        return
    async with (
        serve_local() as server,
        open_realtime_session(agent, endpoint=server.endpoint, config=config) as session,
    ):
        yield session


def _make_endpoint(options: EndpointOptions) -> Endpoint | None:
    if options.url is None:
        return None if options.api_key is None else Endpoint.openai(options.api_key)
    key = options.api_key
    if key is None and _is_loopback(options.url):
        key = "local"  # local servers require a key and accept any
    return Endpoint.compatible(options.url, api_key=key, model=DEFAULT_MODEL)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
