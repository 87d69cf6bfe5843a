"""Tokens that admit a client to one session, once, for a short time."""

from __future__ import annotations

import hashlib
import heapq
import secrets
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, final

import attrs

__all__ = ["Grant", "Role", "TokenIssuer", "TokenRefused"]

Role: TypeAlias = Literal["owner", "observer"]
"""What a client may do: the owner sends and plays audio, an observer only listens."""

_TOKEN_BYTES: Final = 32


class TokenRefused(Exception):
    """A token does not admit the client.

    Attributes:
        reason: ``unknown``, ``expired``, ``used`` or ``other_session``, for the log. The message does not
            name it, so that clients cannot find out which tokens exist.
    """

    def __init__(self, reason: Literal["unknown", "expired", "used", "other_session"]) -> None:
        super().__init__("the token is not valid")
        self.reason: str = reason


@attrs.frozen(kw_only=True)
class Grant:
    """What a token allows.

    Attributes:
        session_id: the session.
        tenant: whose session it is.
        role: what the client may do.
    """

    session_id: str
    tenant: str
    role: Role


@attrs.define
class _Issued:
    """A token that was issued."""

    grant: Grant
    expires_at: float
    is_used: bool = False


@final
class TokenIssuer:
    """Issues tokens, and redeems each of them once. Only their hashes are in memory.

    Times are seconds of the caller's clock.

    Args:
        ttl: seconds that a token is valid.
        new_token: makes the tokens.
    """

    def __init__(
        self,
        *,
        ttl: float = 60.0,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(_TOKEN_BYTES),
    ) -> None:
        self.ttl: float = ttl
        self._new_token = new_token
        self._issued: dict[bytes, _Issued] = {}
        self._expiries: list[tuple[float, bytes]] = []  # a heap

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, grant: Grant, now: float, *, ttl: float | None = None) -> str:
        """Return a new token.

        Args:
            grant: what it allows.
            now: the time.
            ttl: seconds that it is valid, instead of the usual time.
        """
        self._forget_expired(now)
        token = self._new_token()
        digest = _digest(token)
        expires_at = now + (self.ttl if ttl is None else ttl)
        self._issued[digest] = _Issued(grant, expires_at)
        heapq.heappush(self._expiries, (expires_at, digest))
        return token

    def redeem(self, token: str, session_id: str, now: float) -> Grant:
        """Use a token up, and return what it allows.

        A token for another session is not used up.

        Raises:
            TokenRefused: the token is unknown, has expired, was used, or is for another session.
        """
        issued = self._issued.get(_digest(token))
        if issued is None:
            raise TokenRefused("unknown")
        if issued.expires_at <= now:
            raise TokenRefused("expired")
        if issued.is_used:
            raise TokenRefused("used")
        if issued.grant.session_id != session_id:
            raise TokenRefused("other_session")
        issued.is_used = True
        return issued.grant

    def revoke(self, session_id: str) -> None:
        """Forget all tokens of a session."""
        self._issued = {
            digest: issued
            for digest, issued in self._issued.items()
            if issued.grant.session_id != session_id
        }
        self._expiries = [entry for entry in self._expiries if entry[1] in self._issued]
        heapq.heapify(self._expiries)

    def _forget_expired(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            self._issued.pop(heapq.heappop(self._expiries)[1], None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
