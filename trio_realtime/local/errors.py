"""Errors of the protocol: the exception, and the catalog of messages and codes.

Code under :meth:`ServerProtocol.receive` raises :class:`ProtocolError`, which becomes an ``error``
event. Events are validated before any state changes, so a rejected event has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from .types import Json

__all__ = ["ProtocolError"]


class ProtocolError(Exception):
    """A rejected client event or connection, to be reported in an ``error`` event.

    Args:
        message: ``message`` of the error.
        code: ``code`` of the error.
        param: ``param`` of the error, the path of the invalid parameter.
        kind: ``type`` of the error.
    """

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
        """Return the ``error`` object. As on the live service, it always has all five keys."""
        return {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": event_id,
        }


def quote_list(values: Sequence[str]) -> str:
    """List values as the live service does: ``'a', 'b', and 'c'``."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def unsupported_value(path: str | None, value: object, legal: Sequence[str]) -> ProtocolError:
    """Return the error for a value that is not one of ``legal``."""
    message = f"Invalid value: '{value}'. Supported values are: {quote_list(legal)}."
    return ProtocolError(message, code="invalid_value", param=path)


def invalid_value(path: str | None, message: str) -> ProtocolError:
    """Return the error for an invalid value, with this message."""
    return ProtocolError(message, code="invalid_value", param=path)


def unknown_parameter(path: str) -> ProtocolError:
    """Return the error for a parameter that the protocol does not have."""
    return ProtocolError(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)


def missing_parameter(path: str) -> ProtocolError:
    """Return the error for a missing required parameter."""
    message = f"Missing required parameter: '{path}'."
    return ProtocolError(message, code="missing_required_parameter", param=path)


def invalid_type(path: str, expected: str, value: object) -> ProtocolError:
    """Return the error for a value of the wrong type. ``expected`` has an article: ``"a string"``."""
    message = (
        f"Invalid type for '{path}': expected {expected}, but got {describe_type(value)} instead."
    )
    return ProtocolError(message, code="invalid_type", param=path)


def describe_type(value: object) -> str:
    """Return the JSON type of a value as the live service names it in its messages."""
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


def out_of_range(
    path: str, value: float, *, low: float | None, high: float | None
) -> ProtocolError:
    """Return the error for a number below ``low`` or above ``high``. ``None`` means no bound."""
    kind = "integer" if isinstance(value, int) else "decimal"
    if low is not None and value < low:
        return _beyond(path, kind, "below", "minimum", f">= {low}", value)
    return _beyond(path, kind, "above", "maximum", f"<= {high}", value)


def _beyond(path: str, kind: str, side: str, bound: str, rule: str, value: float) -> ProtocolError:
    message = (
        f"Invalid '{path}': {kind} {side} {bound} value. "
        f"Expected a value {rule}, but got {value} instead."
    )
    return ProtocolError(message, code=f"{kind}_{side}_{bound[:3]}_value", param=path)


def too_long(path: str, limit: int, length: int) -> ProtocolError:
    """Return the error for a string of ``length`` characters where ``limit`` are allowed."""
    message = (
        f"Invalid '{path}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead."
    )
    return ProtocolError(message, code="string_above_max_length", param=path)


def invalid_json(detail: str) -> ProtocolError:
    """Return the error for a frame that is not JSON. ``detail`` says why."""
    return ProtocolError(
        f"Invalid event: failed to parse JSON value. {detail}", code="invalid_json"
    )


def binary_frame() -> ProtocolError:
    """Return the error for a binary WebSocket message."""
    message = "Expected a text WebSocket message; binary frames are not supported."
    return ProtocolError(message, code="invalid_event")


def active_response(response_id: str) -> ProtocolError:
    """Return the error for a ``response.create`` while this response is running."""
    message = (
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one."
    )
    return ProtocolError(message, code="conversation_already_has_active_response")


def too_many_responses(limit: int) -> ProtocolError:
    """Return the error for an out-of-band ``response.create`` while ``limit`` of them run."""
    message = (
        f"Too many out-of-band responses in progress: at most {limit} can run at the same time. "
        "Wait until one of them is finished before creating a new one."
    )
    return ProtocolError(message, code="rate_limit_exceeded")


def conversation_full() -> ProtocolError:
    """Return the error for adding to a conversation whose texts and images take too much memory."""
    message = (
        "The conversation has reached its maximum size. "
        "Delete items, or start a new session, before adding more."
    )
    return ProtocolError(message, code="conversation_too_large")


def buffer_full(limit: int) -> ProtocolError:
    """Return the error for an append to a buffer that has no space for it. ``limit`` is in bytes."""
    message = (
        "Error appending to the input audio buffer: buffer too large. The buffer has a maximum of "
        f"{limit} bytes of audio. Commit or clear it before appending more."
    )
    return ProtocolError(message, code="input_audio_buffer_too_large", param="audio")


def nothing_to_cancel() -> ProtocolError:
    """Return the error for a ``response.cancel`` that matches no running response."""
    message = "Cancellation failed: no active response found"
    return ProtocolError(message, code="response_cancel_not_active")


def buffer_too_small(audio_ms: float) -> ProtocolError:
    """Return the error for a commit of less than 100 ms of audio."""
    message = (
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        f"but buffer only has {audio_ms:.2f}ms of audio."
    )
    return ProtocolError(message, code="input_audio_buffer_commit_empty")


def no_such_item(verb: str, item_id: str) -> ProtocolError:
    """Return the error for ``delete``, ``retrieve`` or ``truncate`` of an unknown item."""
    gerund = {"delete": "deleting", "retrieve": "retrieving", "truncate": "truncating"}[verb]
    message = f"Error {gerund} item: the item with id '{item_id}' does not exist."
    return ProtocolError(message, code=f"item_{verb}_invalid_item_id")


def item_in_progress(item_id: str) -> ProtocolError:
    """Return the error for deleting an item that a response is generating."""
    message = f"Error deleting item: the item with id '{item_id}' is still being generated."
    return ProtocolError(message, code="item_delete_invalid_item_id")


def no_such_previous_item(item_id: str) -> ProtocolError:
    """Return the error for creating an item after an unknown item."""
    message = f"Error adding item: the previous item with id '{item_id}' does not exist."
    return ProtocolError(message, code="item_create_invalid_previous_item_id")


def no_such_call(call_id: str) -> ProtocolError:
    """Return the error for an output whose call is not in the conversation."""
    message = f"Tool call ID '{call_id}' not found in conversation."
    return ProtocolError(message, code="invalid_tool_call_id")


def no_such_approval_request(request_id: str) -> ProtocolError:
    """Return the error for a decision about an unknown approval request."""
    message = f"MCP approval request with id '{request_id}' not found in conversation."
    return invalid_value("item.approval_request_id", message)


def already_decided(request_id: str) -> ProtocolError:
    """Return the error for a second decision about an approval request."""
    message = f"The MCP approval request with id '{request_id}' already has a response."
    return invalid_value("item.approval_request_id", message)


def not_truncatable() -> ProtocolError:
    """Return the error for truncating anything but audio of the assistant."""
    message = "Only model output audio messages can be truncated"
    return ProtocolError(message, code="unsupported_content_type")


def audio_already_shorter(audio_ms: int, requested_ms: int) -> ProtocolError:
    """Return the error for truncating audio beyond its end, both in milliseconds."""
    message = f"Audio content of {audio_ms}ms is already shorter than {requested_ms}ms"
    return ProtocolError(message, code="invalid_value")


def voice_is_locked() -> ProtocolError:
    """Return the error for changing the voice after the assistant has spoken."""
    message = "Cannot update a conversation's voice if assistant audio is present."
    return ProtocolError(message, code="cannot_update_voice")


def session_expired(minutes: float) -> ProtocolError:
    """Return the error that ends a session after its maximum duration."""
    message = f"Your session hit the maximum duration of {minutes:g} minutes."
    return ProtocolError(message, code="session_expired")


def invalid_key() -> ProtocolError:
    """Return the error for a wrong API key."""
    # The live service includes part of the key. Here no part of a key appears in a message.
    message = (
        "Incorrect API key provided: ****. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return ProtocolError(message, code="invalid_api_key")


def no_key() -> ProtocolError:
    """Return the error for a connection without an API key."""
    return ProtocolError("Missing bearer or basic authentication in header", code=None)


def unsupported_model(model: str) -> ProtocolError:
    """Return the error for a model that has no realtime mode."""
    message = f'Model "{model}" is not supported in realtime mode.'
    return ProtocolError(message, code="invalid_model")


def no_model() -> ProtocolError:
    """Return the error for a connection that names no model."""
    message = (
        "You must provide a model parameter, for example "
        "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    )
    return ProtocolError(message, code="missing_model")


def beta_not_supported() -> ProtocolError:
    """Return the error for a connection that requests the beta protocol."""
    message = "The beta API shape is gone: leave out the OpenAI-Beta header."
    return ProtocolError(message, code="beta_api_shape_disabled")
