"""Which service a session of the command talks to.

``--local`` is a server of the command's own, ``--url`` any other; with neither, what the environment
names, and the local server if it names none.
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
class Service:
    """What the options say of the service.

    Args:
        local: talk to a local server.
        url: talk to this one.
        api_key: the key for ``url``. Keys in the environment are never sent there.
    """

    local: bool = False
    url: str | None = None
    api_key: str | None = None


@asynccontextmanager
async def open_session(
    agent: RealtimeAgent[None], service: Service, config: SessionConfig
) -> AsyncGenerator[RealtimeSession[None]]:
    """A session with the service that was chosen.

    Raises:
        MendIt: the options contradict each other.
        RealtimeError: as ``open_realtime_session``.
    """
    if service.local and service.url is not None:
        raise UserFacingError("--local and --url contradict each other: choose one")
    if not service.local:
        async with open_realtime_session(
            agent, endpoint=_endpoint(service), config=config
        ) as session:
            yield session
        return
    async with (
        serve_local() as server,
        open_realtime_session(agent, endpoint=server.endpoint, config=config) as session,
    ):
        yield session


def _endpoint(service: Service) -> Endpoint | None:
    if service.url is None:
        return None if service.api_key is None else Endpoint.openai(service.api_key)
    key = service.api_key
    if key is None and _is_this_machine(service.url):
        key = "local"  # local servers want some key and take any
    return Endpoint.compatible(service.url, api_key=key, model=DEFAULT_MODEL)


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
