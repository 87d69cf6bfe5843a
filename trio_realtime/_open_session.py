"""The front door: which service, over which transport, and in.

The one room that knows of all the others; it decides only what was left open.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, overload

from .agents import RealtimeAgent
from .config import SessionConfig
from .endpoints import DEFAULT_MODEL, Endpoint
from .errors import ConfigurationError
from .session import RealtimeSession, open_session
from .transports import Connector, connect_trio_websocket

ContextT = TypeVar("ContextT")

_ENVIRONMENT = ("OPENAI_REALTIME_URL", "AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_KEY")


class LocalServerWarning(UserWarning):
    """No service is configured, so the session talks to the embedded local server."""


@overload
def open_realtime_session(
    agent: RealtimeAgent[None],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    transport: Connector | None = None,
) -> AbstractAsyncContextManager[RealtimeSession[None]]: ...


@overload
def open_realtime_session(
    agent: RealtimeAgent[ContextT],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    context: ContextT,
    transport: Connector | None = None,
) -> AbstractAsyncContextManager[RealtimeSession[ContextT]]: ...


@asynccontextmanager
async def open_realtime_session(
    agent: RealtimeAgent[Any],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    context: Any = None,
    transport: Connector | None = None,
) -> AsyncGenerator[RealtimeSession[Any]]:
    """Open a session with an agent, for the time of an ``async with`` block.

    Entering connects and returns when the service has acknowledged the settings. Leaving stops the
    tools, sends what is in line and closes, within ``config.close_timeout``; only tools and hooks
    that shield themselves, and tools that asked for a ``finish_timeout``, can take longer. Then
    nothing is left: no task, no socket, no thread but those of plain-function tools that were
    abandoned. Both halves are checkpoints. An exception in the block comes out as it is, and a cancellation stays one.

    Args:
        agent: who speaks.
        endpoint: which service. By default what the environment names (see
            :meth:`Endpoint.from_env`); if it names none, the embedded local server, with a
            :class:`LocalServerWarning`, for it only repeats what it is told.
        config: settings; see :class:`SessionConfig`.
        context: any object; tools get it, and ``session.context`` is it.
        transport: what carries the frames; trio-websocket by default.

    Raises:
        ConfigurationError: something cannot work as given; nothing was sent.
        McpServerFailed: an MCP server that the agent requires did not start in its own
            ``connect_timeout``, which comes before all others.
        AuthenticationFailed: the service refused the key.
        ModelNotAvailable: the service does not serve this model.
        SettingsRejected: the service refused a setting; the message names it.
        ConnectTimeout: all this took longer than ``config.connect_timeout``.
        ConnectFailed: no connection came about.
        ConnectionLost: on leaving, if the connection was lost and the block was not told of it.
        SessionExpired: likewise, if it was lost because the session had lasted its time.
    """
    config = config if config is not None else SessionConfig()
    if endpoint is not None and not isinstance(endpoint, Endpoint):
        raise ConfigurationError(
            f"endpoint is an Endpoint, such as Endpoint.compatible(url), not {type(endpoint).__name__}"
        )
    if endpoint is None and transport is None and not _is_configured():
        endpoint, transport = _embedded()
    async with open_session(
        agent,
        endpoint=endpoint if endpoint is not None else Endpoint.from_env(),
        config=config,
        context=context,
        transport=transport if transport is not None else connect_trio_websocket,
    ) as session:
        yield session


def _is_configured() -> bool:
    return any(os.environ.get(name) for name in _ENVIRONMENT)


def _embedded() -> tuple[Endpoint, Connector]:
    from .local import local_connector  # a server is not what most programs import this for

    warnings.warn(
        "no service is configured: this session talks to the embedded local server, which has no "
        "model behind it. Set OPENAI_API_KEY, or pass endpoint=",
        LocalServerWarning,
        stacklevel=4,  # past this function, the generator and contextlib, to who opens the session
    )
    endpoint = Endpoint.compatible(
        "ws://localhost/v1/realtime", api_key="local", model=DEFAULT_MODEL
    )
    return endpoint, local_connector()
