"""The JSON Schema (2020-12) of all events.

``python -m trio_realtime.server.rpc.schema`` writes it into the package.
:func:`~trio_realtime.server.rpc.load_schema` returns the installed one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, get_args

import attrs

from trio_realtime._event_json import (
    ALWAYS,
    AUDIO_KEY,
    JsonField,
    JsonType,
    is_raw,
    json_fields,
    wire_tag,
)
from trio_realtime.events import AnyEvent, Audio, SessionEvent

from .descriptions import Descriptions, describe
from .documents import DIRECTORY, SCHEMA_FILE, write_document
from .event import PROTOCOL_VERSION, RpcEvent
from .messages import CLIENT_MESSAGES
from .run_events import RUN_EVENTS

__all__ = ["SchemaBuilder", "event_schema", "generate_schema", "main"]

JsonSchema = dict[str, Any]

SESSION_EVENTS: Final[tuple[type[SessionEvent], ...]] = get_args(AnyEvent)


def generate_schema() -> JsonSchema:
    """Return the JSON Schema of all events, generated from the classes."""
    builder = SchemaBuilder()
    types = [
        *map(builder.add_session_event, SESSION_EVENTS),
        *map(builder.add_run_event, RUN_EVENTS),
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:trio-realtime:events:{PROTOCOL_VERSION}",
        "title": "Events of a session",
        "description": "One event of a session, as a JSON object. Clients must ignore unknown types and keys.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in types],
        "$defs": builder.definitions,
    }


class SchemaBuilder:
    """Collects the definitions of classes, each under its name.

    Attributes:
        definitions: the JSON Schemas by name. They refer to each other with ``#/$defs/``.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, JsonSchema] = {}
        self._classes: dict[str, type[Any]] = {}

    def add_session_event(self, cls: type[SessionEvent]) -> str:
        """Add the schemas of an event of the session, and return the type of the event."""
        self.add_class(cls)
        if cls is Audio:
            _add_audio(self.definitions[cls.__name__])
        return self._add_event(f"realtime_{cls.type}", cls)

    def add_run_event(self, cls: Any) -> str:
        """Add the schemas of an event of the run, and return the type of the event."""
        self.add_class(cls)
        return self._add_event(cls.type, cls)

    def _add_event(self, kind: str, cls: type[Any]) -> str:
        self.definitions[kind] = event_schema(
            kind, f"#/$defs/{cls.__name__}", describe(cls).summary
        )
        return kind

    def add_message(self, cls: Any) -> str:
        """Add the schema of a message, and return its name."""
        self.add_class(cls)
        schema = self.definitions[cls.__name__]
        schema["properties"] = {"type": {"const": cls.type}, **schema["properties"]}
        schema["required"] = ["type", *_required_of(cls, schema)]
        for value in schema["properties"].values():
            if value.get("type") == ["number", "null"]:
                value["type"] = "number"  # numbers of messages are finite
        return str(cls.__name__)

    def add_class(self, cls: type[Any]) -> None:
        """Add the schema of a class, and of all classes that it refers to.

        Raises:
            ValueError: another class has the same name.
        """
        name = definition_name(cls)
        known = self._classes.setdefault(name, cls)
        if known is not cls:
            raise ValueError(f"two classes have the name {name}: {known} and {cls}")
        if name not in self.definitions:
            self.definitions[name] = {}  # reserves the place, and ends the recursion
            self.definitions[name].update(self._class_schema(cls))

    def _class_schema(self, cls: Any) -> JsonSchema:
        if cls is BaseException:
            return _EXCEPTION
        descriptions = describe(cls)
        if is_raw(cls):
            return {"description": descriptions.summary, "type": "object"}
        fields = json_fields(cls)
        for field in fields:
            self._add_referred(field.type)
        return _object_schema(cls, fields, descriptions)

    def _add_referred(self, kind: JsonType) -> None:
        if kind.refers_to is not None:
            self.add_class(kind.refers_to)
        for inner in kind.inner:
            self._add_referred(inner)


def _required_of(cls: Any, schema: JsonSchema) -> list[str]:
    """Return the keys that a message must have. A client may leave out what has a default."""
    if cls not in CLIENT_MESSAGES:
        return list(schema.get("required", ()))
    for field in attrs.fields(cls):
        if field.default is not attrs.NOTHING and field.default is not None:
            schema["properties"][field.name]["default"] = field.default
    return [field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING]


def definition_name(cls: type[Any]) -> str:
    """Return the name under which the schema of a class is defined."""
    return "Exception" if cls is BaseException else cls.__name__


_EXCEPTION: Final[JsonSchema] = {
    "description": "An exception, without its traceback.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "The name of the class."},
        "message": {"type": "string", "description": "The text of the exception."},
        "code": {
            "type": ["string", "integer"],
            "description": "The error code of the service, or the close code of the connection.",
        },
    },
    "required": ["type", "message"],
}


# Descriptions of values that differ from those of the Python objects.
_DESCRIPTIONS: Final[dict[tuple[str, str], str]] = {
    ("HistoryUpdated", "item"): "The item that changed.",
    ("HistoryUpdated", "deleted_item_id"): "The id of the item that was deleted.",
    ("HistoryUpdated", "history"): "What the session begins with. Only its first event has it.",
    ("OutputAudio", "heard_ms"): "Milliseconds that were heard, if the audio was truncated.",
    ("RawModelEvent", "frame"): "The JSON object of the frame, with credentials masked.",
    (
        "ToolAnsweredEarly",
        "output",
    ): "What the tool passed: JSON if it can be converted, else text.",
    ("ToolEnd", "error"): "The exception of the tool.",
    ("ToolEnd", "output"): "What the tool returned: JSON if it can be converted, else text.",
}


def _object_schema(
    cls: type[Any], fields: Iterable[JsonField], descriptions: Descriptions
) -> JsonSchema:
    properties: JsonSchema = {}
    tag = wire_tag(cls)
    if tag is not None:
        properties["type"] = {"const": tag}
    for field in fields:
        properties[field.key] = {**field.type.schema, **field.limits}
        description = _DESCRIPTIONS.get(
            (cls.__name__, field.key), descriptions.fields.get(field.key)
        )
        if description is not None:
            properties[field.key]["description"] = description
    required = ["type"] if tag is not None else []
    required += [field.key for field in fields if field.absent is ALWAYS]
    schema: JsonSchema = {"description": descriptions.summary, "type": "object"}
    schema["properties"] = properties
    return {**schema, "required": required} if required else schema


def _add_audio(schema: JsonSchema) -> None:
    """Add what an encoder adds to the data of an event with audio."""
    schema["properties"]["delta_ms"] = {
        "type": "number",
        "minimum": 0,
        "description": "Milliseconds of audio in this event.",
    }
    schema["properties"][AUDIO_KEY] = {
        "type": ["string", "null"],
        "contentEncoding": "base64",
        "description": "Raw audio in the output format. In a binary frame, it follows the header instead.",
    }
    schema["required"].append("delta_ms")


def event_schema(kind: str, data: str, description: str) -> JsonSchema:
    """Return the schema of the events of a type.

    Args:
        kind: the type.
        data: the reference to the schema of the data.
        description: what has happened.
    """
    texts = describe(RpcEvent).fields
    keys: dict[str, JsonSchema] = {
        "type": {"const": kind},
        "session_id": {"type": "string"},
        "run_id": {"type": "string"},
        "seq": {"type": "integer", "minimum": 1},
        "time": {"type": "number"},
        "data": {"$ref": data},
        "version": {"const": PROTOCOL_VERSION},
    }
    for key in ("session_id", "run_id", "seq", "time", "version"):
        keys[key]["description"] = texts[key]
    return {
        "title": kind,
        "description": description,
        "type": "object",
        "properties": keys,
        "required": list(keys),
    }


def main(write: Callable[[str], object] = sys.stdout.write, directory: Path = DIRECTORY) -> None:
    """Write the schema into the package, or into another directory."""
    write(f"{write_document(directory, SCHEMA_FILE, generate_schema())}\n")


if __name__ == "__main__":
    main()
