"""One session of the gateway, and the clients that are attached to it."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, final

import trio

from trio_realtime.errors import RealtimeError, UsageError
from trio_realtime.server.managed import ManagedSession, StopReason
from trio_realtime.server.rpc.run_events import ClientAttached, ClientDetached

from .attachments import Attachments, Client
from .tokens import Role

__all__ = ["HostedSession", "stop_safely"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")


@final
class HostedSession:
    """A session that clients attach to. It ends when its owner is away for too long.

    Args:
        session: the session, which was started.
        nursery: connects the session.
        attach_timeout: seconds that the owner has to attach for the first time.
        grace: seconds that the session goes on after the owner was detached.

    Attributes:
        session: the session.
        grace: as given.
    """

    def __init__(
        self,
        session: ManagedSession,
        nursery: trio.Nursery,
        *,
        attach_timeout: float,
        grace: float,
    ) -> None:
        self.session: ManagedSession = session
        self.grace: float = grace
        self._nursery = nursery
        self._attachments = Attachments(
            trio.current_time(), attach_timeout=attach_timeout, grace=grace
        )
        self._absence = trio.CancelScope()
        self._scopes: dict[str, trio.CancelScope] = {}
        self._lasting_owner: Client | None = None
        self._update_deadline()

    @property
    def attachments(self) -> Attachments:
        """Who is attached."""
        return self._attachments

    @property
    def has_lasting_owner(self) -> bool:
        """Whether the session has an owner that cannot come back, see :meth:`owned`. Nobody should replace it."""
        return self._lasting_owner is not None and self._attachments.owner is self._lasting_owner

    async def watch(self) -> None:
        """Wait for the end of the session, and end it if its owner is away for too long."""
        with self._absence:
            await self.session.wait_ended()
            return
        await stop_safely(self.session, "client_lost")

    def attach(self, role: Role, scope: trio.CancelScope) -> Client:
        """Attach a client. The first owner connects the session.

        Args:
            role: what the client may do.
            scope: what to cancel when another owner replaces the client.
        """
        client, replaced = self._attachments.attach(role)
        self._scopes[client.id] = scope
        if replaced is not None:
            self._scopes.pop(replaced.id).cancel(reason="another client became the owner")
            self._emit(ClientDetached(client_id=replaced.id, role=replaced.role, reason="replaced"))
        self._update_deadline()
        self._emit(ClientAttached(client_id=client.id, role=role))
        if role == "owner" and self.session.state == "started":
            self._nursery.start_soon(self._connect)
        return client

    def detach(self, client: Client, reason: str) -> None:
        """Detach a client, unless it was replaced."""
        self._scopes.pop(client.id, None)
        if self._attachments.detach(client, trio.current_time()):
            self._update_deadline()
            self._emit(ClientDetached(client_id=client.id, role=client.role, reason=reason))

    @asynccontextmanager
    async def owned(self, scope: trio.CancelScope) -> AsyncGenerator[ManagedSession]:
        """Own the session for the duration of a block, which begins once it is connected.

        For clients that cannot come back: leaving the block ends the session.

        Args:
            scope: what to cancel when another owner replaces this one.

        Raises:
            RealtimeError: the session could not be connected.
        """
        client = self.attach("owner", scope)
        self._lasting_owner = client
        try:
            end = await self.session.wait_connected()
            if end is not None:
                raise end.error if isinstance(end.error, RealtimeError) else UsageError(end.reason)
            yield self.session
        finally:
            self.detach(client, "closed")
            with trio.CancelScope(shield=True):
                await self.session.stop("client_ended")

    def _emit(self, event: ClientAttached | ClientDetached) -> None:
        if self.session.end is None:  # nothing follows the end of the run
            self.session.emit(event)

    async def _connect(self) -> None:
        if self.session.state != "started":  # another owner was faster, or the run was stopped
            return
        try:
            await self.session.connect()
        except RealtimeError as exc:
            _log.warning("session %s: not connected: %s", self.session.session_id, exc)
        except Exception:  # noqa: BLE001 - one session fails, and the gateway goes on
            _log.exception("session %s: not connected", self.session.session_id)

    def _update_deadline(self) -> None:
        deadline = self._attachments.deadline
        self._absence.deadline = math.inf if deadline is None else deadline


async def stop_safely(
    session: ManagedSession, reason: StopReason, drain_timeout: float | None = None
) -> None:
    """End a session. A bug in this leaves the other sessions alone."""
    try:
        await session.stop(reason, drain_timeout=drain_timeout)
    except Exception:  # noqa: BLE001 - the other sessions go on
        _log.exception("session %s: not stopped", session.session_id)
