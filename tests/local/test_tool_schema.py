"""Validation of the schemas of tools."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from support.harness import only, rejected
from trio_realtime.local.harness import ProtocolHarness

Json = dict[str, Any]


def tool(parameters: object) -> Json:
    return {"type": "function", "name": "get_weather", "parameters": parameters}


def in_property(schema: object) -> Json:
    return {"type": "object", "properties": {"city": schema}}


def nested(depth: int, schema: Json) -> Json:
    for _ in range(depth):
        schema = {"items": schema}
    return schema


CITY = "properties.city"

INVALID: list[tuple[object, str, str]] = [
    (5, "invalid_type", ""),
    ([], "invalid_type", ""),
    (True, "invalid_type", ""),
    ({"type": "string"}, "invalid_value", "type"),
    ({"type": 5}, "invalid_type", "type"),
    ({"type": {"type": "object"}}, "invalid_type", "type"),
    ({"type": []}, "invalid_value", "type"),
    ({"type": ["object", 5]}, "invalid_type", "type[1]"),
    ({"type": "thing"}, "invalid_value", "type"),
    ({"required": 5}, "invalid_type", "required"),
    ({"required": "city"}, "invalid_type", "required"),
    ({"required": ["city", 5]}, "invalid_type", "required[1]"),
    ({"properties": ["city"]}, "invalid_type", "properties"),
    ({"properties": "city"}, "invalid_type", "properties"),
    (in_property("string"), "invalid_type", CITY),
    (in_property({"type": 5}), "invalid_type", f"{CITY}.type"),
    (in_property({"required": 5}), "invalid_type", f"{CITY}.required"),
    (in_property({"enum": "a"}), "invalid_type", f"{CITY}.enum"),
    (in_property({"enum": {}}), "invalid_type", f"{CITY}.enum"),
    (in_property({"format": []}), "invalid_type", f"{CITY}.format"),
    (in_property({"pattern": 5}), "invalid_type", f"{CITY}.pattern"),
    (in_property({"description": 5}), "invalid_type", f"{CITY}.description"),
    (in_property({"$ref": 5}), "invalid_type", f"{CITY}.$ref"),
    (in_property({"minLength": "1"}), "invalid_type", f"{CITY}.minLength"),
    (in_property({"maxLength": -1}), "integer_below_min_value", f"{CITY}.maxLength"),
    (in_property({"minItems": 1.5}), "invalid_type", f"{CITY}.minItems"),
    (in_property({"maxItems": True}), "invalid_type", f"{CITY}.maxItems"),
    (in_property({"minimum": "1"}), "invalid_type", f"{CITY}.minimum"),
    (in_property({"maximum": 10**400}), "invalid_value", f"{CITY}.maximum"),
    (in_property({"exclusiveMinimum": []}), "invalid_type", f"{CITY}.exclusiveMinimum"),
    (in_property({"multipleOf": 0}), "invalid_value", f"{CITY}.multipleOf"),
    (in_property({"anyOf": {}}), "invalid_type", f"{CITY}.anyOf"),
    (in_property({"anyOf": []}), "invalid_value", f"{CITY}.anyOf"),
    (in_property({"oneOf": [{}, {"type": 5}]}), "invalid_type", f"{CITY}.oneOf[1].type"),
    (in_property({"allOf": [5]}), "invalid_type", f"{CITY}.allOf[0]"),
    (in_property({"items": 5}), "invalid_type", f"{CITY}.items"),
    (in_property({"items": {"type": 5}}), "invalid_type", f"{CITY}.items.type"),
    (in_property({"items": [{}, {"type": 5}]}), "invalid_type", f"{CITY}.items[1].type"),
    ({"additionalProperties": {"type": 5}}, "invalid_type", "additionalProperties.type"),
    ({"$defs": {"City": {"required": 5}}}, "invalid_type", "$defs.City.required"),
    (in_property(nested(70, {})), "invalid_value", ""),
    (in_property({"default": nested(70, {})}), "invalid_value", ""),
    (in_property(nested(9, {"type": 5})), "invalid_type", CITY + 9 * ".items" + ".type"),
]


@pytest.mark.parametrize(("parameters", "code", "path"), INVALID)
def test_an_invalid_schema_is_rejected_with_its_path(
    parameters: object, code: str, path: str
) -> None:
    harness = ProtocolHarness()
    before = harness.session
    session = {"type": "realtime", "tools": [tool(None), tool(parameters)]}
    error = rejected(harness, "session.update", session=session)
    where = "tools[1].parameters" + (f".{path}" if path else "")
    assert (error["code"], error["param"]) == (code, f"session.{where}")
    assert harness.session == before
    response = {"tools": session["tools"]}
    error = rejected(harness, "response.create", response=response)
    assert (error["code"], error["param"]) == (code, f"response.{where}")


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        {},
        {"type": ["object", "null"]},
        {"properties": {}, "required": None},
        in_property(True),
        in_property({"type": ["string", "null"], "default": None, "title": "City"}),
        in_property({"enum": []}),
        in_property({"const": nested(20, {}), "x-unknown": 5}),
        in_property({"minimum": 0, "exclusiveMinimum": True}),
        in_property({"$ref": "#/$defs/City"}) | {"$defs": {"City": {"type": "string"}}},
        in_property({"type": "array", "prefixItems": [{}], "items": False}),
    ],
)
def test_a_valid_schema_is_echoed_unchanged(parameters: Json | None) -> None:
    harness = ProtocolHarness()
    (updated,) = harness.update(tools=[tool(parameters)])
    expected = tool(parameters) if parameters is not None else tool({})
    echoed = updated["session"]["tools"][0]
    assert {"parameters": {}} | echoed == expected


VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    *(st.text(max_size=5), st.sampled_from(["object", "string", "array", "number"])),
)
KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "required", "enum", "const", "default", "items", "minItems"),
        *("maxItems", "format", "pattern", "minLength", "maxLength", "minimum", "maximum"),
        *("exclusiveMinimum", "multipleOf", "$ref", "allOf", "anyOf", "oneOf", "city"),
    ]
)
SCHEMAS = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYWORDS, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(SCHEMAS)
def test_no_schema_crashes_the_server(parameters: object) -> None:
    harness = ProtocolHarness()
    harness.update(tools=[tool(parameters)], output_modalities=["text"])
    harness.say("The weather in Oslo, 3 times")
    done = only(harness.respond(), "response.done")
    assert done["response"]["status"] == "completed"
