"""The options that choose the service of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trio_realtime import Endpoint, RealtimeAgent, SessionConfig
from trio_realtime.cli.endpoints import (
    EndpointOptions,
    is_local,
    make_endpoint,
    open_endpoint,
    open_session,
)
from trio_realtime.cli.exit import UserFacingError
from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.local import serve_local

KEY = "sk-0123456789"
URL = "wss://voice.test/v1"
CERTIFICATE = Path(__file__).parent.parent / "transports" / "localhost.pem"


async def key_of(endpoint: Endpoint) -> str | None:
    values = [value for name, value in (await endpoint.resolve()).headers if name != "OpenAI-Beta"]
    return values[0].removeprefix("Bearer ") if values else None


@pytest.mark.parametrize(
    ("options", "variable", "local"),
    [
        ({}, None, True),
        ({}, "OPENAI_API_KEY", False),
        ({"local": True}, "OPENAI_API_KEY", True),
        ({"url": URL}, None, False),
        ({"api_key": KEY}, None, False),
        ({"local": True, "api_key": KEY}, None, True),
    ],
)
def test_a_local_server_is_used_if_nothing_else_is_configured(
    options: Any, variable: str | None, monkeypatch: pytest.MonkeyPatch, *, local: bool
) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, KEY)
    assert is_local(EndpointOptions(**options)) is local


async def test_a_key_goes_to_the_service_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://res.openai.azure.com")
    monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT_NAME", "d")
    endpoint = make_endpoint(EndpointOptions(api_key=KEY))
    assert "azure.com" in endpoint.url
    assert await key_of(endpoint) == KEY


async def test_keys_of_the_environment_are_not_sent_to_a_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert await key_of(make_endpoint(EndpointOptions(url=URL))) is None
    assert await key_of(make_endpoint(EndpointOptions(url="ws://[::1]:9/"))) == "local"
    assert await key_of(make_endpoint(EndpointOptions(url=URL, api_key="mine"))) == "mine"


@pytest.mark.parametrize("service", ["url", "key", "environment"])
async def test_dialect_proxy_and_certificates_apply_to_every_service(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if service == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = EndpointOptions(
        url=URL if service == "url" else None,
        api_key=KEY if service == "key" else None,
        dialect="beta",
        proxy="http://proxy.test:8080",
        ca_file=CERTIFICATE,
    )
    endpoint = make_endpoint(options)
    resolved = await endpoint.resolve()
    assert endpoint.dialect == "beta"
    assert resolved.proxy == "http://proxy.test:8080"
    assert resolved.ssl_context is not None
    assert len(resolved.ssl_context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"local": True, "url": URL}, "--local and --url contradict"),
        ({"dialect": "voice_live"}, "does not speak voice_live"),
        ({"local": True, "proxy": "http://h"}, "--proxy has no effect"),
        ({"ca_file": Path("x.pem")}, "--ca-file has no effect"),
    ],
)
async def test_options_that_contradict_each_other_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(UserFacingError, match=problem):
        async with open_endpoint(EndpointOptions(**options)):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("local", [False, True])
async def test_the_local_server_speaks_the_dialect_of_the_option(
    local: bool,
) -> None:
    agent, config = RealtimeAgent[None](name="A"), SessionConfig(output_modalities=("text",))
    async with open_session(agent, EndpointOptions(local=local, dialect="beta"), config) as session:
        assert (await session.ask("Hello")).text == "You said: Hello"


@pytest.mark.slow
@pytest.mark.parametrize(("model", "expected"), [(None, DEFAULT_MODEL), ("other", "other")])
async def test_the_model_of_the_option_is_requested(model: str | None, expected: str) -> None:
    agent, config = RealtimeAgent[None](name="A"), SessionConfig(output_modalities=("text",))
    async with serve_local() as server:
        options = EndpointOptions(url=server.url, model=model)
        async with open_session(agent, options, config):
            pass
        assert f"model={expected}" in server.connections[0].request.path
