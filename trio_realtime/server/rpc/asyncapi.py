"""The AsyncAPI document (3.0.0) of the gateway's stream.

``python -m trio_realtime.server.rpc.asyncapi`` writes it into the package.
:func:`~trio_realtime.server.rpc.load_asyncapi` returns the installed one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast

from .documents import ASYNCAPI_FILE, DIRECTORY, write_document
from .event import AUDIO_TYPE, PROTOCOL_VERSION
from .messages import CLIENT_MESSAGES, SERVER_MESSAGES
from .run_events import RUN_EVENTS
from .schema import SESSION_EVENTS, SchemaBuilder

__all__ = ["generate_asyncapi", "main"]

Document = dict[str, Any]

_ADDRESS: Final = "/v1/sessions/{session_id}/stream"
_DESCRIPTION: Final = """\
A client sends `hello` as its first message and receives `welcome`. Then it receives the events of the session, and \
may send messages and audio. A message with an `id` is answered by `ack` or `error`. Clients must ignore types and \
keys that they do not know."""

_INPUT_AUDIO: Final[Document] = {
    "name": "input_audio",
    "title": "InputAudio",
    "summary": "A binary frame with audio of the user in the input format.",
    "contentType": "application/octet-stream",
    "payload": {"type": "string", "format": "binary"},
}
_AUDIO_FRAME: Final[Document] = {
    "name": "audio_frame",
    "title": "AudioFrame",
    "summary": f"A binary frame with a {AUDIO_TYPE} event, unless the client asked for base64.",
    "description": (
        "4 bytes with the length of the header (unsigned, big-endian), the header (the JSON object of the event "
        "without `data.audio`, in UTF-8), and the raw audio in the output format."
    ),
    "contentType": "application/octet-stream",
    "payload": {"type": "string", "format": "binary"},
}


def generate_asyncapi() -> Document:
    """Return the AsyncAPI document, generated from the classes of the messages and events."""
    builder = SchemaBuilder()
    received = [builder.add_message(cls) for cls in CLIENT_MESSAGES]
    answers = [builder.add_message(cls) for cls in SERVER_MESSAGES]
    events = [
        *map(builder.add_session_event, SESSION_EVENTS),
        *map(builder.add_run_event, RUN_EVENTS),
    ]
    schemas = {name: _with_references(schema) for name, schema in builder.definitions.items()}
    messages = {name: _message(name, schemas[name]) for name in (*received, *answers, *events)}
    messages |= {"InputAudio": _INPUT_AUDIO, "AudioFrame": _AUDIO_FRAME}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stream of a realtime session",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "channels": {"stream": _channel(messages)},
        "operations": {
            "receiveMessage": _operation(
                "receive", "What a client sends.", [*received, "InputAudio"]
            ),
            "sendMessage": _operation("send", "Answers to a client.", answers),
            "sendEvent": _operation("send", "The events of the session.", [*events, "AudioFrame"]),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(messages: Iterable[str]) -> Document:
    return {
        "address": _ADDRESS,
        "title": "The stream of a session",
        "parameters": {"session_id": {"description": "The session."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(action: str, summary: str, names: Iterable[str]) -> Document:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/stream"},
        "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in names],
    }


def _message(name: str, schema: Document) -> Document:
    return {
        "name": schema["properties"]["type"]["const"],
        "title": name,
        "summary": schema["description"],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _with_references(value: Any) -> Any:
    """Return a JSON Schema with its references to definitions pointing to the components."""
    if isinstance(value, list):
        values = cast("list[Any]", value)  # type: ignore[redundant-cast]
        return [_with_references(inner) for inner in values]
    if not isinstance(value, dict):
        return value
    pairs = cast("Document", value)
    reference = pairs.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        pairs = {**pairs, "$ref": f"#/components/schemas/{name}"}
    return {key: _with_references(inner) for key, inner in pairs.items()}


def main(write: Callable[[str], object] = sys.stdout.write, directory: Path = DIRECTORY) -> None:
    """Write the document into the package, or into another directory."""
    write(f"{write_document(directory, ASYNCAPI_FILE, generate_asyncapi())}\n")


if __name__ == "__main__":
    main()
