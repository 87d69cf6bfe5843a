"""Managed sessions: an agent spec, a service, stores and clients joined for one call."""

from __future__ import annotations
