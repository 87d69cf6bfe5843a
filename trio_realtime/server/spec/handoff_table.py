"""The entries of ``handoffs`` in a spec."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from trio_realtime.agents import AgentHandoff, RealtimeAgent

from .imports import IMPORT_PATTERN
from .kinds import Field, Table, Text
from .paths import SpecError, describe, is_mapping

__all__ = ["HANDOFF", "HandoffSpec"]


@attrs.frozen(kw_only=True)
class HandoffSpec:
    """A handoff that is declared in a spec.

    Args:
        agent: the name of another spec; the import path of a builder, or of an agent or a handoff; or one
            of these objects.
        name: the name of the function that the model calls; see :func:`~trio_realtime.handoff`.
        description: when to hand over, for the model.
    """

    agent: Any
    name: str | None = None
    description: str | None = None

    @property
    def spec_name(self) -> str | None:
        """The name of the spec that takes over; ``None`` if it is something else."""
        is_name = isinstance(self.agent, str) and not re.fullmatch(IMPORT_PATTERN, self.agent)
        return self.agent if is_name else None


class _Handoff:
    """The kind of an entry in ``handoffs``."""

    expected = "the name of an agent, or an import path"

    def __init__(self) -> None:
        name = Text(expected="a name of a function", pattern="[A-Za-z0-9_-]{1,64}")
        agent = Field(kind=Text(expected=self.expected, pattern=".+"), is_required=True)
        self._table = Table(
            fields={"agent": agent, "name": name, "description": Text()}, make=HandoffSpec
        )

    def accepts(self, value: Any) -> bool:
        """Return whether it is a handoff of any kind."""
        return (
            is_mapping(value)
            or callable(value)
            or isinstance(value, str | HandoffSpec | RealtimeAgent | AgentHandoff)
        )

    def read(self, value: Any, path: str) -> HandoffSpec:
        """Return the declaration.

        Raises:
            SpecError: it is none, or a key of the table is unknown.
        """
        if isinstance(value, HandoffSpec):
            return value
        if is_mapping(value):
            return self._table.read(value, path)  # type: ignore[no-any-return]
        if not self.accepts(value) or value == "":
            raise SpecError(path, f"expected {self.expected}, got {describe(value)}")
        return HandoffSpec(agent=value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"anyOf": [{"type": "string"}, self._table.schema()]}


HANDOFF: Final = _Handoff()
"""The kind of an entry in ``handoffs``. It returns a :class:`HandoffSpec`."""
