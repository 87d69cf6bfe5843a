"""The URLs of Azure OpenAI and of Azure Voice Live.

Azure OpenAI has three forms of realtime URLs. Users have any of them, or only the URL of their
resource, so an :class:`AzureUrl` is read from all of these and written in the form that is needed::

    v1                     /openai/v1/realtime?model=DEPLOYMENT
    versioned              /openai/realtime?api-version=V&deployment=DEPLOYMENT
    deployment in the path /openai/deployments/DEPLOYMENT/realtime?api-version=V
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire.dialects import DialectName

from .urls import (
    MODEL_PARAMETERS,
    add_query_pair,
    parse_url,
    query_value,
    remove_query_parameters,
)

__all__ = [
    "VOICE_LIVE_VERSION",
    "VOICE_LIVE_VERSION_FOR_AGENT_NAMES",
    "AzureUrl",
    "dialect_of",
    "is_azure_host",
    "is_voice_live",
    "voice_live_url",
]

#: The default version of Voice Live. It selects agents by id only.
VOICE_LIVE_VERSION: Final = "2025-10-01"
#: The default version of Voice Live for an agent that is selected by its name.
VOICE_LIVE_VERSION_FOR_AGENT_NAMES: Final = "2026-07-15"

_HOST = re.compile(
    r".+\.(?:(?:openai|cognitiveservices|services\.ai)\.azure\.(?:com|us|cn)"
    r"|api\.cognitive\.microsoft\.(?:com|us)|api\.cognitive\.azure\.cn)"
)
_PATH = re.compile(
    r"(?P<prefix>.*?)"
    r"(?:/openai)?(?P<tail>/v1|/deployments/(?P<deployment>[^/]+))?"
    r"(?:/realtime)?/*"
)
_VOICE_LIVE_PATH = re.compile(r"/voice-(?:live|agent)(?:/realtime)?/*\Z")
_VERSION: Final = "api-version"


def is_azure_host(parts: SplitResult) -> bool:
    """Return whether this is a host of an Azure OpenAI, AI Services or Foundry resource."""
    return _HOST.fullmatch(parts.hostname or "") is not None


def is_voice_live(parts: SplitResult) -> bool:
    """Return whether this is a URL of Azure Voice Live."""
    return _VOICE_LIVE_PATH.search(parts.path) is not None


def dialect_of(url: str) -> DialectName:
    """Return the dialect that the service at a complete URL speaks, as far as the URL says it."""
    parts = urlsplit(url)
    if is_voice_live(parts):
        return "voice_live"
    is_versioned = re.search(r"/openai/(?:deployments/[^/]+/)?realtime\Z", parts.path)
    is_preview = (query_value(url, _VERSION) or "").endswith("-preview")
    return "beta" if is_versioned and is_preview else "ga"


@attrs.frozen(kw_only=True)
class AzureUrl:
    """The parts of a URL of Azure OpenAI.

    Args:
        base: the URL of the resource, with the parameters that are not about the model.
        deployment: the deployment that the URL names.
        api_version: the version, for a form other than v1.
        is_v1: whether the URL has the v1 form, so that a version in the environment does not apply.
        deployment_in_path: whether the deployment is part of the path.
    """

    base: SplitResult
    deployment: str | None = None
    api_version: str | None = None
    is_v1: bool = False
    deployment_in_path: bool = False

    @classmethod
    def parse(cls, url: str) -> AzureUrl:
        """Read the URL of a resource, or a realtime URL of any form.

        Raises:
            ConfigurationError: It is not a URL.
        """
        parts = parse_url(url)
        match = _PATH.fullmatch(parts.path)
        assert match is not None  # the prefix matches everything
        is_v1 = match["tail"] == "/v1"
        in_path = match["deployment"]
        own = MODEL_PARAMETERS if is_v1 else MODEL_PARAMETERS | {_VERSION}
        base = parts._replace(path=match["prefix"]).geturl()
        return cls(
            base=urlsplit(remove_query_parameters(base, own)),
            deployment=unquote(in_path) if in_path else query_value(url, "deployment", "model"),
            api_version=None if is_v1 else query_value(url, _VERSION),
            is_v1=is_v1,
            deployment_in_path=in_path is not None,
        )

    @property
    def model_parameter(self) -> str | None:
        """The query parameter that names the deployment. None if the path names it."""
        if self.deployment_in_path:
            return None
        return "deployment" if self.api_version else "model"

    def with_version(self, api_version: str | None) -> AzureUrl:
        """Return the URL in the form of this version: v1 without one."""
        return attrs.evolve(
            self,
            api_version=api_version,
            is_v1=api_version is None,
            deployment_in_path=self.deployment_in_path and api_version is not None,
        )

    def realtime_url(self) -> str:
        """Return the URL to connect to.

        Raises:
            ConfigurationError: The deployment is to be in the path, and there is no version.
        """
        url = self.base._replace(path=self.base.path + self._path()).geturl()
        if self.api_version:
            url = remove_query_parameters(url, {_VERSION})
            url = add_query_pair(url, _VERSION, self.api_version)
        if self.deployment and self.model_parameter:
            url = add_query_pair(url, self.model_parameter, self.deployment)
        return url

    def _path(self) -> str:
        if self.deployment_in_path:
            if not self.api_version or not self.deployment:
                raise ConfigurationError(
                    "a deployment in the path needs an API version: pass api_version=, set "
                    "AZURE_OPENAI_API_VERSION, or add ?api-version= to the URL"
                )
            return f"/openai/deployments/{quote(self.deployment, safe='')}/realtime"
        return "/openai/realtime" if self.api_version else "/openai/v1/realtime"


def voice_live_url(endpoint: str, api_version: str | None, default_version: str) -> str:
    """Return the realtime URL of Voice Live, without a model.

    Args:
        endpoint: The URL of the resource or a realtime URL.
        api_version: The version. By default, the one in the URL, then ``default_version``.
        default_version: The version if nothing else names one.

    Raises:
        ConfigurationError: It is not a URL.
    """
    parts = parse_url(endpoint)
    path = _VOICE_LIVE_PATH.sub("", parts.path.rstrip("/")) + "/voice-live/realtime"
    url = parts._replace(path=path).geturl()
    version = api_version or query_value(url, _VERSION) or default_version
    return add_query_pair(remove_query_parameters(url, {_VERSION}), _VERSION, version)
