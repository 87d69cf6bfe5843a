"""Where to connect, and with which credentials.

An :class:`Endpoint` is a value: it opens nothing and reads the environment only while it is made.
:meth:`Endpoint.resolve` turns it into one URL with its headers, asking for the key anew each time,
so that short-lived tokens work across reconnects. Nothing here prints a key, whatever happens.

::

    made with            URL                                                    credentials
    openai()             wss://api.openai.com/v1/realtime?model=M               Authorization: Bearer
    azure()              wss://R/openai/v1/realtime?model=DEPLOYMENT            api-key, or Bearer for a token
    azure(api_version=)  wss://R/openai/realtime?api-version=V&deployment=D     the same
    compatible(url)      url + /realtime?model=M                                as ``auth`` says
    any, .attach(id)     ...?call_id=ID, and no model                           unchanged
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

#: What :meth:`Endpoint.openai` asks for where nobody chose.
DEFAULT_MODEL = "gpt-realtime"

#: A key or token, or a function (sync or async, without arguments) that is asked at every dial.
#: A sync one must not block: it runs in the event loop.
Key: TypeAlias = str | Callable[[], str | Awaitable[str]]

#: How the key travels. ``query`` shows it to every proxy that logs URLs.
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
    """One URL to dial, with its headers. Holds secrets, and shows none."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"ResolvedEndpoint(url={redact_url(self.url)!r}, "
            f"headers={_masked(self.headers)}, subprotocols=<{len(self.subprotocols)}>)"
        )


@final
@attrs.frozen(repr=False, kw_only=True)
class Endpoint:
    """A realtime service and the way in. Make one with a class method.

    ``default_model`` is the model that is asked for where nobody chooses another; with Azure it is
    the deployment.
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
        """The OpenAI service, or what stands in for it under the same key.

        Args:
            api_key: by default ``OPENAI_API_KEY``. Not needed when ``headers`` carry credentials.
            model: by default ``gpt-realtime``.
            base_url: by default ``OPENAI_BASE_URL``, then ``https://api.openai.com/v1``.
            realtime_url: the whole URL, used as it is: nothing is added to it.
            organization: by default ``OPENAI_ORG_ID``.
            project: by default ``OPENAI_PROJECT_ID``.
            headers: sent too; they win over ours of the same name.
            auth: by default ``api-key`` for an Azure host, else ``bearer``.
            call_id: join this call instead of starting a session; see :meth:`attach`.

        Raises:
            ConfigurationError: no key, or an argument that cannot work.
        """
        ours = {
            "OpenAI-Organization": organization or _env("OPENAI_ORG_ID"),
            "OpenAI-Project": project or _env("OPENAI_PROJECT_ID"),
        }
        url = realtime_url or _realtime_url(base_url or _env("OPENAI_BASE_URL") or _OPENAI)
        return _make(
            url,
            key=api_key if api_key is not None else _env("OPENAI_API_KEY"),
            how_to_give_a_key="pass api_key= or set OPENAI_API_KEY",
            auth=auth,
            headers=_merged(headers, ours),
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
        """An Azure OpenAI resource.

        Args:
            endpoint: ``https://<resource>.openai.azure.com``; by default ``AZURE_OPENAI_ENDPOINT``.
            deployment: by default ``AZURE_OPENAI_DEPLOYMENT_NAME``.
            api_version: asks for the versioned path. By default ``AZURE_OPENAI_API_VERSION``; without
                one (or with ``""``) the ``/openai/v1`` path is used.
            api_key: by default ``AZURE_OPENAI_API_KEY``.
            token: an Entra ID token, or what provides one, instead of a key.
            headers: sent too; they win over ours of the same name.
            call_id: join this call instead of starting a session; see :meth:`attach`.

        Raises:
            ConfigurationError: no endpoint, deployment or key, or an argument that cannot work.
        """
        if api_key is not None and token is not None:
            raise ConfigurationError("give Azure an api_key or a token, not both")
        name = _needed(
            deployment or _env("AZURE_OPENAI_DEPLOYMENT_NAME"),
            "no Azure deployment: pass deployment= or set AZURE_OPENAI_DEPLOYMENT_NAME",
        )
        resource = _needed(
            endpoint or _env("AZURE_OPENAI_ENDPOINT"),
            "no Azure endpoint: pass endpoint= or set AZURE_OPENAI_ENDPOINT",
        )
        version = api_version if api_version is not None else _env("AZURE_OPENAI_API_VERSION")
        return _make(
            _azure_url(resource, name, version),
            key=_first(token, api_key, _env("AZURE_OPENAI_API_KEY")),
            how_to_give_a_key="pass api_key= or token=, or set AZURE_OPENAI_API_KEY",
            auth="api-key" if token is None else "bearer",
            headers=_merged(headers),
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
        """Any server that speaks the protocol. Reads nothing from the environment.

        Args:
            url: ``http(s)`` or ``ws(s)``. ``/realtime`` is added to a path that does not end so,
                ``/v1/realtime`` where there is no path, and the model where the query has none.
            api_key: what the server wants, if anything.
            model: without one none is asked for, unless :meth:`resolve` is given one.
            headers: sent too; they win over ours of the same name.
            auth: by default ``none`` without a key, ``api-key`` for an Azure host, else ``bearer``.
            key_parameter: the name of the query parameter for ``auth="query"``.
            realtime_url: ``url`` is complete: nothing is added to it.
            call_id: join this call instead of starting a session; see :meth:`attach`.

        Raises:
            ConfigurationError: an argument that cannot work, or an ``auth`` without a key.
        """
        if auth is None and api_key is None:
            auth = "none"
        endpoint = _make(
            url if realtime_url else _realtime_url(url),
            key=api_key,
            how_to_give_a_key='pass api_key=, or auth="none"',
            auth=auth,
            headers=_merged(headers),
            model=model,
            adds_model=not realtime_url,
            call_id=call_id,
        )
        return attrs.evolve(endpoint, key_parameter=key_parameter)

    @classmethod
    def from_env(cls) -> Endpoint:
        """What the environment says: the first of these that is set.

        1. ``OPENAI_REALTIME_URL``, used as it is, with ``OPENAI_API_KEY`` if there is one;
        2. ``AZURE_OPENAI_ENDPOINT``, with the other ``AZURE_OPENAI_*`` as in :meth:`azure`;
        3. ``OPENAI_BASE_URL``, with or without ``OPENAI_API_KEY``;
        4. ``OPENAI_API_KEY``.

        Raises:
            ConfigurationError: none of them is set, or what is set cannot work.
        """
        key, base = _env("OPENAI_API_KEY"), _env("OPENAI_BASE_URL")
        if exact := _env("OPENAI_REALTIME_URL"):
            return cls.compatible(exact, api_key=key, realtime_url=True)
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
        """The same service, joining the running call ``call_id`` (``rtc_...``) beside its caller.

        Such a connection names no model: the call has one.
        """
        return attrs.evolve(self, call_id=_checked_call_id(call_id))

    async def resolve(self, model: str | None = None) -> ResolvedEndpoint:
        """Say what to dial now. A key that is a function is asked each time.

        Args:
            model: instead of ``default_model``, where the URL does not name one itself.

        Raises:
            ConfigurationError: the function gave no usable key.
            ConnectFailed: the function raised; its exception is the cause. Trying again may help.
        """
        url = self._url_for(model or self.default_model)
        answer = await _ask(None if self.auth == "none" else self._key)
        if self.auth == "none":
            return ResolvedEndpoint(url, self.headers)
        key = _checked_key(answer)
        if self.auth == "query":
            return ResolvedEndpoint(_with(url, self._key_parameter, key), self.headers)
        header = ("api-key", key) if self.auth == "api-key" else ("Authorization", f"Bearer {key}")
        return ResolvedEndpoint(url, (*self.headers, header))

    def _url_for(self, model: str | None) -> str:
        if self.call_id is not None:
            return _with(_without(self.url, _MODEL_PARAMETERS), "call_id", self.call_id)
        if self._adds_model and model and not _names(self.url) & _MODEL_PARAMETERS:
            return _with(self.url, "model", model)
        return self.url

    def __repr__(self) -> str:
        parts = [repr(redact_url(self.url)), f"auth={self.auth!r}"]
        parts += [f"model={self.default_model!r}"] if self.default_model else []
        parts += [f"call_id={self.call_id!r}"] if self.call_id else []
        parts += [f"headers={_masked(self.headers)}"] if self.headers else []
        return f"Endpoint({', '.join(parts)})"


def _make(
    url: str,
    *,
    key: Key | None,
    how_to_give_a_key: str,
    auth: Auth | None,
    headers: tuple[tuple[str, str], ...],
    model: str | None,
    adds_model: bool,
    call_id: str | None,
) -> Endpoint:
    """The one place where all arguments are checked."""
    parts = _checked_url(url)
    if _KEY_HEADERS & {name.lower() for name, _ in headers}:
        auth = "none"
    auth = auth or _usual_auth(parts)
    if auth != "none" and key is None:
        raise ConfigurationError(f"no API key: {how_to_give_a_key}")
    return Endpoint(
        url=parts.geturl(),
        default_model=model,
        auth=auth,
        headers=headers,
        call_id=None if call_id is None else _checked_call_id(call_id),
        key=key if key is None or callable(key) else _checked_key(key),
        adds_model=adds_model,
    )


def _usual_auth(parts: SplitResult) -> Auth:
    return "api-key" if (parts.hostname or "").endswith(_AZURE_HOSTS) else "bearer"


async def _ask(key: Key | None) -> object:
    await trio.lowlevel.checkpoint()
    if not callable(key):
        return key
    try:
        answer = key()
        return await answer if inspect.isawaitable(answer) else answer
    except Exception as exc:
        # Its text is not repeated: it may quote the key.
        raise ConnectFailed(f"the function that provides the key raised {_kind(exc)}") from exc


def _kind(value: object) -> str:
    return type(value).__name__


# --- checks: each error says what to mend, none shows a value that may be secret ---------------


def _checked_key(key: object) -> str:
    if not isinstance(key, str):
        raise ConfigurationError(f"the API key must be a str, not {_kind(key)}")
    if not key:
        raise ConfigurationError("the API key is empty")
    if key != key.strip():
        raise ConfigurationError(
            "the API key begins or ends with white space, perhaps a newline: strip it"
        )
    if not _KEY.fullmatch(key):
        raise ConfigurationError("the API key has characters that no key has: check what was read")
    return key


def _checked_url(url: str) -> SplitResult:
    shown = redact_url(url)
    try:
        parts = urlsplit(url)
        port_works = parts.port != 0
    except ValueError:
        raise ConfigurationError(f"the URL cannot be read: {shown}") from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(f"the URL must begin with https, http, wss or ws: {shown}")
    if not parts.hostname or not port_works:
        raise ConfigurationError(f"the URL names no host, or no port that can be used: {shown}")
    if not re.fullmatch(r"[\x21-\x7e]+", url) or parts.fragment:
        raise ConfigurationError(f"the URL has a fragment, or characters to be quoted: {shown}")
    return parts._replace(scheme=_SCHEMES[parts.scheme])


def _checked_call_id(call_id: str) -> str:
    if not _KEY.fullmatch(call_id):
        raise ConfigurationError("the call_id is empty or has white space in it")
    return call_id


def _needed(value: str | None, otherwise: str) -> str:
    if not value:
        raise ConfigurationError(otherwise)
    return value


def _first(*keys: Key | None) -> Key | None:
    return next((key for key in keys if key is not None), None)


def _env(name: str) -> str | None:
    """An empty variable counts as unset, as shells make it hard to tell them apart."""
    return os.environ.get(name) or None


# --- headers -----------------------------------------------------------------------------------


def _merged(
    given: Mapping[str, str] | None, ours: Mapping[str, str | None] | None = None
) -> tuple[tuple[str, str], ...]:
    own = tuple((given or {}).items())
    names = {name.lower() for name, _ in own}
    added = ((name, value) for name, value in (ours or {}).items() if value)
    headers = (*own, *(pair for pair in added if pair[0].lower() not in names))
    for name, value in headers:
        _check_header(name, value)
    return headers


def _check_header(name: str, value: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise ConfigurationError("a header name has characters that HTTP does not allow")
    if value and not _HEADER_VALUE.fullmatch(value):
        raise ConfigurationError(
            f"the value of header {name!r} has characters that HTTP does not allow, "
            "or white space at an end"
        )


def _masked(headers: tuple[tuple[str, str], ...]) -> str:
    return "<" + ", ".join(f"{name}: {MASK}" for name, _ in headers) + ">"


# --- URLs --------------------------------------------------------------------------------------


def _realtime_url(base: str) -> str:
    parts = _checked_url(base)
    path = parts.path.rstrip("/") or "/v1"
    return parts._replace(path=path if path.endswith("/realtime") else f"{path}/realtime").geturl()


def _azure_url(resource: str, deployment: str, api_version: str | None) -> str:
    parts = _checked_url(resource)
    path = parts.path.rstrip("/")
    for suffix in ("/realtime", "/v1", "/openai"):
        path = path.removesuffix(suffix)
    if not api_version:
        return _with(
            parts._replace(path=f"{path}/openai/v1/realtime").geturl(), "model", deployment
        )
    url = parts._replace(path=f"{path}/openai/realtime").geturl()
    return _with(_with(url, "api-version", api_version), "deployment", deployment)


def _with(url: str, name: str, value: str) -> str:
    """Append to the query, which stays as it was written."""
    parts = urlsplit(url)
    pair = f"{quote(name, safe='')}={quote(value, safe='')}"
    return parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair).geturl()


def _without(url: str, names: frozenset[str]) -> str:
    parts = urlsplit(url)
    kept = (pair for pair in parts.query.split("&") if pair.partition("=")[0] not in names)
    return parts._replace(query="&".join(kept)).geturl()


def _names(url: str) -> set[str]:
    return {pair.partition("=")[0] for pair in urlsplit(url).query.split("&")}
