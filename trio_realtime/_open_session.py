"""The public entry point: choose the endpoint and the transport, then open a session.

This module may import any other package. It supplies only the defaults that the caller left out.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, overload

from .agents import RealtimeAgent
from .config import SessionConfig
from .endpoints import DEFAULT_MODEL, Endpoint
from .errors import ConfigurationError
from .items import HistoryItem
from .session import RealtimeSession, open_session
from .transports import Connector, connect_trio_websocket

ContextT = TypeVar("ContextT")

_ENDPOINT_VARIABLES = (
    "OPENAI_REALTIME_URL",
    "AZURE_OPENAI_ENDPOINT",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
)


class LocalServerWarning(UserWarning):
    """Warns that no service is configured, so the session uses the embedded local server."""


@overload
def open_realtime_session(
    agent: RealtimeAgent[None],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    transport: Connector | None = None,
    history: Sequence[HistoryItem] | None = None,
) -> AbstractAsyncContextManager[RealtimeSession[None]]: ...


@overload
def open_realtime_session(
    agent: RealtimeAgent[ContextT],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    context: ContextT,
    transport: Connector | None = None,
    history: Sequence[HistoryItem] | None = None,
) -> AbstractAsyncContextManager[RealtimeSession[ContextT]]: ...


@asynccontextmanager
async def open_realtime_session(
    agent: RealtimeAgent[Any],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    context: Any = None,
    transport: Connector | None = None,
    history: Sequence[HistoryItem] | None = None,
) -> AsyncGenerator[RealtimeSession[Any]]:
    """Open a session with an agent for the duration of an ``async with`` block.

    Entering the block connects and waits until the service has acknowledged the settings. Leaving
    it stops the tools, sends everything that is still queued and closes the connection. This takes
    at most ``config.close_timeout`` seconds, except for tools and hooks that shield themselves from
    cancellation and tools with a ``finish_timeout``. Afterwards no task and no socket is left, and
    no thread except those of abandoned tools that are plain functions.

    Entering and leaving are checkpoints. An exception of the block is raised unchanged, not wrapped
    in a group. A cancellation remains a cancellation.

    Args:
        agent: The agent that starts the conversation.
        endpoint: The service to connect to. Defaults to the endpoint that the environment
            configures; see :meth:`Endpoint.from_env`. If it configures none, the session uses the
            embedded local server and issues a :class:`LocalServerWarning`, because that server has
            no model and only repeats its input.
        config: The settings of the session; see :class:`SessionConfig`.
        context: Any object. It is passed to tools and available as ``session.context``.
        transport: The connector that opens the connection. Defaults to trio-websocket.
        history: Items that the conversation begins with, in order, such as ``session.history`` of an
            earlier session. The service has confirmed them before the block begins. They are converted
            with :func:`trio_realtime.items.creatable_items`: audio of the assistant becomes its
            transcript, and what only the service can create is left out.

    Raises:
        ConfigurationError: An argument or setting is invalid. Nothing was sent.
        McpServerFailed: A required MCP server did not start within its own ``connect_timeout``.
            MCP servers start before the session connects to the service.
        AuthenticationFailed: The service rejected the key.
        ModelNotAvailable: The service does not offer the model.
        SettingsRejected: The service rejected a setting; the message names it.
        RequestRejected: The service rejected an item of ``history``.
        ConnectTimeout: Opening took longer than ``config.connect_timeout``.
        ConnectFailed: The connection could not be established.
        ConnectionLost: The connection was lost, and no call inside the block raised this error.
            Raised on leaving.
        SessionExpired: The same as ``ConnectionLost``, after the service ended the session at its
            maximum duration.
    """
    config = config if config is not None else SessionConfig()
    if endpoint is not None and not isinstance(endpoint, Endpoint):
        raise ConfigurationError(
            "expected endpoint to be an Endpoint, such as Endpoint.compatible(url), "
            f"got {type(endpoint).__name__}"
        )
    if endpoint is None and transport is None and not _is_configured():
        endpoint, transport = _embedded_server()
    async with open_session(
        agent,
        endpoint=endpoint if endpoint is not None else Endpoint.from_env(),
        config=config,
        context=context,
        transport=transport if transport is not None else connect_trio_websocket,
        history=history if history is not None else (),
    ) as session:
        yield session


def _is_configured() -> bool:
    return any(os.environ.get(name) for name in _ENDPOINT_VARIABLES)


def _embedded_server() -> tuple[Endpoint, Connector]:
    from .local import local_connector  # imported lazily, because most programs do not need it

    warnings.warn(
        "no service is configured: this session talks to the embedded local server, which has no "
        "model behind it. Set OPENAI_API_KEY, or pass endpoint=",
        LocalServerWarning,
        stacklevel=4,  # skip this function, the generator and contextlib
    )
    endpoint = Endpoint.compatible(
        "ws://localhost/v1/realtime", api_key="local", model=DEFAULT_MODEL
    )
    return endpoint, local_connector()
