"""Rows of tables from JSON that a service may have written, and rows that no event describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import attrs

from trio_realtime.errors import UsageError
from trio_realtime.prices import PriceTable
from trio_realtime.usage import Usage

from .rows import Row, as_float, as_int, as_text

__all__ = [
    "artifact_row",
    "audio_chunk_row",
    "error_text",
    "id_of",
    "mapping_of",
    "price_of",
    "sequence_of",
    "upsert",
    "usage_row",
    "usage_values",
]

_MAX_ID: Final = 500
#: Columns that are attributes of :class:`.Usage`.
_COUNTS: Final = frozenset(each.name for each in attrs.fields(Usage))


def id_of(data: Mapping[str, Any], key: str) -> str | None:
    """Return an id; ``None`` if it is missing, empty, or longer than 500 characters."""
    value = as_text(data.get(key))
    return value if value and len(value) <= _MAX_ID else None


def mapping_of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object; an empty one if it is missing or something else."""
    value = data.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def sequence_of(data: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects of an array; none if it is missing or something else."""
    value = data.get(key)
    if not isinstance(value, list | tuple):
        return ()
    values = cast("Sequence[Any]", value)
    return [cast("Mapping[str, Any]", each) for each in values if isinstance(each, Mapping)]


def error_text(error: Mapping[str, Any]) -> str | None:
    """Return ``Type: message`` of an exception in an event; ``None`` for an empty object."""
    parts = [as_text(error.get("type")), as_text(error.get("message"))]
    return ": ".join(part for part in parts if part) or None


def upsert(
    table: str,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    initial: Mapping[str, Any] | None = None,
) -> Row:
    """Return a row that changes only the values that are not ``None``."""
    known = {name: value for name, value in values.items() if value is not None}
    first = {name: value for name, value in (initial or {}).items() if value is not None}
    return Row(table=table, values={**key, **known}, initial=first)


def usage_values(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a response's or a transcription's usage, as the service reports it."""
    inputs, outputs = (
        mapping_of(usage, "input_token_details"),
        mapping_of(usage, "output_token_details"),
    )
    cached = mapping_of(inputs, "cached_tokens_details")
    seconds = as_float(usage.get("seconds"))
    if usage.get("type") == "duration" or (seconds and not usage.get("total_tokens")):
        return {"unit": "seconds", "seconds": seconds}
    total = as_int(usage.get("total_tokens"))
    counts = (as_int(usage.get("input_tokens")), as_int(usage.get("output_tokens")))
    return {
        "unit": "tokens",
        "total_tokens": total or sum(count or 0 for count in counts),
        "input_tokens": counts[0],
        "output_tokens": counts[1],
        "input_text_tokens": as_int(inputs.get("text_tokens")),
        "input_audio_tokens": as_int(inputs.get("audio_tokens")),
        "input_image_tokens": as_int(inputs.get("image_tokens")),
        "cached_tokens": as_int(inputs.get("cached_tokens")),
        "cached_text_tokens": as_int(cached.get("text_tokens")),
        "cached_audio_tokens": as_int(cached.get("audio_tokens")),
        "cached_image_tokens": as_int(cached.get("image_tokens")),
        "output_text_tokens": as_int(outputs.get("text_tokens")),
        "output_audio_tokens": as_int(outputs.get("audio_tokens")),
        "reasoning_tokens": as_int(outputs.get("reasoning_tokens")),
    }


def price_of(values: Mapping[str, Any], kind: str, prices: PriceTable) -> float | None:
    """Return what the usage of a row costs; ``None`` if the table has no price for it.

    Args:
        values: the columns of :func:`usage_values`.
        kind: what is billed: ``response`` or ``transcription``.
        prices: the prices.
    """
    counts = {name: value for name, value in values.items() if value and name in _COUNTS}
    if kind == "transcription":
        usage = Usage(
            transcription_seconds=values.get("seconds") or 0.0,
            transcription_input_tokens=counts.get("input_tokens", 0),
            transcription_output_tokens=counts.get("output_tokens", 0),
        )
    else:
        usage = Usage(**counts)
    try:
        return float(prices.cost(usage))
    except UsageError:
        return None


def usage_row(
    session_id: str,
    run_id: str,
    n: int,
    *,
    kind: str,
    unit: Literal["tokens", "seconds"],
    response_id: str | None = None,
    item_id: str | None = None,
    **columns: float | None,
) -> Row:
    """Return the row of something that is billed, such as a whole session by its seconds.

    Args:
        session_id, run_id: the session and the run.
        n: the number of the row in the run. The rows of events have the ``seq`` of the event.
        kind: what is billed: ``response``, ``transcription`` or ``session``.
        unit: how it is billed.
        response_id, item_id: what it belongs to, if anything.
        columns: the other columns of ``usage``: tokens, ``seconds``, and ``price`` in the currency of the
            program.
    """
    values = {"response_id": response_id, "item_id": item_id, "kind": kind, "unit": unit, **columns}
    return upsert("usage", {"session_id": session_id, "run_id": run_id, "n": n}, values)


def audio_chunk_row(
    session_id: str,
    run_id: str,
    track: str,
    n: int,
    *,
    file: str,
    offset: int,
    size: int,
    audio_format: str,
    position_ms: float,
    duration_ms: float,
    delta_ms: float | None = None,
    item_id: str | None = None,
    content_index: int | None = None,
) -> Row:
    """Return the row of a chunk of recorded audio.

    Args:
        session_id, run_id: the session and the run.
        track: the track, such as ``user`` or ``agent``.
        n: the number of the chunk in its track.
        file: the file that has the audio.
        offset, size: where the audio is in the file, in bytes.
        audio_format: the format, such as ``audio/pcm;rate=24000``.
        position_ms: milliseconds from the beginning of the recording.
        duration_ms: milliseconds of audio.
        delta_ms: milliseconds from the end of the previous chunk of the track.
        item_id, content_index: the item and the part that the audio belongs to, if it is known.
    """
    key = {"session_id": session_id, "run_id": run_id, "track": track, "n": n}
    values = {
        "item_id": item_id,
        "content_index": content_index,
        "file": file,
        "offset": offset,
        "bytes": size,
        "format": audio_format,
        "position_ms": position_ms,
        "duration_ms": duration_ms,
        "delta_ms": delta_ms,
    }
    return upsert("audio_chunks", key, values)


def artifact_row(
    session_id: str,
    artifact_id: str,
    *,
    kind: str,
    url: str,
    created_at: float,
    run_id: str | None = None,
    size: int | None = None,
    sha256: str | None = None,
    content_type: str | None = None,
    duration_ms: int | None = None,
    state: str = "complete",
) -> Row:
    """Return the row of an artifact; see :meth:`.HistoryStore.add_artifact`.

    Args:
        session_id, run_id: the session and the run.
        artifact_id: the id. An artifact with the same id is changed.
        kind: what it is, such as ``recording``.
        url: where it is.
        created_at: seconds since the Unix epoch. A change does not change it.
        size: bytes of the file.
        sha256: the hash of the file as hexadecimal digits.
        content_type: the media type.
        duration_ms: milliseconds of audio.
        state: for example ``complete`` or ``failed``.
    """
    values = {
        "session_id": session_id,
        "run_id": run_id,
        "kind": kind,
        "url": url,
        "bytes": size,
        "sha256": sha256,
        "content_type": content_type,
        "duration_ms": duration_ms,
        "state": state,
    }
    return upsert("artifacts", {"id": artifact_id}, values, {"created_at": created_at})
