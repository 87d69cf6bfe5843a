"""The AsyncAPI document: it is current, complete, and every reference resolves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from support.event_strategies import EVENT_CLASSES
from trio_realtime.server.rpc import load_asyncapi, run_events
from trio_realtime.server.rpc.asyncapi import generate_asyncapi, main
from trio_realtime.server.rpc.documents import ASYNCAPI_FILE, document_text
from trio_realtime.server.rpc.messages import CLIENT_MESSAGES, SERVER_MESSAGES

DOCUMENT = load_asyncapi()
EVENTS = {f"realtime_{cls.type}" for cls in EVENT_CLASSES} | {
    cls.type for cls in run_events.RUN_EVENTS
}
RECEIVED = {cls.__name__ for cls in CLIENT_MESSAGES}
ANSWERS = {cls.__name__ for cls in SERVER_MESSAGES}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)


def resolve(reference: str) -> Any:
    assert reference.startswith("#/")
    value: Any = DOCUMENT
    for key in reference[2:].split("/"):
        value = value[key]
    return value


def messages_of(operation: str) -> set[str]:
    found = DOCUMENT["operations"][operation]["messages"]
    return {entry["$ref"].rpartition("/")[2] for entry in found}


def test_the_installed_document_is_current() -> None:
    path = Path(run_events.__file__).with_name(ASYNCAPI_FILE)
    assert path.read_text(encoding="utf-8") == document_text(generate_asyncapi()), (
        "run: python -m trio_realtime.server.rpc.asyncapi"
    )


def test_main_writes_the_same_file(tmp_path: Path) -> None:
    written: list[str] = []
    main(written.append, tmp_path)
    path = tmp_path / ASYNCAPI_FILE
    assert written == [f"{path}\n"]
    assert json.loads(path.read_text(encoding="utf-8")) == DOCUMENT


def test_the_structure() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    (channel,) = DOCUMENT["channels"].values()
    assert channel["address"] == "/v1/sessions/{session_id}/stream"
    assert channel["parameters"].keys() == set(re.findall(r"{(\w+)}", channel["address"]))
    assert channel["messages"].keys() == DOCUMENT["components"]["messages"].keys()
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert resolve(operation["channel"]["$ref"]) is channel
        for message in operation["messages"]:
            # An operation refers to messages of its channel, not to the components.
            assert message["$ref"].startswith("#/channels/stream/messages/")


def test_every_reference_resolves() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert isinstance(resolve(reference), dict)
    assert not [name for name in found if name.startswith("#/$defs")]


def test_every_message_and_event_is_there() -> None:
    assert messages_of("receiveMessage") == RECEIVED | {"InputAudio"}
    assert messages_of("sendMessage") == ANSWERS
    assert messages_of("sendEvent") == EVENTS | {"AudioFrame"}
    components = DOCUMENT["components"]["messages"]
    assert components.keys() == RECEIVED | ANSWERS | EVENTS | {"InputAudio", "AudioFrame"}


def test_every_component_is_used_and_described() -> None:
    used = set(references(DOCUMENT))
    for kind in ("messages", "schemas"):
        for name in DOCUMENT["components"][kind]:
            assert re.fullmatch(r"[\w.\-]+", name)
            assert f"#/components/{kind}/{name}" in used
    for message in DOCUMENT["components"]["messages"].values():
        assert message["summary"]
        assert message["contentType"] in ("application/json", "application/octet-stream")


def test_every_schema_is_valid() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        assert schema["description"]


def test_what_a_client_may_leave_out() -> None:
    hello = DOCUMENT["components"]["schemas"]["Hello"]
    assert hello["required"] == ["type", "protocol"]
    assert hello["properties"]["audio"]["default"] == "binary"
    assert hello["properties"]["type"] == {"const": "hello"}
