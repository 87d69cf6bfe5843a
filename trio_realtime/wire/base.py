"""Base classes of all wire objects, and the marker for absent keys."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, TypeAlias, cast

import attrs

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object as the JSON parser returns it."""


def as_object(value: Any) -> JsonObject | None:
    """Return a JSON value if it is an object, else ``None``."""
    return cast("JsonObject", value) if isinstance(value, dict) else None


def as_array(value: Any) -> list[Any] | None:
    """Return a JSON value if it is an array, else ``None``."""
    if not isinstance(value, list):
        return None
    return cast("list[Any]", value)  # type: ignore[redundant-cast]


class Unset(enum.Enum):
    """The type of :data:`UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""Marks an absent key: it is omitted when sending, and it was missing when received.

``None`` differs from it: ``None`` is sent as ``null``, which clears a setting.
"""


class InvalidValue(Exception):
    """A JSON value has the wrong type for its field, so the field gets its default."""


LOCAL_FIELD: Final = {"on_the_wire": False}
"""Metadata of a field that exists only in the library and is not part of the JSON."""


@attrs.frozen(kw_only=True)
class WireObject:
    """Base class of all wire objects. Decoding is lenient and encoding is strict."""


@attrs.frozen(kw_only=True)
class ClientEvent(WireObject):
    """Base class of client events.

    If the server rejects the event, its error contains the ``event_id`` as ``error.event_id``.
    ``extra`` has keys that the library does not know; they are merged into the event that is sent.
    """

    type: ClassVar[str]
    event_id: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.max_len(512))
    )
    extra: Mapping[str, Any] | Unset = attrs.field(default=UNSET, repr=False, metadata=LOCAL_FIELD)


@attrs.frozen(kw_only=True)
class ServerEvent(WireObject):
    """Base class of server events. ``event_id`` is empty if the server sent none.

    ``frame`` is the text that the event was decoded from, with every key that the server sent, or
    ``None`` for an event that was created in another way.
    """

    type: ClassVar[str]
    event_id: str = ""
    frame: str | bytes | None = attrs.field(
        default=None, repr=False, eq=False, metadata=LOCAL_FIELD
    )


@attrs.frozen(kw_only=True)
class UnknownEvent(ServerEvent):
    """An event of an unknown type, or an event that lacks required data.

    Attributes:
        raw: The complete JSON object.
        problem: What is wrong with the event. ``None`` if only its type is unknown.
    """

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]
    problem: str | None = None

    @property
    def wire_type(self) -> str:
        """The ``type`` that the server sent, or an empty string."""
        value = self.raw.get("type")
        return value if isinstance(value, str) else ""
