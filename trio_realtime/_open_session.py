"""The public entry point: choose the endpoint and the transport, then open a session.

This module may import any other package. It supplies only the defaults that the caller left out.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, overload

from trio.lowlevel import in_trio_task

from ._end_dates import warn_about_end_dates
from .agents import RealtimeAgent, check_agent
from .config import SessionConfig
from .endpoints import DEFAULT_MODEL, SERVICE_VARIABLES, Endpoint
from .errors import ConfigurationError, UsageError
from .items import HistoryItem
from .realtime_model import RealtimeModel, WebSocketModel
from .session import RealtimeSession, open_session
from .transports import Connector, connect_trio_websocket

ContextT = TypeVar("ContextT")


class LocalServerWarning(UserWarning):
    """Warns that no service is configured, so the session uses the embedded local server."""


@overload
def open_realtime_session(
    agent: RealtimeAgent[None],
    *,
    endpoint: Endpoint | None = None,
    config: SessionConfig | None = None,
    transport: Connector | None = None,
    model: RealtimeModel | None = None,
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
    model: RealtimeModel | None = None,
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
    model: RealtimeModel | None = None,
    history: Sequence[HistoryItem] | None = None,
) -> AsyncGenerator[RealtimeSession[Any]]:
    """Open a session with an agent for the duration of an ``async with`` block.

    Entering the block connects and waits until the service has acknowledged the settings. Leaving
    it stops the tools, sends everything that is still queued and closes the connection. This takes
    at most ``config.close_timeout`` seconds, except for tools and hooks that shield themselves from
    cancellation and tools with a ``finish_timeout``. Afterwards no task and no socket is left, and
    no thread except those of abandoned tools that are plain functions.

    If OpenAI has shut down the model, or does so within 30 days, the session issues a
    :class:`ModelEndDateWarning`, once per process and model.

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
        model: A service of another kind, instead of an endpoint and a transport; see
            :class:`~trio_realtime.realtime_model.RealtimeModel`.
        history: Items that the conversation begins with, in order, such as ``session.history`` of an
            earlier session. The service has confirmed them before the block begins. They are converted
            with :func:`trio_realtime.items.creatable_items`: audio of the assistant becomes its
            transcript, and what only the service can create is left out.

    Raises:
        UsageError: The caller is not a task of trio.
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
    if not in_trio_task():
        raise UsageError(
            "a session needs trio: run the program with trio.run(main). In an asyncio program, run the "
            "session in a thread of its own, as the guide to asyncio programs shows"
        )
    check_agent(agent)
    config = config if config is not None else SessionConfig()
    if not isinstance(config, SessionConfig):
        raise ConfigurationError(
            "expected config to be a SessionConfig, such as SessionConfig(voice='marin'), "
            f"got {type(config).__name__}"
        )
    if endpoint is not None and not isinstance(endpoint, Endpoint):
        raise ConfigurationError(
            "expected endpoint to be an Endpoint, such as Endpoint.compatible(url), "
            f"got {type(endpoint).__name__}"
        )
    joins_call = False
    if model is None:
        if endpoint is None and transport is None and not _is_configured():
            endpoint, transport = _embedded_server()
        endpoint = endpoint if endpoint is not None else Endpoint.from_env()
        uses_prompt = getattr(agent, "prompt", None) is not None
        # The stack level skips the generator and contextlib.
        warn_about_end_dates(endpoint, config, stacklevel=3, uses_prompt=uses_prompt)
        joins_call = endpoint.call_id is not None
        connector = transport if transport is not None else connect_trio_websocket
        model = WebSocketModel(endpoint, connector)
    elif endpoint is not None or transport is not None:
        raise ConfigurationError("pass model=, or endpoint= and transport=, not both")
    elif not all(callable(getattr(model, name, None)) for name in ("connect", "encode")):
        raise ConfigurationError(
            f"model= takes a RealtimeModel, got {model!r:.80}. The name of a model goes into "
            "SessionConfig(model=...)"
        )
    async with open_session(
        agent,
        model=model,
        config=config,
        context=context,
        joins_call=joins_call,
        history=history if history is not None else (),
    ) as session:
        yield session


def _is_configured() -> bool:
    return any(os.environ.get(name) for name in SERVICE_VARIABLES)


def _embedded_server() -> tuple[Endpoint, Connector]:
    from .local import local_connector  # imported lazily, because most programs do not need it

    warnings.warn(
        "no service is configured: this session talks to the embedded local server, which has no "
        "model behind it. Set OPENAI_API_KEY, or pass endpoint=",
        LocalServerWarning,
        stacklevel=4,  # skip this function, the generator and contextlib
    )
    endpoint = Endpoint.compatible(
        "ws://localhost/v1/realtime", api_key="local", model=DEFAULT_MODEL, proxy=""
    )
    return endpoint, local_connector()
