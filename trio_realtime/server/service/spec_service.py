"""The service table of an agent spec, as settings."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from trio_realtime._redaction import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS
from trio_realtime.errors import ConfigurationError

from .settings import ServiceSettings, is_mapping

__all__ = ["SPEC_KEYS", "settings_of_spec"]

SPEC_KEYS: Final[Mapping[str, str]] = {
    "realtime_url": "realtime_url",
    "base_url": "base_url",
    "azure_endpoint": "azure_endpoint",
    "voice_live_endpoint": "voice_live_endpoint",
    "deployment": "deployment_name",
    "model": "realtime_model",
    "api_version": "api_version",
    "headers": "headers",
    "force_api_key_header": "force_api_key_header",
    "api_key_in_query": "api_key_in_query",
    "organization": "organization",
    "project": "project",
    "dialect": "dialect",
}
"""The keys of the service table of an agent spec, and the settings that they stand for."""

_SECRET_KEYS = frozenset(
    {"api_key", "apikey", "key", "token", "secret", "password", "authorization"}
)
_INSTEAD = (
    "a spec has no credentials: use ServiceSettings(api_key=...) or the variable OPENAI_API_KEY, "
    "AZURE_OPENAI_API_KEY or AZURE_VOICELIVE_API_KEY"
)


def settings_of_spec(service: Mapping[str, Any] | None) -> ServiceSettings:
    """Return the service table of a spec as settings.

    Args:
        service: the table, with the keys of :data:`SPEC_KEYS`; ``None`` for an empty one.

    Raises:
        ConfigurationError: a key is unknown, a value has the wrong type, or there are credentials in it.
    """
    given = dict(service or {})
    for key, value in given.items():
        if key.lower() in _SECRET_KEYS:
            raise ConfigurationError(f"service.{key}: {_INSTEAD}")
        if key not in SPEC_KEYS:
            close = get_close_matches(key, SPEC_KEYS, n=1)
            names = f"did you mean {close[0]}?" if close else f"there are {', '.join(SPEC_KEYS)}"
            raise ConfigurationError(f"service.{key}: unknown key: {names}")
        _check_credentials(key, value)
        _check_type(key, value)
    return ServiceSettings(**{SPEC_KEYS[key]: value for key, value in given.items()})


def _check_type(key: str, value: Any) -> None:
    name = SPEC_KEYS[key]
    try:
        ServiceSettings(**{name: value})
    except ConfigurationError as exc:
        raise ConfigurationError(f"service.{key}{str(exc).removeprefix(name)}") from None


def _check_credentials(key: str, value: Any) -> None:
    if key == "headers" and is_mapping(value):
        for name in value:
            if str(name).lower() in CREDENTIAL_HEADERS:
                raise ConfigurationError(f"service.headers.{name}: {_INSTEAD}")
    if isinstance(value, str) and "://" in value and _url_has_credentials(value):
        raise ConfigurationError(f"service.{key}: the URL contains credentials; {_INSTEAD}")


def _url_has_credentials(url: str) -> bool:
    try:
        parts = urlsplit(url)
        names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    except ValueError:
        return False  # reported where the URL is used
    return "@" in parts.netloc or bool(names & CREDENTIAL_PARAMETERS)
