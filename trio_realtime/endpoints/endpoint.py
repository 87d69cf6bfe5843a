"""The value that describes a service, and its constructors."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import TypedDict, final, get_args
from urllib.parse import urlsplit

import attrs
import trio

from trio_realtime._proxies import check_proxy, proxy_for
from trio_realtime._redaction import redact_url
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire.dialects import DialectName

from .addresses import Address, address_of_azure, address_of_base, complete_address
from .azure import (
    VOICE_LIVE_VERSION,
    VOICE_LIVE_VERSION_FOR_AGENT_NAMES,
    AzureUrl,
    dialect_of,
    is_azure_host,
    voice_live_url,
)
from .credentials import (
    PRINTABLE,
    Auth,
    Key,
    fetch_key,
    has_credentials,
    mask_headers,
    merge_headers,
    validate_key,
)
from .environment import SERVICE_VARIABLES, auth_from_environment, env, given_or_env
from .tls import load_context
from .urls import MODEL_PARAMETERS, add_query_pair, remove_query_parameters

__all__ = ["DEFAULT_MODEL", "Endpoint", "ResolvedEndpoint"]

#: The default model of :meth:`Endpoint.openai`.
DEFAULT_MODEL = "gpt-realtime-2.1"

_OPENAI = "https://api.openai.com/v1"


@final
@attrs.frozen(repr=False)
class ResolvedEndpoint:
    """The URL, headers, subprotocols, proxy and TLS context of one connection.

    ``proxy`` is the URL of the proxy to connect through, and ``None`` for a direct connection.
    ``ssl_context`` is ``None`` for the default context. The repr masks all secrets.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    proxy: str | None = None
    ssl_context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        parts = [f"url={redact_url(self.url)!r}", f"headers={mask_headers(self.headers)}"]
        parts += [f"subprotocols=<{len(self.subprotocols)}>"]
        parts += [f"proxy={redact_url(self.proxy)!r}"] if self.proxy else []
        return f"ResolvedEndpoint({', '.join(parts)})"


@final
@attrs.frozen(repr=False, kw_only=True)
class Endpoint:
    """A realtime service and the credentials for it. Create an endpoint with a class method.

    ``default_model`` is the model to request unless :meth:`resolve` is given another one. With
    Azure it is the deployment. ``dialect`` is the spelling of the protocol that the service
    speaks. ``proxy`` is the URL of a proxy, an empty string for a direct connection, or ``None``
    for the proxy that the environment configures.

    These arguments of the constructors have the same meaning everywhere:

    * ``headers``: Additional headers. They override the headers that the library adds.
    * ``dialect``: By default, the URL decides: ``beta`` for a preview version of Azure OpenAI,
      ``voice_live`` for Azure Voice Live, and ``ga`` otherwise.
    * ``call_id``: Join this call instead of starting a session; see :meth:`attach`.
    * ``proxy``: An ``http``, ``https``, ``socks5`` or ``socks5h`` URL, with or without a user and a
      password. By default, ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are read
      for each connection. With ``""``, connections are direct.
    * ``ssl_context``: The TLS context, instead of the default.
    * ``ca_file``: A file with the certificates to trust, in PEM format, instead of those of the
      system. The constructor reads it.
    """

    url: str
    default_model: str | None = None
    auth: Auth = "none"
    headers: tuple[tuple[str, str], ...] = ()
    call_id: str | None = None
    dialect: DialectName = "ga"
    proxy: str | None = None
    ssl_context: ssl.SSLContext | None = None
    _key: Key | None = attrs.field(default=None, alias="key")
    _key_parameter: str = attrs.field(default="api-key", alias="key_parameter")
    # The query parameter for the model, None if the URL takes none.
    _model_parameter: str | None = attrs.field(default=None, alias="model_parameter")
    # The query parameter in which an agent expects the token, in addition to the header.
    _agent_access_parameter: str | None = attrs.field(default=None, alias="agent_access_parameter")

    @property
    def max_duration(self) -> float:
        """Seconds that the service lets a connection live, where it does not say so itself.

        60 minutes at OpenAI, and 30 minutes at Azure, according to their documentation.
        """
        return 1800.0 if is_azure_host(urlsplit(self.url)) else 3600.0

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
        dialect: DialectName | None = None,
        call_id: str | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Endpoint:
        """Connect to OpenAI, or to a proxy or an Azure resource that accepts the same key.

        An empty string instead of ``None`` suppresses the variables that an argument defaults to.

        Args:
            api_key: The key, or a function that returns it. Defaults to ``OPENAI_API_KEY``; for an
                Azure host, to ``AZURE_OPENAI_API_KEY``, then ``OPENAI_API_KEY``. Not needed if
                ``headers`` contain credentials.
            model: Defaults to ``OPENAI_REALTIME_MODEL``, then to ``gpt-realtime-2.1``. For an Azure
                host, ``OPENAI_REALTIME_DEPLOYMENT`` and ``AZURE_OPENAI_DEPLOYMENT_NAME`` have
                priority over these.
            base_url: Defaults to ``OPENAI_REALTIME_BASE_URL``, then to ``OPENAI_BASE_URL``, then to
                ``https://api.openai.com/v1``. The URL of an Azure resource gets the path that Azure
                needs; ``AZURE_OPENAI_API_VERSION`` selects its form.
            realtime_url: The complete URL. It is used unchanged, without adding the model. Defaults
                to ``OPENAI_REALTIME_URL``, unless ``base_url`` is given.
            organization: Defaults to ``OPENAI_ORG_ID``.
            project: Defaults to ``OPENAI_PROJECT_ID``.
            auth: Defaults to ``api-key`` if ``OPENAI_REALTIME_FORCE_API_KEY_HEADER`` is true, to
                ``query`` if ``OPENAI_REALTIME_API_KEY_IN_QUERY`` is true, to ``api-key`` for an
                Azure host, and to ``bearer`` otherwise.
            headers, dialect, call_id, proxy, ssl_context, ca_file: See :class:`Endpoint`.

        Raises:
            ConfigurationError: There is no key, or an argument or a variable is invalid.
        """
        address = _openai_address(base_url, realtime_url)
        return _make_endpoint(
            address,
            default_model=_openai_model(address, model),
            key=api_key if api_key is not None else _openai_key(address),
            missing_key_hint="pass api_key= or set OPENAI_API_KEY",
            auth=auth or auth_from_environment(),
            headers=headers,
            default_headers={
                "OpenAI-Organization": given_or_env(organization, "OPENAI_ORG_ID"),
                "OpenAI-Project": given_or_env(project, "OPENAI_PROJECT_ID"),
            },
            dialect=dialect,
            call_id=call_id,
            proxy=proxy,
            ssl_context=load_context(ssl_context, ca_file),
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
        deployment_in_path: bool = False,
        headers: Mapping[str, str] | None = None,
        dialect: DialectName | None = None,
        call_id: str | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Endpoint:
        """Connect to an Azure OpenAI resource.

        Args:
            endpoint: ``https://<resource>.openai.azure.com``, or a realtime URL of any form.
                Defaults to ``AZURE_OPENAI_ENDPOINT``.
            deployment: Defaults to the deployment in the URL, then to
                ``OPENAI_REALTIME_DEPLOYMENT``, ``AZURE_OPENAI_DEPLOYMENT_NAME`` and
                ``OPENAI_REALTIME_MODEL``.
            api_version: Selects the versioned path. Defaults to the version in the URL, then to
                ``AZURE_OPENAI_API_VERSION``. Without a version (or with ``""``) the ``/openai/v1``
                path is used. A preview version (``...-preview``) speaks the beta dialect.
            api_key: Defaults to ``AZURE_OPENAI_API_KEY``. It is sent in the header ``api-key``,
                unless ``OPENAI_REALTIME_API_KEY_IN_QUERY`` is true.
            token: An Entra ID token, or a function that returns one, instead of a key.
            deployment_in_path: Whether to use the form
                ``/openai/deployments/<deployment>/realtime``, which needs a version.
            headers, dialect, call_id, proxy, ssl_context, ca_file: See :class:`Endpoint`.

        Raises:
            ConfigurationError: The endpoint, the deployment or the key is missing, or an argument
                or a variable is invalid.
        """
        resource = endpoint or env("AZURE_OPENAI_ENDPOINT")
        if not resource:
            raise ConfigurationError(
                "no Azure endpoint: pass endpoint= or set AZURE_OPENAI_ENDPOINT"
            )
        url = _azure_url(resource, deployment, api_version, in_path=deployment_in_path)
        return _make_endpoint(
            address_of_azure(url),
            default_model=url.deployment,
            **_azure_credentials(api_key, token, "AZURE_OPENAI_API_KEY"),
            headers=headers,
            dialect=dialect,
            call_id=call_id,
            proxy=proxy,
            ssl_context=load_context(ssl_context, ca_file),
        )

    @classmethod
    def voice_live(
        cls,
        endpoint: str | None = None,
        *,
        model: str | None = None,
        agent_name: str | None = None,
        agent_id: str | None = None,
        project_name: str | None = None,
        agent_version: str | None = None,
        api_version: str | None = None,
        api_key: Key | None = None,
        token: Key | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Endpoint:
        """Connect to Azure Voice Live, with a model or with an agent of a Foundry project.

        Args:
            endpoint: ``https://<resource>.services.ai.azure.com``. Defaults to
                ``AZURE_VOICELIVE_ENDPOINT``.
            model: Defaults to ``AZURE_VOICELIVE_MODEL``, then to ``OPENAI_REALTIME_MODEL``, unless
                an agent is given. An agent has a model of its own.
            agent_name: The name of the agent.
            agent_id: The id of an agent of the classic agent service (``asst_...``), instead of its
                name. It requires ``token``, which is also sent as ``agent-access-token`` in the
                query.
            project_name: The Foundry project of the agent.
            agent_version: The version of a named agent.
            api_version: Defaults to the version in the URL, then to
                ``AZURE_VOICELIVE_API_VERSION``, then to ``2025-10-01``, and to ``2026-07-15`` for a
                named agent.
            api_key: Defaults to ``AZURE_VOICELIVE_API_KEY``. It is sent in the header ``api-key``,
                unless ``OPENAI_REALTIME_API_KEY_IN_QUERY`` is true.
            token: An Entra ID token for ``https://ai.azure.com/.default``, or a function that
                returns one, instead of a key.
            headers, proxy, ssl_context, ca_file: See :class:`Endpoint`.

        Raises:
            ConfigurationError: The endpoint, the model or the key is missing, or an argument or a
                variable is invalid.
        """
        resource = endpoint or env("AZURE_VOICELIVE_ENDPOINT")
        if not resource:
            raise ConfigurationError(
                "no Voice Live endpoint: pass endpoint= or set AZURE_VOICELIVE_ENDPOINT"
            )
        agent = _voice_live_agent(agent_name, agent_id, project_name, agent_version)
        if agent_id and token is None:
            raise ConfigurationError("agent_id= requires token=: agents do not accept keys")
        if not agent and not model:
            model = env("AZURE_VOICELIVE_MODEL", "OPENAI_REALTIME_MODEL")
        default = VOICE_LIVE_VERSION_FOR_AGENT_NAMES if agent_name else VOICE_LIVE_VERSION
        if api_version is None:
            default = env("AZURE_VOICELIVE_API_VERSION") or default
        url = voice_live_url(resource, api_version, default)
        for name, value in agent.items():
            url = add_query_pair(url, name, value)
        address = address_of_base(url)
        if not agent and not model and address.model is None:
            raise ConfigurationError(
                "no Voice Live model: pass model= or agent_name=, or set AZURE_VOICELIVE_MODEL"
            )
        built = _make_endpoint(
            address,
            default_model=model,
            **_azure_credentials(api_key, token, "AZURE_VOICELIVE_API_KEY"),
            headers=headers,
            dialect="voice_live",
            proxy=proxy,
            ssl_context=load_context(ssl_context, ca_file),
        )
        if agent_id:
            return attrs.evolve(built, agent_access_parameter="agent-access-token")
        return built

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
        dialect: DialectName | None = None,
        call_id: str | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Endpoint:
        """Connect to any server that speaks the protocol.

        The environment is not read, except for the variables of proxies.

        Args:
            url: An ``http(s)`` or ``ws(s)`` URL. ``/realtime`` is appended to the path unless the
                path already ends with it (``/v1/realtime`` if there is no path), and the model is
                added unless the query names one. The URL of an Azure resource gets the path that
                Azure needs.
            api_key: The server's key, if it requires one.
            model: The model to request. Without it, the URL names a model only if :meth:`resolve`
                is given one.
            auth: Defaults to ``none`` without a key, to ``api-key`` for an Azure host and to
                ``bearer`` otherwise.
            key_parameter: The name of the query parameter for ``auth="query"``.
            realtime_url: Whether ``url`` is complete. If so, it is used unchanged.
            headers, dialect, call_id, proxy, ssl_context, ca_file: See :class:`Endpoint`.

        Raises:
            ConfigurationError: An argument is invalid, or ``auth`` requires a missing key.
        """
        endpoint = _make_endpoint(
            complete_address(url) if realtime_url else address_of_base(url),
            default_model=model,
            key=api_key,
            missing_key_hint=None if auth is None else 'pass api_key=, or auth="none"',
            auth=auth,
            headers=headers,
            dialect=dialect,
            call_id=call_id,
            proxy=proxy,
            ssl_context=load_context(ssl_context, ca_file),
        )
        return attrs.evolve(endpoint, key_parameter=key_parameter)

    @classmethod
    def from_env(
        cls,
        *,
        api_key: Key | None = None,
        dialect: DialectName | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Endpoint:
        """Create the endpoint that the environment configures.

        The first variable of this list that is set decides:

        1. ``OPENAI_REALTIME_URL``, used unchanged;
        2. ``OPENAI_REALTIME_BASE_URL``;
        3. ``AZURE_OPENAI_ENDPOINT``, with the other variables as in :meth:`azure`;
        4. ``AZURE_VOICELIVE_ENDPOINT``, with the other variables as in :meth:`voice_live`;
        5. ``OPENAI_BASE_URL``;
        6. ``OPENAI_API_KEY``.

        The other variables of 1, 2, 5 and 6 are those of :meth:`openai`. A server that is
        configured with a URL needs no key.

        Args:
            api_key: The key, instead of the one in the environment.
            dialect, proxy, ssl_context, ca_file: See :class:`Endpoint`.

        Raises:
            ConfigurationError: None of these variables is set, or a value is invalid.
        """
        name = next(filter(env, SERVICE_VARIABLES), None)
        if name is None:
            raise ConfigurationError(
                f"no endpoint in the environment: set OPENAI_API_KEY, or one of "
                f"{', '.join(SERVICE_VARIABLES[:-1])}"
            )
        network = _Network(proxy=proxy, ssl_context=ssl_context, ca_file=ca_file)
        if name == "AZURE_OPENAI_ENDPOINT":
            return cls.azure(api_key=api_key, dialect=dialect, **network)
        if name == "AZURE_VOICELIVE_ENDPOINT":
            if dialect not in (None, "voice_live"):
                raise ConfigurationError(
                    f"the service of AZURE_VOICELIVE_ENDPOINT speaks no other dialect than "
                    f"'voice_live', got dialect={dialect!r}"
                )
            return cls.voice_live(api_key=api_key, **network)
        needs_no_key = api_key is None and _openai_key(_openai_address()) is None
        auth: Auth | None = "none" if needs_no_key else None
        return cls.openai(api_key, auth=auth, dialect=dialect, **network)

    def attach(self, call_id: str) -> Endpoint:
        """Return an endpoint that joins the running WebRTC or SIP call ``call_id`` (``rtc_...``).

        The URL names no model, because the call already has one.
        """
        return attrs.evolve(self, call_id=_validate_call_id(call_id))

    def with_proxy_from(self, environ: Mapping[str, str]) -> Endpoint:
        """Return an endpoint with the proxy that these variables configure, or none.

        Args:
            environ: The variables to read now, instead of those of the process for each connection.

        Raises:
            ConfigurationError: The variable that applies is not the URL of a supported proxy.
        """
        return attrs.evolve(self, proxy=proxy_for(self.url, environ) or "")

    async def resolve(self, model: str | None = None) -> ResolvedEndpoint:
        """Return what one connection needs. A key function is called each time.

        Args:
            model: Overrides ``default_model``. A model that the URL names takes precedence.

        Raises:
            ConfigurationError: The key function returned something that is not a valid key, or a
                proxy variable is invalid.
            ConnectFailed: The key function raised. The message says what and where, without the
                text of the exception, and there is no cause, because that text may contain the key.
                Retrying may help.
        """
        url = self._url_for(model or self.default_model)
        proxy = proxy_for(url, os.environ) if self.proxy is None else self.proxy or None
        headers = self.headers
        if self.auth == "none":
            await trio.lowlevel.checkpoint()
        else:
            url, headers = self._add_key(url, await fetch_key(self._key))
        return ResolvedEndpoint(url, headers, proxy=proxy, ssl_context=self.ssl_context)

    def _url_for(self, model: str | None) -> str:
        if self.call_id is not None:
            url = remove_query_parameters(self.url, MODEL_PARAMETERS)
            return add_query_pair(url, "call_id", self.call_id)
        if self._model_parameter and model:
            return add_query_pair(self.url, self._model_parameter, model)
        return self.url

    def _add_key(self, url: str, key: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        if self._agent_access_parameter:
            url = add_query_pair(url, self._agent_access_parameter, key)
        if self.auth == "query":
            return add_query_pair(url, self._key_parameter, key), self.headers
        header = ("api-key", key) if self.auth == "api-key" else ("Authorization", f"Bearer {key}")
        return url, (*self.headers, header)

    def __repr__(self) -> str:
        parts = [repr(redact_url(self.url)), f"auth={self.auth!r}"]
        parts += [f"model={self.default_model!r}"] if self.default_model else []
        parts += [f"dialect={self.dialect!r}"] if self.dialect != "ga" else []
        parts += [f"call_id={self.call_id!r}"] if self.call_id else []
        parts += [f"proxy={redact_url(self.proxy)!r}"] if self.proxy else []
        parts += [f"headers={mask_headers(self.headers)}"] if self.headers else []
        return f"Endpoint({', '.join(parts)})"


def _make_endpoint(
    address: Address,
    *,
    default_model: str | None,
    key: Key | None,
    missing_key_hint: str | None,
    auth: Auth | None,
    headers: Mapping[str, str] | None,
    default_headers: Mapping[str, str | None] | None = None,
    dialect: DialectName | None,
    call_id: str | None = None,
    proxy: str | None,
    ssl_context: ssl.SSLContext | None,
) -> Endpoint:
    """Validate the arguments and create the endpoint. All constructors end here.

    Without ``missing_key_hint``, the key is optional.
    """
    dialect = dialect or dialect_of(address.url)
    if dialect not in get_args(DialectName):
        names = ", ".join(map(repr, get_args(DialectName)))
        raise ConfigurationError(f"dialect= must be one of {names}")
    if auth is not None and auth not in get_args(Auth):
        raise ConfigurationError(f"auth= must be one of {', '.join(map(repr, get_args(Auth)))}")
    beta = {"OpenAI-Beta": "realtime=v1" if dialect == "beta" else None}
    merged = merge_headers(headers, {**(default_headers or {}), **beta})
    if has_credentials(merged) or (key is None and missing_key_hint is None):
        auth = "none"
    auth = auth or _default_auth(address.url)
    if auth != "none" and key is None:
        raise ConfigurationError(f"no API key: {missing_key_hint}")
    return Endpoint(
        url=address.url,
        default_model=address.model or default_model,
        auth=auth,
        headers=merged,
        call_id=None if call_id is None else _validate_call_id(call_id),
        dialect=dialect,
        proxy=check_proxy(proxy, "proxy=") if proxy else proxy,
        ssl_context=ssl_context,
        key=key if key is None or callable(key) else validate_key(key),
        model_parameter=address.model_parameter,
    )


def _default_auth(url: str) -> Auth:
    return "api-key" if is_azure_host(urlsplit(url)) else "bearer"


def _validate_call_id(call_id: str) -> str:
    if not PRINTABLE.fullmatch(call_id):
        raise ConfigurationError(
            "the call_id must be printable ASCII without white space, and not empty"
        )
    return call_id


# --- OpenAI ------------------------------------------------------------------------------------


def _openai_address(base_url: str | None = None, realtime_url: str | None = None) -> Address:
    """Return the address of :meth:`Endpoint.openai`. An argument has priority over the variables."""
    if base_url is None:
        realtime_url = given_or_env(realtime_url, "OPENAI_REALTIME_URL")
    if realtime_url:
        return complete_address(realtime_url)
    base = given_or_env(base_url, "OPENAI_REALTIME_BASE_URL", "OPENAI_BASE_URL") or _OPENAI
    return address_of_base(base, env("AZURE_OPENAI_API_VERSION"))


def _openai_key(address: Address) -> str | None:
    """Return the key in the environment. A key of OpenAI goes to Azure only if it is the only one."""
    is_azure = is_azure_host(urlsplit(address.url))
    return env(*(("AZURE_OPENAI_API_KEY",) if is_azure else ()), "OPENAI_API_KEY")


def _openai_model(address: Address, model: str | None) -> str | None:
    """Return the model to request, ``None`` if the URL takes none."""
    if address.model_parameter is None:
        return None
    is_azure = is_azure_host(urlsplit(address.url))
    deployment = ("OPENAI_REALTIME_DEPLOYMENT", "AZURE_OPENAI_DEPLOYMENT_NAME") if is_azure else ()
    return given_or_env(model, *deployment, "OPENAI_REALTIME_MODEL") or DEFAULT_MODEL


# --- Azure -------------------------------------------------------------------------------------


def _azure_url(
    resource: str, deployment: str | None, api_version: str | None, *, in_path: bool
) -> AzureUrl:
    """Return the URL of :meth:`Endpoint.azure`: arguments, then what the URL says, then variables."""
    url = AzureUrl.parse(resource)
    if api_version is None and not url.is_v1 and url.api_version is None:
        api_version = env("AZURE_OPENAI_API_VERSION")
    if api_version is not None:
        url = url.with_version(api_version or None)
    name = deployment or url.deployment
    name = name or env("OPENAI_REALTIME_DEPLOYMENT", "AZURE_OPENAI_DEPLOYMENT_NAME")
    name = name or env("OPENAI_REALTIME_MODEL")
    if not name:
        raise ConfigurationError(
            "no Azure deployment: pass deployment= or set AZURE_OPENAI_DEPLOYMENT_NAME"
        )
    in_path = in_path or url.deployment_in_path
    return attrs.evolve(url, deployment=name, deployment_in_path=in_path)


class _Network(TypedDict):
    """The arguments of the constructors that are about the network."""

    proxy: str | None
    ssl_context: ssl.SSLContext | None
    ca_file: str | os.PathLike[str] | None


class _Credentials(TypedDict):
    """The arguments of :func:`_make_endpoint` that are about the key."""

    key: Key | None
    auth: Auth
    missing_key_hint: str


def _azure_credentials(api_key: Key | None, token: Key | None, variable: str) -> _Credentials:
    if api_key is not None and token is not None:
        raise ConfigurationError("pass api_key= or token= for Azure, not both")
    return {
        "key": next((key for key in (token, api_key) if key is not None), env(variable)),
        "auth": "bearer" if token is not None else auth_from_environment() or "api-key",
        "missing_key_hint": f"pass api_key= or token=, or set {variable}",
    }


def _voice_live_agent(
    name: str | None, agent_id: str | None, project_name: str | None, version: str | None
) -> dict[str, str]:
    """Return the query parameters that select an agent."""
    if name and agent_id:
        raise ConfigurationError("pass agent_name= or agent_id=, not both")
    if bool(name or agent_id) != bool(project_name):
        raise ConfigurationError(
            "an agent of Voice Live needs project_name= and agent_name= or agent_id="
        )
    if version and not name:
        raise ConfigurationError("agent_version= needs agent_name=")
    given = {
        "agent-name": name,
        "agent-id": agent_id,
        "agent-project-name": project_name,
        "agent-version": version,
    }
    return {parameter: value for parameter, value in given.items() if value}
