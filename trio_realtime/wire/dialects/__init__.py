"""Dialects: the spellings of the protocol that services speak.

A dialect translates between the frames of a service and the GA events that the rest of the library
uses. Nothing outside this package knows the names of another dialect.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["DialectName"]

DialectName: TypeAlias = Literal["ga", "beta", "voice_live"]
"""``ga`` (OpenAI, Azure ``/openai/v1``), ``beta`` (Azure preview versions) or ``voice_live`` (Azure
Voice Live)."""
