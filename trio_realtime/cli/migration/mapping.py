"""What each name of an agents SDK becomes here: the tables of the migration page, as data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import attrs

from .names import exists

Language: TypeAlias = Literal["python", "javascript"]

_ARGUMENTS = re.compile(r"(?P<function>[^(]+)\((?P<options>[^)]*)\)")


def _as_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


@attrs.frozen(kw_only=True)
class Row:
    """One row of a table.

    Attributes:
        sdk: names of the SDK.
        ours: names of this library; empty if there is no counterpart.
        note: what differs, or what to do instead, in Markdown.
        remove: there is no counterpart because none is needed.
    """

    sdk: tuple[str, ...] = attrs.field(converter=_as_names)
    ours: tuple[str, ...] = attrs.field(converter=_as_names)
    note: str = ""
    remove: bool = False

    def pairs(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each single name of the SDK with what it becomes.

        With as many names on both sides, the first becomes the first, and so on. An option of a function
        counts as a name, so ``f(a=, b=)`` and ``g(x=, y=)`` are two names each.
        """
        theirs = [single for name in self.sdk for single in split_options(name)]
        ours = [single for name in self.ours for single in split_options(name)]
        for index, name in enumerate(theirs):
            yield name, (ours[index],) if len(ours) == len(theirs) else self.ours


@attrs.frozen(kw_only=True)
class Table:
    """The rows about one subject, with the heading that they have on the migration page."""

    title: str
    rows: tuple[Row, ...]


@attrs.frozen(kw_only=True)
class Counterpart:
    """What one name becomes. See :class:`Row` for the attributes."""

    ours: tuple[str, ...]
    note: str = ""
    remove: bool = False


@attrs.frozen
class Use:
    """One use of a name of an SDK in a program.

    Attributes:
        names: the names to look up, the most precise one first.
        line: the line, from 1.
        shown: what the report calls it, if that is not the name that the tables list.
    """

    names: tuple[str, ...]
    line: int
    shown: str = ""


@attrs.frozen(kw_only=True, slots=False)
class Mapping:
    """All tables for one SDK.

    Attributes:
        version: the version of the SDK that the tables describe.
        tables: in the order of the migration page.
    """

    version: str
    tables: tuple[Table, ...]

    def find(self, *names: str) -> tuple[str, Counterpart] | None:
        """Return the first of these names that is listed, with its counterpart."""
        for name in names:
            if name in self._index:
                return name, self._index[name]
        return next(filter(None, map(self._find_member, names)), None)

    def _find_member(self, name: str) -> tuple[str, Counterpart] | None:
        """An unlisted member or option may have the same name here, in the class or function."""
        owner, mark, member = name.partition("(") if name.endswith("=)") else name.rpartition(".")
        listed = self._index.get(owner)
        if listed is None:
            return None
        candidates = (f"{ours}{mark}{member}" for ours in listed.ours)
        found = next(filter(exists, candidates), None)
        return None if found is None else (name, Counterpart(ours=(found,)))

    def covers(self, name: str) -> bool:
        """Return whether the row of a class or function says enough about its unlisted members and options.

        It does for a class that becomes a function: ``RealtimeModelSendAudio`` is ``s.send_audio``. It also
        does for a function that becomes another one, and for what becomes nothing.
        """
        owner = name.partition("(")[0] if name.endswith("=)") else name.rpartition(".")[0]
        listed = self._index.get(owner)
        if listed is None:
            return False
        last = owner.rpartition(".")[2]
        ours = [counterpart.rpartition(".")[2] for counterpart in listed.ours]
        return (
            not any(part[:1].isupper() for part in ours) if last[:1].isupper() else last not in ours
        )

    def find_last(self, name: str) -> str | None:
        """Return the listed name that ends with ``.name``, for a name imported from another module."""
        return self._last_parts.get(name)

    @cached_property
    def _index(self) -> dict[str, Counterpart]:
        return {
            name: Counterpart(ours=ours, note=row.note, remove=row.remove)
            for table in self.tables
            for row in table.rows
            for name, ours in row.pairs()
        }

    @cached_property
    def _last_parts(self) -> dict[str, str]:
        classes = (name for name in self._index if "(" not in name)
        return {name.rpartition(".")[2]: name for name in classes if name.startswith("agents.")}


def split_options(name: str) -> Iterator[str]:
    """Split ``f(a=, b=)`` into ``f(a=)`` and ``f(b=)``, and ``f(x, {a, b})`` into ``f({a})`` and ``f({b})``."""
    match = _ARGUMENTS.fullmatch(name)
    options = re.findall(r"\w+=", match["options"]) if match else []
    in_object = re.search(r"\{(.+)\}", match["options"]) if match else None
    if match and in_object:
        for option in in_object[1].split(", "):
            yield f"{match['function']}({{{option}}})"
    elif match and options:
        for option in options:
            yield f"{match['function']}({option})"
    else:
        yield name


@cache
def load_mapping(language: Language) -> Mapping:
    """Read the tables for the SDK of a language."""
    text = (files("trio_realtime.cli.migration") / f"{language}.toml").read_text(encoding="utf-8")
    content: dict[str, Any] = tomllib.loads(text)
    tables = (
        Table(title=table["title"], rows=tuple(Row(**row) for row in table["rows"]))
        for table in content["tables"]
    )
    return Mapping(version=content["version"], tables=tuple(tables))
