"""The schema that the model sees and the values that a function gets agree, for generated annotations."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import json
import uuid
from dataclasses import field, make_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict, Union, cast

import annotated_types
import attrs
import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import given, strategies as st

from support.function_tools import Colour, Level
from trio_realtime.agents import InvalidArguments
from trio_realtime.agents._schema.type_schema import TypeSchema

UUID = "12345678-1234-5678-1234-567812345678"
TEXTS = ["", "a", "b", "abc", "red", "1", "2026-01-02", UUID]
FORMATS = jsonschema.FormatChecker(["date", "uuid"])


class Kind(enum.Enum):
    CAT = "cat"
    DOG = "dog"


LEAVES: list[Any] = [
    *(str, int, float, bool, NoneType, Any, dt.date, uuid.UUID, Path),
    *(Colour, Level, Literal["a", "b"], Literal[1, 2], Literal[True], Literal[Kind.CAT, 3]),
    Annotated[int, annotated_types.Interval(ge=1, lt=3)],
    Annotated[float, msgspec.Meta(multiple_of=0.5)],
    Annotated[str, annotated_types.Len(1, 2)],
    Annotated[str, pydantic.Field(pattern="^a")],
    Annotated[int, pydantic.Field(strict=True, gt=0)],
]
"""Not those for which the documentation says that more or less is accepted than the schema says."""

# Without a type, so that type checkers accept generated arguments.
LIST, DICT, TUPLE = cast("tuple[Any, ...]", (list, dict, tuple))
ANNOTATED, UNION = cast("tuple[Any, ...]", (Annotated, Union))

_numbers = itertools.count()


def a_dataclass(first: Any, second: Any) -> Any:
    return make_dataclass(
        f"Data{next(_numbers)}", [("first", first), ("second", second, field(default=None))]
    )


def an_attrs_class(first: Any, second: Any) -> Any:
    fields = {"first": attrs.field(type=first), "second": attrs.field(default=None, type=second)}
    return attrs.make_class(f"Attrs{next(_numbers)}", fields)


def a_struct(first: Any, second: Any) -> Any:
    return msgspec.defstruct(
        f"Struct{next(_numbers)}", [("first", first), ("second", second, None)]
    )


def a_typed_dict(first: Any, second: Any) -> Any:
    make: Any = TypedDict
    return make(f"Typed{next(_numbers)}", {"first": first, "second": NotRequired[second]})


def a_named_tuple(first: Any, second: Any) -> Any:
    make: Any = NamedTuple
    return make(f"Named{next(_numbers)}", [("first", first), ("second", second)])


def a_model(first: Any, second: Any) -> Any:
    make: Any = pydantic.create_model
    return make(f"Model{next(_numbers)}", first=(first, ...), second=(second, None))


CLASSES = [a_dataclass, an_attrs_class, a_struct, a_typed_dict, a_named_tuple]


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one, two = st.tuples(inner), st.tuples(inner, inner)
    return st.one_of(
        st.builds(lambda made: LIST[made[0]], one),
        st.builds(lambda made: DICT[str, made[0]], one),
        st.builds(lambda made: DICT[int, made[0]], one),
        st.builds(lambda made: TUPLE[made[0], ...], one),
        st.builds(lambda made: TUPLE[made], two),
        st.builds(lambda made: ANNOTATED[made[0], "described"], one),
        st.builds(lambda made: UNION[made[0], None], one),
        st.builds(lambda made: UNION[made], two),
        *(st.builds(make, inner, inner) for make in CLASSES),
    )


MODELS = [
    a_model(int, Literal["a", "b"]),
    a_model(list[str], float),
    a_model(Colour, dt.date | None),
]
ANNOTATIONS: st.SearchStrategy[Any] = st.one_of(
    st.recursive(st.sampled_from(LEAVES), containers, max_leaves=5),
    # Pydantic accepts true for the member 1 of an IntEnum.
    st.recursive(
        st.sampled_from([*(leaf for leaf in LEAVES if leaf is not Level), *MODELS]),
        containers,
        max_leaves=5,
    ),
)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 3, -1, 1.0, 2.0, 0.5, 0.3, *TEXTS]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["first", "second", "other"]), inner, max_size=2),
        st.dictionaries(st.sampled_from(["1", "-2", "01", "x"]), inner, max_size=2),
    ),
    max_leaves=6,
)


@given(annotation=ANNOTATIONS, data=st.data())
def test_the_parser_accepts_exactly_what_the_schema_accepts(
    annotation: Any, data: st.DataObject
) -> None:
    type_schema = TypeSchema(LIST[annotation], "tool")
    schema = type_schema.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator: Any = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    for _ in range(10):
        value = [data.draw(VALUES)]
        accepted = not list(validator.iter_errors(value))
        try:
            type_schema.decode(json.dumps(value))
        except InvalidArguments as exc:
            assert not accepted, (annotation, value, schema)
            assert "`$" in str(exc)
            assert len(str(exc)) < 1500
        else:
            assert accepted, (annotation, value, schema)


def test_members_of_a_union_that_differ_in_constraints_are_tried_one_by_one() -> None:
    short, long = (
        ANNOTATED[str, msgspec.Meta(max_length=2)],
        ANNOTATED[str, msgspec.Meta(min_length=4)],
    )
    schema = TypeSchema(UNION[short, long], "tool")

    assert schema.decode('"ab"') == "ab"
    assert schema.decode('"abcd"') == "abcd"
    with pytest.raises(InvalidArguments):
        schema.decode('"abc"')
    assert TypeSchema(UNION[str, short], "tool").decode('"abc"') == "abc"
