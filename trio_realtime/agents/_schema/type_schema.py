"""The JSON Schema of a type, and the decoder of its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from trio_realtime.agents.arguments import InvalidArguments, arguments_text
from trio_realtime.errors import ConfigurationError

from .annotations import Translator
from .conversion import (
    REF_PREFIX,
    Schema,
    convert_value,
    placeholder,
    problems_of,
    problems_text,
    replace_references,
    rule_of,
)
from .pydantic import PydanticRule, describe
from .rules import DescribedRule

_EXACT = 2**53
"""Whole numbers up to this one are the same as float and int."""


class TypeSchema:
    """The JSON Schema of a type, and the decoder of its JSON.

    Args:
        type_: the type.
        owner: the name of the tool or handoff, for error messages.

    Raises:
        ConfigurationError: if the type has no JSON Schema.
    """

    def __init__(self, type_: Any, owner: str) -> None:
        self._owner = owner
        try:
            translated = Translator().translate(type_)
            self._schema, self._definitions = _json_schema(translated)
            self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
                translated, dec_hook=convert_value
            )
        except Exception as exc:  # noqa: BLE001 - the user's classes may raise anything
            raise ConfigurationError(
                f"tool {owner}: no JSON Schema can be made: {explain(exc)}"
            ) from None

    def json_schema(self) -> Schema:
        """Return the JSON Schema, including the definitions that it references."""
        name = self._schema.get("$ref", "").removeprefix(REF_PREFIX)
        if name not in self._definitions:
            return _add_definitions(self._schema, self._definitions)
        top, others = self._definitions[name], {**self._definitions}
        # A type that contains itself has to stay among the definitions.
        if not _is_referenced(REF_PREFIX + name, self._definitions):
            del others[name]
        return _add_definitions(top, others)

    def decode(self, text: str) -> Any:
        """Return a value of the type from JSON text. Empty text and ``null`` are an empty object.

        Raises:
            InvalidArguments: if the text does not match the type, or if the type's own validation
                raises any exception.
        """
        json_text = arguments_text(text)
        try:
            return self._decode(json_text)
        except msgspec.ValidationError as exc:
            raise self._invalid(problems_text(problems_of(exc))) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise self._invalid(str(exc)) from None
        except Exception as exc:
            raise self._invalid(f"{type(exc).__name__}: {exc}") from exc

    def _decode(self, text: str) -> Any:
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError:
            # In JSON Schema, 3.0 is an integer.
            value = msgspec.json.decode(text)
            whole = _with_integers(value)
            if whole == value and repr(whole) == repr(value):
                raise
            return self._decoder.decode(msgspec.json.encode(whole))

    def _invalid(self, reason: str) -> InvalidArguments:
        return InvalidArguments(f"Invalid arguments for {self._owner}: {reason}")


def _with_integers(value: Any) -> Any:
    """Return a JSON value with whole numbers as integers."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _with_integers(item) for key, item in cast("Schema", value).items()}
    if isinstance(value, list):
        items: list[Any] = cast("Any", value)
        return [_with_integers(item) for item in items]
    return value


# --- schemas -------------------------------------------------------------------------------------


def _json_schema(type_: Any) -> tuple[Schema, dict[str, Schema]]:
    """Return the JSON Schema of a translated type, and its definitions by name.

    msgspec describes all types in one call, so that their definitions have distinct names. The call is
    repeated as long as it finds converted types whose members are not described yet.
    """
    types: list[Any] = [type_]
    members: dict[Any, slice] = {}
    found: dict[Any, None] = {}

    def schema_hook(converted: Any) -> Schema:
        if rule_of(converted) is None:
            raise NotImplementedError
        found[converted] = None
        return {"$ref": placeholder(converted)}

    while True:
        schemas, definitions = msgspec.json.schema_components(
            types, schema_hook=schema_hook, ref_template=f"{REF_PREFIX}{{name}}"
        )
        unknown = [converted for converted in found if converted not in members]
        if not unknown:
            break
        for converted in unknown:
            rule = rule_of(converted)
            inside = rule.members if isinstance(rule, DescribedRule) else ()
            members[converted] = slice(len(types), len(types) + len(inside))
            types += inside
    described, pydantic_definitions = _describe(
        {converted: schemas[at] for converted, at in members.items()}, definitions
    )

    def lookup(reference: str) -> Schema | None:
        schema = described.get(reference)
        return None if schema is None else replace_references(schema, lookup)

    definitions = replace_references(definitions, lookup)
    return replace_references(schemas[0], lookup), definitions | pydantic_definitions


def _describe(
    members: Mapping[Any, Sequence[Schema]], taken: Mapping[str, Schema]
) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schema for each placeholder, and the definitions of pydantic."""
    described: dict[str, Schema] = {}
    of_pydantic: dict[str, PydanticRule] = {}
    for converted, schemas in members.items():
        rule = rule_of(converted)
        if isinstance(rule, PydanticRule):
            of_pydantic[placeholder(converted)] = rule
        elif isinstance(rule, DescribedRule):
            described[placeholder(converted)] = rule.schema(schemas)
    schemas, definitions = describe(list(of_pydantic.values()), taken)
    return described | dict(zip(of_pydantic, schemas, strict=True)), definitions


def explain(exc: Exception) -> str:
    """Say what is wrong with a type and what to use instead.

    msgspec's own advice applies only to direct users of msgspec, so it is replaced.
    """
    text = str(exc)
    type_ = text.rpartition("type ")[2].removesuffix(" is not supported")
    if "schema_hook" in text:
        return f"{type_} has no JSON representation: use strings, numbers, lists, dataclasses or models"
    if isinstance(exc, NameError):
        return (
            f"{text}: import it at run time, not only for type checkers; move a class that is local to "
            f"a function to the module; or pass parameters= to function_tool"
        )
    return text if type(exc) is TypeError else f"{type(exc).__name__}: {text}"


def _add_definitions(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    return {**schema, "$defs": definitions} if definitions else {**schema}


def _is_referenced(ref: str, definitions: dict[str, Schema]) -> bool:
    return msgspec.json.encode(ref) in msgspec.json.encode(definitions)
