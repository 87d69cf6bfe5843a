"""What every wire class shares: the mark for an absent key, and the base classes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, TypeAlias

import attrs

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object as the JSON library gives it."""


class Unset(enum.Enum):
    """The type of :data:`UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""Absent: the key is left out of what is sent, and was not in what was received.

``None`` is something else: it is sent as ``null``, which clears a setting.
"""


NOT_ON_THE_WIRE: Final = {"on_the_wire": False}
"""Metadata of a field that is ours: it is neither read nor written."""


@attrs.frozen(kw_only=True)
class WireObject:
    """Base of the objects inside events. Decoded liberally, encoded strictly (see ``codec``)."""


@attrs.frozen(kw_only=True)
class ClientEvent(WireObject):
    """Base of what a client sends. ``event_id`` comes back as ``error.event_id`` of a refusal."""

    type: ClassVar[str]
    event_id: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.max_len(512))
    )


@attrs.frozen(kw_only=True)
class ServerEvent(WireObject):
    """Base of what a server sends. ``event_id`` is empty where the server gave none."""

    type: ClassVar[str]
    event_id: str = ""


@attrs.frozen(kw_only=True)
class UnknownEvent(ServerEvent):
    """An event this library does not know, or one too broken to be what its type says.

    ``raw`` is the whole JSON object; ``problem`` says what was wrong, ``None`` if only the type is
    unknown.
    """

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]
    problem: str | None = None

    @property
    def wire_type(self) -> str:
        """The ``type`` as the server sent it, empty if there was none."""
        value = self.raw.get("type")
        return value if isinstance(value, str) else ""
