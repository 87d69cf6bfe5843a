"""Azure OpenAI and Azure Voice Live: the forms of their URLs, versions and dialects."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_realtime.endpoints import DEFAULT_MODEL, Endpoint, ResolvedEndpoint
from trio_realtime.errors import ConfigurationError

KEY = "azure-key-0123456789"
AZURE = "https://res.openai.azure.com"
HOST = "wss://res.openai.azure.com"
PREVIEW = "2025-04-01-preview"
VOICE = "https://res.services.ai.azure.com"
VOICE_URL = "wss://res.services.ai.azure.com/voice-live/realtime"


async def url_of(endpoint: Endpoint, model: str | None = None) -> str:
    return (await endpoint.resolve(model)).url


# --- the URL of a resource ----------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", "/", "/openai", "/openai/", "/openai/v1", "/openai/realtime"])
@pytest.mark.parametrize(
    "host",
    [
        "res.openai.azure.com",
        "res.privatelink.openai.azure.com",
        "res.openai.azure.us",
        "res.services.ai.azure.com",
        "res.cognitiveservices.azure.com",
        "eastus2.api.cognitive.microsoft.com",
    ],
)
async def test_the_url_of_a_resource_becomes_the_azure_form(host: str, tail: str) -> None:
    expected = ResolvedEndpoint(
        f"wss://{host}/openai/v1/realtime?model=d", headers=(("api-key", KEY),)
    )
    resource = f"https://{host}{tail}"
    for endpoint in (
        Endpoint.compatible(resource, api_key=KEY, model="d"),
        Endpoint.openai(KEY, base_url=resource, model="d"),
        Endpoint.azure(resource, api_key=KEY, deployment="d"),
    ):
        assert await endpoint.resolve() == expected
        assert endpoint.dialect == "ga"


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_REALTIME_BASE_URL"])
async def test_a_resource_in_the_base_url_variables_becomes_the_azure_form(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, AZURE)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    expected = ResolvedEndpoint(
        f"{HOST}/openai/v1/realtime?model={DEFAULT_MODEL}", (("api-key", KEY),)
    )
    assert await Endpoint.openai().resolve() == expected
    assert await Endpoint.from_env().resolve() == expected


@pytest.mark.parametrize(
    "host",
    [
        "res.openai.azure.com.attacker.test",
        "openai.azure.com",
        "vm.eastus.cloudapp.azure.com",
        "notazure.com",
    ],
)
async def test_other_hosts_are_not_azure(host: str) -> None:
    endpoint = Endpoint.compatible(f"https://{host}", api_key=KEY, model="m")
    assert await endpoint.resolve() == ResolvedEndpoint(
        f"wss://{host}/v1/realtime?model=m", (("Authorization", f"Bearer {KEY}"),)
    )


async def test_a_path_in_front_of_the_azure_path_is_preserved() -> None:
    endpoint = Endpoint.azure("https://gateway.test/team/openai", deployment="d", api_key=KEY)
    assert await url_of(endpoint) == "wss://gateway.test/team/openai/v1/realtime?model=d"


# --- versions, and the deployment in the query or in the path -----------------------------------

V1_URL = f"{HOST}/openai/v1/realtime?model=d"
VERSIONED = f"{HOST}/openai/realtime?api-version={PREVIEW}&deployment=d"
IN_PATH = f"{HOST}/openai/deployments/d/realtime?api-version={PREVIEW}"


@pytest.mark.parametrize("url", [V1_URL, VERSIONED, IN_PATH])
async def test_a_realtime_url_of_any_form_is_accepted(url: str) -> None:
    for endpoint in (
        Endpoint.azure(url, api_key=KEY),
        Endpoint.compatible(url, api_key=KEY, model="other"),
        Endpoint.openai(KEY, base_url=url),
        Endpoint.openai(KEY, realtime_url=url),
    ):
        assert await url_of(endpoint) == await url_of(endpoint, "another") == url
        assert endpoint.default_model in ("d", None)


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/openai/deployments/d/realtime/?api-version={PREVIEW}",
        f"{HOST}/openai/deployments/d?api-version={PREVIEW}",
    ],
)
async def test_a_url_with_the_deployment_in_the_path_is_completed(url: str) -> None:
    assert await url_of(Endpoint.compatible(url, api_key=KEY, model="m")) == IN_PATH
    assert await url_of(Endpoint.azure(url, api_key=KEY)) == IN_PATH


async def test_the_deployment_may_be_in_the_path() -> None:
    endpoint = Endpoint.azure(
        AZURE, deployment="my gpt/4", api_version="v", api_key=KEY, deployment_in_path=True
    )
    assert (
        await url_of(endpoint) == f"{HOST}/openai/deployments/my%20gpt%2F4/realtime?api-version=v"
    )
    assert endpoint.default_model == "my gpt/4"


async def test_a_deployment_in_the_path_can_be_attached_to_a_call() -> None:
    endpoint = Endpoint.azure(IN_PATH, api_key=KEY).attach("rtc_1")
    assert await url_of(endpoint) == f"{IN_PATH}&call_id=rtc_1"


async def test_arguments_override_the_url() -> None:
    for url in (V1_URL, VERSIONED, IN_PATH):
        endpoint = Endpoint.azure(url, deployment="e", api_version="2", api_key=KEY)
        assert "deployment=e" in await url_of(endpoint) or "/e/" in await url_of(endpoint)
        assert "api-version=2" in await url_of(endpoint)
        assert endpoint.default_model == "e"
        v1 = Endpoint.azure(url, api_version="", api_key=KEY)
        assert await url_of(v1) == V1_URL


async def test_the_url_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2")
    monkeypatch.setenv("OPENAI_REALTIME_DEPLOYMENT", "e")
    for url in (V1_URL, VERSIONED, IN_PATH):
        assert await url_of(Endpoint.azure(url, api_key=KEY)) == url
        assert await url_of(Endpoint.openai(KEY, base_url=url)) == url


async def test_the_version_in_the_environment_selects_the_form_of_a_resource(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", PREVIEW)
    for endpoint in (
        Endpoint.azure(AZURE, deployment="d", api_key=KEY),
        Endpoint.openai(KEY, base_url=AZURE, model="d"),
    ):
        assert await url_of(endpoint) == VERSIONED
        assert endpoint.dialect == "beta"
    compatible = Endpoint.compatible(AZURE, api_key=KEY, model="d")
    assert await url_of(compatible) == V1_URL


async def test_a_versioned_url_gets_the_deployment_that_it_lacks() -> None:
    endpoint = Endpoint.compatible(f"{AZURE}?api-version=v&x=1", api_key=KEY)
    assert await url_of(endpoint, "d") == f"{HOST}/openai/realtime?x=1&api-version=v&deployment=d"


async def test_a_version_of_the_v1_form_stays_in_its_query() -> None:
    endpoint = Endpoint.azure(f"{AZURE}/openai/v1?api-version=preview", deployment="d", api_key=KEY)
    assert await url_of(endpoint) == f"{HOST}/openai/v1/realtime?api-version=preview&model=d"
    assert endpoint.dialect == "ga"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endpoint.azure(AZURE, deployment="d", deployment_in_path=True, api_key=KEY),
        lambda: Endpoint.azure(
            AZURE, deployment="d", deployment_in_path=True, api_version="", api_key=KEY
        ),
        lambda: Endpoint.azure(f"{AZURE}/openai/deployments/d", api_key=KEY),
        lambda: Endpoint.compatible(f"{AZURE}/openai/deployments/d/realtime", api_key=KEY),
    ],
)
def test_a_deployment_in_the_path_needs_a_version(make: Callable[[], Endpoint]) -> None:
    with pytest.raises(ConfigurationError, match="api-version"):
        make()


# --- dialects -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        (None, "ga"),
        ("", "ga"),
        ("2025-08-28", "ga"),
        ("2025-04-01-preview", "beta"),
        ("2024-10-01-preview", "beta"),
    ],
)
def test_preview_versions_of_azure_speak_the_beta_dialect(
    version: str | None, dialect: str
) -> None:
    for in_path in (False, bool(version)):
        endpoint = Endpoint.azure(
            AZURE,
            deployment="d",
            api_version=version,
            api_key=KEY,
            deployment_in_path=in_path,
        )
        assert endpoint.dialect == dialect


def test_the_dialect_of_a_complete_url_is_recognized() -> None:
    for url in (VERSIONED, IN_PATH, f"wss://gateway.test/x/openai/realtime?api-version={PREVIEW}"):
        assert Endpoint.compatible(url, realtime_url=True).dialect == "beta"
        assert Endpoint.openai(KEY, realtime_url=url).dialect == "beta"
    voice_live = f"{VOICE_URL}?api-version={PREVIEW}"
    assert Endpoint.compatible(voice_live, realtime_url=True).dialect == "voice_live"
    assert Endpoint.compatible(voice_live, api_key=KEY).dialect == "voice_live"


def test_the_dialect_can_be_chosen() -> None:
    assert Endpoint.compatible("ws://host.test", dialect="beta").dialect == "beta"
    assert Endpoint.compatible("ws://host.test").dialect == "ga"
    assert Endpoint.openai(KEY, dialect="voice_live").dialect == "voice_live"
    assert Endpoint.azure(VERSIONED, api_key=KEY, dialect="ga").dialect == "ga"


@pytest.mark.parametrize(
    ("argument", "url", "variable", "expected"),
    [
        ("argument", "url", "variable", "argument"),
        (None, "url", "variable", "url"),
        (None, None, "variable", "variable"),
        (None, None, None, "2025-10-01"),
        ("", "url", "variable", "url"),
        ("", None, "variable", "2025-10-01"),
    ],
)
def test_the_version_of_voice_live(
    argument: str | None,
    url: str | None,
    variable: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable is not None:
        monkeypatch.setenv("AZURE_VOICELIVE_API_VERSION", variable)
    query = f"?api-version={url}" if url is not None else ""
    endpoint = Endpoint.voice_live(
        f"https://r.services.ai.azure.com{query}", model="m", api_key="k", api_version=argument
    )
    assert f"api-version={expected}" in endpoint.url


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one of 'ga', 'beta', 'voice_live'"):
        Endpoint.openai(KEY, dialect="GA")  # type: ignore[arg-type]


async def test_the_beta_dialect_is_requested_with_a_header() -> None:
    beta = ("OpenAI-Beta", "realtime=v1")
    assert beta in (await Endpoint.azure(VERSIONED, api_key=KEY).resolve()).headers
    server = Endpoint.compatible("ws://host.test", dialect="beta")
    assert (await server.resolve()).headers == (beta,)
    overridden = Endpoint.compatible(
        "ws://host.test", dialect="beta", headers={"openai-beta": "realtime=v2"}
    )
    assert (await overridden.resolve()).headers == (("openai-beta", "realtime=v2"),)


# --- Voice Live ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [VOICE, f"{VOICE}/", VOICE_URL, f"{VOICE}/voice-live", f"{VOICE_URL}?api-version=2025-10-01"],
)
async def test_voice_live_with_a_model(endpoint: str) -> None:
    voice_live = Endpoint.voice_live(endpoint, model="phi 4", api_key=KEY)
    assert voice_live.dialect == "voice_live"
    assert await voice_live.resolve() == ResolvedEndpoint(
        f"{VOICE_URL}?api-version=2025-10-01&model=phi%204", (("api-key", KEY),)
    )
    assert (await url_of(voice_live, "other")).endswith("&model=other")


async def test_voice_live_accepts_a_token() -> None:
    endpoint = Endpoint.voice_live(VOICE, model="m", token=lambda: "token-1")
    assert (await endpoint.resolve()).headers == (("Authorization", "Bearer token-1"),)


async def test_voice_live_with_a_named_agent() -> None:
    endpoint = Endpoint.voice_live(
        VOICE, agent_name="a", project_name="p", agent_version="3", token="token-1"
    )
    assert await endpoint.resolve() == ResolvedEndpoint(
        f"{VOICE_URL}?api-version=2026-07-15&agent-name=a&agent-project-name=p&agent-version=3",
        (("Authorization", "Bearer token-1"),),
    )


async def test_voice_live_with_an_agent_id_sends_the_token_twice() -> None:
    tokens = iter(["token-1", "token-2"])
    endpoint = Endpoint.voice_live(
        VOICE, agent_id="asst_1", project_name="p", token=lambda: next(tokens)
    )
    for token in ("token-1", "token-2"):
        resolved = await endpoint.resolve()
        assert resolved == ResolvedEndpoint(
            f"{VOICE_URL}?api-version=2025-10-01&agent-id=asst_1&agent-project-name=p"
            f"&agent-access-token={token}",
            (("Authorization", f"Bearer {token}"),),
        )
        assert token not in repr(resolved)


async def test_voice_live_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", VOICE)
    monkeypatch.setenv("AZURE_VOICELIVE_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_REALTIME_MODEL", "n")
    assert await url_of(Endpoint.voice_live()) == f"{VOICE_URL}?api-version=2025-10-01&model=n"
    monkeypatch.setenv("AZURE_VOICELIVE_MODEL", "m")
    monkeypatch.setenv("AZURE_VOICELIVE_API_VERSION", "v")
    expected = ResolvedEndpoint(f"{VOICE_URL}?api-version=v&model=m", (("api-key", KEY),))
    assert await Endpoint.voice_live().resolve() == expected
    assert await Endpoint.from_env().resolve() == expected
    assert Endpoint.from_env().dialect == "voice_live"
    agent = Endpoint.voice_live(agent_name="a", project_name="p")
    assert "model=" not in await url_of(agent)
    blank = Endpoint.voice_live(api_version="")
    assert await url_of(blank) == f"{VOICE_URL}?api-version=2025-10-01&model=m"


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: Endpoint.voice_live(model="m", api_key=KEY), "AZURE_VOICELIVE_ENDPOINT"),
        (lambda: Endpoint.voice_live(VOICE, api_key=KEY), "AZURE_VOICELIVE_MODEL"),
        (lambda: Endpoint.voice_live(VOICE, model="m"), "AZURE_VOICELIVE_API_KEY"),
        (lambda: Endpoint.voice_live(VOICE, model="m", api_key=KEY, token=KEY), "not both"),
        (lambda: Endpoint.voice_live(VOICE, agent_name="a", token=KEY), "project_name"),
        (lambda: Endpoint.voice_live(VOICE, project_name="p", token=KEY), "agent_name"),
        (
            lambda: Endpoint.voice_live(
                VOICE, agent_name="a", agent_id="b", project_name="p", token=KEY
            ),
            "not both",
        ),
        (
            lambda: Endpoint.voice_live(VOICE, agent_id="b", project_name="p", api_key=KEY),
            "token=",
        ),
        (
            lambda: Endpoint.voice_live(
                VOICE, agent_id="b", project_name="p", agent_version="1", token=KEY
            ),
            "agent_version",
        ),
    ],
)
def test_invalid_arguments_of_voice_live_raise_with_advice(
    make: Callable[[], Endpoint], advice: str
) -> None:
    with pytest.raises(ConfigurationError, match=advice) as caught:
        make()
    assert KEY not in str(caught.value)
