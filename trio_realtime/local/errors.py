"""What the service says no with: one exception, and the catalogue of the wire's own texts.

A :class:`Refusal` is raised anywhere under :meth:`Service.receive` and becomes one ``error`` event.
Validation happens before any state changes, so a refused event leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from .types import Json

__all__ = ["Refusal"]


class Refusal(Exception):
    """An ``error`` event in the making."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind

    def body(self, event_id: str | None = None) -> Json:
        """The ``error`` member; live frames always carry all five keys."""
        return {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": event_id,
        }


def spell(values: Sequence[str]) -> str:
    """``'a', 'b', and 'c'``: how the service lists legal values."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def unsupported_value(path: str | None, value: object, legal: Sequence[str]) -> Refusal:
    message = f"Invalid value: '{value}'. Supported values are: {spell(legal)}."
    return Refusal(message, code="invalid_value", param=path)


def invalid_value(path: str | None, message: str) -> Refusal:
    return Refusal(message, code="invalid_value", param=path)


def unknown_parameter(path: str) -> Refusal:
    return Refusal(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)


def missing_parameter(path: str) -> Refusal:
    message = f"Missing required parameter: '{path}'."
    return Refusal(message, code="missing_required_parameter", param=path)


def invalid_type(path: str, expected: str, value: object) -> Refusal:
    message = f"Invalid type for '{path}': expected {expected}, but got {name_type(value)} instead."
    return Refusal(message, code="invalid_type", param=path)


def name_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case _:
            return "an array" if isinstance(value, list) else "an object"


def out_of_range(path: str, value: float, *, low: float | None, high: float | None) -> Refusal:
    kind = "integer" if isinstance(value, int) else "decimal"
    if low is not None and value < low:
        return _beyond(path, kind, "below", "minimum", f">= {low}", value)
    return _beyond(path, kind, "above", "maximum", f"<= {high}", value)


def _beyond(path: str, kind: str, side: str, bound: str, rule: str, value: float) -> Refusal:
    message = (
        f"Invalid '{path}': {kind} {side} {bound} value. "
        f"Expected a value {rule}, but got {value} instead."
    )
    return Refusal(message, code=f"{kind}_{side}_{bound[:3]}_value", param=path)


def too_long(path: str, limit: int, length: int) -> Refusal:
    message = (
        f"Invalid '{path}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead."
    )
    return Refusal(message, code="string_above_max_length", param=path)


def bad_json(detail: str) -> Refusal:
    return Refusal(f"Invalid event: failed to parse JSON value. {detail}", code="invalid_json")


def binary_frame() -> Refusal:
    message = "Expected a text WebSocket message; binary frames are not supported."
    return Refusal(message, code="invalid_event")


def active_response(response_id: str) -> Refusal:
    message = (
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one."
    )
    return Refusal(message, code="conversation_already_has_active_response")


def nothing_to_cancel() -> Refusal:
    message = "Cancellation failed: no active response found"
    return Refusal(message, code="response_cancel_not_active")


def buffer_too_small(audio_ms: float) -> Refusal:
    message = (
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        f"but buffer only has {audio_ms:.2f}ms of audio."
    )
    return Refusal(message, code="input_audio_buffer_commit_empty")


def no_such_item(verb: str, item_id: str) -> Refusal:
    """``verb`` is ``delete``, ``retrieve`` or ``truncate``."""
    gerund = {"delete": "deleting", "retrieve": "retrieving", "truncate": "truncating"}[verb]
    message = f"Error {gerund} item: the item with id '{item_id}' does not exist."
    return Refusal(message, code=f"item_{verb}_invalid_item_id")


def item_in_progress(item_id: str) -> Refusal:
    message = f"Error deleting item: the item with id '{item_id}' is still being generated."
    return Refusal(message, code="item_delete_invalid_item_id")


def no_such_previous_item(item_id: str) -> Refusal:
    message = f"Error adding item: the previous item with id '{item_id}' does not exist."
    return Refusal(message, code="item_create_invalid_previous_item_id")


def no_such_call(call_id: str) -> Refusal:
    message = f"Tool call ID '{call_id}' not found in conversation."
    return Refusal(message, code="invalid_tool_call_id")


def no_such_approval_request(request_id: str) -> Refusal:
    message = f"MCP approval request with id '{request_id}' not found in conversation."
    return invalid_value("item.approval_request_id", message)


def already_decided(request_id: str) -> Refusal:
    message = f"The MCP approval request with id '{request_id}' already has a response."
    return invalid_value("item.approval_request_id", message)


def not_truncatable() -> Refusal:
    message = "Only model output audio messages can be truncated"
    return Refusal(message, code="unsupported_content_type")


def audio_already_shorter(audio_ms: int, asked_ms: int) -> Refusal:
    message = f"Audio content of {audio_ms}ms is already shorter than {asked_ms}ms"
    return Refusal(message, code="invalid_value")


def voice_is_locked() -> Refusal:
    message = "Cannot update a conversation's voice if assistant audio is present."
    return Refusal(message, code="cannot_update_voice")


def session_expired(minutes: float) -> Refusal:
    message = f"Your session hit the maximum duration of {minutes:g} minutes."
    return Refusal(message, code="session_expired")


def bad_key() -> Refusal:
    # The live service prints part of the key. Nothing of a key belongs into a message.
    message = (
        "Incorrect API key provided: ****. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return Refusal(message, code="invalid_api_key")


def no_key() -> Refusal:
    return Refusal("Missing bearer or basic authentication in header", code=None)


def bad_model(model: str) -> Refusal:
    message = f'Model "{model}" is not supported in realtime mode.'
    return Refusal(message, code="invalid_model")


def no_model() -> Refusal:
    message = (
        "You must provide a model parameter, for example "
        "wss://api.openai.com/v1/realtime?model=gpt-realtime"
    )
    return Refusal(message, code="missing_model")


def beta_refused() -> Refusal:
    message = "The beta API shape is gone: leave out the OpenAI-Beta header."
    return Refusal(message, code="beta_api_shape_disabled")
