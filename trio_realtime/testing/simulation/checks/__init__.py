"""The checks of the invariants. Each observes the log of a session, and raises at the step that fails."""

from __future__ import annotations

from .audio import AudioCheck as AudioCheck
from .bounds import BoundsCheck as BoundsCheck
from .calls import CallCheck as CallCheck
from .creates import (
    CreateCheck as CreateCheck,
    CreateReasons as CreateReasons,
    RequestCheck as RequestCheck,
)
from .endings import DeliveryCheck as DeliveryCheck, EndCheck as EndCheck
from .guardrails import GuardrailCheck as GuardrailCheck
from .history import HistoryCheck as HistoryCheck
from .interruptions import InterruptionCheck as InterruptionCheck
from .secrets import LogRecords as LogRecords, SecretCheck as SecretCheck
