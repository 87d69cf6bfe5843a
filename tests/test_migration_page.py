"""The pages that are tables of names have real names in them, and all of them.

On the page for those who come from the agents SDKs, the column ``here`` has names of ours, and the
column ``Python`` names of openai-agents, which are looked up where it is installed. The tables of
events have each event.
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
MODULES = ("errors", "events", "items", "local", "testing", "transports", "wire")
NOTHING = "—"


# --- reading tables ----------------------------------------------------------------------------


def rows(page: str, *heads: str) -> Iterator[tuple[str, ...]]:
    """The cells under these heads, of each table whose head begins with them."""
    under = False
    for line in (DOCS / page).read_text().splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if not line.startswith("|"):
            under = False
        elif cells[: len(heads)] == heads:
            under = True
        elif under and set(line) - set("|- "):
            yield cells[: len(heads)]


def code(cell: str) -> list[str]:
    """What stands in a cell as code."""
    return re.findall(r"`([^`]+)`", cell)


def column(*heads: str, which: int) -> list[str]:
    """All code in a column of the page's tables."""
    return [name for cells in rows("migration.md", *heads) for name in code(cells[which])]


THEIRS = column("Python", "here", "what differs", which=0)
OURS = sorted(
    {name for sdk in ("Python", "JavaScript") for name in column(sdk, "here", which=1)},
)


# --- looking names up --------------------------------------------------------------------------


def resolve(name: str, root: Callable[[str], Any]) -> None:
    """Follow the dots and see that the arguments are some.

    Raises:
        AttributeError: there is no such thing.
    """
    assert NAME.fullmatch(name), f"{name!r} is no name"
    dotted, _, arguments = name.partition("(")
    first, *rest = dotted.split(".")
    value = reduce(member, rest, root(first))
    for keyword in re.findall(r"(\w+)=", arguments):
        if keyword not in parameters(value):
            raise AttributeError(f"{dotted} takes no {keyword}")


def member(owner: Any, name: str) -> Any:
    """An attribute, a field of a class of values, or what a property returns."""
    if isinstance(owner, ModuleType):
        return getattr(owner, name)
    owner = getattr(owner, "__origin__", owner)  # a generic class with its arguments
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property):
        return get_type_hints(found.fget)["return"]
    if found is not None:
        return getattr(owner, name)
    if name in fields(owner):
        return None
    raise AttributeError(f"{owner} has no {name}")


def fields(owner: Any) -> set[str]:
    """Names of fields that are no attributes: of dataclasses, TypedDicts and pydantic models."""
    classes = inspect.getmro(owner) if isinstance(owner, type) else ()
    return {name for one in classes for name in vars(one).get("__annotations__", {})}


def parameters(function: Any) -> set[str]:
    """What a function takes, also by ``**options: Unpack[...]``."""
    if isinstance(function, type) and attrs.has(function):
        return {field.alias or field.name for field in attrs.fields(function)}
    found = dict(inspect.signature(function).parameters)
    packed = [one for one in found.values() if one.kind is one.VAR_KEYWORD]
    names = set(found) - {one.name for one in packed}
    for one in packed:
        (options,) = get_args(get_type_hints(function)[one.name])
        names |= set(options.__annotations__)
    return names


def ours(first: str) -> Any:
    """Where a name of ours begins."""
    if first == "s":
        return RealtimeSession
    if first in MODULES:
        return importlib.import_module(f"trio_realtime.{first}")
    if first == "attrs":
        return attrs
    if first not in trio_realtime.__all__:
        raise AttributeError(f"trio_realtime has no public name {first}")
    return getattr(trio_realtime, first)


def theirs(first: str) -> Any:
    """Where a name of openai-agents begins."""
    if first == "agents":
        importlib.import_module("agents.realtime.testing")  # makes it an attribute
        return importlib.import_module("agents")
    return getattr(importlib.import_module("agents.realtime"), first)


@pytest.mark.parametrize("name", ["s.sing", "Realtime", "events.Audio.volume", "handoff(whom=)"])
def test_a_name_that_is_none_is_found_out(name: str) -> None:
    with pytest.raises(AttributeError):
        resolve(name, ours)


# --- the page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_each_name_of_ours_is_public(name: str) -> None:
    resolve(name, ours)


def test_each_row_has_a_name_on_both_sides_or_says_that_there_is_none() -> None:
    for sdk in ("Python", "JavaScript"):
        found = list(rows("migration.md", sdk, "here", "what differs"))
        assert len(found) > 40
        assert [cells for cells in found if not code(cells[0])] == []
        assert [cells for cells in found if not code(cells[1]) and cells[1] != NOTHING] == []


def installed() -> tuple[str, ...]:
    """Which openai-agents is installed, as far as names are concerned."""
    try:
        return tuple(version("openai-agents").split(".")[:2])
    except PackageNotFoundError:
        return ()


def told() -> tuple[str, ...]:
    """Which one the page is about."""
    (found,) = re.findall(r"openai-agents (\d+\.\d+)", (DOCS / "migration.md").read_text())
    return tuple(found.split("."))


the_one_of_the_page = pytest.mark.skipif(
    installed() != told(), reason="needs the openai-agents that the page is about"
)


@the_one_of_the_page
@pytest.mark.parametrize("name", THEIRS)
def test_each_name_of_openai_agents_is_one(name: str) -> None:
    resolve(name, theirs)


def public_names() -> Iterator[str]:
    """What openai-agents' realtime part offers, as the page writes it."""
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
        taken = parameters(function) - {"func", "agent"}
        yield from (f"{path}{function.__name__}({keyword}=)" for keyword in taken)


@the_one_of_the_page
def test_all_of_openai_agents_realtime_is_on_the_page() -> None:
    on_the_page = {part for name in THEIRS for part in single(name)}
    assert sorted(set(public_names()) - on_the_page) == []


def single(name: str) -> Iterator[str]:
    """A name, without its arguments and with each of them."""
    dotted, _, arguments = name.partition("(")
    yield dotted
    yield from (f"{dotted}({keyword}=)" for keyword in re.findall(r"(\w+)=", arguments))


# --- the table of events -----------------------------------------------------------------------


def test_the_table_of_events_has_each_event_with_its_type_and_fields_of_its_own() -> None:
    told: dict[str, str] = {}
    for type_, name, _when, has in rows("events.md", "`type`", "class", "when", "what it has"):
        kind = getattr(events, code(name)[0])
        told[code(name)[0]] = code(type_)[0]
        known = fields(kind) | set(dir(kind))
        strange = {word.removesuffix("()") for word in code(has)} - known
        assert strange - {"tool_start", "agent_end", "RealtimeError"} == set(), name
    assert told == {
        kind.__name__: kind.type
        for kind in vars(events).values()
        if isinstance(kind, type)
        and issubclass(kind, events.SessionEvent)
        and kind is not events.SessionEvent
    }
