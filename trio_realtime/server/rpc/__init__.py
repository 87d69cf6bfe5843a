"""The events of a session as versioned JSON, for clients and for the store."""

from __future__ import annotations

from .encoder import RpcEncoder as RpcEncoder
from .event import (
    PROTOCOL_VERSION as PROTOCOL_VERSION,
    RpcEvent as RpcEvent,
    RpcEventError as RpcEventError,
)

__all__ = ["PROTOCOL_VERSION", "RpcEncoder", "RpcEvent", "RpcEventError"]
