"""Sessions on a server: agent specs, managed sessions, stores and a gateway.

Needs the extra ``server``: ``pip install 'trio-realtime[server]'``.
"""

from __future__ import annotations
