"""The endpoint that options and environment choose, and where each of its values is from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set as AbstractSet
from typing import Final

import attrs

from trio_realtime import Endpoint
from trio_realtime._proxies import proxy_variable
from trio_realtime._redaction import MASK, redact_url
from trio_realtime.cli.endpoints import KEY_VARIABLE, EndpointOptions, is_local, is_loopback
from trio_realtime.endpoints import ResolvedEndpoint
from trio_realtime.endpoints.urls import query_value

_URL_VARIABLES: Final = (
    "OPENAI_REALTIME_URL",
    "OPENAI_REALTIME_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_VOICELIVE_ENDPOINT",
    "OPENAI_BASE_URL",
)
_KEY_VARIABLES: Final = ("AZURE_VOICELIVE_API_KEY", "AZURE_OPENAI_API_KEY", "OPENAI_API_KEY")
_MODEL_VARIABLES: Final = (
    "OPENAI_REALTIME_DEPLOYMENT",
    "AZURE_OPENAI_DEPLOYMENT_NAME",
    "AZURE_VOICELIVE_MODEL",
    "OPENAI_REALTIME_MODEL",
)
_VERSION_VARIABLES: Final = ("AZURE_OPENAI_API_VERSION", "AZURE_VOICELIVE_API_VERSION")
_AUTH_VARIABLES: Final = (
    "OPENAI_REALTIME_FORCE_API_KEY_HEADER",
    "OPENAI_REALTIME_API_KEY_IN_QUERY",
)
_HEADER_VARIABLES: Final = {
    "openai-organization": "OPENAI_ORG_ID",
    "openai-project": "OPENAI_PROJECT_ID",
}
_TRUST_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_CREDENTIALS: Final = frozenset({"authorization", "api-key"})


@attrs.frozen
class Setting:
    """One value of the endpoint, without secrets, and where it is from."""

    name: str
    value: str
    source: str


@attrs.frozen
class Sources:
    """What the endpoint was made of.

    Args:
        options: the options of the command.
        variables: the environment variables that were read and that are set.
        endpoint: the result.
        resolved: what it connects with.
    """

    options: EndpointOptions
    variables: AbstractSet[str]
    endpoint: Endpoint
    resolved: ResolvedEndpoint

    def settings(self) -> Iterator[Setting]:
        """Yield the settings in the order in which a reader checks them."""
        yield Setting("URL", redact_url(self.resolved.url), self._url_source())
        if (version := query_value(self.endpoint.url, "api-version")) is not None:
            source = self._variable(_VERSION_VARIABLES, "the URL or a default")
            yield Setting("API version", version, source)
        yield self._key()
        yield from self._headers()
        model = query_value(self.resolved.url, "model", "deployment")
        yield Setting("model", model or "none", self._model_source())
        by_option = self.options.dialect is not None
        source = "--dialect" if by_option else "the kind of service and its URL"
        yield Setting("dialect", self.endpoint.dialect, source)
        yield self._proxy()
        if self.endpoint.url.startswith("wss:"):
            yield self._trust()

    def _variable(self, names: tuple[str, ...], otherwise: str) -> str:
        return next((name for name in names if name in self.variables), otherwise)

    def _url_source(self) -> str:
        if is_local(self.options):
            return "--local" if self.options.local else "no service is configured"
        if self.options.url is not None:
            return "--url"
        return self._variable(_URL_VARIABLES, "default, the service of OpenAI")

    def _key(self) -> Setting:
        if self.endpoint.auth == "none":
            return Setting("API key", "none", "no option or variable has one")
        sent = {"bearer": "as bearer token", "api-key": "in the header api-key"}
        where = sent.get(self.endpoint.auth, "in the query of the URL")
        variable = self._variable(_AUTH_VARIABLES, "")
        source = f"{self._key_source()}; {variable}" if variable else self._key_source()
        return Setting("API key", f"{MASK}, sent {where}", source)

    def _key_source(self) -> str:
        key = self.options.api_key
        if is_local(self.options):
            return "the local server accepts any key"
        if key is not None:
            return KEY_VARIABLE if os.environ.get(KEY_VARIABLE) == key else "--api-key"
        if self.options.url is not None and is_loopback(self.options.url):
            return "local servers accept any key"
        return self._variable(_KEY_VARIABLES, "the URL")

    def _headers(self) -> Iterator[Setting]:
        for name, _ in self.endpoint.headers:
            if name.lower() not in _CREDENTIALS:
                source = _HEADER_VARIABLES.get(name.lower(), "the dialect")
                yield Setting(f"header {name}", MASK, source)

    def _model_source(self) -> str:
        if query_value(self.endpoint.url, "model", "deployment") is not None:
            return self._variable(_MODEL_VARIABLES, "the URL")
        if self.options.model is not None:
            return "--model"
        if self.options.url is not None or is_local(self.options):
            return "default"
        return self._variable(_MODEL_VARIABLES, "default")

    def _proxy(self) -> Setting:
        proxy = self.resolved.proxy
        if is_local(self.options):
            return Setting("proxy", "none", "connections to the local server are direct")
        if self.options.proxy is not None:
            return Setting("proxy", redact_url(proxy) if proxy else "none", "--proxy")
        variable = proxy_variable(self.resolved.url, os.environ)
        if proxy is not None:
            return Setting("proxy", redact_url(proxy), variable or "")
        source = "no variable names one" if variable is None else "NO_PROXY has the host"
        return Setting("proxy", "none", source)

    def _trust(self) -> Setting:
        if self.options.ca_file is not None:
            return Setting("certificates", str(self.options.ca_file), "--ca-file")
        for name in _TRUST_VARIABLES:
            if path := os.environ.get(name):
                return Setting("certificates", path, name)
        return Setting("certificates", "those of the system", "default")
