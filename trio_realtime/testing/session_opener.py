"""Open recorded sessions with the local server, so that a failed test can show what was said."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, Unpack, overload

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, open_realtime_session
from trio_realtime.items import HistoryItem
from trio_realtime.local import LocalConnector, ServerConfigDict, local_connector

from .collect import SessionRecord, record_session

__all__ = ["SessionOpener"]

ContextT = TypeVar("ContextT")


class SessionOpener:
    """Opens recorded sessions with a local server in memory. The fixture ``open_session`` is one.

    Args:
        server: the server of sessions that need no settings of their own.

    Attributes:
        records: what happened in each session, in the order of their opening.
    """

    def __init__(self, server: LocalConnector) -> None:
        self.records: list[SessionRecord] = []
        self._server = server

    @overload
    def __call__(
        self,
        agent: RealtimeAgent[None],
        *,
        config: SessionConfig | None = None,
        history: Sequence[HistoryItem] | None = None,
        **server_settings: Unpack[ServerConfigDict],
    ) -> AbstractAsyncContextManager[RealtimeSession[None]]: ...

    @overload
    def __call__(
        self,
        agent: RealtimeAgent[ContextT],
        *,
        config: SessionConfig | None = None,
        context: ContextT,
        history: Sequence[HistoryItem] | None = None,
        **server_settings: Unpack[ServerConfigDict],
    ) -> AbstractAsyncContextManager[RealtimeSession[ContextT]]: ...

    def __call__(
        self,
        agent: RealtimeAgent[Any],
        *,
        config: SessionConfig | None = None,
        context: Any = None,
        history: Sequence[HistoryItem] | None = None,
        **server_settings: Unpack[ServerConfigDict],
    ) -> AbstractAsyncContextManager[RealtimeSession[Any]]:
        """Open a session for the duration of an ``async with`` block.

        Args:
            agent: the agent.
            config, context, history: as in :func:`~trio_realtime.open_realtime_session`.
            server_settings: fields of :class:`~trio_realtime.local.ServerConfig`, such as ``responder``.
                With any of them, the session has a server of its own.
        """
        server = local_connector(**server_settings) if server_settings else self._server
        return self._open(server, agent, config, context, history)

    @asynccontextmanager
    async def _open(
        self,
        server: LocalConnector,
        agent: RealtimeAgent[Any],
        config: SessionConfig | None,
        context: Any,
        history: Sequence[HistoryItem] | None,
    ) -> AsyncGenerator[RealtimeSession[Any]]:
        async with (
            open_realtime_session(
                agent,
                endpoint=server.endpoint,
                transport=server,
                config=config,
                context=context,
                history=history,
            ) as session,
            record_session(session) as record,
        ):
            self.records.append(record)
            yield session

    def report(self) -> str:
        """Return the conversations of all sessions as text."""
        return "\n\n".join(str(record.log) for record in self.records)
