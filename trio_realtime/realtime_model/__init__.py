"""Realtime models: the services that sessions connect to.

:class:`RealtimeModel` is the interface, and :class:`WebSocketModel` its default implementation. A model
of your own adapts a service with another protocol: it connects, sends client events and returns server
events, without a WebSocket if it needs none.
"""

from __future__ import annotations

from .base import (
    ConnectionOptions as ConnectionOptions,
    ModelConnection as ModelConnection,
    RealtimeModel as RealtimeModel,
)
from .websocket import (
    WebSocketConnection as WebSocketConnection,
    WebSocketModel as WebSocketModel,
)
