"""Which sessions may begin: limits of the server and of each tenant."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, final

import attrs

from trio_realtime.errors import ConfigurationError

__all__ = ["Admission", "NotAdmitted", "RefusalCode", "TenantLimits"]

_MINUTE: Final = 60.0

RefusalCode: TypeAlias = Literal["server_full", "tenant_full", "rate_limited", "draining"]
"""Why a session may not begin.

- ``server_full``: the server has as many sessions as it may have.
- ``tenant_full``: the tenant has as many sessions as it may have.
- ``rate_limited``: the tenant has begun too many sessions in the last minute.
- ``draining``: the server shuts down.
"""


class NotAdmitted(Exception):
    """A session may not begin now.

    Attributes:
        code: why.
        retry_after: seconds after which trying again may help.
    """

    def __init__(self, code: RefusalCode, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.code: RefusalCode = code
        self.retry_after: float = retry_after


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_limit(_limits: object, attribute: attrs.Attribute[int | None], value: object) -> None:
    if value is not None and not _is_limit(value):
        raise ConfigurationError(f"{attribute.name} must be an int > 0, got {value!r}")


@attrs.frozen(kw_only=True)
class TenantLimits:
    """Limits of one tenant; ``None`` for no limit.

    Args:
        max_sessions: sessions at the same time.
        max_sessions_per_minute: sessions that may begin within 60 seconds.

    Raises:
        ConfigurationError: a limit is not a positive int.
    """

    max_sessions: int | None = attrs.field(default=None, validator=_check_limit)
    max_sessions_per_minute: int | None = attrs.field(default=None, validator=_check_limit)


@final
class Admission:
    """Counts sessions, and refuses those above a limit. Times are seconds of the caller's clock.

    Args:
        max_sessions: sessions at the same time, of all tenants together.
        tenants: the limits of each tenant.
        default: the limits of all other tenants.

    Raises:
        ConfigurationError: a limit is not a positive int.
    """

    def __init__(
        self,
        *,
        max_sessions: int = 200,
        tenants: Mapping[str, TenantLimits] | None = None,
        default: TenantLimits | None = None,
    ) -> None:
        if not _is_limit(max_sessions):
            raise ConfigurationError(f"max_sessions must be an int > 0, got {max_sessions!r}")
        self.max_sessions: int = max_sessions
        self._tenants = tenants or {}
        self._default = default or TenantLimits()
        self._running: Counter[str] = Counter()
        self._begun: dict[str, deque[float]] = {}
        self._forgotten_at = -math.inf
        self._is_draining = False

    @property
    def running(self) -> int:
        """The number of admitted sessions that have not been released."""
        return self._running.total()

    @property
    def is_draining(self) -> bool:
        """Whether no session is admitted any more."""
        return self._is_draining

    def running_of(self, tenant: str) -> int:
        """Return how many sessions of a tenant run."""
        return self._running[tenant]

    def admit(self, tenant: str, now: float) -> None:
        """Count a session that begins. Call :meth:`release` when it has ended.

        Raises:
            NotAdmitted: a limit is reached, or the server shuts down.
        """
        limits = self._tenants.get(tenant, self._default)
        if self._is_draining:
            raise NotAdmitted("draining", "the server is shutting down", 5)
        if self.running >= self.max_sessions:
            raise NotAdmitted("server_full", "the server has no free session", 5)
        if limits.max_sessions is not None and self._running[tenant] >= limits.max_sessions:
            raise NotAdmitted(
                "tenant_full", f"at most {limits.max_sessions} sessions may run at once", 5
            )
        self._check_rate(tenant, limits.max_sessions_per_minute, now)
        self._running[tenant] += 1

    def release(self, tenant: str) -> None:
        """Count a session that has ended."""
        if self._running[tenant] > 1:
            self._running[tenant] -= 1
        else:
            del self._running[tenant]

    def drain(self) -> None:
        """Admit no session any more."""
        self._is_draining = True

    def _check_rate(self, tenant: str, limit: int | None, now: float) -> None:
        if limit is None:
            return
        if now >= self._forgotten_at + _MINUTE:  # there may be any number of tenants
            self._begun = {
                name: times for name, times in self._begun.items() if times[-1] > now - _MINUTE
            }
            self._forgotten_at = now
        begun = self._begun.setdefault(tenant, deque())
        while begun and begun[0] <= now - _MINUTE:
            begun.popleft()
        if len(begun) >= limit:
            raise NotAdmitted(
                "rate_limited",
                f"at most {limit} sessions may begin in a minute",
                begun[0] + _MINUTE - now,
            )
        begun.append(now)
