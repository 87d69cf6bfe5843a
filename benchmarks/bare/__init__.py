"""Loops over a WebSocket library that decode JSON and base64, and do nothing else: the lower bounds.

There is a module for each library. :mod:`.wire` is what they share.
"""

from __future__ import annotations
