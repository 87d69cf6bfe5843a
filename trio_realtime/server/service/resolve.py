"""Which service a session connects to, with which credentials, and where each value came from."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from trio_realtime.endpoints import DEFAULT_MODEL, Auth, Endpoint
from trio_realtime.endpoints.credentials import has_credentials, validate_key
from trio_realtime.endpoints.urls import query_names
from trio_realtime.errors import ConfigurationError

from .address import ServiceAddress, find_address
from .lookup import Found, Lookup
from .settings import Origin, ServiceSettings, SettingSource
from .spec_service import settings_of_spec

__all__ = ["ResolvedService", "resolve_service"]

_LOGGER = logging.getLogger("trio_realtime.server.service")

_FORCE_HEADER: Final = "OPENAI_REALTIME_FORCE_API_KEY_HEADER"
_IN_QUERY: Final = "OPENAI_REALTIME_API_KEY_IN_QUERY"
_KEY_PARAMETER: Final = "api-key"


@attrs.frozen(kw_only=True)
class ResolvedService:
    """The service of a session. The repr masks all secrets.

    Attributes:
        endpoint: where to connect, with the credentials.
        model: the model to request, or the deployment at Azure. Give it to the session's configuration,
            ``attrs.evolve(config, model=resolved.model)``, because the model of a configuration takes
            precedence over that of an endpoint. ``None`` if a complete URL names no model.
        sources: where each value came from, with secrets masked.
    """

    endpoint: Endpoint
    model: str | None
    sources: tuple[SettingSource, ...]


def resolve_service(
    settings: ServiceSettings | None = None,
    spec_service: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    default_model: str | None = DEFAULT_MODEL,
) -> ResolvedService:
    """Return the service that settings, the environment and an agent spec choose together.

    An explicit setting comes first, then the environment, then the spec, then the default. A blank
    setting suppresses its variables. The values are logged at INFO with their origins, with secrets
    masked. A ``ca_file`` is read; nothing else is.

    An explicit model, deployment or version replaces the one in a URL, except in a ``realtime_url``,
    which is used unchanged. Otherwise the one in the URL comes first.

    An Azure host gets the form ``/openai/realtime?api-version=V&deployment=D`` if there is a version, and
    the form ``/openai/v1/realtime?model=D`` otherwise. A URL of the form ``/openai/v1`` keeps it.

    Args:
        settings: the explicit settings.
        spec_service: the service of the agent spec, with the keys of
            :data:`~trio_realtime.server.service.SPEC_KEYS`.
        environ: the environment; ``os.environ`` by default. With another one, no variable of this
            process is read, not even those of proxies.
        default_model: the model if nothing else names one; ``None`` for no model.

    Raises:
        ConfigurationError: a key, a deployment or a model is missing, a value is invalid, or settings
            contradict each other. The message names the setting and the variable, and has no secrets.
    """
    explicit = settings or ServiceSettings()
    variables = os.environ if environ is None else environ
    lookup = Lookup(explicit, variables, settings_of_spec(spec_service))
    address = find_address(lookup, default_model)
    details = [
        *(lookup.find(name) for name in ("dialect", "ca_file")),
        *_organization(lookup, address),
    ]
    headers = _merge_headers(lookup, details)
    key, auth = _credentials(lookup, address, headers)
    endpoint = Endpoint.compatible(
        address.url,
        api_key=None if key is None else key.value,
        model=None if address.model is None else address.model.value,
        headers=headers,
        auth=auth,
        key_parameter=_KEY_PARAMETER,
        realtime_url=address.is_complete,
        dialect=_value(details[0]),
        proxy=explicit.proxy,
        ca_file=_value(details[1]),
    )
    if explicit.proxy is None and variables is not os.environ:
        endpoint = endpoint.with_proxy_from(variables)
    found = [address.found, address.model, address.version, key, *details]
    sources = (
        *(one.source() for one in found if one is not None),
        *_header_sources(lookup),
        *_proxy_sources(explicit, endpoint),
        _auth_source(lookup, endpoint),
    )
    _LOGGER.info("resolved the service: %s", ", ".join(map(str, sources)))
    model = None if address.model is None else address.model.value
    return ResolvedService(endpoint=endpoint, model=model, sources=sources)


def _value(found: Found | None) -> Any:
    return None if found is None else found.value


# --- headers -----------------------------------------------------------------------------------


def _organization(lookup: Lookup, address: ServiceAddress) -> list[Found | None]:
    """Return the organization and the project. Those of the environment do not concern Azure."""
    found = [
        lookup.find("organization", "OPENAI_ORG_ID"),
        lookup.find("project", "OPENAI_PROJECT_ID"),
    ]
    if address.kind in {"openai", "compatible"}:
        return [*found]
    return [one for one in found if one is not None and one.origin == "explicit"]


def _merge_headers(lookup: Lookup, details: list[Found | None]) -> dict[str, str]:
    """Merge all headers. A later one replaces an earlier one of the same name in any case."""
    names = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}
    own = {names[one.setting]: one.value for one in details if one and one.setting in names}
    merged: dict[str, tuple[str, str]] = {}
    for headers in (own, *lookup.spec.all_headers(), *lookup.explicit.all_headers()):
        for name, value in headers.items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


# --- credentials -------------------------------------------------------------------------------


def _credentials(
    lookup: Lookup, address: ServiceAddress, headers: Mapping[str, str]
) -> tuple[Found | None, Auth]:
    """Return the key and how it is sent.

    Raises:
        ConfigurationError: there is no key, although the service requires one, or settings contradict
            each other.
    """
    auth = _auth(lookup, address)
    if has_credentials(tuple(headers.items())) or _has_credentials(address.url):
        return None, "none"
    token, api_key = lookup.find("token"), lookup.find("api_key")
    if token is not None and api_key is not None:
        raise ConfigurationError("give api_key or token, not both")
    if token is not None:
        return _checked(token), "bearer"
    variables = _key_variables(address)
    key = lookup.find("api_key", *variables)
    if key is not None:
        return _checked(key), auth
    if address.kind == "compatible":
        return None, "none"
    also = "" if address.kind == "openai" else " or token"
    raise ConfigurationError(
        f"no API key for {urlsplit(address.url).hostname}: give the setting api_key{also}, or set "
        f"{' or '.join(variables)}"
        + (" (a blank api_key suppresses the variable)" if lookup.explicit.api_key == "" else "")
    )


def _checked(key: Found) -> Found:
    """Check a key that is no function.

    Raises:
        ConfigurationError: it cannot be sent. The message names the setting or the variable.
    """
    if not callable(key.value):
        try:
            validate_key(key.value)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{key.label}: {exc}") from None
    return key


def _has_credentials(url: str) -> bool:
    return _KEY_PARAMETER in query_names(url) or "@" in urlsplit(url).netloc


def _key_variables(address: ServiceAddress) -> tuple[str, ...]:
    if address.kind == "voice_live":
        return ("AZURE_VOICELIVE_API_KEY",)
    if address.found.setting == "azure_endpoint":
        return ("AZURE_OPENAI_API_KEY",)
    # The URL may be that of an OpenAI client, whose key is in this variable also for Azure.
    azure = ("AZURE_OPENAI_API_KEY",) if address.kind == "azure" else ()
    return (*azure, "OPENAI_API_KEY")


def _flags(lookup: Lookup) -> Found | None:
    """Return the setting that says how the key is sent.

    Raises:
        ConfigurationError: two settings of the same origin contradict each other.
    """
    force = lookup.find_flag("force_api_key_header", _FORCE_HEADER)
    query = lookup.find_flag("api_key_in_query", _IN_QUERY)
    given = [one for one in (force, query) if one is not None and one.value]
    if len(given) == 2 and given[0].origin == given[1].origin:
        raise ConfigurationError(
            f"{given[0].label} and {given[1].label} contradict each other: give one"
        )
    order = ("explicit", "environment", "spec")
    return min(given, key=lambda one: order.index(one.origin), default=None)


def _auth(lookup: Lookup, address: ServiceAddress) -> Auth:
    flag = _flags(lookup)
    if flag is not None:
        return "api-key" if flag.setting == "force_api_key_header" else "query"
    return "api-key" if address.kind in {"azure", "voice_live"} else "bearer"


# --- sources -----------------------------------------------------------------------------------


def _header_sources(lookup: Lookup) -> list[SettingSource]:
    names = ("headers", "extra_headers", "openai_headers", "openai_extra_headers")
    found = [
        *(Found(setting=one, value=getattr(lookup.spec, one), origin="spec") for one in names),
        *(
            Found(setting=one, value=getattr(lookup.explicit, one), origin="explicit")
            for one in names
        ),
    ]
    return [one.source() for one in found if one.value]


def _proxy_sources(explicit: ServiceSettings, endpoint: Endpoint) -> list[SettingSource]:
    if not endpoint.proxy:
        return []
    origin: Origin = "environment" if explicit.proxy is None else "explicit"
    return [Found(setting="proxy", value=endpoint.proxy, origin=origin).source()]


def _auth_source(lookup: Lookup, endpoint: Endpoint) -> SettingSource:
    flag = _flags(lookup)
    if flag is None or endpoint.auth not in {"api-key", "query"}:
        return SettingSource(setting="auth", origin="default", value=endpoint.auth)
    return SettingSource(
        setting="auth", origin=flag.origin, variable=flag.variable, value=endpoint.auth
    )
