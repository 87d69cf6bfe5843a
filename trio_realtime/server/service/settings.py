"""The settings that choose a service, and where the value of each one came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, TypeGuard, get_args

import attrs

from trio_realtime._redaction import MASK, redact_url
from trio_realtime.endpoints import Key
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire.dialects import DialectName

__all__ = ["Origin", "ServiceSettings", "SettingSource", "is_mapping", "mask_value"]

Origin: TypeAlias = Literal["explicit", "environment", "spec", "default"]
"""Where a value came from, in the order of precedence."""

_HEADER_FIELDS: Final = ("headers", "extra_headers", "openai_headers", "openai_extra_headers")
_URL_FIELDS: Final = (
    "realtime_url",
    "base_url",
    "azure_endpoint",
    "voice_live_endpoint",
    "proxy",
)
_SECRET_FIELDS: Final = ("api_key", "token")


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a mapping."""
    return isinstance(value, Mapping)


def mask_value(name: str, value: Any) -> str:
    """Return the value of a setting as text for a log or a repr, without its secrets.

    Args:
        name: the name of the setting.
        value: its value.
    """
    if name in _SECRET_FIELDS:
        return MASK if value else ""
    if name in _URL_FIELDS and value:
        return redact_url(str(value))
    if name in _HEADER_FIELDS and is_mapping(value):
        return "<" + ", ".join(f"{header}: {MASK}" for header in value) + ">"
    return str(value)


def _fail(attribute: attrs.Attribute[Any], expected: str, value: Any) -> ConfigurationError:
    # Not the value: it may be a key in the wrong place.
    return ConfigurationError(f"{attribute.name}: expected {expected}, got {type(value).__name__}")


def _check_text(_settings: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise _fail(attribute, "a str", value)


def _check_key(_settings: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, str) and not callable(value):
        raise _fail(attribute, "a str, or a function that returns one", value)


def _check_headers(_settings: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if not is_mapping(value):
        raise _fail(attribute, "a mapping of names to values", value)
    for name, text in value.items():
        if not isinstance(name, str):
            raise _fail(attribute, "names that are a str", name)
        if not isinstance(text, str):
            raise ConfigurationError(
                f"{attribute.name}.{name}: expected a str, got {type(text).__name__}"
            )


def _check_flag(_settings: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise _fail(attribute, "true or false", value)


def _check_path(_settings: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, str | os.PathLike):
        raise _fail(attribute, "a path", value)


def _check_dialect(_settings: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value and value not in get_args(DialectName):
        names = ", ".join(map(repr, get_args(DialectName)))
        raise ConfigurationError(f"{attribute.name}: expected one of {names}")


def _copy_headers(value: Any) -> Any:
    return dict(value) if is_mapping(value) else value


def _as_flag(value: Any) -> Any:
    return False if isinstance(value, str) and not value else value


def _text() -> Any:
    return attrs.field(default=None, validator=_check_text)


def _headers() -> Any:
    return attrs.field(default=None, converter=_copy_headers, validator=_check_headers)


def _flag() -> Any:
    return attrs.field(default=None, converter=_as_flag, validator=_check_flag)


@attrs.frozen(kw_only=True, repr=False)
class ServiceSettings:
    """The settings that choose a service. They take precedence over the environment and the spec.

    ``None`` means that a setting is not given. An empty string means that it is blank: its variables in
    the environment are then ignored, and the spec or the default decides. The first address of the
    list below that is given decides; explicit addresses come before those of the environment.

    The repr masks keys, the values of headers, and the secret parts of URLs.

    Args:
        realtime_url: the complete URL, used unchanged. ``OPENAI_REALTIME_URL``.
        base_url: a URL to which ``/realtime`` and the model are added. ``OPENAI_REALTIME_BASE_URL``, and
            after the Azure endpoints ``OPENAI_BASE_URL``.
        azure_endpoint: the URL of an Azure OpenAI resource. ``AZURE_OPENAI_ENDPOINT``.
        voice_live_endpoint: the URL of a resource with Azure Voice Live. ``AZURE_VOICELIVE_ENDPOINT``.
        deployment_name: the deployment at Azure. ``AZURE_OPENAI_DEPLOYMENT_NAME``.
        realtime_deployment: the deployment, if ``deployment_name`` is not given.
            ``OPENAI_REALTIME_DEPLOYMENT``.
        realtime_model: the model; at Azure the deployment, if the other two are not given.
            ``OPENAI_REALTIME_MODEL``; for Voice Live, ``AZURE_VOICELIVE_MODEL`` before it.
        api_version: the version for Azure, which a URL of the form ``/openai/v1`` does not take.
            ``AZURE_OPENAI_API_VERSION``; for Voice Live, ``AZURE_VOICELIVE_API_VERSION``.
        api_key: the key; or a function, sync or async, that returns it for each connection.
            ``OPENAI_API_KEY``, ``AZURE_OPENAI_API_KEY`` or ``AZURE_VOICELIVE_API_KEY``.
        token: an Entra ID token, or a function like that of ``api_key``, instead of a key.
        headers, extra_headers, openai_headers, openai_extra_headers: HTTP headers of the connection. They
            are merged in this order: a later one replaces an earlier one of the same name in any case. No
            key is sent where a header is ``Authorization`` or ``api-key``.
        force_api_key_header: send the key in the header ``api-key``.
            ``OPENAI_REALTIME_FORCE_API_KEY_HEADER``.
        api_key_in_query: send the key in the query, where every proxy can log it.
            ``OPENAI_REALTIME_API_KEY_IN_QUERY``.
        organization, project: the headers ``OpenAI-Organization`` and ``OpenAI-Project``.
            ``OPENAI_ORG_ID`` and ``OPENAI_PROJECT_ID``, which are not sent to Azure.
        dialect: the spelling of the protocol; by default, the URL decides.
        proxy: the URL of a proxy; ``""`` for a direct connection. ``HTTPS_PROXY`` and the like.
        ca_file: a file with the certificates to trust, in PEM format.

    Raises:
        ConfigurationError: a setting has the wrong type. The message does not quote the value.
    """

    realtime_url: str | None = _text()
    base_url: str | None = _text()
    azure_endpoint: str | None = _text()
    voice_live_endpoint: str | None = _text()
    deployment_name: str | None = _text()
    realtime_deployment: str | None = _text()
    realtime_model: str | None = _text()
    api_version: str | None = _text()
    api_key: Key | None = attrs.field(default=None, validator=_check_key)
    token: Key | None = attrs.field(default=None, validator=_check_key)
    headers: Mapping[str, str] | None = _headers()
    extra_headers: Mapping[str, str] | None = _headers()
    openai_headers: Mapping[str, str] | None = _headers()
    openai_extra_headers: Mapping[str, str] | None = _headers()
    force_api_key_header: bool | None = _flag()
    api_key_in_query: bool | None = _flag()
    organization: str | None = _text()
    project: str | None = _text()
    dialect: DialectName | Literal[""] | None = attrs.field(
        default=None, validator=[_check_text, _check_dialect]
    )
    proxy: str | None = _text()
    ca_file: str | os.PathLike[str] | None = attrs.field(default=None, validator=_check_path)

    def all_headers(self) -> tuple[Mapping[str, str], ...]:
        """Return the four mappings of headers, the most important one last."""
        return tuple(getattr(self, name) or {} for name in _HEADER_FIELDS)

    def __repr__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in attrs.fields(type(self))}
        shown = [
            f"{name}={mask_value(name, value) or repr('')}"
            for name, value in given.items()
            if value is not None
        ]
        return f"ServiceSettings({', '.join(shown)})"


@attrs.frozen(kw_only=True)
class SettingSource:
    """Where the value of a setting came from.

    Attributes:
        setting: the name of the setting, as in :class:`ServiceSettings`; ``auth`` for how the key is sent.
        origin: ``explicit``, ``environment``, ``spec`` or ``default``.
        variable: the variable in the environment, if that is the origin.
        value: the value, with its secrets masked.
    """

    setting: str
    origin: Origin
    value: str
    variable: str | None = None

    def __str__(self) -> str:
        origin = f"{self.origin} {self.variable}" if self.variable else self.origin
        return f"{self.setting}={self.value} ({origin})"
