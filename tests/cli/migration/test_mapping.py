"""The tables of names: each name exists, each name of the SDK is listed, and each row says what to do."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_type_hints

import pytest

from trio_realtime.cli.migration import Counterpart, Mapping, Row, Table, load_mapping
from trio_realtime.cli.migration.mapping import Language, split_options
from trio_realtime.cli.migration.names import fields, member, parameters, resolve
from trio_realtime.cli.migration.python_types import (
    CONFIG_KEYS,
    EVENT_FIELDS,
    EVENT_TYPES,
    GUESSES,
    MEMBER_TYPES,
    MODEL_EVENT_TYPES,
    UNIONS,
)

LANGUAGES: tuple[Language, ...] = ("python", "javascript")
PYTHON = load_mapping("python")
ROWS = [
    (language, row)
    for language in LANGUAGES
    for table in load_mapping(language).tables
    for row in table.rows
]
OUR_NAMES = sorted({name for _, row in ROWS for name in row.ours})
SDK_NAMES = sorted({name for table in PYTHON.tables for row in table.rows for name in row.sdk})


# --- looking names up --------------------------------------------------------------------------


def mapping_of(*rows: Row) -> Mapping:
    return Mapping(version="1.0", tables=(Table(title="names", rows=rows),))


@pytest.mark.parametrize(
    ("name", "single"),
    [
        ("f", ["f"]),
        ("C.f(a=, b=)", ["C.f(a=)", "C.f(b=)"]),
        ("f(item, {a, b})", ["f({a})", "f({b})"]),
        ("agent.on('x')", ["agent.on('x')"]),
    ],
)
def test_options_are_single_names(name: str, single: list[str]) -> None:
    assert list(split_options(name)) == single


def test_as_many_names_on_both_sides_are_pairs() -> None:
    mapping = mapping_of(
        Row(sdk=["A", "f(x=)"], ours=["Endpoint", "handoff(name=)"], note="n"),
        Row(sdk=["B", "C"], ours=["handoff"]),
    )
    assert mapping.find("f(x=)") == ("f(x=)", Counterpart(ours=("handoff(name=)",), note="n"))
    assert mapping.find("C") == ("C", Counterpart(ours=("handoff",)))


def test_the_first_listed_name_is_found_before_members_of_earlier_names() -> None:
    mapping = mapping_of(
        Row(sdk=["Event"], ours=["events.ToolStart"]),
        Row(sdk=["Other.tool"], ours=["events.ToolEnd.tool"], note="n"),
    )
    found = mapping.find("Event.tool", "Other.tool")
    assert found is not None
    assert found[0] == "Other.tool"


def test_an_unlisted_member_or_option_keeps_its_name_if_it_exists() -> None:
    mapping = mapping_of(
        Row(sdk=["Event"], ours=["events.ToolStart", "events.ToolEnd"]),
        Row(sdk=["f"], ours=["handoff"]),
    )
    assert mapping.find("Event.arguments") == (
        "Event.arguments",
        Counterpart(ours=("events.ToolStart.arguments",)),
    )
    assert mapping.find("Event.outcome") == (
        "Event.outcome",
        Counterpart(ours=("events.ToolEnd.outcome",)),
    )
    assert mapping.find("f(name=)") == ("f(name=)", Counterpart(ours=("handoff(name=)",)))
    for unknown in ("Event.volume", "f(volume=)", "g", "g.x", "Event.arguments.x"):
        assert mapping.find(unknown) is None


def test_the_row_of_a_class_that_becomes_a_function_covers_its_members() -> None:
    mapping = mapping_of(
        Row(sdk=["Send"], ours=["s.send_audio"]),
        Row(sdk=["Gone"], ours=[]),
        Row(sdk=["Event", "f", "handoff"], ours=["events.ToolStart", "handoff", "handoff"]),
    )
    covered = ["Send.audio", "Send(audio=)", "Gone.x", "f(x=)"]
    assert [name for name in covered if not mapping.covers(name)] == []
    assert [
        name for name in ("Event.x", "handoff(x=)", "Other.x", "g") if mapping.covers(name)
    ] == []


# --- the tables --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_name_is_listed_once(language: Language) -> None:
    rows = (row for table in load_mapping(language).tables for row in table.rows)
    names = Counter(name for row in rows for name, _ in row.pairs())
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("name", OUR_NAMES)
def test_each_name_of_trio_realtime_is_public(name: str) -> None:
    resolve(name)


@pytest.mark.parametrize("name", ["s.sing", "Realtime", "events.Audio.volume", "handoff(whom=)"])
def test_resolve_rejects_unknown_names(name: str) -> None:
    with pytest.raises(AttributeError):
        resolve(name)


def test_a_row_without_counterpart_says_what_to_do_instead() -> None:
    assert [row for _, row in ROWS if not row.ours and not row.note] == []
    assert [row for _, row in ROWS if row.remove and row.ours] == []


# --- the SDK -----------------------------------------------------------------------------------


def installed_version() -> list[str]:
    """Major and minor version of the installed openai-agents; empty if it is not installed."""
    try:
        return version("openai-agents").split(".")[:2]
    except PackageNotFoundError:
        return []


needs_sdk = pytest.mark.skipif(
    installed_version() != PYTHON.version.split("."),
    reason="needs the version of openai-agents that the tables describe",
)


def sdk_root(first: str) -> Any:
    if first in {"agents", "asyncio"}:
        for module in ("realtime.testing", "mcp", "extensions.handoff_prompt"):
            importlib.import_module(f"agents.{module}")
        return importlib.import_module(first)
    realtime = importlib.import_module("agents.realtime")
    if hasattr(realtime, first):
        return getattr(realtime, first)
    modules = ("config", "events", "model_events", "model_inputs", "items", "model")
    found = (importlib.import_module(f"agents.realtime.{name}") for name in modules)
    return next(getattr(module, first) for module in found if hasattr(module, first))


def sdk_member(owner: Any, name: str) -> Any:
    """A member of a class, or of any class of a union."""
    if isinstance(owner, types.UnionType) or typing.get_origin(owner) in {
        typing.Union,
        typing.Annotated,
    }:
        for part in typing.get_args(owner):
            try:
                return sdk_member(part, name)
            except AttributeError:
                pass
    return member(owner, name)


def resolve_sdk(name: str) -> None:
    dotted, _, arguments = name.partition("(")
    first, *rest = dotted.split(".")
    value = reduce(sdk_member, rest, sdk_root(first))
    for argument in arguments.removesuffix("=)").split("=, ") if arguments else ():
        assert argument in parameters(value), name


@needs_sdk
@pytest.mark.parametrize("name", SDK_NAMES)
def test_each_name_of_openai_agents_exists(name: str) -> None:
    resolve_sdk(name)


def public_names() -> Iterator[str]:
    """Every name of ``agents.realtime`` with its members, and the options of the main functions."""
    realtime: Any = importlib.import_module("agents.realtime")
    agents: Any = importlib.import_module("agents")
    inherited = {*dir(dict), *dir(importlib.import_module("pydantic").BaseModel), "type"}
    for name in realtime.__all__:
        yield name
        value = getattr(realtime, name)
        if isinstance(value, type):
            members = fields(value) | set(dir(value))
            yield from (
                f"{name}.{member}" for member in members - inherited if not member.startswith("_")
            )
    for function, path in ((agents.function_tool, "agents."), (realtime.realtime_handoff, "")):
        options = parameters(function) - {"func", "agent"}
        yield from (f"{path}{function.__name__}({option}=)" for option in options)
    for cls, method in inspect.getmembers(realtime.RealtimeSession, inspect.isfunction):
        if not cls.startswith("_") and cls != "on_event":
            yield from (
                f"RealtimeSession.{cls}({option}=)" for option in parameters(method) - {"self"}
            )


def unions_of(name: str) -> Iterator[str]:
    """The name, and the names under which the tables may list what the members of a union share."""
    owner, dot, last = name.partition(".")
    yield name
    for union, members in UNIONS.items():
        if owner in members:
            yield f"{union}{dot}{last}"


@needs_sdk
def test_every_name_of_agents_realtime_is_listed() -> None:
    lacking = [
        name
        for name in public_names()
        if not PYTHON.find(*unions_of(name)) and not PYTHON.covers(name)
    ]
    assert sorted(lacking) == []


@needs_sdk
@pytest.mark.parametrize("name", sorted(MEMBER_TYPES))
def test_what_is_followed_through_programs_exists(name: str) -> None:
    if name != "RealtimeSession.__aenter__":
        resolve_sdk(name)
    resolve_sdk(MEMBER_TYPES[name])


@needs_sdk
def test_event_types_and_configuration_keys_are_those_of_the_sdk() -> None:
    for types_, union in (
        (EVENT_TYPES, "RealtimeSessionEvent"),
        (MODEL_EVENT_TYPES, "RealtimeModelEvent"),
    ):
        classes = typing.get_args(sdk_root(union))
        assert types_ == {
            typing.get_args(get_type_hints(cls)["type"])[0]: cls.__name__ for cls in classes
        }
    for name, names in EVENT_FIELDS.items():
        assert {*names, "type", "info"} == fields(sdk_root(name))
    for key, name in CONFIG_KEYS.items():
        assert key in fields(sdk_root(name))
    for name in (*GUESSES.values(), *UNIONS):
        resolve_sdk(name)
