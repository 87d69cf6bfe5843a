"""The clients of one session: one owner, and any number of observers."""

from __future__ import annotations

from typing import final

import attrs

from .tokens import Role

__all__ = ["Attachments", "Client"]


@attrs.frozen(kw_only=True)
class Client:
    """A client that is attached to a session.

    Attributes:
        id: distinguishes the clients of a session.
        role: what the client may do.
    """

    id: str
    role: Role


@final
class Attachments:
    """Who is attached to a session, and how long the session may go on without its owner.

    Times are seconds of the caller's clock.

    Args:
        now: the time.
        attach_timeout: seconds that the owner has to attach for the first time.
        grace: seconds that the session goes on after the owner was detached.
    """

    def __init__(self, now: float, *, attach_timeout: float, grace: float) -> None:
        self._grace = grace
        self._deadline: float | None = now + attach_timeout
        self._clients: dict[str, Client] = {}
        self._owner: Client | None = None
        self._count = 0

    @property
    def owner(self) -> Client | None:
        """The owner; ``None`` while it is away."""
        return self._owner

    @property
    def observers(self) -> int:
        """How many observers are attached."""
        return len(self._clients) - (self._owner is not None)

    @property
    def deadline(self) -> float | None:
        """When the session ends without an owner; ``None`` while one is attached."""
        return self._deadline

    def attach(self, role: Role) -> tuple[Client, Client | None]:
        """Add a client.

        Returns:
            The client, and the owner that it replaces, if there is one. A client that lost its network comes
            back before the server notices the loss.
        """
        self._count += 1
        client = Client(id=f"client_{self._count}", role=role)
        replaced = None
        if role == "owner":
            replaced = self._owner
            if replaced is not None:
                del self._clients[replaced.id]
            self._owner = client
            self._deadline = None
        self._clients[client.id] = client
        return client, replaced

    def detach(self, client: Client, now: float) -> bool:
        """Remove a client. Returns whether it was attached; ``False`` for an owner that was replaced."""
        if self._clients.pop(client.id, None) is None:
            return False
        if client is self._owner:
            self._owner = None
            self._deadline = now + self._grace
        return True
