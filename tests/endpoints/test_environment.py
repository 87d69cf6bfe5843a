"""The variables that configure a service: their precedence, and invalid values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trio_realtime.endpoints import DEFAULT_MODEL, SERVICE_VARIABLES, Endpoint, ResolvedEndpoint
from trio_realtime.endpoints.environment import parse_flag, recorded_variables
from trio_realtime.errors import ConfigurationError

KEY = "sk-test-0123456789"
AZURE_KEY = "azure-key-0123456789"
AZURE = "https://res.openai.azure.com"
IN_HEADER = "OPENAI_REALTIME_FORCE_API_KEY_HEADER"
IN_QUERY = "OPENAI_REALTIME_API_KEY_IN_QUERY"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    return Environment(monkeypatch)


class Environment:
    """Sets several variables at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)


async def url_of(endpoint: Endpoint) -> str:
    return (await endpoint.resolve()).url


async def test_the_first_service_variable_that_is_set_decides(environment: Environment) -> None:
    expected = {
        "OPENAI_API_KEY": f"wss://api.openai.com/v1/realtime?model={DEFAULT_MODEL}",
        "OPENAI_BASE_URL": f"ws://base.test/v1/realtime?model={DEFAULT_MODEL}",
        "AZURE_VOICELIVE_ENDPOINT": (
            "ws://voice.test/voice-live/realtime?api-version=2025-10-01&model=v"
        ),
        "AZURE_OPENAI_ENDPOINT": "ws://azure.test/openai/v1/realtime?model=d",
        "OPENAI_REALTIME_BASE_URL": f"ws://realtime.test/v1/realtime?model={DEFAULT_MODEL}",
        "OPENAI_REALTIME_URL": "ws://complete.test/here",
    }
    assert list(expected) == list(reversed(SERVICE_VARIABLES))
    environment.set(
        AZURE_OPENAI_API_KEY=AZURE_KEY,
        AZURE_VOICELIVE_API_KEY=AZURE_KEY,
        AZURE_OPENAI_DEPLOYMENT_NAME="d",
        AZURE_VOICELIVE_MODEL="v",
    )
    values = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": "http://base.test",
        "AZURE_VOICELIVE_ENDPOINT": "http://voice.test",
        "AZURE_OPENAI_ENDPOINT": "http://azure.test",
        "OPENAI_REALTIME_BASE_URL": "http://realtime.test",
        "OPENAI_REALTIME_URL": "ws://complete.test/here",
    }
    for name, url in expected.items():
        environment.set(**{name: values[name]})
        assert await url_of(Endpoint.from_env()) == url


def test_the_error_for_an_empty_environment_names_all_service_variables() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.from_env()
    assert all(name in str(caught.value) for name in SERVICE_VARIABLES)


async def test_openai_reads_the_urls(environment: Environment) -> None:
    environment.set(OPENAI_API_KEY=KEY, OPENAI_BASE_URL="http://base.test")
    model = f"?model={DEFAULT_MODEL}"
    assert await url_of(Endpoint.openai()) == f"ws://base.test/v1/realtime{model}"
    environment.set(OPENAI_REALTIME_BASE_URL="http://realtime.test")
    assert await url_of(Endpoint.openai()) == f"ws://realtime.test/v1/realtime{model}"
    environment.set(OPENAI_REALTIME_URL="ws://complete.test/here")
    assert await url_of(Endpoint.openai()) == "ws://complete.test/here"
    assert (
        await url_of(Endpoint.openai(realtime_url="")) == f"ws://realtime.test/v1/realtime{model}"
    )
    assert await url_of(Endpoint.openai(base_url="")) == f"wss://api.openai.com/v1/realtime{model}"
    given = Endpoint.openai(base_url="http://argument.test")
    assert await url_of(given) == f"ws://argument.test/v1/realtime{model}"


@pytest.mark.parametrize(
    "variable", ["OPENAI_REALTIME_URL", "OPENAI_REALTIME_BASE_URL", "OPENAI_BASE_URL"]
)
async def test_a_url_in_the_environment_needs_no_key(
    environment: Environment, variable: str
) -> None:
    environment.set(**{variable: "ws://host.test/v1/realtime"})
    assert (await Endpoint.from_env().resolve()).headers == ()
    environment.set(OPENAI_API_KEY=KEY)
    assert (await Endpoint.from_env().resolve()).headers == (("Authorization", f"Bearer {KEY}"),)


def test_the_model_of_openai(environment: Environment) -> None:
    environment.set(
        OPENAI_REALTIME_MODEL="m",
        OPENAI_REALTIME_DEPLOYMENT="d",
        AZURE_OPENAI_DEPLOYMENT_NAME="e",
    )
    assert Endpoint.openai(KEY).default_model == "m"
    assert Endpoint.openai(KEY, model="n").default_model == "n"
    assert Endpoint.openai(KEY, model="").default_model == DEFAULT_MODEL
    assert Endpoint.openai(KEY, base_url=AZURE).default_model == "d"
    environment.set(OPENAI_REALTIME_DEPLOYMENT="")
    assert Endpoint.openai(KEY, base_url=AZURE).default_model == "e"
    environment.set(AZURE_OPENAI_DEPLOYMENT_NAME="")
    assert Endpoint.openai(KEY, base_url=AZURE).default_model == "m"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (("OPENAI_REALTIME_MODEL",), "OPENAI_REALTIME_MODEL"),
        (("OPENAI_REALTIME_MODEL", "AZURE_OPENAI_DEPLOYMENT_NAME"), "AZURE_OPENAI_DEPLOYMENT_NAME"),
        (
            ("AZURE_OPENAI_DEPLOYMENT_NAME", "OPENAI_REALTIME_DEPLOYMENT"),
            "OPENAI_REALTIME_DEPLOYMENT",
        ),
    ],
)
def test_the_deployment_of_azure(
    environment: Environment, variables: tuple[str, ...], expected: str
) -> None:
    environment.set(**{name: name for name in variables})
    endpoint = Endpoint.azure(AZURE, api_key=AZURE_KEY)
    assert endpoint.default_model == expected
    assert Endpoint.azure(AZURE, deployment="d", api_key=AZURE_KEY).default_model == "d"


def test_a_complete_url_is_not_said_to_have_a_model_that_it_does_not_name(
    environment: Environment,
) -> None:
    environment.set(OPENAI_REALTIME_MODEL="m", OPENAI_REALTIME_URL="ws://host.test/x")
    assert Endpoint.openai(KEY).default_model is None
    environment.set(OPENAI_REALTIME_URL="ws://host.test/x?model=n")
    assert Endpoint.openai(KEY).default_model == "n"


# --- keys ---------------------------------------------------------------------------------------


async def test_an_azure_host_gets_the_azure_key(environment: Environment) -> None:
    environment.set(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=AZURE)
    assert (await Endpoint.from_env().resolve()).headers == (("api-key", KEY),)
    environment.set(AZURE_OPENAI_API_KEY=AZURE_KEY)
    assert (await Endpoint.from_env().resolve()).headers == (("api-key", AZURE_KEY),)
    environment.set(OPENAI_BASE_URL="http://base.test", AZURE_OPENAI_API_KEY=AZURE_KEY)
    assert (await Endpoint.from_env().resolve()).headers == (("Authorization", f"Bearer {KEY}"),)


async def test_the_azure_key_is_sent_to_azure_only(environment: Environment) -> None:
    environment.set(AZURE_OPENAI_API_KEY=AZURE_KEY, OPENAI_BASE_URL="http://base.test")
    assert AZURE_KEY not in str((await Endpoint.from_env().resolve()).headers)


@pytest.mark.parametrize("word", ["1", "true", "TRUE", "Yes", "on"])
async def test_the_key_can_be_forced_into_the_api_key_header(
    environment: Environment, word: str
) -> None:
    environment.set(**{IN_HEADER: word}, OPENAI_API_KEY=KEY)
    assert (await Endpoint.openai().resolve()).headers == (("api-key", KEY),)
    assert (await Endpoint.from_env().resolve()).headers == (("api-key", KEY),)
    bearer = Endpoint.openai(auth="bearer")
    assert (await bearer.resolve()).headers == (("Authorization", f"Bearer {KEY}"),)


@pytest.mark.parametrize("word", ["1", "true", "yes", "On"])
async def test_the_key_can_be_put_into_the_query(environment: Environment, word: str) -> None:
    environment.set(**{IN_QUERY: word}, OPENAI_API_KEY=KEY)
    assert await Endpoint.from_env().resolve() == ResolvedEndpoint(
        f"wss://api.openai.com/v1/realtime?model={DEFAULT_MODEL}&api-key={KEY}"
    )
    azure = Endpoint.azure(AZURE, deployment="d", api_key=AZURE_KEY)
    assert await azure.resolve() == ResolvedEndpoint(
        f"wss://res.openai.azure.com/openai/v1/realtime?model=d&api-key={AZURE_KEY}"
    )


@pytest.mark.parametrize("word", ["", "0", "false", "No", "OFF"])
@pytest.mark.parametrize("variable", [IN_HEADER, IN_QUERY])
async def test_a_false_variable_changes_nothing(
    environment: Environment, variable: str, word: str
) -> None:
    environment.set(**{variable: word}, OPENAI_API_KEY=KEY)
    assert (await Endpoint.from_env().resolve()).headers == (("Authorization", f"Bearer {KEY}"),)


async def test_a_token_is_always_a_bearer_token(environment: Environment) -> None:
    environment.set(**{IN_HEADER: "1"})
    endpoint = Endpoint.azure(AZURE, deployment="d", token="token-1")
    assert (await endpoint.resolve()).headers == (("Authorization", "Bearer token-1"),)


@pytest.mark.parametrize("variable", [IN_HEADER, IN_QUERY])
@pytest.mark.parametrize("value", ["2", "ja", "sk-0123456789"])
def test_a_value_that_is_not_a_boolean_is_refused(
    environment: Environment, variable: str, value: str
) -> None:
    environment.set(**{variable: value}, OPENAI_API_KEY=KEY)
    with pytest.raises(ConfigurationError, match=f"{variable} must be 1, true") as caught:
        Endpoint.from_env()
    assert value not in str(caught.value)


def test_contradicting_variables_are_refused(environment: Environment) -> None:
    environment.set(**{IN_HEADER: "1", IN_QUERY: "1"}, OPENAI_API_KEY=KEY)
    with pytest.raises(ConfigurationError, match="contradict each other"):
        Endpoint.from_env()


async def test_a_blank_argument_suppresses_its_variable(environment: Environment) -> None:
    environment.set(OPENAI_ORG_ID="o", OPENAI_PROJECT_ID="p", OPENAI_API_KEY=KEY)
    endpoint = Endpoint.openai(organization="", project="")
    assert (await endpoint.resolve()).headers == (("Authorization", f"Bearer {KEY}"),)


async def test_a_compatible_endpoint_reads_no_service_variable(environment: Environment) -> None:
    environment.set(**dict.fromkeys(SERVICE_VARIABLES, "https://x"), **{IN_HEADER: "nonsense"})
    environment.set(OPENAI_REALTIME_MODEL="m", AZURE_OPENAI_API_VERSION="v")
    endpoint = Endpoint.compatible(AZURE, api_key=KEY)
    assert await endpoint.resolve() == ResolvedEndpoint(
        "wss://res.openai.azure.com/openai/v1/realtime", (("api-key", KEY),)
    )


# --- documentation ------------------------------------------------------------------------------


def test_every_variable_is_documented(repository: Path) -> None:
    package = repository / "trio_realtime" / "endpoints"
    source = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    read = set(re.findall(r'"((?:OPENAI|AZURE)_[A-Z_]+)"', source))
    page = (repository / "docs" / "guides" / "endpoints.md").read_text(encoding="utf-8")
    assert {name for name in read if f"`{name}`" not in page} == set()
    assert set(SERVICE_VARIABLES) | {IN_HEADER, IN_QUERY} < read


# --- arguments of from_env ------------------------------------------------------------------------


@pytest.mark.parametrize("variable", SERVICE_VARIABLES)
async def test_a_key_that_is_passed_replaces_that_of_the_environment(
    variable: str, environment: Environment
) -> None:
    environment.set(
        OPENAI_API_KEY=KEY,
        AZURE_OPENAI_API_KEY=AZURE_KEY,
        AZURE_VOICELIVE_API_KEY=AZURE_KEY,
        OPENAI_REALTIME_MODEL="m",
    )
    if variable != "OPENAI_API_KEY":
        environment.set(**{variable: "wss://voice.test/v1/realtime"})
    resolved = await Endpoint.from_env(api_key="given-key").resolve()
    values = [value.removeprefix("Bearer ") for _, value in resolved.headers]
    assert values == ["given-key"]


def test_the_dialect_of_a_configured_service_can_be_chosen(environment: Environment) -> None:
    environment.set(OPENAI_API_KEY=KEY)
    endpoint = Endpoint.from_env(dialect="beta")
    assert endpoint.dialect == "beta"
    assert ("OpenAI-Beta", "realtime=v1") in endpoint.headers
    environment.set(AZURE_OPENAI_ENDPOINT=AZURE, AZURE_OPENAI_API_KEY=KEY)
    environment.set(OPENAI_REALTIME_MODEL="m")
    assert Endpoint.from_env(dialect="beta").dialect == "beta"


def test_voice_live_speaks_only_its_own_dialect(environment: Environment) -> None:
    environment.set(
        AZURE_VOICELIVE_ENDPOINT=AZURE, AZURE_VOICELIVE_API_KEY=KEY, AZURE_VOICELIVE_MODEL="m"
    )
    assert Endpoint.from_env(dialect="voice_live").dialect == "voice_live"
    with pytest.raises(ConfigurationError, match="AZURE_VOICELIVE_ENDPOINT speaks no other"):
        Endpoint.from_env(dialect="beta")


# --- recording ------------------------------------------------------------------------------------


def test_the_variables_that_are_read_and_set_are_recorded(environment: Environment) -> None:
    environment.set(
        OPENAI_API_KEY=KEY, OPENAI_ORG_ID="", OPENAI_PROJECT_ID="p", AZURE_OPENAI_API_KEY=KEY
    )
    environment.set(**{IN_QUERY: "1", IN_HEADER: ""})
    with recorded_variables() as names:
        Endpoint.from_env()
    assert names == {"OPENAI_API_KEY", "OPENAI_PROJECT_ID", IN_QUERY}
    names.clear()
    Endpoint.from_env()
    assert not names


# --- booleans -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), (" YES ", True), ("on", True), ("", False), ("off", False)]
)
def test_the_words_of_a_boolean(value: str, expected: bool) -> None:
    assert parse_flag(value, "NAME") is expected


def test_another_word_is_no_boolean_and_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError, match=r"^NAME must be 1, true") as caught:
        parse_flag(KEY, "NAME")
    assert KEY not in str(caught.value)
