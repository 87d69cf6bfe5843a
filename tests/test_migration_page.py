"""Documentation pages with tables of names list only names that exist, and all of them.

On the migration page, the column ``trio_realtime`` has public names of this library, and the column
``Python`` has names of openai-agents, which are looked up if the right version is installed. The
tables on the events page list every event.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import attrs
import pytest

import trio_realtime
from trio_realtime import RealtimeSession, events

DOCS = Path(__file__).parent.parent / "docs"
NAME = re.compile(r"[\w.]+(\([\w=, ]*\))?")
MODULES = (
    "errors",
    "events",
    "items",
    "local",
    "realtime_model",
    "sip",
    "testing",
    "transports",
    "wire",
)
NO_COUNTERPART = "—"


# --- reading tables ----------------------------------------------------------------------------


def rows(page: str, *heads: str) -> Iterator[tuple[str, ...]]:
    """The cells of these columns, for every table of the page that begins with them."""
    in_table = False
    for line in (DOCS / page).read_text().splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if not line.startswith("|"):
            in_table = False
        elif cells[: len(heads)] == heads:
            in_table = True
        elif in_table and set(line) - set("|- "):
            yield cells[: len(heads)]


def code(cell: str) -> list[str]:
    """The inline code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def column(*heads: str, which: int) -> list[str]:
    """All inline code in a column of the migration page's tables."""
    return [name for cells in rows("guides/migration.md", *heads) for name in code(cells[which])]


SDK_NAMES = column("Python", "trio_realtime", "what differs", which=0)
OUR_NAMES = sorted(
    {name for sdk in ("Python", "JavaScript") for name in column(sdk, "trio_realtime", which=1)},
)


# --- looking names up --------------------------------------------------------------------------


def resolve(name: str, root: Callable[[str], Any]) -> None:
    """Look up a dotted name, and its arguments in the signature of what it names.

    Raises:
        AttributeError: the name or one of its arguments does not exist.
    """
    assert NAME.fullmatch(name), f"{name!r} is not a name"
    dotted, _, arguments = name.partition("(")
    first, *rest = dotted.split(".")
    value = reduce(member, rest, root(first))
    for keyword in re.findall(r"(\w+)=", arguments):
        if keyword not in parameters(value):
            raise AttributeError(f"{dotted} has no argument {keyword}")


def member(owner: Any, name: str) -> Any:
    """An attribute, ``None`` for a field without a value, or the return type of a property."""
    if isinstance(owner, ModuleType):
        return getattr(owner, name)
    owner = getattr(owner, "__origin__", owner)  # the class of a parametrized generic
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property):
        return get_type_hints(found.fget)["return"]
    if found is not None:
        return getattr(owner, name)
    if name in fields(owner):
        return None
    raise AttributeError(f"{owner} has no {name}")


def fields(owner: Any) -> set[str]:
    """Annotated fields, also those of dataclasses, TypedDicts and pydantic models."""
    classes = inspect.getmro(owner) if isinstance(owner, type) else ()
    return {name for cls in classes for name in vars(cls).get("__annotations__", {})}


def parameters(function: Any) -> set[str]:
    """Names of a function's parameters, including those of ``**options: Unpack[...]``."""
    if isinstance(function, type) and attrs.has(function):
        return {field.alias or field.name for field in attrs.fields(function)}
    found = dict(inspect.signature(function).parameters)
    unpacked = [param for param in found.values() if param.kind is param.VAR_KEYWORD]
    names = set(found) - {param.name for param in unpacked}
    for param in unpacked:
        (options,) = get_args(get_type_hints(function)[param.name])
        names |= set(options.__annotations__)
    return names


def our_root(first: str) -> Any:
    """Resolve the first part of a name of trio_realtime."""
    if first == "s":
        return RealtimeSession
    if first in MODULES:
        return importlib.import_module(f"trio_realtime.{first}")
    if first == "attrs":
        return attrs
    if first not in trio_realtime.__all__:
        raise AttributeError(f"trio_realtime has no public name {first}")
    return getattr(trio_realtime, first)


def sdk_root(first: str) -> Any:
    """Resolve the first part of a name of openai-agents."""
    if first == "agents":
        importlib.import_module("agents.realtime.testing")  # so that it is an attribute of agents
        return importlib.import_module("agents")
    return getattr(importlib.import_module("agents.realtime"), first)


@pytest.mark.parametrize("name", ["s.sing", "Realtime", "events.Audio.volume", "handoff(whom=)"])
def test_resolve_rejects_unknown_names(name: str) -> None:
    with pytest.raises(AttributeError):
        resolve(name, our_root)


# --- the page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OUR_NAMES)
def test_each_name_of_trio_realtime_is_public(name: str) -> None:
    resolve(name, our_root)


def test_each_row_has_a_counterpart_or_a_dash() -> None:
    for sdk in ("Python", "JavaScript"):
        found = list(rows("guides/migration.md", sdk, "trio_realtime", "what differs"))
        assert len(found) > 40
        assert [cells for cells in found if not code(cells[0])] == []
        assert [cells for cells in found if not code(cells[1]) and cells[1] != NO_COUNTERPART] == []


def installed_version() -> tuple[str, ...]:
    """Major and minor version of the installed openai-agents; empty if it is not installed."""
    try:
        return tuple(version("openai-agents").split(".")[:2])
    except PackageNotFoundError:
        return ()


def documented_version() -> tuple[str, ...]:
    """Major and minor version of openai-agents that the migration page describes."""
    (found,) = re.findall(r"openai-agents (\d+\.\d+)", (DOCS / "guides/migration.md").read_text())
    return tuple(found.split("."))


needs_documented_version = pytest.mark.skipif(
    installed_version() != documented_version(),
    reason="needs the version of openai-agents that the migration page describes",
)


@needs_documented_version
@pytest.mark.parametrize("name", SDK_NAMES)
def test_each_name_of_openai_agents_exists(name: str) -> None:
    resolve(name, sdk_root)


def public_names() -> Iterator[str]:
    """The public names of ``agents.realtime``, in the notation of the migration page."""
    realtime: Any = importlib.import_module("agents.realtime")
    agents: Any = importlib.import_module("agents")
    yield from realtime.__all__
    for settings in ("RunConfig", "SessionModelSettings", "ModelConfig", "TurnDetectionConfig"):
        name = f"Realtime{settings}"
        keys = get_type_hints(getattr(realtime, name))
        yield from (f"{name}.{key}" for key in keys if key != "type")
    for name in ("RealtimeSession", "RealtimePlaybackTracker"):
        methods = (method for method in dir(getattr(realtime, name)) if not method.startswith("_"))
        yield from (f"{name}.{method}" for method in methods)
    for function, path in ((agents.function_tool, "agents."), (realtime.realtime_handoff, "")):
        options = parameters(function) - {"func", "agent"}
        yield from (f"{path}{function.__name__}({keyword}=)" for keyword in options)


@needs_documented_version
def test_migration_page_has_every_name_of_agents_realtime() -> None:
    on_the_page = {part for name in SDK_NAMES for part in split_arguments(name)}
    assert sorted(set(public_names()) - on_the_page) == []


def split_arguments(name: str) -> Iterator[str]:
    """The name without arguments, then the name with each argument alone."""
    dotted, _, arguments = name.partition("(")
    yield dotted
    yield from (f"{dotted}({keyword}=)" for keyword in re.findall(r"(\w+)=", arguments))


# --- the tables of events ----------------------------------------------------------------------


def test_tables_of_events_have_each_event_with_its_type_and_existing_fields() -> None:
    documented: dict[str, str] = {}
    for type_, name, _when, cell in rows("guides/events.md", "`type`", "class", "when", "fields"):
        kind = getattr(events, code(name)[0])
        documented[code(name)[0]] = code(type_)[0]
        known = fields(kind) | set(dir(kind))
        unknown = {word.removesuffix("()") for word in code(cell)} - known
        assert unknown - {"tool_start", "agent_end", "RealtimeError"} == set(), name
    assert documented == {
        kind.__name__: kind.type
        for kind in vars(events).values()
        if isinstance(kind, type)
        and issubclass(kind, events.SessionEvent)
        and kind is not events.SessionEvent
    }
