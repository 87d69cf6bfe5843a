"""Warnings about models that OpenAI shuts down soon, once per process and model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

from .config import SessionConfig
from .endpoints import Endpoint
from .endpoints.azure import is_azure_host
from .models import (
    PROMPTS_END,
    EndDate,
    ModelEndDateWarning,
    end_date_of,
    end_date_warning,
)

_warned: set[str] = set()
"""What this process has warned about."""


def warn_about_end_dates(
    endpoint: Endpoint, config: SessionConfig, *, stacklevel: int, uses_prompt: bool = False
) -> None:
    """Issue a :class:`ModelEndDateWarning` for each setting of a new session that ends soon.

    Azure has its own dates, and its names of deployments say nothing about the model. So there is no
    warning for Azure.

    Args:
        endpoint: the service, which may name the model.
        config: the settings of the session.
        stacklevel: as for :func:`warnings.warn`, counted from the caller: 1 is the caller itself.
        uses_prompt: the agent has a stored prompt of its own.
    """
    if is_azure_host(urlsplit(endpoint.url)):
        return
    today = _today()
    for subject, end in _ending(endpoint, config, uses_prompt=uses_prompt):
        message = end_date_warning(subject, end, today)
        if message is not None and subject not in _warned:
            warnings.warn(message, ModelEndDateWarning, stacklevel=stacklevel + 1)
            _warned.add(subject)


def _today() -> date:
    return datetime.now(UTC).date()


def _ending(
    endpoint: Endpoint, config: SessionConfig, *, uses_prompt: bool
) -> Iterator[tuple[str, EndDate | None]]:
    """Yield what the session uses, with its end date."""
    if model := _model(endpoint, config):
        yield f"the model {model}", end_date_of(model)
    if config.transcription and config.transcription.model:
        model = config.transcription.model
        yield f"the transcription model {model}", end_date_of(model)
    if config.prompt or uses_prompt:
        yield "the API of stored prompts (v1/prompts)", PROMPTS_END


def _model(endpoint: Endpoint, config: SessionConfig) -> str | None:
    """Return the model that the session requests; ``None`` if it joins a call, which has one."""
    if endpoint.call_id is not None:
        return None
    named = parse_qs(urlsplit(endpoint.url).query).get("model")
    return named[0] if named else config.model or endpoint.default_model
