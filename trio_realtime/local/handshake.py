"""Who is let in: judges the upgrade request before there is a session."""

from __future__ import annotations

from . import errors
from .config import ServiceOptions
from .errors import Refusal
from .types import Close, ConnectionRequest

__all__ = ["closing", "find_fault", "is_refused_by_http", "session_kind"]

BAD_CREDENTIALS = 3000
BAD_REQUEST = 4000


def session_kind(request: ConnectionRequest) -> str:
    """``realtime`` or ``transcription``."""
    return "transcription" if request.query("intent") == "transcription" else "realtime"


def is_key_refused(request: ConnectionRequest, options: ServiceOptions) -> bool:
    """Whether the key, or the lack of one, keeps the client out."""
    key = request.api_key
    if options.api_keys is not None:
        return key not in options.api_keys
    return key is None and options.require_key


def is_refused_by_http(request: ConnectionRequest, options: ServiceOptions) -> bool:
    """Whether the upgrade itself is answered with 401."""
    return options.auth_failure == "http401" and is_key_refused(request, options)


def find_fault(request: ConnectionRequest, options: ServiceOptions) -> tuple[Refusal, int] | None:
    """Why the client is kept out, with the close code; None if it is welcome."""
    if is_key_refused(request, options):
        fault = errors.no_key() if request.api_key is None else errors.bad_key()
        return fault, BAD_CREDENTIALS
    if request.header("openai-beta") is not None:
        return errors.beta_refused(), BAD_REQUEST
    model_fault = _model_fault(request, options)
    return None if model_fault is None else (model_fault, BAD_REQUEST)


def _model_fault(request: ConnectionRequest, options: ServiceOptions) -> Refusal | None:
    model = request.model or options.default_model
    if model is None:
        # A transcription session has no model, and a sideband has that of its call.
        nameless = session_kind(request) == "transcription" or request.query("call_id")
        return None if nameless else errors.no_model()
    if options.models is not None and model not in options.models:
        return errors.bad_model(model)
    return None


def closing(fault: Refusal, code: int) -> Close:
    """The close that follows a fatal error: its reason is ``type[.code]``."""
    reason = fault.kind if fault.code is None else f"{fault.kind}.{fault.code}"
    return Close(code, reason)
