"""Which service a session connects to: settings, then the environment, then the agent spec."""

from __future__ import annotations

from .resolve import ResolvedService as ResolvedService, resolve_service as resolve_service
from .settings import (
    Origin as Origin,
    ServiceSettings as ServiceSettings,
    SettingSource as SettingSource,
)
from .spec_service import SPEC_KEYS as SPEC_KEYS

__all__ = [
    "SPEC_KEYS",
    "Origin",
    "ResolvedService",
    "ServiceSettings",
    "SettingSource",
    "resolve_service",
]
