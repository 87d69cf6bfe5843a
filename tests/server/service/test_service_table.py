"""One table: what each combination of settings, environment and spec resolves to.

Every case gives the URL, the credentials and the headers of a connection. The secrets of all cases
have one prefix, so that no log record, repr, error message and source may contain it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.service import ResolvedService, ServiceSettings, resolve_service

SECRET = "s3cr3t"
KEY = f"sk-{SECRET}-openai"
AZURE_KEY = f"{SECRET}-azure"
VOICE_KEY = f"{SECRET}-voice"
TOKEN = f"{SECRET}-token"
OTHER = f"{SECRET}-other"

OPENAI = "wss://api.openai.com/v1/realtime?model="
AZURE = "https://res.openai.azure.com"
AZURE_WS = "wss://res.openai.azure.com"
FOUNDRY = "https://res.services.ai.azure.com"
VOICE = "wss://res.services.ai.azure.com/voice-live/realtime?api-version="
PREVIEW = "2025-04-01-preview"

BEARER = {"Authorization": f"Bearer {KEY}"}
BETA = {"OpenAI-Beta": "realtime=v1"}


@attrs.frozen(kw_only=True)
class Case:
    """What is given, and what is expected: a URL with headers, or an error with these words."""

    name: str
    given: Mapping[str, Any] = attrs.field(factory=dict)
    env: Mapping[str, str] = attrs.field(factory=dict)
    spec: Mapping[str, Any] = attrs.field(factory=dict)
    url: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    model: str | None = "m"
    dialect: str = "ga"
    proxy: str | None = None
    default_model: str | None = "m"
    error: tuple[str, ...] = ()

    def resolve(self) -> ResolvedService:
        return resolve_service(
            ServiceSettings(**self.given),
            self.spec,
            environ=self.env,
            default_model=self.default_model,
        )


def azure_key(**more: str) -> dict[str, str]:
    return {"api-key": AZURE_KEY, **more}


def deployed(name: str, version: str = "2025-08-28") -> str:
    return f"{AZURE_WS}/openai/realtime?api-version={version}&deployment={name}"


KEY_ENV = {"OPENAI_API_KEY": KEY}
AZURE_ENV = {"AZURE_OPENAI_API_KEY": AZURE_KEY}
AZURE_ALL = {**AZURE_ENV, "AZURE_OPENAI_ENDPOINT": AZURE, "AZURE_OPENAI_DEPLOYMENT_NAME": "dep"}
VOICE_ENV = {"AZURE_VOICELIVE_API_KEY": VOICE_KEY, "AZURE_VOICELIVE_ENDPOINT": FOUNDRY}
FORCE = "OPENAI_REALTIME_FORCE_API_KEY_HEADER"
QUERY = "OPENAI_REALTIME_API_KEY_IN_QUERY"

OPENAI_CASES = [
    Case(name="key in the environment", env=KEY_ENV, url=OPENAI + "m", headers=BEARER),
    Case(name="explicit key", given={"api_key": KEY}, url=OPENAI + "m", headers=BEARER),
    Case(
        name="explicit key before the environment",
        given={"api_key": KEY},
        env={"OPENAI_API_KEY": OTHER},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="token at OpenAI",
        given={"token": TOKEN},
        env=KEY_ENV,
        url=OPENAI + "m",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ),
    Case(
        name="model: explicit before environment, spec and default",
        given={"realtime_model": "explicit"},
        env={**KEY_ENV, "OPENAI_REALTIME_MODEL": "env"},
        spec={"model": "spec"},
        url=OPENAI + "explicit",
        headers=BEARER,
        model="explicit",
    ),
    Case(
        name="model: environment before spec",
        env={**KEY_ENV, "OPENAI_REALTIME_MODEL": "env"},
        spec={"model": "spec"},
        url=OPENAI + "env",
        headers=BEARER,
        model="env",
    ),
    Case(
        name="model: spec before default",
        env=KEY_ENV,
        spec={"model": "spec"},
        url=OPENAI + "spec",
        headers=BEARER,
        model="spec",
    ),
    Case(
        name="model: blank suppresses the environment",
        given={"realtime_model": ""},
        env={**KEY_ENV, "OPENAI_REALTIME_MODEL": "env"},
        spec={"model": "spec"},
        url=OPENAI + "spec",
        headers=BEARER,
        model="spec",
    ),
    Case(
        name="model: variables of deployments are about Azure",
        env={**KEY_ENV, "AZURE_OPENAI_DEPLOYMENT_NAME": "d", "OPENAI_REALTIME_DEPLOYMENT": "d"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="model: an explicit deployment is the model elsewhere",
        given={"deployment_name": "dep"},
        env={**KEY_ENV, "OPENAI_REALTIME_MODEL": "env"},
        url=OPENAI + "dep",
        headers=BEARER,
        model="dep",
    ),
    Case(
        name="model with characters to encode",
        given={"realtime_model": "ft:gpt/1 a"},
        env=KEY_ENV,
        url=OPENAI + "ft%3Agpt%2F1%20a",
        headers=BEARER,
        model="ft:gpt/1 a",
    ),
    Case(
        name="no model at all",
        env=KEY_ENV,
        default_model=None,
        url="wss://api.openai.com/v1/realtime",
        headers=BEARER,
        model=None,
    ),
    Case(
        name="organization and project in the environment",
        env={**KEY_ENV, "OPENAI_ORG_ID": "org", "OPENAI_PROJECT_ID": "prj"},
        url=OPENAI + "m",
        headers={"OpenAI-Organization": "org", "OpenAI-Project": "prj", **BEARER},
    ),
    Case(
        name="organization: explicit, and project: blank",
        given={"organization": "mine", "project": ""},
        env={**KEY_ENV, "OPENAI_ORG_ID": "org", "OPENAI_PROJECT_ID": "prj"},
        spec={"organization": "spec", "project": "spec-prj"},
        url=OPENAI + "m",
        headers={"OpenAI-Organization": "mine", "OpenAI-Project": "spec-prj", **BEARER},
    ),
    Case(
        name="an empty variable counts as not set",
        env={**KEY_ENV, "OPENAI_BASE_URL": "", "OPENAI_REALTIME_MODEL": ""},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="regional host of OpenAI",
        given={"base_url": "https://eu.api.openai.com/v1"},
        env=KEY_ENV,
        url="wss://eu.api.openai.com/v1/realtime?model=m",
        headers=BEARER,
    ),
    Case(
        name="dialect of the spec",
        env=KEY_ENV,
        spec={"dialect": "beta"},
        url=OPENAI + "m",
        headers={**BETA, **BEARER},
        dialect="beta",
    ),
    Case(
        name="dialect: explicit before spec",
        given={"dialect": "ga"},
        env=KEY_ENV,
        spec={"dialect": "beta"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
]

ADDRESS_CASES = [
    Case(
        name="explicit realtime URL, unchanged",
        given={"realtime_url": "wss://gw.test/some/path?x=1", "realtime_model": "other"},
        env=KEY_ENV,
        url="wss://gw.test/some/path?x=1",
        headers=BEARER,
        model=None,
    ),
    Case(
        name="realtime URL with a model",
        given={"realtime_url": "wss://gw.test/rt?model=in-url", "realtime_model": "other"},
        env=KEY_ENV,
        url="wss://gw.test/rt?model=in-url",
        headers=BEARER,
        model="in-url",
    ),
    Case(
        name="realtime URL before base URL",
        given={"realtime_url": "wss://gw.test/rt", "base_url": "https://base.test/v1"},
        url="wss://gw.test/rt",
        model=None,
    ),
    Case(
        name="realtime URL in the environment",
        env={**KEY_ENV, "OPENAI_REALTIME_URL": "ws://gw.test/rt", "OPENAI_BASE_URL": "http://b"},
        url="ws://gw.test/rt",
        headers=BEARER,
        model=None,
    ),
    Case(
        name="explicit base URL before a realtime URL in the environment",
        given={"base_url": "https://base.test/v1"},
        env={"OPENAI_REALTIME_URL": "wss://gw.test/rt"},
        url="wss://base.test/v1/realtime?model=m",
    ),
    Case(
        name="blank realtime URL",
        given={"realtime_url": ""},
        env={**KEY_ENV, "OPENAI_REALTIME_URL": "wss://gw.test/rt"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="blank base URL suppresses both variables",
        given={"base_url": ""},
        env={**KEY_ENV, "OPENAI_REALTIME_BASE_URL": "http://a", "OPENAI_BASE_URL": "http://b"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="blank base URL leaves the one of the spec",
        given={"base_url": ""},
        env={**KEY_ENV, "OPENAI_BASE_URL": "http://b"},
        spec={"base_url": "https://spec.test/v1"},
        url="wss://spec.test/v1/realtime?model=m",
        headers=BEARER,
    ),
    Case(
        name="all addresses blank",
        given=dict.fromkeys(
            ["realtime_url", "base_url", "azure_endpoint", "voice_live_endpoint"], ""
        ),
        env={**KEY_ENV, **AZURE_ALL, **VOICE_ENV, "OPENAI_BASE_URL": "http://b"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="OPENAI_REALTIME_BASE_URL before the Azure endpoint",
        env={**AZURE_ALL, "OPENAI_REALTIME_BASE_URL": "http://base.test"},
        url="ws://base.test/v1/realtime?model=m",
    ),
    Case(
        name="Azure endpoint before OPENAI_BASE_URL",
        env={**AZURE_ALL, "OPENAI_BASE_URL": "http://base.test"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="environment before the URL of the spec",
        env={**KEY_ENV, "OPENAI_BASE_URL": "http://base.test/v2"},
        spec={"realtime_url": "wss://spec.test/rt"},
        url="ws://base.test/v2/realtime?model=m",
        headers=BEARER,
    ),
    Case(
        name="realtime URL of the spec",
        env=KEY_ENV,
        spec={"realtime_url": "wss://spec.test/rt?model=s", "base_url": "http://b"},
        url="wss://spec.test/rt?model=s",
        headers=BEARER,
        model="s",
    ),
    Case(
        name="compatible server without a key",
        given={"base_url": "http://localhost:8000"},
        url="ws://localhost:8000/v1/realtime?model=m",
    ),
    Case(
        name="compatible server with a blank key",
        given={"base_url": "http://localhost:8000", "api_key": ""},
        env=KEY_ENV,
        url="ws://localhost:8000/v1/realtime?model=m",
    ),
    Case(
        name="base URL that ends with /realtime",
        given={"base_url": "https://gw.test/v1/realtime?tenant=a"},
        env=KEY_ENV,
        url="wss://gw.test/v1/realtime?tenant=a&model=m",
        headers=BEARER,
    ),
    Case(
        name="base URL with a model before the environment",
        given={"base_url": "https://gw.test/v1?model=in-url"},
        env={"OPENAI_REALTIME_MODEL": "env"},
        url="wss://gw.test/v1/realtime?model=in-url",
        model="in-url",
    ),
    Case(
        name="explicit model before the model in a base URL",
        given={"realtime_model": "explicit"},
        env={"OPENAI_BASE_URL": "https://gw.test/v1?model=in-url&a=b"},
        url="wss://gw.test/v1/realtime?a=b&model=explicit",
        model="explicit",
    ),
    Case(
        name="user part of the URL instead of a key",
        given={"base_url": f"https://me:{OTHER}@gw.test/v1"},
        env=KEY_ENV,
        url=f"wss://me:{OTHER}@gw.test/v1/realtime?model=m",
    ),
    Case(
        name="proxy: explicit",
        given={"proxy": f"http://me:{OTHER}@proxy.test:1"},
        env={**KEY_ENV, "HTTPS_PROXY": "http://other.test"},
        url=OPENAI + "m",
        headers=BEARER,
        proxy=f"http://me:{OTHER}@proxy.test:1",
    ),
    Case(
        name="proxy in the environment",
        env={**KEY_ENV, "HTTPS_PROXY": f"http://me:{OTHER}@proxy.test:1"},
        url=OPENAI + "m",
        headers=BEARER,
        proxy=f"http://me:{OTHER}@proxy.test:1",
    ),
    Case(
        name="blank proxy",
        given={"proxy": ""},
        env={**KEY_ENV, "HTTPS_PROXY": "http://proxy.test"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="host in NO_PROXY",
        env={**KEY_ENV, "HTTPS_PROXY": "http://proxy.test", "NO_PROXY": "api.openai.com"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
]

AZURE_CASES = [
    Case(
        name="endpoint without a version: v1",
        env=AZURE_ALL,
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="version in the environment: deployment form",
        env={**AZURE_ALL, "AZURE_OPENAI_API_VERSION": "2025-08-28"},
        url=deployed("dep"),
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="explicit version before the environment",
        given={"api_version": PREVIEW},
        env={**AZURE_ALL, "AZURE_OPENAI_API_VERSION": "2025-08-28"},
        url=deployed("dep", PREVIEW),
        headers=azure_key(**BETA),
        model="dep",
        dialect="beta",
    ),
    Case(
        name="blank version suppresses the environment",
        given={"api_version": ""},
        env={**AZURE_ALL, "AZURE_OPENAI_API_VERSION": "2025-08-28"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="version of the spec",
        env=AZURE_ALL,
        spec={"api_version": "2025-08-28"},
        url=deployed("dep"),
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="version in the URL before the environment",
        given={"azure_endpoint": f"{AZURE}?api-version=2025-08-28", "deployment_name": "d"},
        env={**AZURE_ENV, "AZURE_OPENAI_API_VERSION": "2020-01-01"},
        url=deployed("d"),
        headers=azure_key(),
        model="d",
    ),
    Case(
        name="base URL of the form v1 takes no version",
        given={"base_url": f"{AZURE}/openai/v1", "api_version": "2025-08-28"},
        env={**AZURE_ENV, "AZURE_OPENAI_DEPLOYMENT_NAME": "dep"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="base URL of a resource with a version",
        given={"base_url": AZURE, "api_version": "2025-08-28", "deployment_name": "d"},
        env=AZURE_ENV,
        url=deployed("d"),
        headers=azure_key(),
        model="d",
    ),
    Case(
        name="deployment in the path",
        given={"azure_endpoint": f"{AZURE}/openai/deployments/p/realtime?api-version=2025-08-28"},
        env={**AZURE_ENV, "AZURE_OPENAI_DEPLOYMENT_NAME": "dep"},
        url=f"{AZURE_WS}/openai/deployments/p/realtime?api-version=2025-08-28",
        headers=azure_key(),
        model="p",
    ),
    Case(
        name="explicit deployment before the one in the URL",
        given={"azure_endpoint": deployed("in-url"), "deployment_name": "explicit"},
        env=AZURE_ENV,
        url=deployed("explicit"),
        headers=azure_key(),
        model="explicit",
    ),
    Case(
        name="deployment: name before realtime deployment before model",
        env={
            **AZURE_ALL,
            "OPENAI_REALTIME_DEPLOYMENT": "second",
            "OPENAI_REALTIME_MODEL": "third",
        },
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers=azure_key(),
        model="dep",
    ),
    Case(
        name="deployment: blank name, then the realtime deployment",
        given={"deployment_name": ""},
        env={
            **AZURE_ALL,
            "OPENAI_REALTIME_DEPLOYMENT": "second",
            "OPENAI_REALTIME_MODEL": "third",
        },
        url=f"{AZURE_WS}/openai/v1/realtime?model=second",
        headers=azure_key(),
        model="second",
    ),
    Case(
        name="deployment: two blank names, then the model",
        given={"deployment_name": "", "realtime_deployment": ""},
        env={
            **AZURE_ALL,
            "OPENAI_REALTIME_DEPLOYMENT": "second",
            "OPENAI_REALTIME_MODEL": "third",
        },
        url=f"{AZURE_WS}/openai/v1/realtime?model=third",
        headers=azure_key(),
        model="third",
    ),
    Case(
        name="deployment: explicit model before variables of deployments",
        given={"realtime_model": "explicit"},
        env=AZURE_ALL,
        url=f"{AZURE_WS}/openai/v1/realtime?model=explicit",
        headers=azure_key(),
        model="explicit",
    ),
    Case(
        name="deployment: explicit realtime deployment before the model",
        given={"realtime_deployment": "rd", "realtime_model": "rm"},
        env=AZURE_ALL,
        url=f"{AZURE_WS}/openai/v1/realtime?model=rd",
        headers=azure_key(),
        model="rd",
    ),
    Case(
        name="deployment of the spec before its model",
        given={"azure_endpoint": AZURE},
        env=AZURE_ENV,
        spec={"deployment": "spec-dep", "model": "spec-model"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=spec-dep",
        headers=azure_key(),
        model="spec-dep",
    ),
    Case(
        name="deployment: model of the spec",
        given={"azure_endpoint": AZURE},
        env=AZURE_ENV,
        spec={"model": "spec-model"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=spec-model",
        headers=azure_key(),
        model="spec-model",
    ),
    Case(
        name="deployment: default",
        given={"azure_endpoint": AZURE},
        env=AZURE_ENV,
        url=f"{AZURE_WS}/openai/v1/realtime?model=m",
        headers=azure_key(),
    ),
    Case(
        name="everything in the spec but the key",
        env=AZURE_ENV,
        spec={"azure_endpoint": AZURE, "deployment": "d", "api_version": "2025-08-28"},
        url=deployed("d"),
        headers=azure_key(),
        model="d",
    ),
    Case(
        name="gateway of Azure on another host",
        given={"azure_endpoint": "https://apim.test/ai", "deployment_name": "d"},
        env={**AZURE_ENV, **KEY_ENV},
        url="wss://apim.test/ai/openai/v1/realtime?model=d",
        headers=azure_key(),
        model="d",
    ),
    Case(
        name="Entra token",
        given={"token": TOKEN},
        env=AZURE_ALL,
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers={"Authorization": f"Bearer {TOKEN}"},
        model="dep",
    ),
    Case(
        name="base URL of Azure with the key of OpenAI as the only one",
        given={"base_url": f"{AZURE}/openai/v1"},
        env=KEY_ENV,
        url=f"{AZURE_WS}/openai/v1/realtime?model=m",
        headers={"api-key": KEY},
    ),
    Case(
        name="base URL of Azure prefers the key of Azure",
        given={"base_url": f"{AZURE}/openai/v1"},
        env={**KEY_ENV, **AZURE_ENV},
        url=f"{AZURE_WS}/openai/v1/realtime?model=m",
        headers=azure_key(),
    ),
    Case(
        name="complete URL at Azure",
        given={"realtime_url": deployed("d", PREVIEW)},
        env=AZURE_ENV,
        url=deployed("d", PREVIEW),
        headers=azure_key(**BETA),
        model="d",
        dialect="beta",
    ),
    Case(
        name="organization of the environment is not sent to Azure",
        env={**AZURE_ALL, "OPENAI_ORG_ID": "org"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers=azure_key(),
        model="dep",
    ),
]

VOICE_LIVE_CASES = [
    Case(
        name="endpoint in the environment",
        env={**VOICE_ENV, "AZURE_VOICELIVE_MODEL": "v"},
        url=f"{VOICE}2025-10-01&model=v",
        headers={"api-key": VOICE_KEY},
        model="v",
        dialect="voice_live",
    ),
    Case(
        name="explicit endpoint, version and token",
        given={
            "voice_live_endpoint": FOUNDRY,
            "api_version": "2026-01-01",
            "realtime_model": "v",
            "token": TOKEN,
        },
        env={"AZURE_VOICELIVE_API_KEY": VOICE_KEY},
        url=f"{VOICE}2026-01-01&model=v",
        headers={"Authorization": f"Bearer {TOKEN}"},
        model="v",
        dialect="voice_live",
    ),
    Case(
        name="AZURE_VOICELIVE_MODEL before OPENAI_REALTIME_MODEL",
        env={**VOICE_ENV, "AZURE_VOICELIVE_MODEL": "v", "OPENAI_REALTIME_MODEL": "o"},
        url=f"{VOICE}2025-10-01&model=v",
        headers={"api-key": VOICE_KEY},
        model="v",
        dialect="voice_live",
    ),
    Case(
        name="version in the environment",
        env={**VOICE_ENV, "AZURE_VOICELIVE_API_VERSION": "2026-02-02"},
        url=f"{VOICE}2026-02-02&model=m",
        headers={"api-key": VOICE_KEY},
        dialect="voice_live",
    ),
    Case(
        name="version in the URL of Voice Live before the environment",
        given={"voice_live_endpoint": f"{FOUNDRY}?api-version=2026-03-03"},
        env={**VOICE_ENV, "AZURE_VOICELIVE_API_VERSION": "2026-02-02"},
        url=f"{VOICE}2026-03-03&model=m",
        headers={"api-key": VOICE_KEY},
        dialect="voice_live",
    ),
    Case(
        name="deployment of the spec as the model of Voice Live",
        env=VOICE_ENV,
        spec={"deployment": "d"},
        url=f"{VOICE}2025-10-01&model=d",
        headers={"api-key": VOICE_KEY},
        model="d",
        dialect="voice_live",
    ),
    Case(
        name="base URL of Voice Live",
        given={"base_url": f"{FOUNDRY}/voice-live"},
        env=VOICE_ENV,
        spec={"model": "s"},
        url=f"{VOICE}2025-10-01&model=s",
        headers={"api-key": VOICE_KEY},
        model="s",
        dialect="voice_live",
    ),
    Case(
        name="an agent has a model of its own",
        given={"voice_live_endpoint": f"{FOUNDRY}?agent-name=a&agent-project-name=p"},
        env=VOICE_ENV,
        url=(
            "wss://res.services.ai.azure.com/voice-live/realtime"
            "?agent-name=a&agent-project-name=p&api-version=2026-07-15"
        ),
        headers={"api-key": VOICE_KEY},
        model=None,
        dialect="voice_live",
    ),
    Case(
        name="spec",
        env=VOICE_ENV | {"AZURE_VOICELIVE_ENDPOINT": ""},
        spec={"voice_live_endpoint": FOUNDRY, "model": "s", "api_version": "2026-01-01"},
        url=f"{VOICE}2026-01-01&model=s",
        headers={"api-key": VOICE_KEY},
        model="s",
        dialect="voice_live",
    ),
]

CREDENTIAL_CASES = [
    Case(
        name="headers: later ones win in any case",
        given={
            "api_key": KEY,
            "headers": {"X-One": "1", "X-Two": "1", "X-Three": "1", "X-Four": "1"},
            "extra_headers": {"x-two": "2", "x-three": "2", "x-four": "2"},
            "openai_headers": {"X-THREE": "3", "X-FOUR": "3"},
            "openai_extra_headers": {"x-Four": "4"},
        },
        spec={"headers": {"x-one": "spec", "x-spec": "spec"}},
        url=OPENAI + "m",
        headers={"X-One": "1", "x-two": "2", "X-THREE": "3", "x-Four": "4", "x-spec": "spec"}
        | BEARER,
    ),
    Case(
        name="header Authorization instead of a key",
        given={"headers": {"authorization": f"Bearer {OTHER}"}},
        env=KEY_ENV,
        url=OPENAI + "m",
        headers={"authorization": f"Bearer {OTHER}"},
    ),
    Case(
        name="header api-key instead of a key",
        given={"openai_extra_headers": {"Api-Key": OTHER}, "api_key": KEY},
        url=OPENAI + "m",
        headers={"Api-Key": OTHER},
    ),
    Case(
        name="header Authorization at Azure, without any key",
        given={"extra_headers": {"Authorization": f"Bearer {OTHER}"}},
        env={**AZURE_ALL, "AZURE_OPENAI_API_KEY": ""},
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers={"Authorization": f"Bearer {OTHER}"},
        model="dep",
    ),
    Case(
        name="no key in the query where a header has one",
        given={"headers": {"Authorization": OTHER}, "api_key_in_query": True, "api_key": KEY},
        url=OPENAI + "m",
        headers={"Authorization": OTHER},
    ),
    Case(
        name="a header replaces the organization",
        given={"headers": {"openai-organization": "h"}, "organization": "o", "api_key": KEY},
        url=OPENAI + "m",
        headers={"openai-organization": "h", **BEARER},
    ),
    Case(
        name="forced header",
        given={"force_api_key_header": True},
        env=KEY_ENV,
        url=OPENAI + "m",
        headers={"api-key": KEY},
    ),
    Case(
        name="forced header in the environment",
        env={**KEY_ENV, FORCE: "yes"},
        url=OPENAI + "m",
        headers={"api-key": KEY},
    ),
    Case(
        name="an explicit false suppresses the variable",
        given={"force_api_key_header": False},
        env={**KEY_ENV, FORCE: "yes"},
        spec={"force_api_key_header": True},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="a blank flag suppresses the variable",
        given={"api_key_in_query": ""},
        env={**KEY_ENV, QUERY: "yes"},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="key in the query",
        given={"api_key_in_query": True, "api_key": KEY},
        url=f"{OPENAI}m&api-key={KEY}",
    ),
    Case(
        name="key in the query, from the environment",
        env={**AZURE_ALL, QUERY: "1"},
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep&api-key={AZURE_KEY}",
        model="dep",
    ),
    Case(
        name="key in the query, from the spec",
        env=KEY_ENV,
        spec={"api_key_in_query": True},
        url=f"{OPENAI}m&api-key={KEY}",
    ),
    Case(
        name="a variable with false before the spec",
        env={**KEY_ENV, QUERY: "no"},
        spec={"api_key_in_query": True},
        url=OPENAI + "m",
        headers=BEARER,
    ),
    Case(
        name="an explicit way before the one of the environment",
        given={"api_key_in_query": True},
        env={**KEY_ENV, FORCE: "1"},
        url=f"{OPENAI}m&api-key={KEY}",
    ),
    Case(
        name="no second key where the URL has one",
        given={"realtime_url": f"wss://gw.test/rt?api-key={OTHER}"},
        env=KEY_ENV,
        url=f"wss://gw.test/rt?api-key={OTHER}",
        model=None,
    ),
    Case(
        name="a token is never sent in the query",
        given={"token": TOKEN, "api_key_in_query": True},
        env=AZURE_ALL,
        url=f"{AZURE_WS}/openai/v1/realtime?model=dep",
        headers={"Authorization": f"Bearer {TOKEN}"},
        model="dep",
    ),
]

ERROR_CASES = [
    Case(name="no key", error=("api.openai.com", "setting api_key", "OPENAI_API_KEY")),
    Case(
        name="blank key",
        given={"api_key": ""},
        env=KEY_ENV,
        error=("setting api_key", "OPENAI_API_KEY", "blank api_key suppresses"),
    ),
    Case(
        name="no key for Azure",
        given={"azure_endpoint": AZURE},
        env=KEY_ENV,
        error=("api_key or token", "AZURE_OPENAI_API_KEY"),
    ),
    Case(
        name="no key for Voice Live",
        given={"voice_live_endpoint": FOUNDRY},
        env={**KEY_ENV, **AZURE_ENV},
        error=("api_key or token", "AZURE_VOICELIVE_API_KEY"),
    ),
    Case(
        name="no deployment",
        given={"azure_endpoint": AZURE},
        default_model=None,
        error=("azure_endpoint: ", "deployment_name", "AZURE_OPENAI_DEPLOYMENT_NAME"),
    ),
    Case(
        name="no model of Voice Live",
        env=VOICE_ENV,
        default_model=None,
        error=("AZURE_VOICELIVE_ENDPOINT: ", "realtime_model", "AZURE_VOICELIVE_MODEL"),
    ),
    Case(
        name="key and token",
        given={"api_key": KEY, "token": TOKEN},
        error=("api_key or token, not both",),
    ),
    Case(
        name="two ways to send a key",
        env={**KEY_ENV, FORCE: "1", QUERY: "1"},
        error=(FORCE, QUERY, "contradict"),
    ),
    Case(
        name="a flag that is no boolean",
        env={**KEY_ENV, FORCE: OTHER},
        error=(FORCE, "must be 1, true"),
    ),
    Case(
        name="key with a newline",
        env={"OPENAI_API_KEY": f"{KEY}\n"},
        error=("OPENAI_API_KEY: ", "white space"),
    ),
    Case(
        name="no URL",
        env={"OPENAI_BASE_URL": f"gw.test/{OTHER}"},
        error=("OPENAI_BASE_URL: ", "must begin with https"),
    ),
    Case(
        name="invalid URL with a password",
        given={"realtime_url": f"ftp://me:{OTHER}@gw.test"},
        error=("realtime_url: ", "must begin with https"),
    ),
    Case(
        name="deployment in the path without a version",
        given={"azure_endpoint": f"{AZURE}/openai/deployments/d"},
        env=AZURE_ENV,
        error=("azure_endpoint: ", "needs an API version"),
    ),
    Case(
        name="header with a line break",
        given={"headers": {"X-A": f"{OTHER}\n"}, "api_key": KEY},
        error=("'X-A'",),
    ),
    Case(
        name="invalid proxy in the environment",
        env={**KEY_ENV, "HTTPS_PROXY": f"ftp://me:{OTHER}@proxy.test"},
        error=("HTTPS_PROXY",),
    ),
    Case(
        name="key in the spec",
        spec={"api_key": OTHER},
        error=("service.api_key", "ServiceSettings(api_key=...)", "OPENAI_API_KEY"),
    ),
    Case(
        name="credentials in a header of the spec",
        spec={"headers": {"Authorization": OTHER}},
        error=("service.headers.Authorization", "no credentials"),
    ),
    Case(
        name="credentials for a proxy in a header of the spec",
        spec={"headers": {"Proxy-Authorization": OTHER}},
        error=("service.headers.Proxy-Authorization", "no credentials"),
    ),
    Case(
        name="credentials in a URL of the spec",
        spec={"base_url": f"https://gw.test?api-key={OTHER}"},
        error=("service.base_url", "contains credentials"),
    ),
    Case(
        name="unknown key in the spec",
        spec={"base_ulr": OTHER},
        error=("service.base_ulr", "did you mean base_url?"),
    ),
    Case(
        name="wrong type in the spec",
        spec={"deployment": [OTHER]},
        error=("service.deployment: expected a str, got list",),
    ),
    Case(
        name="wrong type of a header",
        given={"headers": {"X-A": 1}},
        error=("headers.X-A: expected a str, got int",),
    ),
    Case(
        name="unknown dialect",
        given={"dialect": OTHER},
        error=("dialect: expected one of 'ga'",),
    ),
]

CASES = [*OPENAI_CASES, *ADDRESS_CASES, *AZURE_CASES, *VOICE_LIVE_CASES, *CREDENTIAL_CASES]


def ids(case: Case) -> str:
    return case.name


def test_the_table_is_complete() -> None:
    names = [case.name for case in (*CASES, *ERROR_CASES)]
    assert len(CASES) >= 60
    assert all(case.url for case in CASES)
    assert all(case.error for case in ERROR_CASES)
    assert len({*names}) == len(names)


@pytest.mark.parametrize("case", CASES, ids=ids)
async def test_the_connection_of_each_case(case: Case) -> None:
    resolved = case.resolve()
    connection = await resolved.endpoint.resolve(resolved.model)
    assert connection.url == case.url
    assert dict(connection.headers) == case.headers
    assert len(connection.headers) == len(case.headers)
    assert (resolved.model, resolved.endpoint.dialect) == (case.model, case.dialect)
    assert connection.proxy == case.proxy
    assert sum(name.lower() in {"authorization", "api-key"} for name, _ in connection.headers) <= 1


@pytest.mark.parametrize("case", ERROR_CASES, ids=ids)
def test_the_error_of_each_case(case: Case) -> None:
    with pytest.raises(ConfigurationError) as caught:
        case.resolve()
    for words in case.error:
        assert words in str(caught.value)


@pytest.mark.parametrize("case", [*CASES, *ERROR_CASES], ids=ids)
def test_no_secret_appears_anywhere(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    try:
        shown += [repr(ServiceSettings(**case.given)), str(ServiceSettings(**case.given))]
        resolved = case.resolve()
    except ConfigurationError as exc:
        shown += [str(exc), repr(exc), repr(exc.__cause__), repr(exc.__context__)]
    else:
        shown += [repr(resolved), repr(resolved.endpoint), repr(resolved.sources)]
        shown += [str(one) for one in resolved.sources]
        assert len(caplog.records) == 1
    for record in caplog.records:
        shown += [record.getMessage(), repr(record.args)]
    assert [text for text in shown if SECRET in text] == []


@pytest.mark.parametrize("case", CASES, ids=ids)
async def test_the_environment_of_the_process_does_not_matter(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await case.resolve().endpoint.resolve()
    for name in (
        "OPENAI_API_KEY AZURE_OPENAI_API_KEY AZURE_VOICELIVE_API_KEY OPENAI_ORG_ID OPENAI_PROJECT_ID "
        "OPENAI_REALTIME_MODEL AZURE_OPENAI_DEPLOYMENT_NAME OPENAI_REALTIME_DEPLOYMENT "
        "AZURE_OPENAI_API_VERSION AZURE_VOICELIVE_MODEL AZURE_VOICELIVE_API_VERSION"
    ).split():
        monkeypatch.setenv(name, "leaked")
    for name in (
        "OPENAI_REALTIME_URL OPENAI_REALTIME_BASE_URL OPENAI_BASE_URL AZURE_OPENAI_ENDPOINT "
        "AZURE_VOICELIVE_ENDPOINT HTTPS_PROXY HTTP_PROXY ALL_PROXY"
    ).split():
        monkeypatch.setenv(name, "http://leaked.test")
    monkeypatch.setenv(QUERY, "1")
    assert await case.resolve().endpoint.resolve() == expected
