"""Settings, where they came from, and key functions."""

from __future__ import annotations

import logging
import os
from typing import Any

import attrs
import pytest
import trio

from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.errors import ConfigurationError
from trio_realtime.server.service import (
    SPEC_KEYS,
    ServiceSettings,
    SettingSource,
    resolve_service,
)

KEY = "sk-0123456789"


def source(setting: str, origin: Any, value: str, variable: str | None = None) -> SettingSource:
    return SettingSource(setting=setting, origin=origin, value=value, variable=variable)


def test_the_sources_name_the_origin_of_each_value() -> None:
    resolved = resolve_service(
        ServiceSettings(api_version="2025-08-28", headers={"X-A": "1"}),
        {"deployment": "d", "dialect": "beta"},
        environ={"AZURE_OPENAI_ENDPOINT": "https://r.test?sig=x", "AZURE_OPENAI_API_KEY": KEY},
    )
    assert resolved.sources == (
        source("azure_endpoint", "environment", "https://r.test?***", "AZURE_OPENAI_ENDPOINT"),
        source("deployment_name", "spec", "d"),
        source("api_version", "explicit", "2025-08-28"),
        source("api_key", "environment", "***", "AZURE_OPENAI_API_KEY"),
        source("dialect", "spec", "beta"),
        source("headers", "explicit", "<X-A: ***>"),
        source("auth", "default", "api-key"),
    )


def test_the_log_names_the_origin_of_each_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_realtime.server.service")
    resolve_service(
        environ={"OPENAI_API_KEY": KEY, "OPENAI_REALTIME_API_KEY_IN_QUERY": "1"},
    )
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("trio_realtime.server.service", logging.INFO)
    ]
    assert caplog.records[0].getMessage() == (
        "resolved the service: base_url=https://api.openai.com/v1 (default), "
        f"realtime_model={DEFAULT_MODEL} (default), "
        "api_key=*** (environment OPENAI_API_KEY), "
        "auth=query (environment OPENAI_REALTIME_API_KEY_IN_QUERY)"
    )


def test_the_proxy_of_the_environment_is_a_source() -> None:
    environ = {"OPENAI_API_KEY": KEY, "ALL_PROXY": "http://me:pw@proxy.test:1"}
    resolved = resolve_service(environ=environ)
    assert source("proxy", "environment", "http://***@proxy.test:1") in resolved.sources


async def test_key_functions_are_called_for_each_connection() -> None:
    calls = 0

    async def key() -> str:
        nonlocal calls
        await trio.lowlevel.checkpoint()
        calls += 1
        return f"key-{calls}"

    endpoint = resolve_service(ServiceSettings(api_key=key), environ={}).endpoint
    assert calls == 0
    assert dict((await endpoint.resolve()).headers) == {"Authorization": "Bearer key-1"}
    assert dict((await endpoint.resolve()).headers) == {"Authorization": "Bearer key-2"}

    settings = ServiceSettings(token=lambda: "t", azure_endpoint="https://r.test")
    endpoint = resolve_service(settings, {"deployment": "d"}, environ={}).endpoint
    assert dict((await endpoint.resolve()).headers) == {"Authorization": "Bearer t"}


async def test_the_environment_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for resolved in (resolve_service(), resolve_service(environ=os.environ)):
        endpoint = resolved.endpoint
        assert dict((await endpoint.resolve()).headers) == {"Authorization": f"Bearer {KEY}"}
        # The variables of proxies are read for each connection, as for every endpoint.
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:1")
        assert (await endpoint.resolve()).proxy == "http://proxy.test:1"
        monkeypatch.delenv("HTTPS_PROXY")


async def test_the_model_of_a_session_replaces_the_one_of_a_base_url() -> None:
    endpoint = resolve_service(ServiceSettings(api_key=KEY), {"model": "a"}, environ={}).endpoint
    assert (await endpoint.resolve("b")).url == "wss://api.openai.com/v1/realtime?model=b"


def test_the_repr_shows_only_what_is_given() -> None:
    settings = ServiceSettings(
        base_url="https://me:pw@gw.test/v1?k=v",
        realtime_model="m",
        api_key=KEY,
        token="",
        headers={"Authorization": KEY, "X-A": "a"},
        proxy="http://me:pw@proxy.test",
        api_key_in_query=False,
    )
    assert repr(settings) == (
        "ServiceSettings(base_url=https://***@gw.test/v1?***, realtime_model=m, api_key=***, "
        "token='', headers=<Authorization: ***, X-A: ***>, api_key_in_query=False, "
        "proxy=http://***@proxy.test)"
    )
    assert repr(ServiceSettings()) == "ServiceSettings()"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("base_url", 1, "base_url: expected a str, got int"),
        ("api_key", 1, "api_key: expected a str, or a function that returns one, got int"),
        ("headers", [KEY], "headers: expected a mapping of names to values, got list"),
        ("headers", {1: KEY}, "headers: expected names that are a str, got int"),
        ("force_api_key_header", KEY, "force_api_key_header: expected true or false, got str"),
        ("ca_file", 1, "ca_file: expected a path, got int"),
        ("dialect", "gb", "dialect: expected one of 'ga', 'beta'"),
    ],
)
def test_wrong_types_are_refused_without_the_value(name: str, value: Any, expected: str) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError) as caught:
        ServiceSettings(**given)
    assert str(caught.value).startswith(expected)
    assert KEY not in str(caught.value)


def test_headers_are_copied() -> None:
    headers = {"X-A": "1"}
    settings = ServiceSettings(headers=headers)
    headers["X-A"] = "2"
    assert settings.headers == {"X-A": "1"}


def test_a_ca_file_is_read() -> None:
    settings = ServiceSettings(api_key=KEY, ca_file="/does/not/exist.pem")
    with pytest.raises(ConfigurationError, match="ca_file cannot be read"):
        resolve_service(settings, environ={})


def test_the_keys_of_a_spec_are_settings_without_credentials() -> None:
    fields = {one.name for one in attrs.fields(ServiceSettings)}
    assert {*SPEC_KEYS.values()} <= fields - {"api_key", "token"}
