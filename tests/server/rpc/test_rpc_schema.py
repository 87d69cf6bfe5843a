"""The JSON Schema: it is current, and every event that can be created validates."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator

from support.event_strategies import EVENT_CLASSES, objects_of
from trio_realtime import events
from trio_realtime.server.rpc import RpcEncoder, RpcEvent, load_schema, run_events
from trio_realtime.server.rpc.documents import SCHEMA_FILE, document_text
from trio_realtime.server.rpc.schema import SchemaBuilder, generate_schema, main

SCHEMA = load_schema()
TYPES = {f"realtime_{cls.type}" for cls in EVENT_CLASSES} | {
    cls.type for cls in run_events.RUN_EVENTS
}
MANY = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@cache
def validator_of(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{name}"})


def check(event: RpcEvent) -> None:
    value = event.to_dict()
    validator_of(event.type).validate(value)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    assert RpcEvent.from_dict(value) == event
    assert RpcEvent.from_dict(json.loads(json.dumps(value))) == event
    assert RpcEvent.from_frame(event.to_frame()) == event


def test_the_installed_schema_is_current() -> None:
    path = Path(run_events.__file__).with_name(SCHEMA_FILE)
    assert path.read_text(encoding="utf-8") == document_text(generate_schema()), (
        "run: python -m trio_realtime.server.rpc.schema"
    )


def test_main_writes_the_same_file(tmp_path: Path) -> None:
    written: list[str] = []
    main(written.append, tmp_path)
    path = tmp_path / SCHEMA_FILE
    assert written == [f"{path}\n"]
    assert json.loads(path.read_text(encoding="utf-8")) == SCHEMA


def test_the_schema_is_valid_and_has_every_type() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    references = [entry["$ref"].rpartition("/")[2] for entry in SCHEMA["oneOf"]]
    assert set(references) == TYPES
    assert len(references) == len(TYPES)


def test_every_class_is_described() -> None:
    assert [name for name, schema in SCHEMA["$defs"].items() if not schema["description"]] == []
    assert SCHEMA["$defs"]["AgentEnd"]["properties"]["turn_id"]["description"] == (
        "The id in the `AgentStart`."
    )
    interrupted = SCHEMA["$defs"]["AudioInterrupted"]["properties"]["played_ms"]
    assert interrupted["description"].startswith("`played_ms` is how much")
    assert SCHEMA["$defs"]["Usage"]["properties"]["input_tokens"]["description"] == (
        "Tokens of the responses."
    )
    text = json.dumps(SCHEMA)
    assert ":class:" not in text
    assert "``" not in text
    assert "`None`" not in text


@pytest.mark.parametrize("cls", EVENT_CLASSES)
def test_every_event_validates_and_round_trips(cls: type[events.SessionEvent]) -> None:
    @MANY
    @given(objects_of(cls), st.floats(allow_nan=False, allow_infinity=False))
    def run(event: Any, time: float) -> None:
        encoded = RpcEncoder("s", "r").encode(event, time=time)
        assert encoded.type == f"realtime_{event.type}"
        check(encoded)
        own = event.to_dict()
        assert own["type"] == event.type
        json.dumps(own, allow_nan=False, ensure_ascii=False).encode()

    run()


@pytest.mark.parametrize("cls", run_events.RUN_EVENTS)
def test_every_run_event_validates_and_round_trips(cls: Any) -> None:
    @MANY
    @given(objects_of(cls))
    def run(event: Any) -> None:
        encoded = RpcEncoder("s", "r").make(event.type, event, time=1.5)
        assert encoded.type == event.type
        check(encoded)

    run()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("type",), "realtime_nonsense"),
        (("seq",), 0),
        (("version",), 2),
        (("data", "delta_ms"), "much"),
        (("data", "content_index"), None),
        (("data",), []),
    ],
)
def test_other_values_do_not_validate(path: tuple[str, ...], value: Any) -> None:
    audio = events.Audio(data=b"", response_id="r", item_id="i", content_index=0)
    encoded = RpcEncoder("s", "r").encode(audio, time=1.0).to_dict()
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(encoded)
    target = encoded
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    assert not validator.is_valid(encoded)


def test_two_classes_of_the_same_name_are_rejected() -> None:
    builder = SchemaBuilder()
    builder.add_class(events.Error)
    other = type("Error", (), {})
    with pytest.raises(ValueError, match="two classes have the name Error"):
        builder.add_class(other)
