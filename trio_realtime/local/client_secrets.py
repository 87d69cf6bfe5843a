"""Ephemeral keys: a server with an API key makes them for clients that must not know it.

A key opens one session, within its lifetime, with the settings that it was made for.
"""

from __future__ import annotations

import secrets
from typing import Final

from trio_realtime.endpoints import DEFAULT_MODEL

from . import errors, settings, validation
from .config import ServerConfig
from .errors import ProtocolError
from .handshake import EPHEMERAL_KEY
from .ids import Ids
from .types import ClientSecret, Json, is_object

__all__ = ["ClientSecrets"]

_DEFAULT_SECONDS: Final = 600
_MAX_SECRETS: Final = 1000
#: Settings of all keys together.
_MAX_BYTES: Final = 16 * 1024 * 1024

_KIND: Final = validation.one_of("realtime", "transcription")
_BODY: Final = validation.record(
    {
        "expires_after": validation.record(
            {
                "anchor": validation.one_of("created_at"),
                "seconds": validation.integer(10, 7200),
            }
        ),
        "session": validation.anything,
    }
)


class ClientSecrets:
    """The ephemeral keys of a server that were not used yet.

    Args:
        config: configuration of the server, with its ``epoch``.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._ids = Ids(f"{config.seed}/client_secrets")
        self._secrets: dict[str, ClientSecret] = {}

    def create(self, body: Json, now: float) -> Json:
        """Create a key.

        Args:
            body: the body of the request.
            now: current time in seconds.

        Returns:
            The body of the response.

        Raises:
            ProtocolError: the body is invalid, or there are too many keys.
        """
        given = _BODY({key: value for key, value in body.items() if value is not None}, "")
        self._discard_expired(now)
        self._check_space()
        secret = self._make(given, now)
        self._secrets[secret.value] = secret
        return {
            "value": secret.value,
            "expires_at": self._unix_time(secret.expires_at),
            "session": self._session(secret),
        }

    def find(self, key: str | None, now: float) -> ClientSecret | None:
        """Return the key; None if it is unknown, was used, or has expired."""
        secret = self._secrets.get(key or "")
        return secret if secret is not None and now < secret.expires_at else None

    def use(self, secret: ClientSecret) -> bool:
        """Use the key. Return False if it was used already."""
        return self._secrets.pop(secret.value, None) is not None

    def _make(self, given: Json, now: float) -> ClientSecret:
        session = given.get("session", {"type": "realtime"})
        if not is_object(session):
            raise errors.invalid_type("session", "an object", session)
        kind = _KIND(session.get("type", "realtime"), "session.type")
        patch = settings.parse_update(session, kind)
        model = patch.pop("model", None)
        models = self._config.models
        if model is not None and models is not None and model not in models:
            raise errors.unsupported_model(model)
        seconds = given.get("expires_after", {}).get("seconds", _DEFAULT_SECONDS)
        value = f"{EPHEMERAL_KEY}{secrets.token_hex(16)}"
        return ClientSecret(value, now + seconds, kind, model, patch)

    def _session(self, secret: ClientSecret) -> Json:
        """Return the session object that the key opens."""
        model = secret.model or self._config.default_model or DEFAULT_MODEL
        defaults = settings.RealtimeDefaults(model, secret.kind)
        session = defaults.session(self._ids.new("sess"), expires_at=0)
        return settings.merge(session, secret.session, defaults)

    def _unix_time(self, time: float) -> int:
        return int((self._config.epoch or 0.0) + time)

    def _discard_expired(self, now: float) -> None:
        expired = [key for key, secret in self._secrets.items() if secret.expires_at <= now]
        for key in expired:
            del self._secrets[key]

    def _check_space(self) -> None:
        size = sum(secret.size for secret in self._secrets.values())
        if len(self._secrets) >= _MAX_SECRETS or size >= _MAX_BYTES:
            message = "Too many client secrets: use some of them, or wait until they expire."
            raise ProtocolError(message, code="rate_limit_exceeded")
