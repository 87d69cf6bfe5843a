"""Endpoints: URLs, credentials, and the redaction of keys."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings, strategies as st

from trio_realtime.endpoints import DEFAULT_MODEL, Auth, Endpoint, ResolvedEndpoint
from trio_realtime.errors import ConfigurationError, ConnectFailed, UsageError

KEY = "sk-test-0123456789"
OPENAI = "wss://api.openai.com/v1/realtime"
AZURE = "https://res.openai.azure.com"

VARIABLES = (
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_REALTIME_URL", "OPENAI_REALTIME_BASE_URL"),
    *("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_REALTIME_MODEL", "OPENAI_REALTIME_DEPLOYMENT"),
    *("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT_NAME"),
    *("AZURE_OPENAI_API_VERSION", "AZURE_OPENAI_API_KEY"),
)


def bearer(key: str = KEY) -> tuple[str, str]:
    return "Authorization", f"Bearer {key}"


async def test_openai_requires_only_a_key() -> None:
    endpoint = Endpoint.openai(KEY)
    assert endpoint.default_model == DEFAULT_MODEL == "gpt-realtime-2.1"
    assert await endpoint.resolve() == ResolvedEndpoint(
        f"{OPENAI}?model=gpt-realtime-2.1", (bearer(),)
    )


async def test_the_model_argument_overrides_the_default_model() -> None:
    endpoint = Endpoint.openai(KEY, model="gpt-realtime-2.1-mini")
    assert (await endpoint.resolve()).url == f"{OPENAI}?model=gpt-realtime-2.1-mini"
    assert (await endpoint.resolve("a b&c")).url == f"{OPENAI}?model=a%20b%26c"


async def test_openai_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.test/openai/v1/")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    assert await Endpoint.openai().resolve() == ResolvedEndpoint(
        "wss://proxy.test/openai/v1/realtime?model=gpt-realtime-2.1",
        (("OpenAI-Organization", "org-1"), ("OpenAI-Project", "proj-1"), bearer()),
    )


async def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "https://from.environment")
    endpoint = Endpoint.openai(
        KEY, base_url="https://argument.test/v1", organization="o", project="p", model="m"
    )
    assert await endpoint.resolve() == ResolvedEndpoint(
        "wss://argument.test/v1/realtime?model=m",
        (("OpenAI-Organization", "o"), ("OpenAI-Project", "p"), bearer()),
    )


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("http://host.test:8000", "ws://host.test:8000/v1/realtime?model=m"),
        ("http://host.test/", "ws://host.test/v1/realtime?model=m"),
        ("https://host.test/v1", "wss://host.test/v1/realtime?model=m"),
        ("https://host.test/v1/", "wss://host.test/v1/realtime?model=m"),
        ("ws://host.test/v1/realtime", "ws://host.test/v1/realtime?model=m"),
        ("wss://host.test/x/realtime/", "wss://host.test/x/realtime?model=m"),
        ("wss://host.test/v1?a=b%20c", "wss://host.test/v1/realtime?a=b%20c&model=m"),
        ("wss://host.test/v1?model=other", "wss://host.test/v1/realtime?model=other"),
        ("wss://[::1]:9/v1", "wss://[::1]:9/v1/realtime?model=m"),
        ("HTTPS://host.test/v1", "wss://host.test/v1/realtime?model=m"),
    ],
)
async def test_a_base_url_becomes_a_realtime_url(given_url: str, expected: str) -> None:
    assert (await Endpoint.compatible(given_url, model="m").resolve()).url == expected
    assert (await Endpoint.openai(KEY, base_url=given_url, model="m").resolve()).url == expected


@pytest.mark.parametrize(
    "url",
    ["wss://host.test", "wss://host.test/any/path?x=1&y", "ws://host.test/realtime/translations"],
)
async def test_an_explicit_realtime_url_is_used_unchanged(url: str) -> None:
    assert (await Endpoint.openai(KEY, realtime_url=url).resolve()).url == url
    assert (await Endpoint.openai(KEY, realtime_url=url).resolve("other")).url == url
    assert (await Endpoint.compatible(url, realtime_url=True).resolve("other")).url == url


async def test_azure_without_a_version_uses_the_v1_path() -> None:
    endpoint = Endpoint.azure(AZURE, deployment="my gpt", api_key=KEY)
    assert endpoint.default_model == "my gpt"
    assert await endpoint.resolve("ignored") == ResolvedEndpoint(
        "wss://res.openai.azure.com/openai/v1/realtime?model=my%20gpt", (("api-key", KEY),)
    )


async def test_azure_with_a_version_uses_the_deployment_path() -> None:
    endpoint = Endpoint.azure(AZURE, deployment="d", api_version="2025-04-01-preview", api_key=KEY)
    assert (await endpoint.resolve()).url == (
        "wss://res.openai.azure.com/openai/realtime?api-version=2025-04-01-preview&deployment=d"
    )


@pytest.mark.parametrize(
    "tail", ["", "/", "/openai", "/openai/v1", "/openai/v1/", "/openai/realtime"]
)
async def test_azure_endpoints_may_include_a_path(tail: str) -> None:
    endpoint = Endpoint.azure(AZURE + tail, deployment="d", api_key=KEY)
    assert (await endpoint.resolve()).url == (
        "wss://res.openai.azure.com/openai/v1/realtime?model=d"
    )


async def test_azure_accepts_a_token_instead_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "not-this-one")
    endpoint = Endpoint.azure(AZURE, deployment="d", token=lambda: "token-1")
    assert (await endpoint.resolve()).headers == (bearer("token-1"),)


async def test_azure_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", AZURE)
    monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT_NAME", "d")
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "v")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    assert await Endpoint.azure().resolve() == ResolvedEndpoint(
        "wss://res.openai.azure.com/openai/realtime?api-version=v&deployment=d",
        (("api-key", KEY),),
    )
    assert "/openai/v1/realtime" in (await Endpoint.azure(api_version="").resolve()).url


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (None, ResolvedEndpoint("ws://host.test/v1/realtime", (bearer(),))),
        ("bearer", ResolvedEndpoint("ws://host.test/v1/realtime", (bearer(),))),
        ("api-key", ResolvedEndpoint("ws://host.test/v1/realtime", (("api-key", KEY),))),
        ("query", ResolvedEndpoint(f"ws://host.test/v1/realtime?api-key={KEY}")),
        ("none", ResolvedEndpoint("ws://host.test/v1/realtime")),
    ],
)
async def test_auth_selects_how_the_key_is_sent(
    auth: Auth | None, expected: ResolvedEndpoint
) -> None:
    endpoint = Endpoint.compatible("http://host.test", api_key=KEY, auth=auth)
    assert await endpoint.resolve() == expected


async def test_the_query_parameter_of_the_key_is_configurable() -> None:
    endpoint = Endpoint.compatible(
        "http://host.test", api_key="a+b", auth="query", key_parameter="token"
    )
    assert (await endpoint.resolve()).url == "ws://host.test/v1/realtime?token=a%2Bb"


async def test_an_azure_host_uses_the_api_key_header_by_default() -> None:
    default = Endpoint.compatible(f"{AZURE}/openai/v1", api_key=KEY)
    overridden = Endpoint.compatible(f"{AZURE}/openai/v1", api_key=KEY, auth="bearer")
    assert (await default.resolve()).headers == (("api-key", KEY),)
    assert (await overridden.resolve()).headers == (bearer(),)


async def test_a_compatible_server_needs_no_key_and_reads_no_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = Endpoint.compatible("http://localhost:8000")
    assert await endpoint.resolve() == ResolvedEndpoint("ws://localhost:8000/v1/realtime")


@pytest.mark.parametrize("name", ["authorization", "AUTHORIZATION", "Api-Key"])
async def test_credentials_in_headers_override_the_key(name: str) -> None:
    headers = {name: "Basic abc"}
    for endpoint in (
        Endpoint.openai(headers=headers),
        Endpoint.openai(KEY, headers=headers),
        Endpoint.azure(AZURE, deployment="d", headers=headers),
        Endpoint.compatible("ws://host.test", api_key=KEY, headers=headers),
    ):
        assert (await endpoint.resolve()).headers == ((name, "Basic abc"),)


async def test_given_headers_override_default_headers() -> None:
    endpoint = Endpoint.openai(
        KEY, organization="argument", headers={"openai-organization": "header"}
    )
    assert (await endpoint.resolve()).headers == (("openai-organization", "header"), bearer())


async def test_no_beta_header_is_sent() -> None:
    for endpoint in (Endpoint.openai(KEY), Endpoint.azure(AZURE, deployment="d", api_key=KEY)):
        names = {name.lower() for name, _ in (await endpoint.resolve()).headers}
        assert "openai-beta" not in names


async def test_attaching_to_a_call_adds_the_call_id_and_removes_the_model() -> None:
    call = "rtc_123"
    assert (await Endpoint.openai(KEY).attach(call).resolve("m")).url == f"{OPENAI}?call_id={call}"
    assert (await Endpoint.openai(KEY, call_id=call).resolve()).url == f"{OPENAI}?call_id={call}"
    azure = Endpoint.azure(AZURE, deployment="d", api_version="v", api_key=KEY, call_id=call)
    assert (await azure.resolve()).url == (
        "wss://res.openai.azure.com/openai/realtime?api-version=v&call_id=rtc_123"
    )
    server = Endpoint.compatible("ws://host.test/v1?model=x&a=1", call_id=call)
    assert (await server.resolve()).url == "ws://host.test/v1/realtime?a=1&call_id=rtc_123"


async def test_attaching_does_not_change_the_endpoint() -> None:
    endpoint = Endpoint.openai(KEY)
    endpoint.attach("rtc_1")
    assert (await endpoint.resolve()).url == f"{OPENAI}?model=gpt-realtime-2.1"


async def test_a_key_function_is_called_for_every_connection() -> None:
    keys = iter(["first", "second"])
    endpoint = Endpoint.openai(lambda: next(keys))
    assert (await endpoint.resolve()).headers == (bearer("first"),)
    assert (await endpoint.resolve()).headers == (bearer("second"),)


async def test_an_async_key_function_is_awaited() -> None:
    async def provide() -> str:
        await trio.lowlevel.checkpoint()
        return KEY

    assert (await Endpoint.openai(provide).resolve()).headers == (bearer(),)


@pytest.mark.parametrize("answer", ["", f"{KEY}\n", None, KEY.encode()])
async def test_a_key_function_that_returns_no_key_is_a_configuration_error(answer: object) -> None:
    # Written for callers without a type checker.
    provide: Callable[[], str] = lambda: answer  # type: ignore[assignment,return-value]  # noqa: E731
    with pytest.raises(ConfigurationError, match="API key") as caught:
        await Endpoint.openai(provide).resolve()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (Endpoint.openai, "OPENAI_API_KEY"),
        (lambda: Endpoint.openai(""), "empty"),
        (lambda: Endpoint.openai(f"{KEY}\n"), "newline"),
        (lambda: Endpoint.openai(f"{KEY}\r\nX: y"), "characters"),
        (lambda: Endpoint.openai(f"\u201c{KEY}\u201d"), "characters"),
        (lambda: Endpoint.openai(KEY, base_url="ftp://host.test"), "begin with"),
        (lambda: Endpoint.openai(KEY, base_url="host.test/v1"), "begin with"),
        (lambda: Endpoint.openai(KEY, base_url="https://"), "no host"),
        (lambda: Endpoint.openai(KEY, base_url="https://host.test:0"), "port"),
        (lambda: Endpoint.openai(KEY, base_url="https://host.test:99999"), "cannot be parsed"),
        (lambda: Endpoint.openai(KEY, base_url="https://host.test/a b"), "percent-encoded"),
        (lambda: Endpoint.openai(KEY, base_url="https://host.test/#x"), "fragment"),
        (lambda: Endpoint.openai(KEY, headers={"a b": "c"}), "header name"),
        (lambda: Endpoint.openai(KEY, headers={"X-A": f"{KEY}\n"}), "X-A"),
        (lambda: Endpoint.openai(KEY, call_id=""), "call_id"),
        (lambda: Endpoint.azure(AZURE, api_key=KEY), "AZURE_OPENAI_DEPLOYMENT_NAME"),
        (lambda: Endpoint.azure(deployment="d", api_key=KEY), "AZURE_OPENAI_ENDPOINT"),
        (lambda: Endpoint.azure(AZURE, deployment="d"), "AZURE_OPENAI_API_KEY"),
        (lambda: Endpoint.azure(AZURE, deployment="d", api_key=KEY, token=KEY), "not both"),
        (lambda: Endpoint.compatible("ws://host.test", auth="bearer"), "api_key="),
        (
            lambda: Endpoint.compatible("ws://host.test", api_key=KEY, auth=cast("Any", "header")),
            "'bearer', 'api-key', 'query', 'none'",
        ),
        (Endpoint.from_env, "OPENAI_API_KEY"),
    ],
)
def test_invalid_arguments_raise_with_advice(make: Callable[[], Endpoint], advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as caught:
        make()
    assert isinstance(caught.value, UsageError)
    assert KEY not in "".join(traceback.format_exception_only(caught.value))


async def test_environment_variables_have_the_documented_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert (await Endpoint.from_env().resolve()).url == f"{OPENAI}?model=gpt-realtime-2.1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://base.test")
    assert (await Endpoint.from_env().resolve()).url == (
        "ws://base.test/v1/realtime?model=gpt-realtime-2.1"
    )
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", AZURE)
    monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT_NAME", "d")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    assert "azure" in (await Endpoint.from_env().resolve()).url
    monkeypatch.setenv("OPENAI_REALTIME_URL", "ws://exact.test/here")
    assert await Endpoint.from_env().resolve() == ResolvedEndpoint(
        "ws://exact.test/here", (bearer(),)
    )


async def test_servers_in_the_environment_need_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert await Endpoint.from_env().resolve() == ResolvedEndpoint(
        "ws://localhost:8000/v1/realtime?model=gpt-realtime-2.1"
    )
    monkeypatch.setenv("OPENAI_REALTIME_URL", "ws://localhost:9000/x")
    assert await Endpoint.from_env().resolve() == ResolvedEndpoint("ws://localhost:9000/x")


def test_the_repr_masks_only_secrets() -> None:
    endpoint = Endpoint.openai(KEY, headers={"X-Trace": KEY}).attach("rtc_1")
    assert repr(endpoint) == (
        "Endpoint('wss://api.openai.com/v1/realtime', auth='bearer', model='gpt-realtime-2.1', "
        "call_id='rtc_1', headers=<X-Trace: ***>)"
    )


SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1).map(
    lambda tail: f"S3cret{tail}"
)


def all_representations(make: Callable[[], Endpoint]) -> str:
    """Return all representations of an endpoint, or of the exception that creating it raises."""

    async def resolved(endpoint: Endpoint) -> ResolvedEndpoint:
        return await endpoint.resolve("other")

    shown: list[str] = []
    try:
        endpoint = make()
        found = trio.run(resolved, endpoint)
        shown += [repr(endpoint), str(endpoint), repr(endpoint.attach("rtc_1"))]
        shown += [repr(found), str(found), f"{found!s:>20}"]
    except (ConfigurationError, ConnectFailed) as exc:
        shown += [repr(exc), str(exc), repr(vars(exc)), repr(exc.args)]
    return "\n".join(shown)


@settings(max_examples=60, deadline=None)
@given(secret=SECRETS, bad=st.sampled_from(["", "\n", " ", "\x00", "\u20ac"]))
def test_secrets_are_never_displayed(secret: str, bad: str) -> None:
    def raising() -> str:
        raise RuntimeError(secret)

    key = secret + bad
    constructors: list[Callable[[], Endpoint]] = [
        lambda: Endpoint.openai(key),
        lambda: Endpoint.openai(lambda: key),
        lambda: Endpoint.openai(raising),
        lambda: Endpoint.openai(headers={"Authorization": key}),
        lambda: Endpoint.openai(KEY, headers={"X-Token": key}),
        lambda: Endpoint.openai(KEY, base_url=f"https://user:{key}@host.test/v1"),
        lambda: Endpoint.openai(KEY, base_url=f"https://host.test/v1?sig={key}"),
        lambda: Endpoint.openai(KEY, realtime_url=f"ftp://{key}@host.test/v1?{key}"),
        lambda: Endpoint.azure(AZURE, deployment="d", api_key=key),
        lambda: Endpoint.azure(AZURE, deployment="d", token=key),
        lambda: Endpoint.azure(f"{AZURE}?code={key}", deployment="d", token=KEY),
        lambda: Endpoint.compatible("ws://host.test", api_key=key, auth="query"),
        lambda: Endpoint.compatible("ws://host.test", proxy=f"http://user:{key}@proxy.test"),
        lambda: Endpoint.compatible("ws://host.test", proxy=f"{key}@proxy.test:8080"),
        lambda: Endpoint.voice_live(AZURE, agent_id="a", project_name="p", token=key),
        lambda: Endpoint.compatible("ws://host.test", api_key=key, auth="api-key"),
    ]
    for make in constructors:
        assert "S3cret" not in all_representations(make)
