"""The URL and the model of a service, from settings."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult

import attrs

from trio_realtime.endpoints.azure import (
    VOICE_LIVE_VERSION,
    VOICE_LIVE_VERSION_FOR_AGENT_NAMES,
    AzureUrl,
    is_azure_host,
    is_voice_live,
    voice_live_url,
)
from trio_realtime.endpoints.urls import (
    MODEL_PARAMETERS,
    parse_url,
    query_names,
    query_value,
    remove_query_parameters,
)
from trio_realtime.errors import ConfigurationError

from .lookup import Candidate, Found, Lookup

__all__ = ["ServiceAddress", "ServiceKind", "find_address"]

ServiceKind: TypeAlias = Literal["openai", "azure", "voice_live", "compatible"]

_OPENAI: Final = "https://api.openai.com/v1"
_AGENT_PARAMETERS: Final = frozenset({"agent-name", "agent-id"})
_ADDRESSES: Final[tuple[Candidate, ...]] = (
    ("realtime_url", ("OPENAI_REALTIME_URL",)),
    ("base_url", ("OPENAI_REALTIME_BASE_URL",)),
    ("azure_endpoint", ("AZURE_OPENAI_ENDPOINT",)),
    ("voice_live_endpoint", ("AZURE_VOICELIVE_ENDPOINT",)),
    ("base_url", ("OPENAI_BASE_URL",)),
)
_DEPLOYMENTS: Final[tuple[Candidate, ...]] = (
    ("deployment_name", ("AZURE_OPENAI_DEPLOYMENT_NAME",)),
    ("realtime_deployment", ("OPENAI_REALTIME_DEPLOYMENT",)),
    ("realtime_model", ("OPENAI_REALTIME_MODEL",)),
)
# The variables of deployments are about Azure. A deployment that is given or in the spec is meant for
# the service of the same settings, which may be a proxy of Azure.
_MODELS: Final[tuple[Candidate, ...]] = (
    ("realtime_model", ("OPENAI_REALTIME_MODEL",)),
    ("deployment_name", ()),
    ("realtime_deployment", ()),
)
_VOICE_LIVE_MODELS: Final[tuple[Candidate, ...]] = (
    ("realtime_model", ("AZURE_VOICELIVE_MODEL", "OPENAI_REALTIME_MODEL")),
    *_MODELS[1:],
)


@attrs.frozen(kw_only=True)
class ServiceAddress:
    """Where a service is.

    Args:
        kind: what service it is.
        url: the URL, for :meth:`Endpoint.compatible`.
        is_complete: whether the URL is used unchanged.
        model: the model, with its origin; ``None`` if the URL names none and takes none.
        found: the setting with the address.
        version: the API version, with its origin, if one was added.
    """

    kind: ServiceKind
    url: str
    is_complete: bool
    model: Found | None
    found: Found
    version: Found | None = None


def find_address(lookup: Lookup, default_model: str | None) -> ServiceAddress:
    """Return the address that the settings choose.

    Args:
        lookup: the settings.
        default_model: the model if nothing else names one.

    Raises:
        ConfigurationError: the address is no URL, or Azure needs a deployment or a version.
    """
    default = Found(setting="base_url", value=_OPENAI, origin="default")
    found = lookup.find_first(*_ADDRESSES) or default
    try:
        kind = _kind_of(found.setting, parse_url(found.value))
        if found.setting == "realtime_url":
            model = _model_in(found, found.value)
            return ServiceAddress(
                kind=kind, url=found.value, is_complete=True, model=model, found=found
            )
        if kind == "azure":
            return _azure_address(lookup, found, default_model)
        if kind == "voice_live":
            return _voice_live_address(lookup, found, default_model)
        url, model = _with_model(lookup, found, found.value, _MODELS, default_model)
        return ServiceAddress(kind=kind, url=url, is_complete=False, model=model, found=found)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{found.label}: {exc}") from None


def _kind_of(setting: str, parts: SplitResult) -> ServiceKind:
    if setting == "voice_live_endpoint" or is_voice_live(parts):
        return "voice_live"
    if setting == "azure_endpoint" or is_azure_host(parts):
        return "azure"
    host = parts.hostname or ""
    return "openai" if f".{host}".endswith(".api.openai.com") else "compatible"


def _model_in(found: Found, url: str) -> Found | None:
    """Return the model that a URL names. Its origin is that of the URL."""
    name = query_value(url, "model", "deployment")
    return attrs.evolve(found, setting="realtime_model", value=name) if name else None


def _with_model(
    lookup: Lookup,
    found: Found,
    url: str,
    candidates: tuple[Candidate, ...],
    default_model: str | None,
) -> tuple[str, Found | None]:
    """Return the URL without the model, and the model: explicit, in the URL, or from elsewhere."""
    given = lookup.find_first(*candidates)
    in_url = _model_in(found, url)
    if in_url is None or (given is not None and given.origin == "explicit"):
        default = Found(setting="realtime_model", value=default_model, origin="default")
        url = remove_query_parameters(url, MODEL_PARAMETERS)
        return url, given or (default if default_model else None)
    return url, in_url


# --- Azure -------------------------------------------------------------------------------------


def _azure_address(lookup: Lookup, found: Found, default_model: str | None) -> ServiceAddress:
    azure = AzureUrl.parse(found.value)
    version = (
        None if azure.is_v1 else _version(lookup, azure.api_version, "AZURE_OPENAI_API_VERSION")
    )
    if version is not None:
        azure = azure.with_version(version.value)
    deployment = _deployment(lookup, found, azure.deployment, default_model)
    azure = attrs.evolve(azure, deployment=deployment.value)
    return ServiceAddress(
        kind="azure",
        url=azure.realtime_url(),
        is_complete=True,
        model=deployment,
        found=found,
        version=version,
    )


def _deployment(
    lookup: Lookup, found: Found, in_url: str | None, default_model: str | None
) -> Found:
    given = lookup.find_first(*_DEPLOYMENTS)
    if given is not None and (given.origin == "explicit" or in_url is None):
        return given
    if in_url is not None:
        return attrs.evolve(found, setting="deployment_name", value=in_url)
    if default_model:
        return Found(setting="deployment_name", value=default_model, origin="default")
    raise ConfigurationError(
        "no Azure deployment: give the setting deployment_name, or set AZURE_OPENAI_DEPLOYMENT_NAME"
    )


def _version(lookup: Lookup, in_url: str | None, variable: str) -> Found | None:
    """Return the API version to add: an explicit one, or any other if the URL has none."""
    given = lookup.find("api_version", variable)
    is_explicit = given is not None and given.origin == "explicit"
    return given if is_explicit or in_url is None else None


def _voice_live_address(lookup: Lookup, found: Found, default_model: str | None) -> ServiceAddress:
    names = query_names(found.value)
    version = _version(
        lookup, query_value(found.value, "api-version"), "AZURE_VOICELIVE_API_VERSION"
    )
    by_name = "agent-name" in names
    url = voice_live_url(
        found.value,
        None if version is None else version.value,
        VOICE_LIVE_VERSION_FOR_AGENT_NAMES if by_name else VOICE_LIVE_VERSION,
    )
    model: Found | None = None
    if not names & _AGENT_PARAMETERS:  # an agent has a model of its own
        url, model = _with_model(lookup, found, url, _VOICE_LIVE_MODELS, default_model)
        if model is None:
            raise ConfigurationError(
                "no Voice Live model: give the setting realtime_model, or set AZURE_VOICELIVE_MODEL"
            )
    return ServiceAddress(
        kind="voice_live", url=url, is_complete=False, model=model, found=found, version=version
    )
