"""Validation of the upgrade request: API key, API version and model."""

from __future__ import annotations

from . import errors
from .config import ServerConfig
from .errors import ProtocolError
from .types import Close, ConnectionRequest

__all__ = [
    "EPHEMERAL_KEY",
    "close_after",
    "find_error",
    "is_key_rejected",
    "is_rejected_with_http",
    "session_kind",
]

#: Prefix of ephemeral keys.
EPHEMERAL_KEY = "ek_"

BAD_CREDENTIALS = 3000
BAD_REQUEST = 4000


def session_kind(request: ConnectionRequest) -> str:
    """Return the session type: ``realtime`` or ``transcription``."""
    if request.client_secret is not None:
        return request.client_secret.kind
    return "transcription" if request.query("intent") == "transcription" else "realtime"


def is_key_rejected(request: ConnectionRequest, config: ServerConfig) -> bool:
    """Return whether the key is wrong, or missing although it is required.

    An ephemeral key is wrong unless ``request.client_secret`` confirms it, also on a server that
    accepts any key: it may have expired.
    """
    key = request.api_key
    if request.client_secret is not None:
        return False
    if config.api_keys is not None:
        return key not in config.api_keys
    return config.require_key if key is None else key.startswith(EPHEMERAL_KEY)


def is_rejected_with_http(request: ConnectionRequest, config: ServerConfig) -> bool:
    """Return whether to answer the upgrade request with HTTP 401."""
    return config.auth_failure == "http401" and is_key_rejected(request, config)


def find_error(
    request: ConnectionRequest, config: ServerConfig
) -> tuple[ProtocolError, int] | None:
    """Return the error and the close code that reject the request; None to accept it."""
    if is_key_rejected(request, config):
        error = errors.no_key() if request.api_key is None else errors.invalid_key()
        return error, BAD_CREDENTIALS
    if config.dialect == "ga" and request.header("openai-beta") is not None:
        return errors.beta_not_supported(), BAD_REQUEST
    model_error = _model_error(request, config)
    return None if model_error is None else (model_error, BAD_REQUEST)


def _model_error(request: ConnectionRequest, config: ServerConfig) -> ProtocolError | None:
    model = request.model or config.default_model
    if model is None:
        # A transcription session needs no model; a sideband connection uses the model of its call.
        needs_no_model = session_kind(request) == "transcription" or request.query("call_id")
        return None if needs_no_model else errors.no_model()
    if config.models is not None and model not in config.models:
        return errors.unsupported_model(model)
    return None


def close_after(error: ProtocolError, code: int) -> Close:
    """Return the close that follows a fatal error. Its reason is ``type[.code]``."""
    reason = error.kind if error.code is None else f"{error.kind}.{error.code}"
    return Close(code, reason)
