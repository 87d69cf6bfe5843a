"""What a client of the OpenAI Realtime protocol sees of a session, and what it may ask for.

The gateway looks like the service. The tools, the guardrails, the instructions and the key stay on the server: a
client sees messages and audio, and none of the calls. Nothing here does I/O.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, final

import attrs
import pybase64

from trio_realtime.core import METADATA_KEY
from trio_realtime.events import Audio
from trio_realtime.wire import Session, unstructure

from .json_values import is_object, object_at

__all__ = [
    "ChangeSettings",
    "ClientRequest",
    "InterruptAgent",
    "OpenAIView",
    "RequestRefused",
    "SendAudioBytes",
    "SendEvent",
    "TruncateItem",
    "request_of",
    "session_for_client",
]

JsonObject: TypeAlias = dict[str, Any]


class RequestRefused(Exception):
    """The gateway does not carry out an event of the client.

    Attributes:
        code: what is wrong, as in an ``error`` event.
        param: the part of the event at fault.
    """

    def __init__(
        self, message: str, *, code: str = "invalid_value", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.code: str = code
        self.param: str | None = param

    def event(self, event_id: str | None) -> JsonObject:
        """Return the ``error`` event. ``event_id`` is that of the client's event."""
        return {
            "type": "error",
            "event_id": "event_gateway",
            "error": {
                "type": "invalid_request_error",
                "code": self.code,
                "message": str(self),
                "param": self.param,
                "event_id": event_id,
            },
        }


# --- from the client ------------------------------------------------------------------------------


@attrs.frozen
class SendEvent:
    """Send this client event to the service."""

    event: JsonObject


@attrs.frozen
class SendAudioBytes:
    """Send audio of the user."""

    audio: bytes = attrs.field(repr=False)


@attrs.frozen
class ChangeSettings:
    """Change settings, in the spelling of ``update_settings``, and send the new session."""

    changes: JsonObject


@attrs.frozen
class TruncateItem:
    """The user has heard this much of an item, and nothing after it."""

    item_id: str
    content_index: int
    played_ms: float


@attrs.frozen
class InterruptAgent:
    """Stop the agent."""


ClientRequest: TypeAlias = (
    SendEvent | SendAudioBytes | ChangeSettings | TruncateItem | InterruptAgent
)

_PASSED_ON: Final = frozenset(
    {
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "response.cancel",
    }
)
_RESPONSE_KEYS: Final = ("output_modalities", "max_output_tokens", "metadata")


def request_of(event: JsonObject) -> ClientRequest:
    """Return what an event of the client asks for.

    Raises:
        RequestRefused: the event is not valid, or asks for what the server decides.
    """
    kind = event.get("type")
    if kind in _PASSED_ON:
        return SendEvent(event)
    match kind:
        case "input_audio_buffer.append":
            return SendAudioBytes(_audio_of(event))
        case "session.update":
            return ChangeSettings(_changes_of(_object(event, "session")))
        case "conversation.item.create":
            _check_item(_object(event, "item"))
            return SendEvent(event)
        case "conversation.item.truncate":
            return _truncation_of(event)
        case "response.create":
            response = _object(event, "response") if event.get("response") is not None else {}
            allowed = {name: response[name] for name in _RESPONSE_KEYS if name in response}
            return SendEvent({**event, "response": allowed})
        case "output_audio_buffer.clear":
            return InterruptAgent()
        case str():
            raise RequestRefused(
                f"the gateway has no event {kind!r:.80}", code="invalid_event", param="type"
            )
        case _:
            raise RequestRefused(
                "an event needs a type", code="missing_required_parameter", param="type"
            )


def _object(event: JsonObject, key: str) -> JsonObject:
    value: Any = event.get(key)
    if not is_object(value):
        raise RequestRefused(f"{key} must be an object", param=key)
    return value


def _audio_of(event: JsonObject) -> bytes:
    audio: Any = event.get("audio")
    try:
        return pybase64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise RequestRefused("audio must be base64", param="audio") from None


def _check_item(item: JsonObject) -> None:
    if item.get("type") != "message" or item.get("role") != "user":
        raise RequestRefused(
            "a client of the gateway may only create messages of the user: tools run on the server",
            param="item",
        )


def _truncation_of(event: JsonObject) -> TruncateItem:
    item_id, index = event.get("item_id"), event.get("content_index", 0)
    end = event.get("audio_end_ms")
    if not isinstance(item_id, str) or not isinstance(index, int):
        raise RequestRefused("item_id and content_index must name a part", param="item_id")
    if not isinstance(end, int | float) or isinstance(end, bool) or not 0 <= end < 1e12:
        raise RequestRefused("audio_end_ms must be a number of milliseconds", param="audio_end_ms")
    return TruncateItem(item_id, index, float(end))


def _changes_of(session: JsonObject) -> JsonObject:
    """Return the settings that a client may change. The others stay as the agent spec says."""
    changes: JsonObject = {}
    if "output_modalities" in session:
        changes["output_modalities"] = session["output_modalities"]
    inputs = object_at(object_at(session, "audio"), "input")
    if "turn_detection" in inputs:
        changes["turn_detection"] = inputs["turn_detection"]
    return changes


# --- to the client --------------------------------------------------------------------------------

_HIDDEN: Final = frozenset(
    {
        "session.created",  # the gateway makes its own
        "session.updated",
        "rate_limits.updated",
        "response.output_audio.delta",  # comes after the guardrails
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    }
)
_HIDDEN_PREFIXES: Final = ("mcp_list_tools.", "response.mcp_call")
_SESSION_KEYS: Final = ("type", "object", "id", "model", "output_modalities", "audio", "expires_at")


def session_for_client(session: Session, model: str) -> JsonObject:
    """Return the session object that the client sees: without instructions and tools.

    Args:
        session: the settings in force.
        model: what the client has asked for.
    """
    known: Mapping[str, Any] = unstructure(session)
    visible = {name: known[name] for name in _SESSION_KEYS if name in known}
    return {**visible, "model": model, "instructions": "", "tools": [], "tool_choice": "auto"}


@final
class OpenAIView:
    """What a client sees of the events of the service.

    Hides calls, their outputs, system messages, out-of-band responses, and what a new connection repeats.
    """

    def __init__(self) -> None:
        self._client_events: set[str] = set()
        self._hidden_items: set[str] = set()
        self._hidden_responses: set[str] = set()
        self._announced: set[tuple[str, str]] = set()
        self._output_index: dict[str, int] = {}
        self._last_item: str | None = None
        self._audio_events = 0

    def sent(self, event_id: object) -> None:
        """Note the id of an event that the client sent: errors about it are for the client."""
        if isinstance(event_id, str):
            self._client_events.add(event_id)

    def audio(self, event: Audio) -> JsonObject:
        """Return the delta of audio that has passed the guardrails."""
        self._audio_events += 1
        return {
            "type": "response.output_audio.delta",
            "event_id": f"event_audio_{self._audio_events}",
            "response_id": event.response_id,
            "item_id": event.item_id,
            "output_index": self._output_index.get(event.item_id, 0),
            "content_index": event.content_index,
            "delta": pybase64.b64encode(event.data).decode("ascii"),
        }

    def event(self, event: JsonObject) -> JsonObject | None:
        """Return an event of the service as the client sees it; ``None`` to hide it."""
        kind = str(event.get("type", ""))
        if kind in _HIDDEN or kind.startswith(_HIDDEN_PREFIXES):
            return None
        if event.get("response_id") in self._hidden_responses:
            return None
        if kind == "error":
            about = object_at(event, "error").get("event_id")
            return event if about in self._client_events else None
        if is_object(event.get("response")):
            return self._response(event)
        if is_object(event.get("item")):
            return self._item(kind, event)
        return None if event.get("item_id") in self._hidden_items else event

    def _response(self, event: JsonObject) -> JsonObject | None:
        response: JsonObject = {**event["response"]}
        id_ = str(response.get("id", ""))
        if event.get("type") == "response.created" and response.get("conversation_id", "") is None:
            self._hidden_responses.add(id_)
        if id_ in self._hidden_responses:
            return None
        output: Any = response.get("output") or []
        response["output"] = [item for item in output if item.get("type") == "message"]
        metadata = object_at(response, "metadata")
        if METADATA_KEY in metadata:
            own = {name: value for name, value in metadata.items() if name != METADATA_KEY}
            response["metadata"] = own or None
        for name in ("instructions", "tools"):
            response.pop(name, None)
        return {**event, "response": response}

    def _item(self, kind: str, event: JsonObject) -> JsonObject | None:
        item: JsonObject = event["item"]
        id_ = str(item.get("id", ""))
        if item.get("type") != "message" or item.get("role") == "system":
            self._hidden_items.add(id_)
            return None
        if kind in (
            "conversation.item.added",
            "conversation.item.created",
            "conversation.item.done",
        ):
            if (kind, id_) in self._announced:
                return None
            self._announced.add((kind, id_))
        if isinstance(event.get("output_index"), int):
            self._output_index[id_] = event["output_index"]
        previous = event.get("previous_item_id")
        if previous in self._hidden_items:
            event = {**event, "previous_item_id": self._last_item}
        if kind != "response.output_item.done":
            self._last_item = id_
        return event
