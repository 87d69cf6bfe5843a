"""Rows on their way to the database, and what a database can store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs
from sqlalchemy import JSON, BigInteger, Boolean, Double, String, Text

from trio_realtime.server.rpc.json_size import json_size

from .tables import CONTENT_COLUMNS, METADATA

__all__ = [
    "Row",
    "RowMode",
    "as_float",
    "as_int",
    "as_text",
    "clean_json",
    "merge_rows",
    "storable",
    "without_content",
]

RowMode: TypeAlias = Literal["insert", "upsert"]

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(column.name for column in table.primary_key)
    for name, table in METADATA.tables.items()
}
"""The columns of the primary key of each table."""

_INT64: Final = 2**63
_FIXED_BYTES: Final = 200  # about what the objects of an empty row need
# PostgreSQL stores no NUL, and UTF-8 has no surrogates.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_MAX_DEPTH: Final = 64
_MAX_STRING: Final = 500  # an index of PostgreSQL takes 2700 bytes
_MAX_BITS: Final = 4096  # Python writes no integer of more than 4300 digits


@attrs.frozen(kw_only=True)
class Row:
    """One row to insert, or to insert or update.

    Attributes:
        table: the name of the table.
        values: the values of columns, with the whole primary key. An update changes only these.
        initial: values for columns that have none yet. An update does not change the others.
        mode: ``insert`` for tables to which rows are only added: a second row with the same key and other
            values is refused. ``upsert`` inserts, or updates the row with the same key.
    """

    table: str
    values: Mapping[str, Any]
    initial: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    mode: RowMode = "upsert"

    @property
    def key(self) -> tuple[Any, ...]:
        """The table and the primary key."""
        return (self.table, *(self.values.get(name) for name in KEYS.get(self.table, ())))

    @property
    def size(self) -> int:
        """About how many bytes of memory the row takes."""
        return _FIXED_BYTES + json_size(self.values) + json_size(self.initial)


def _merge(first: Row, second: Row) -> Row:
    """Return one row with the same effect as two upserts of the same key, one after the other."""
    values = {**first.values, **second.values}
    initial = dict(first.initial)
    for name, value in second.initial.items():
        if name in second.values:
            continue
        if name in values:
            # An empty value counts as none.
            values[name] = value if values[name] is None else values[name]
        elif initial.get(name) is None:
            initial[name] = value
    initial = {name: value for name, value in initial.items() if name not in values}
    return Row(table=first.table, values=values, initial=initial, mode=first.mode)


def merge_rows(rows: Iterable[Row]) -> list[Row]:
    """Return rows with the same effect, in which no two upserts have the same key.

    A merged row has the place of the first one. Inserts are not merged.
    """
    merged: dict[object, Row] = {}
    for index, row in enumerate(rows):
        key: object = row.key if row.mode == "upsert" else index
        earlier = merged.get(key)
        merged[key] = row if earlier is None else _merge(earlier, row)
    return list(merged.values())


def without_content(row: Row) -> Row:
    """Return the row without the columns of :data:`~.tables.CONTENT_COLUMNS`."""
    content = CONTENT_COLUMNS.get(row.table, frozenset[str]())
    if content.isdisjoint(row.values) and content.isdisjoint(row.initial):
        return row
    return attrs.evolve(
        row,
        values={name: value for name, value in row.values.items() if name not in content},
        initial={name: value for name, value in row.initial.items() if name not in content},
    )


# --- values ------------------------------------------------------------------------------------


def as_int(value: object) -> int | None:
    """Return a number as an integer of 64 bits; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    number = int(value)
    return number if -_INT64 <= number < _INT64 else None


def as_float(value: object) -> float | None:
    """Return a finite number; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_text(value: object) -> str | None:
    """Return a string that every database can store; ``None`` for anything but a string."""
    if not isinstance(value, str):
        return None
    return _UNSTORABLE.sub("�", value)


def clean_json(value: Any, depth: int = 0) -> Any:
    """Return JSON that every database can store.

    A number that is not finite becomes ``None``, and so does what JSON does not have or what is nested
    in more than 64 levels.
    """
    match value:
        case None | bool():
            return value
        case str():
            return as_text(value)
        case int():
            return value if value.bit_length() < _MAX_BITS else None
        case float():
            return value if math.isfinite(value) else None
        case Mapping() if depth < _MAX_DEPTH:
            return {as_text(str(k)): clean_json(v, depth + 1) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple() if depth < _MAX_DEPTH:
            return [clean_json(v, depth + 1) for v in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return None


def storable(row: Row) -> Row:
    """Return the row with values that every database can store.

    Characters that a database does not store become U+FFFD. Strings of columns without long texts are
    cut after 500 characters.

    Raises:
        ValueError: there is no such table or column, the primary key is incomplete or too long, or a value
            has a type that the column does not take. The message does not contain the value.
    """
    if row.table not in KEYS:
        raise ValueError(f"there is no table {row.table!r}")
    for name in KEYS[row.table]:
        value = row.values.get(name)
        if value is None:
            raise ValueError(f"the key {name!r} of a row of {row.table!r} is missing")
        if isinstance(value, str) and len(value) > _MAX_STRING:
            raise ValueError(f"the key {name!r} of a row of {row.table!r} is too long")
    return attrs.evolve(
        row, values=_storable(row.table, row.values), initial=_storable(row.table, row.initial)
    )


def _storable(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    columns = METADATA.tables[table].columns
    result: dict[str, Any] = {}
    for name, value in values.items():
        if name not in columns:
            raise ValueError(f"the table {table!r} has no column {name!r}")
        converted = None if value is None else _convert(columns[name].type, value)
        if converted is None and value is not None:
            raise ValueError(
                f"the column {name!r} of {table!r} takes no such {type(value).__name__}"
            )
        result[name] = converted
    return result


def _convert(column_type: object, value: Any) -> Any:
    match column_type:
        case Text():
            return as_text(value)
        case String():
            text = as_text(value)
            return None if text is None else text[:_MAX_STRING]
        case BigInteger():
            return as_int(value)
        case Double():
            return as_float(value)
        case Boolean():
            return value if isinstance(value, bool) else None
        case JSON():
            return clean_json(value)
        case _:
            return value
