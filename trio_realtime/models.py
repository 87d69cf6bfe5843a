"""Names of models: which version they stand for, and when OpenAI shuts them down.

The dates are those of https://developers.openai.com/api/docs/deprecations as of November 2026. They
are about OpenAI's own service: Azure and other services have dates of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import TypeAlias

import attrs

__all__ = [
    "END_DATES",
    "PROMPTS_END",
    "EndDate",
    "ModelEndDateWarning",
    "ModelVersion",
    "end_date_of",
    "end_date_warning",
    "version_of",
    "without_snapshot",
]

# --- versions ----------------------------------------------------------------------------------

ModelVersion: TypeAlias = tuple[int, int]
"""The major and the minor version of a realtime model. Versions are ordered."""

_SNAPSHOT = re.compile(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
# The first generation has no number. Its only variant is "mini": "gpt-realtime-whisper" and
# "gpt-realtime-translate" are no models of conversations.
_REALTIME = re.compile(
    r"gpt-realtime(?:-mini|-(?P<major>[0-9]{1,2})(?:\.(?P<minor>[0-9]{1,2}))?(?:-[a-z]+)*)?"
)
_PREVIEW = re.compile(r"gpt-4o(?:-mini)?-realtime-preview")


def version_of(model: str) -> ModelVersion | None:
    """Return the version of a realtime model; ``None`` if the name does not say it.

    The previews of 2024, ``gpt-4o-realtime-preview`` and its variants, have the version ``(0, 0)``.
    ``gpt-realtime`` and ``gpt-realtime-mini`` have the version ``(1, 0)``.

    Decide by comparison, so that a later generation counts as a later one::

        version = version_of(model)
        is_reasoning = version is not None and version >= (2, 0)
    """
    name = without_snapshot(model)
    if _PREVIEW.fullmatch(name):
        return (0, 0)
    match = _REALTIME.fullmatch(name)
    return None if match is None else (int(match["major"] or 1), int(match["minor"] or 0))


def without_snapshot(model: str) -> str:
    """Return the name without the date of a snapshot, such as ``-2025-08-28``."""
    return _SNAPSHOT.sub("", model)


# --- end dates ---------------------------------------------------------------------------------


class ModelEndDateWarning(UserWarning):
    """Warns that OpenAI has shut down a model or will do so soon, and names the replacement."""


@attrs.frozen
class EndDate:
    """When OpenAI shuts down a model.

    Args:
        day: the first day without the model.
        replacements: the models that OpenAI recommends instead, the first one first.
    """

    day: date
    replacements: tuple[str, ...] = ()


_REALTIME_END = EndDate(date(2027, 1, 20), ("gpt-realtime-2.1",))
_REALTIME_MINI_END = EndDate(date(2027, 1, 20), ("gpt-realtime-2.1-mini",))
_TRANSCRIPTION_END = EndDate(date(2027, 2, 26), ("gpt-live-transcribe", "gpt-transcribe"))

END_DATES: Mapping[str, EndDate] = MappingProxyType(
    {
        "gpt-realtime": _REALTIME_END,
        "gpt-realtime-mini": _REALTIME_MINI_END,
        "whisper-1": _TRANSCRIPTION_END,
        "gpt-4o-transcribe": _TRANSCRIPTION_END,
        "gpt-4o-mini-transcribe": _TRANSCRIPTION_END,
        "gpt-4o-transcribe-diarize": _TRANSCRIPTION_END,
    }
)
"""The models with an end date. A snapshot that is not listed has the date of its model.

:meta hide-value:
"""

PROMPTS_END = EndDate(date(2026, 11, 30))
"""When the stored prompts of ``v1/prompts`` end, to which ``SessionConfig(prompt=...)`` refers."""

_NOTICE_DAYS = 30


def end_date_of(model: str) -> EndDate | None:
    """Return when OpenAI shuts down a model; ``None`` if no date is known."""
    return END_DATES.get(model) or END_DATES.get(without_snapshot(model))


def end_date_warning(subject: str, end: EndDate | None, today: date) -> str | None:
    """Return the warning about an end date that has passed or is at most 30 days away.

    Args:
        subject: what ends, as the beginning of the sentence, for example ``the model gpt-realtime``.
        end: its end date; ``None`` if it has none.
        today: the date to compare with.
    """
    if end is None or (end.day - today).days > _NOTICE_DAYS:
        return None
    ends = "has been shut down since" if end.day <= today else "will be shut down on"
    advice = f": use {' or '.join(end.replacements)}" if end.replacements else ""
    return f"{subject} {ends} {end.day}, according to OpenAI's deprecations page{advice}"
