"""What a client of the OpenAI Realtime protocol sees of a session, and what it may ask for.

The gateway looks like the service. The tools, the guardrails, the instructions and the key stay on the server: a
client sees messages and audio, and none of the calls. Nothing here does I/O.
"""

from __future__ import annotations

import binascii
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard, final

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

#: Events that are passed on, with these keys.
_PASSED_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "input_audio_buffer.commit": (),
    "input_audio_buffer.clear": (),
    "conversation.item.delete": ("item_id",),
    "conversation.item.retrieve": ("item_id",),
    "response.cancel": ("response_id",),
}
_RESPONSE_KEYS: Final = ("output_modalities", "max_output_tokens", "metadata")


def request_of(event: JsonObject) -> ClientRequest:
    """Return what an event of the client asks for.

    Raises:
        RequestRefused: the event is not valid, or asks for what the server decides.
    """
    kind = event.get("type")
    match kind:
        case str() if kind in _PASSED_ON:
            return SendEvent(_only(event, "type", "event_id", *_PASSED_ON[kind]))
        case "input_audio_buffer.append":
            return SendAudioBytes(_audio_of(event))
        case "session.update":
            return ChangeSettings(_changes_of(_object(event, "session")))
        case "conversation.item.create":
            _check_item(_object(event, "item"))
            return SendEvent(_only(event, "type", "event_id", "item", "previous_item_id"))
        case "conversation.item.truncate":
            return _truncation_of(event)
        case "response.create":
            response = _response_of(event)
            return SendEvent({**_only(event, "type", "event_id"), "response": response})
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


def _only(event: JsonObject, *keys: str) -> JsonObject:
    return {key: event[key] for key in keys if key in event}


def _response_of(event: JsonObject) -> JsonObject:
    response: Any = event.get("response") or {}
    if not is_object(response):
        raise RequestRefused("response must be an object", param="response")
    wanted = _only(response, *_RESPONSE_KEYS)
    metadata = wanted.get("metadata")
    if is_object(metadata):
        wanted["metadata"] = {key: metadata[key] for key in metadata if key != METADATA_KEY}
    return wanted


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
    modalities: Any = session.get("output_modalities")
    if _is_list(modalities):
        changes["output_modalities"] = tuple(modalities)
    inputs = object_at(object_at(session, "audio"), "input")
    if "turn_detection" in inputs:
        detection: Any = inputs["turn_detection"]
        if detection is not None and not is_object(detection):
            raise RequestRefused(
                "turn_detection must be an object or null",
                param="session.audio.input.turn_detection",
            )
        changes["turn_detection"] = detection
    return changes


# --- to the client --------------------------------------------------------------------------------

#: Everything else is hidden: session events have the instructions and the tools, and what a service may add
#: is not known. The audio itself comes after the guardrails.
_SHOWN: Final = frozenset(
    {
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.failed",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "error",
        "input_audio_buffer.cleared",
        "input_audio_buffer.committed",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.timeout_triggered",
        "response.content_part.added",
        "response.content_part.done",
        "response.created",
        "response.done",
        "response.output_audio.done",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
    }
)
_ANNOUNCEMENTS: Final = frozenset(
    {"conversation.item.added", "conversation.item.created", "conversation.item.done"}
)
_ITEM_EVENT_KEYS: Final = (
    *("type", "event_id", "item", "previous_item_id", "response_id", "output_index"),
)
_SHOWN_RESPONSE_KEYS: Final = (
    *("object", "id", "status", "status_details", "output", "output_modalities", "audio", "usage"),
    *("metadata", "conversation_id", "max_output_tokens"),
)
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


#: Ids of events of the client that errors are awaited for.
_MAX_SENT: Final = 1000


@final
class OpenAIView:
    """What a client sees of the events of the service.

    Hides calls, their outputs, system messages, out-of-band responses, and what a new connection repeats.
    """

    def __init__(self) -> None:
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._hidden_items: dict[str, str | None] = {}  # the shown item before each
        self._hidden_responses: set[str] = set()
        self._announced: set[tuple[str, str]] = set()
        self._output_index: dict[str, int] = {}
        self._audio_events = 0

    def sent(self, event_id: object) -> None:
        """Note the id of an event that the client sent: errors about it are for the client."""
        if isinstance(event_id, str):
            self._sent[event_id] = None
            if len(self._sent) > _MAX_SENT:
                self._sent.popitem(last=False)

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
        kind = _text(event, "type")
        if kind not in _SHOWN or _text(event, "response_id") in self._hidden_responses:
            return None
        if kind == "error":
            return event if _text(object_at(event, "error"), "event_id") in self._sent else None
        if kind in ("response.created", "response.done"):
            return self._response(kind, event)
        if "item" in event:
            return self._item(kind, event)
        return None if _text(event, "item_id") in self._hidden_items else event

    def _response(self, kind: str, event: JsonObject) -> JsonObject | None:
        response = _only(object_at(event, "response"), *_SHOWN_RESPONSE_KEYS)
        id_ = _text(response, "id")
        if kind == "response.created" and response.get("conversation_id", "") is None:
            self._hidden_responses.add(id_)
        if id_ in self._hidden_responses:
            return None
        output = response.get("output")
        items = output if _is_list(output) else []
        response["output"] = [_shown_item(item) for item in items if _is_shown(item)]
        metadata = object_at(response, "metadata")
        own = {name: value for name, value in metadata.items() if name != METADATA_KEY}
        response["metadata"] = own or None
        return {**_only(event, "type", "event_id"), "response": response}

    def _item(self, kind: str, event: JsonObject) -> JsonObject | None:
        item = object_at(event, "item")
        id_ = _text(item, "id")
        if not _is_shown(item):
            # Not every event of an item says what comes before it.
            self._hidden_items[id_] = self._shown_before(event) or self._hidden_items.get(id_)
            return None
        if kind in _ANNOUNCEMENTS:
            if (kind, id_) in self._announced:
                return None
            self._announced.add((kind, id_))
        shown = _only(event, *_ITEM_EVENT_KEYS)
        shown["item"] = _shown_item(item)
        index = event.get("output_index")
        if isinstance(index, int):
            self._output_index[id_] = index
        if "previous_item_id" in event:
            shown["previous_item_id"] = self._shown_before(event)
        return shown

    def _shown_before(self, event: JsonObject) -> str | None:
        """Return the item before that of the event, without the hidden ones between them."""
        previous = _text(event, "previous_item_id")
        return self._hidden_items.get(previous, previous or None)


def _text(event: JsonObject, key: str) -> str:
    value: Any = event.get(key)
    return value if isinstance(value, str) else ""


def _is_shown(item: Any) -> TypeGuard[JsonObject]:
    """Return whether a client may see an item: a message of the user or of the agent."""
    return (
        is_object(item)
        and _text(item, "type") == "message"
        and _text(item, "role") in ("user", "assistant")
    )


def _shown_item(item: JsonObject) -> JsonObject:
    """Return an item without the agent's audio, which a guardrail may have stopped."""
    content = item.get("content")
    if item["role"] != "assistant" or not _is_list(content):
        return item
    return {**item, "content": [_without_audio(part) for part in content]}


def _without_audio(part: Any) -> Any:
    if not is_object(part):
        return part
    return {key: value for key, value in part.items() if key != "audio"}


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
