"""The server's end of a WebSocket, which the local server uses."""

from __future__ import annotations

from ._direct_websocket import ServerConnection as ServerConnection

__all__ = ["ServerConnection"]
