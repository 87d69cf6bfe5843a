"""Metadata of ``Annotated`` that is not msgspec's own: descriptions and constraints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

CONSTRAINTS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def is_own(metadata: Any) -> bool:
    """Return whether pydantic ignores metadata that msgspec or the schema needs."""
    return isinstance(metadata, str | msgspec.Meta)


def as_meta(metadata: Any) -> msgspec.Meta | None:
    """Return msgspec's own metadata as it is, and the description that other metadata has."""
    if isinstance(metadata, msgspec.Meta):
        return metadata
    text = metadata if isinstance(metadata, str) else getattr(metadata, "description", None)
    return msgspec.Meta(description=text) if isinstance(text, str) else None


def constraints_of(metadata: Sequence[Any]) -> dict[str, Any]:
    """Collect the constraints in metadata that is not msgspec's own."""
    found: dict[str, Any] = {}
    for item in metadata:
        for part in () if is_own(item) else parts_of(item):
            for name in CONSTRAINTS:
                value = getattr(part, name, None)
                if value is not None:
                    found[name] = getattr(value, "pattern", value)  # a pattern may be compiled
    return found


def parts_of(metadata: Any) -> tuple[Any, ...]:
    """Return metadata and the parts that it collects, as ``pydantic.Field`` does."""
    return (metadata, *getattr(metadata, "metadata", ()))


def needs_pydantic(metadata: Any) -> bool:
    """Return whether metadata says more than :func:`constraints_of` understands."""
    if getattr(metadata, "discriminator", None) is not None:
        return True
    return any(map(_is_foreign, parts_of(metadata)))


def _is_foreign(part: Any) -> bool:
    if hasattr(part, "__get_pydantic_core_schema__"):
        return True
    if type(part).__module__.partition(".")[0] not in ("pydantic", "annotated_types"):
        return False
    if hasattr(part, "is_required"):  # a field, of which the other parts count
        return False
    attributes: Any = getattr(part, "__dict__", None)
    names: Iterable[str] = attributes or getattr(part, "__dataclass_fields__", ())
    values = {name: getattr(part, name, None) for name in names}
    return any(
        value is not None and (name not in CONSTRAINTS or not _is_plain(value))
        for name, value in values.items()
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) or hasattr(value, "pattern")
