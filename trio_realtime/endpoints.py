"""Where to connect, and with which credentials.

An :class:`Endpoint` is a value: it opens no connection, and only its constructors read the
environment. :meth:`Endpoint.resolve` returns the URL and headers for one connection. It calls a
key function each time, so short-lived tokens work across reconnects. No repr and no error message
of this module contains a key.

::

    constructor          URL                                                    credentials
    openai()             wss://api.openai.com/v1/realtime?model=M               Authorization: Bearer
    azure()              wss://R/openai/v1/realtime?model=DEPLOYMENT            api-key, or Bearer for a token
    azure(api_version=)  wss://R/openai/realtime?api-version=V&deployment=D     the same
    compatible(url)      url + /realtime?model=M                                set by ``auth``
    any, .attach(id)     ...?call_id=ID, without a model                        unchanged
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias, final
from urllib.parse import SplitResult, quote, urlsplit

import attrs
import trio

from trio_realtime._validation import HEADER_NAME

from ._redaction import MASK, redact_url
from .errors import ConfigurationError, ConnectFailed

__all__ = ["DEFAULT_MODEL", "Auth", "Endpoint", "Key", "ResolvedEndpoint"]

#: The default model of :meth:`Endpoint.openai`.
DEFAULT_MODEL = "gpt-realtime-2.1"

#: A key or token, or a function (sync or async, without arguments) that returns one. The function
#: is called for every connection. A sync function runs in the event loop, so it must not block.
Key: TypeAlias = str | Callable[[], str | Awaitable[str]]

#: How the key is sent. ``query`` exposes the key to every proxy that logs URLs.
Auth: TypeAlias = Literal["bearer", "api-key", "query", "none"]

_OPENAI = "https://api.openai.com/v1"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_AZURE_HOSTS = (".azure.com", ".azure.us", ".azure.cn")
_KEY_HEADERS = frozenset({"authorization", "api-key"})
_MODEL_PARAMETERS = frozenset({"model", "deployment"})
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_KEY = re.compile(r"[\x21-\x7e]+")


@final
@attrs.frozen(repr=False)
class ResolvedEndpoint:
    """The URL, headers and subprotocols of one connection. Its repr masks all secrets."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"ResolvedEndpoint(url={redact_url(self.url)!r}, "
            f"headers={_mask_headers(self.headers)}, subprotocols=<{len(self.subprotocols)}>)"
        )


@final
@attrs.frozen(repr=False, kw_only=True)
class Endpoint:
    """A realtime service and the credentials for it. Create an endpoint with a class method.

    ``default_model`` is the model to request unless :meth:`resolve` is given another one. With
    Azure it is the deployment.
    """

    url: str
    default_model: str | None = None
    auth: Auth = "none"
    headers: tuple[tuple[str, str], ...] = ()
    call_id: str | None = None
    _key: Key | None = attrs.field(default=None, alias="key")
    _key_parameter: str = attrs.field(default="api-key", alias="key_parameter")
    _adds_model: bool = attrs.field(default=True, alias="adds_model")

    @classmethod
    def openai(
        cls,
        api_key: Key | None = None,
        *,
        model: str | None = None,
        base_url: str | None = None,
        realtime_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        call_id: str | None = None,
    ) -> Endpoint:
        """Connect to OpenAI, or to a proxy that accepts the same key.

        Args:
            api_key: The key, or a function that returns it. Defaults to ``OPENAI_API_KEY``. Not
                needed if ``headers`` contain credentials.
            model: Defaults to ``gpt-realtime-2.1``.
            base_url: Defaults to ``OPENAI_BASE_URL``, then to ``https://api.openai.com/v1``.
            realtime_url: The complete URL. It is used unchanged, without adding the model.
            organization: Defaults to ``OPENAI_ORG_ID``.
            project: Defaults to ``OPENAI_PROJECT_ID``.
            headers: Additional headers. They override the headers that the library adds.
            auth: Defaults to ``api-key`` for an Azure host and to ``bearer`` otherwise.
            call_id: Join this call instead of starting a session; see :meth:`attach`.

        Raises:
            ConfigurationError: There is no key, or an argument is invalid.
        """
        default_headers = {
            "OpenAI-Organization": organization or _env("OPENAI_ORG_ID"),
            "OpenAI-Project": project or _env("OPENAI_PROJECT_ID"),
        }
        url = realtime_url or _realtime_url(base_url or _env("OPENAI_BASE_URL") or _OPENAI)
        return _make_endpoint(
            url,
            key=api_key if api_key is not None else _env("OPENAI_API_KEY"),
            missing_key_hint="pass api_key= or set OPENAI_API_KEY",
            auth=auth,
            headers=_merge_headers(headers, default_headers),
            model=model or DEFAULT_MODEL,
            adds_model=realtime_url is None,
            call_id=call_id,
        )

    @classmethod
    def azure(
        cls,
        endpoint: str | None = None,
        *,
        deployment: str | None = None,
        api_version: str | None = None,
        api_key: Key | None = None,
        token: Key | None = None,
        headers: Mapping[str, str] | None = None,
        call_id: str | None = None,
    ) -> Endpoint:
        """Connect to an Azure OpenAI resource.

        Args:
            endpoint: ``https://<resource>.openai.azure.com``. Defaults to
                ``AZURE_OPENAI_ENDPOINT``.
            deployment: Defaults to ``AZURE_OPENAI_DEPLOYMENT_NAME``.
            api_version: Selects the versioned path. Defaults to ``AZURE_OPENAI_API_VERSION``.
                Without a version (or with ``""``) the ``/openai/v1`` path is used.
            api_key: Defaults to ``AZURE_OPENAI_API_KEY``.
            token: An Entra ID token, or a function that returns one, instead of a key.
            headers: Additional headers. They override the headers that the library adds.
            call_id: Join this call instead of starting a session; see :meth:`attach`.

        Raises:
            ConfigurationError: The endpoint, the deployment or the key is missing, or an argument
                is invalid.
        """
        if api_key is not None and token is not None:
            raise ConfigurationError("pass api_key= or token= for Azure, not both")
        name = _require(
            deployment or _env("AZURE_OPENAI_DEPLOYMENT_NAME"),
            "no Azure deployment: pass deployment= or set AZURE_OPENAI_DEPLOYMENT_NAME",
        )
        resource = _require(
            endpoint or _env("AZURE_OPENAI_ENDPOINT"),
            "no Azure endpoint: pass endpoint= or set AZURE_OPENAI_ENDPOINT",
        )
        version = api_version if api_version is not None else _env("AZURE_OPENAI_API_VERSION")
        return _make_endpoint(
            _azure_url(resource, name, version),
            key=_first_given(token, api_key, _env("AZURE_OPENAI_API_KEY")),
            missing_key_hint="pass api_key= or token=, or set AZURE_OPENAI_API_KEY",
            auth="api-key" if token is None else "bearer",
            headers=_merge_headers(headers),
            model=name,
            adds_model=False,
            call_id=call_id,
        )

    @classmethod
    def compatible(
        cls,
        url: str,
        *,
        api_key: Key | None = None,
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        key_parameter: str = "api-key",
        realtime_url: bool = False,
        call_id: str | None = None,
    ) -> Endpoint:
        """Connect to any server that speaks the protocol, without reading the environment.

        Args:
            url: An ``http(s)`` or ``ws(s)`` URL. ``/realtime`` is appended to the path unless the
                path already ends with it (``/v1/realtime`` if there is no path), and the model is
                added unless the query names one.
            api_key: The server's key, if it requires one.
            model: The model to request. Without it, the URL names a model only if :meth:`resolve`
                is given one.
            headers: Additional headers. They override the headers that the library adds.
            auth: Defaults to ``none`` without a key, to ``api-key`` for an Azure host and to
                ``bearer`` otherwise.
            key_parameter: The name of the query parameter for ``auth="query"``.
            realtime_url: Whether ``url`` is complete. If so, it is used unchanged.
            call_id: Join this call instead of starting a session; see :meth:`attach`.

        Raises:
            ConfigurationError: An argument is invalid, or ``auth`` requires a missing key.
        """
        if auth is None and api_key is None:
            auth = "none"
        endpoint = _make_endpoint(
            url if realtime_url else _realtime_url(url),
            key=api_key,
            missing_key_hint='pass api_key=, or auth="none"',
            auth=auth,
            headers=_merge_headers(headers),
            model=model,
            adds_model=not realtime_url,
            call_id=call_id,
        )
        return attrs.evolve(endpoint, key_parameter=key_parameter)

    @classmethod
    def from_env(cls) -> Endpoint:
        """Create the endpoint that the environment configures.

        The first variable of this list that is set decides:

        1. ``OPENAI_REALTIME_URL``, used unchanged, with ``OPENAI_API_KEY`` if that is set;
        2. ``AZURE_OPENAI_ENDPOINT``, with the other ``AZURE_OPENAI_*`` as in :meth:`azure`;
        3. ``OPENAI_BASE_URL``, with or without ``OPENAI_API_KEY``;
        4. ``OPENAI_API_KEY``.

        Raises:
            ConfigurationError: None of these variables is set, or a value is invalid.
        """
        key, base = _env("OPENAI_API_KEY"), _env("OPENAI_BASE_URL")
        if realtime_url := _env("OPENAI_REALTIME_URL"):
            return cls.compatible(realtime_url, api_key=key, realtime_url=True)
        if _env("AZURE_OPENAI_ENDPOINT"):
            return cls.azure()
        if base and not key:
            return cls.compatible(base, model=DEFAULT_MODEL)
        if not key:
            raise ConfigurationError(
                "no endpoint in the environment: set OPENAI_API_KEY, OPENAI_BASE_URL, "
                "AZURE_OPENAI_ENDPOINT or OPENAI_REALTIME_URL"
            )
        return cls.openai()

    def attach(self, call_id: str) -> Endpoint:
        """Return an endpoint that joins the running WebRTC or SIP call ``call_id`` (``rtc_...``).

        The URL names no model, because the call already has one.
        """
        return attrs.evolve(self, call_id=_validate_call_id(call_id))

    async def resolve(self, model: str | None = None) -> ResolvedEndpoint:
        """Return the URL and headers for one connection. A key function is called each time.

        Args:
            model: Overrides ``default_model``. A model that the URL names takes precedence.

        Raises:
            ConfigurationError: The key function returned something that is not a valid key.
            ConnectFailed: The key function raised; its exception is the cause. Retrying may help.
        """
        url = self._url_for(model or self.default_model)
        value = await _fetch_key(None if self.auth == "none" else self._key)
        if self.auth == "none":
            return ResolvedEndpoint(url, self.headers)
        key = _validate_key(value)
        if self.auth == "query":
            return ResolvedEndpoint(_add_query_pair(url, self._key_parameter, key), self.headers)
        header = ("api-key", key) if self.auth == "api-key" else ("Authorization", f"Bearer {key}")
        return ResolvedEndpoint(url, (*self.headers, header))

    def _url_for(self, model: str | None) -> str:
        if self.call_id is not None:
            url = _remove_query_parameters(self.url, _MODEL_PARAMETERS)
            return _add_query_pair(url, "call_id", self.call_id)
        if self._adds_model and model and not _query_names(self.url) & _MODEL_PARAMETERS:
            return _add_query_pair(self.url, "model", model)
        return self.url

    def __repr__(self) -> str:
        parts = [repr(redact_url(self.url)), f"auth={self.auth!r}"]
        parts += [f"model={self.default_model!r}"] if self.default_model else []
        parts += [f"call_id={self.call_id!r}"] if self.call_id else []
        parts += [f"headers={_mask_headers(self.headers)}"] if self.headers else []
        return f"Endpoint({', '.join(parts)})"


def _make_endpoint(
    url: str,
    *,
    key: Key | None,
    missing_key_hint: str,
    auth: Auth | None,
    headers: tuple[tuple[str, str], ...],
    model: str | None,
    adds_model: bool,
    call_id: str | None,
) -> Endpoint:
    """Validate the arguments and create the endpoint. All constructors end here."""
    parts = _parse_url(url)
    if _KEY_HEADERS & {name.lower() for name, _ in headers}:
        auth = "none"
    auth = auth or _default_auth(parts)
    if auth != "none" and key is None:
        raise ConfigurationError(f"no API key: {missing_key_hint}")
    return Endpoint(
        url=parts.geturl(),
        default_model=model,
        auth=auth,
        headers=headers,
        call_id=None if call_id is None else _validate_call_id(call_id),
        key=key if key is None or callable(key) else _validate_key(key),
        adds_model=adds_model,
    )


def _default_auth(parts: SplitResult) -> Auth:
    return "api-key" if (parts.hostname or "").endswith(_AZURE_HOSTS) else "bearer"


async def _fetch_key(key: Key | None) -> object:
    await trio.lowlevel.checkpoint()
    if not callable(key):
        return key
    try:
        value = key()
        return await value if inspect.isawaitable(value) else value
    except Exception as exc:
        # The message omits the exception's text, because that may quote the key.
        raise ConnectFailed(f"the key function raised {_type_name(exc)}") from exc


def _type_name(value: object) -> str:
    return type(value).__name__


# --- validation: error messages never contain a value that may be secret -----------------------


def _validate_key(key: object) -> str:
    if not isinstance(key, str):
        raise ConfigurationError(f"expected the API key to be a str, got {_type_name(key)}")
    if not key:
        raise ConfigurationError("the API key is empty")
    if key != key.strip():
        raise ConfigurationError(
            "the API key starts or ends with white space, perhaps a newline: strip it"
        )
    if not _KEY.fullmatch(key):
        raise ConfigurationError("the API key contains invalid characters: check its source")
    return key


def _parse_url(url: str) -> SplitResult:
    """Split and validate a URL, with ``http(s)`` replaced by ``ws(s)``."""
    redacted = redact_url(url)
    try:
        parts = urlsplit(url)
        has_valid_port = parts.port != 0
    except ValueError:
        raise ConfigurationError(f"the URL cannot be parsed: {redacted}") from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(f"the URL must begin with https, http, wss or ws: {redacted}")
    if not parts.hostname or not has_valid_port:
        raise ConfigurationError(f"the URL has no host or an invalid port: {redacted}")
    if not re.fullmatch(r"[\x21-\x7e]+", url) or parts.fragment:
        raise ConfigurationError(
            f"the URL has a fragment or characters that must be percent-encoded: {redacted}"
        )
    return parts._replace(scheme=_SCHEMES[parts.scheme])


def _validate_call_id(call_id: str) -> str:
    if not _KEY.fullmatch(call_id):
        raise ConfigurationError(
            "the call_id must be printable ASCII without white space, and not empty"
        )
    return call_id


def _require(value: str | None, message: str) -> str:
    if not value:
        raise ConfigurationError(message)
    return value


def _first_given(*keys: Key | None) -> Key | None:
    return next((key for key in keys if key is not None), None)


def _env(name: str) -> str | None:
    """Return an environment variable. An empty variable counts as unset."""
    return os.environ.get(name) or None


# --- headers -----------------------------------------------------------------------------------


def _merge_headers(
    given: Mapping[str, str] | None, defaults: Mapping[str, str | None] | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the user's headers, and the defaults that have a value and are not overridden."""
    user_headers = tuple((given or {}).items())
    names = {name.lower() for name, _ in user_headers}
    added = ((name, value) for name, value in (defaults or {}).items() if value)
    headers = (*user_headers, *(pair for pair in added if pair[0].lower() not in names))
    for name, value in headers:
        _validate_header(name, value)
    return headers


def _validate_header(name: str, value: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise ConfigurationError("a header name contains characters that HTTP does not allow")
    if value and not _HEADER_VALUE.fullmatch(value):
        raise ConfigurationError(
            f"the value of header {name!r} contains characters that HTTP does not allow, "
            "or starts or ends with white space"
        )


def _mask_headers(headers: tuple[tuple[str, str], ...]) -> str:
    return "<" + ", ".join(f"{name}: {MASK}" for name, _ in headers) + ">"


# --- URLs --------------------------------------------------------------------------------------


def _realtime_url(base: str) -> str:
    parts = _parse_url(base)
    path = parts.path.rstrip("/") or "/v1"
    return parts._replace(path=path if path.endswith("/realtime") else f"{path}/realtime").geturl()


def _azure_url(resource: str, deployment: str, api_version: str | None) -> str:
    parts = _parse_url(resource)
    path = parts.path.rstrip("/")
    for suffix in ("/realtime", "/v1", "/openai"):
        path = path.removesuffix(suffix)
    if not api_version:
        url = parts._replace(path=f"{path}/openai/v1/realtime").geturl()
        return _add_query_pair(url, "model", deployment)
    url = parts._replace(path=f"{path}/openai/realtime").geturl()
    url = _add_query_pair(url, "api-version", api_version)
    return _add_query_pair(url, "deployment", deployment)


def _add_query_pair(url: str, name: str, value: str) -> str:
    """Append a pair to the query. The rest of the query keeps its spelling."""
    parts = urlsplit(url)
    pair = f"{quote(name, safe='')}={quote(value, safe='')}"
    return parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair).geturl()


def _remove_query_parameters(url: str, names: frozenset[str]) -> str:
    parts = urlsplit(url)
    remaining = (pair for pair in parts.query.split("&") if pair.partition("=")[0] not in names)
    return parts._replace(query="&".join(remaining)).geturl()


def _query_names(url: str) -> set[str]:
    return {pair.partition("=")[0] for pair in urlsplit(url).query.split("&")}
