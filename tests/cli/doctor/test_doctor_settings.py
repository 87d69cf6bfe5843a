"""Where the settings of the endpoint are from, and that no secret is shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import pytest
import trio
from hypothesis import given, settings as run_settings, strategies as st

from trio_realtime.cli.doctor.settings import Setting, Sources
from trio_realtime.cli.endpoints import KEY_VARIABLE, EndpointOptions, open_endpoint
from trio_realtime.endpoints import ResolvedEndpoint
from trio_realtime.endpoints.environment import recorded_variables
from trio_realtime.errors import ConfigurationError

#: Each value can be found again in what the endpoint resolves to.
VARIABLES = {
    "OPENAI_REALTIME_BASE_URL": "https://realtime-base.test/v1",
    "OPENAI_BASE_URL": "https://base.test/v1",
    "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com",
    "AZURE_VOICELIVE_ENDPOINT": "https://live.services.ai.azure.com",
    "OPENAI_API_KEY": "key-of-openai",
    "AZURE_OPENAI_API_KEY": "key-of-azure",
    "AZURE_VOICELIVE_API_KEY": "key-of-voicelive",
    "OPENAI_REALTIME_MODEL": "model-of-realtime",
    "OPENAI_REALTIME_DEPLOYMENT": "model-of-deployment",
    "AZURE_OPENAI_DEPLOYMENT_NAME": "model-of-azure",
    "AZURE_VOICELIVE_MODEL": "model-of-voicelive",
    "AZURE_OPENAI_API_VERSION": "2026-01-01",
    "AZURE_VOICELIVE_API_VERSION": "2026-02-02",
    "OPENAI_REALTIME_API_KEY_IN_QUERY": "true",
    "OPENAI_REALTIME_FORCE_API_KEY_HEADER": "true",
    "OPENAI_ORG_ID": "org-secret",
    "OPENAI_PROJECT_ID": "project-secret",
    "HTTPS_PROXY": "http://user:proxy-secret@proxy.test:8080",
    "SSL_CERT_FILE": "/certificates.pem",
}
SECRETS = [
    *(value for name, value in VARIABLES.items() if name.endswith(("KEY", "_ID"))),
    "proxy-secret",
    "option-secret",
    "url-secret",
    "user-secret",
]


async def found(
    options: EndpointOptions, environ: dict[str, str]
) -> tuple[ResolvedEndpoint, dict[str, Setting]]:
    with patch.dict(os.environ, environ, clear=True), recorded_variables() as names:
        async with open_endpoint(options) as endpoint:
            resolved = await endpoint.resolve(options.model)
            rows = list(Sources(options, names, endpoint, resolved).settings())
    return resolved, {row.name: row for row in rows}


@given(
    names=st.sets(st.sampled_from(sorted(VARIABLES))),
    model=st.sampled_from([None, "model-of-option"]),
    key=st.sampled_from([None, "option-secret"]),
)
@run_settings(max_examples=150, deadline=None)
def test_the_variable_that_is_named_has_the_value_that_is_used(
    names: set[str], model: str | None, key: str | None
) -> None:
    environ = {name: VARIABLES[name] for name in names}
    options = EndpointOptions(model=model, api_key=key)
    try:
        resolved, rows = trio.run(found, options, environ)
    except ConfigurationError:
        return  # for example, no deployment
    shown = str(attrs.astuple(resolved, recurse=False))
    for row in rows.values():
        source = row.source.partition(";")[0]
        if source in VARIABLES:
            assert source in names
            if row.name == "proxy":
                assert resolved.proxy == VARIABLES[source]
            elif row.name == "URL":
                assert VARIABLES[source].split("/")[2] in shown
            elif row.name != "certificates":
                assert VARIABLES[source] in shown, row
        # What is used is not attributed to something else.
        for name in names:
            value = VARIABLES[name]
            if value.startswith("key-of") and row.name == "API key":
                assert (source == name) is (value in shown)
            if value.startswith("https://") and row.name == "URL":
                assert (source == name) is (f"//{value.split('/')[2]}/" in shown)
    assert not [secret for secret in SECRETS if secret in str(rows)]


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (
            {},
            {},
            {
                "URL": "no service is configured",
                "API key": "the local server accepts any key",
                "proxy": "connections to the local server are direct",
            },
        ),
        ({"local": True}, {"OPENAI_API_KEY": "k"}, {"URL": "--local", "model": "default"}),
        (
            {"url": "wss://h.test", "api_key": "option-secret", "model": "m", "dialect": "beta"},
            {"OPENAI_API_KEY": "k"},
            {"URL": "--url", "API key": "--api-key", "model": "--model", "dialect": "--dialect"},
        ),
        ({"url": "wss://h.test?model=n", "model": "m"}, {}, {"model": "the URL"}),
        ({"url": "ws://127.0.0.1:1"}, {}, {"API key": "local servers accept any key"}),
        ({"url": "wss://h.test"}, {}, {"API key": "no option or variable has one"}),
        (
            {"url": "wss://h.test", "api_key": "option-secret"},
            {KEY_VARIABLE: "option-secret"},
            {"API key": KEY_VARIABLE},
        ),
        (
            {"url": "wss://h.test", "proxy": "http://user-secret:proxy-secret@p.test:1"},
            {"HTTPS_PROXY": "http://other.test"},
            {"proxy": "--proxy"},
        ),
        ({"url": "wss://h.test", "proxy": ""}, {}, {"proxy": "--proxy"}),
        (
            {"url": "wss://h.test"},
            {"https_proxy": "http://p.test", "NO_PROXY": "h.test"},
            {"proxy": "NO_PROXY has the host"},
        ),
        (
            {"url": "wss://user-secret:url-secret@h.test/?token=url-secret"},
            {"SSL_CERT_DIR": "/certificates"},
            {"certificates": "SSL_CERT_DIR", "proxy": "no variable names one"},
        ),
        ({}, {"OPENAI_API_KEY": "k"}, {"URL": "default, the service of OpenAI"}),
        (
            {},
            {"OPENAI_API_KEY": "key-of-openai", "OPENAI_REALTIME_API_KEY_IN_QUERY": "1"},
            {"API key": "OPENAI_API_KEY; OPENAI_REALTIME_API_KEY_IN_QUERY"},
        ),
    ],
)
async def test_each_setting_names_its_source(
    options: Any, environ: dict[str, str], expected: dict[str, str]
) -> None:
    _, rows = await found(EndpointOptions(**options), environ)
    assert {name: rows[name].source for name in expected} == expected
    assert not [secret for secret in SECRETS if secret in str(rows)]


async def test_the_certificates_of_the_option_are_shown() -> None:
    path = Path(__file__).parents[2] / "transports" / "localhost.pem"
    _, rows = await found(EndpointOptions(url="wss://h.test", ca_file=path), {})
    assert rows["certificates"] == Setting("certificates", str(path), "--ca-file")
