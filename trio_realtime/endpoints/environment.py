"""The environment variables that configure a service. An empty variable counts as unset."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from trio_realtime.errors import ConfigurationError

from .credentials import Auth

__all__ = [
    "SERVICE_VARIABLES",
    "auth_from_environment",
    "env",
    "env_flag",
    "given_or_env",
    "parse_flag",
    "recorded_variables",
]

#: If one of these variables is set, ``Endpoint.from_env`` creates an endpoint. The first one that
#: is set decides which.
SERVICE_VARIABLES: Final[tuple[str, ...]] = (
    "OPENAI_REALTIME_URL",
    "OPENAI_REALTIME_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_VOICELIVE_ENDPOINT",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
)

_FORCE_HEADER = "OPENAI_REALTIME_FORCE_API_KEY_HEADER"
_IN_QUERY = "OPENAI_REALTIME_API_KEY_IN_QUERY"

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


_record: ContextVar[set[str] | None] = ContextVar("_record", default=None)


@contextmanager
def recorded_variables() -> Generator[set[str]]:
    """Collect the names of the variables that the block reads and that are set."""
    names: set[str] = set()
    token = _record.set(names)
    try:
        yield names
    finally:
        _record.reset(token)


def _read(name: str) -> str:
    value = os.environ.get(name, "")
    if value and (record := _record.get()) is not None:
        record.add(name)
    return value


def env(*names: str) -> str | None:
    """Return the value of the first of these variables that is set."""
    return next((value for name in names if (value := _read(name))), None)


def env_flag(name: str) -> bool:
    """Return the value of a variable that is a boolean.

    Raises:
        ConfigurationError: The value is none of the accepted words. The message does not quote it.
    """
    return parse_flag(_read(name), name)


def parse_flag(value: str, name: str) -> bool:
    """Return the boolean that the value of a variable means. An empty value is false.

    Args:
        value: The value.
        name: The name of the variable, for the message.

    Raises:
        ConfigurationError: The value is none of the accepted words. The message does not quote it.
    """
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ConfigurationError(f"{name} must be 1, true, yes or on, or 0, false, no or off")
    return word in _TRUE


def given_or_env(argument: str | None, *names: str) -> str | None:
    """Return the argument, or a variable if it is ``None``. A blank argument suppresses these."""
    return (env(*names) if argument is None else argument) or None


def auth_from_environment() -> Auth | None:
    """Return how the environment wants keys to be sent, ``None`` if it does not say.

    Raises:
        ConfigurationError: A variable is not a boolean, or the variables contradict each other.
    """
    in_header, in_query = env_flag(_FORCE_HEADER), env_flag(_IN_QUERY)
    if in_header and in_query:
        raise ConfigurationError(f"{_FORCE_HEADER} and {_IN_QUERY} contradict each other: set one")
    if in_header:
        return "api-key"
    return "query" if in_query else None
