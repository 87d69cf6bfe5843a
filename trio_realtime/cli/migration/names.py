"""Looks up the names of this library that the tables use: ``s.interrupt``, ``events.Audio.data``, ``f(x=)``."""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import reduce
from importlib import import_module
from types import ModuleType
from typing import Any, get_args, get_type_hints

import attrs

import trio_realtime

MODULES = frozenset(
    (
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
)
"""Public modules of the library, without the name of the package."""

OTHER_PACKAGES = frozenset(("attrs", "trio"))
SESSION = "s"
"""A session, in the notation of the tables."""


def exists(name: str) -> bool:
    """Return whether this library has a public name."""
    try:
        resolve(name)
    except AttributeError:
        return False
    return True


def resolve(name: str) -> None:
    """Look up a dotted name, and its arguments in the signature of what it names.

    Raises:
        AttributeError: the name or one of its arguments does not exist, or is not public.
    """
    dotted, _, arguments = name.partition("(")
    first, *rest = dotted.split(".")
    value = reduce(member, rest, root(first))
    for argument in arguments.removesuffix(")").split(", ") if arguments else ():
        if argument.removesuffix("=") not in parameters(value):
            raise AttributeError(f"{dotted} has no argument {argument}")


def root(first: str) -> Any:
    """Return what the first part of a name refers to."""
    if first == SESSION:
        return trio_realtime.RealtimeSession
    if first in MODULES:
        return import_module(f"trio_realtime.{first}")
    if first in OTHER_PACKAGES:
        return import_module(first)
    if first not in trio_realtime.__all__:
        raise AttributeError(f"trio_realtime has no public name {first}")
    return getattr(trio_realtime, first)


def member(owner: Any, name: str) -> Any:
    """Return an attribute, ``None`` for a field without a value, or the return type of a property."""
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
    """Return the annotated fields of a class, also of a dataclass, a TypedDict or a pydantic model."""
    classes = inspect.getmro(owner) if isinstance(owner, type) else ()
    return {name for cls in classes for name in inspect.get_annotations(cls)}


def parameters(function: Any) -> set[str]:
    """Return the names of a function's parameters, including those of ``**options: Unpack[...]``."""
    if isinstance(function, type) and attrs.has(function):
        return {field.alias or field.name for field in attrs.fields(function)}
    if not callable(function):
        return set()
    found = dict(inspect.signature(function).parameters)
    unpacked = [param for param in found.values() if param.kind is param.VAR_KEYWORD]
    names = set(found) - {param.name for param in unpacked}
    for param in unpacked:
        with suppress(ValueError):  # it is annotated with another type than Unpack[...]
            (options,) = get_args(get_type_hints(function)[param.name])
            names |= set(options.__annotations__)
    return names
