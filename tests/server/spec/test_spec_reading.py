"""Specs are read completely, and refused with the path of the key at fault."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest
from hypothesis import given, strategies as st

from trio_realtime import PCM24K, PCMU, SemanticVad, SessionConfig, UsageLimits, wire
from trio_realtime.config import InterruptionPolicy
from trio_realtime.errors import ConfigurationError
from trio_realtime.server.service import SPEC_KEYS
from trio_realtime.server.spec import (
    AgentSpec,
    HandoffSpec,
    load_specs,
    slug_of,
    spec_schema,
    specs_from_dict,
)
from trio_realtime.server.spec.realtime import REALTIME
from trio_realtime.server.spec.service_table import SERVICE

DATA = Path(__file__).parent / "data"


@pytest.fixture
def data() -> Path:
    return DATA


SECRET = "s3cr3t"


def read(**values: Any) -> AgentSpec:
    return AgentSpec.from_dict(
        {"realtime_mode": True, **values}, name="support", source="agents.support"
    )


def read_realtime(**values: Any) -> SessionConfig:
    return read(realtime=values).realtime


def error_of(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        AgentSpec.from_dict(values, name="support", source="agents.support")
    return str(caught.value)


# --- what is read -------------------------------------------------------------------------------


def test_a_file_with_all_settings(data: Path) -> None:
    specs = load_specs(data / "contact_center.toml")
    assert list(specs) == ["support", "billing"]
    support, billing = specs.values()
    assert (support.name, billing.name) == ("Support line", "billing")
    assert (support.project, support.agent) == ("acme", "support")
    assert (billing.project, billing.agent) == ("default", "billing")
    assert support.variables == {"company": "Acme"}
    assert support.context_builder == "spec_app:load_context"
    assert support.tools == ("spec_app:refund", "spec_app:opening_hours")
    assert support.handoffs == (
        HandoffSpec(agent="billing", name="to_billing", description="Questions about invoices."),
        HandoffSpec(agent="spec_app:build_expert"),
    )
    assert billing.handoffs == (HandoffSpec(agent="support"),)
    assert support.output_guardrails == ("spec_app:no_prices",)
    assert support.input_guardrails == ("spec_app:no_swearing",)
    assert support.realtime == SessionConfig(
        model="gpt-realtime-2.1",
        output_modalities=("audio",),
        voice="marin",
        speed=1.1,
        input_format=PCMU,
        output_format=PCM24K,
        tool_choice="none",
        max_output_tokens="inf",
        idle_timeout=60,
        max_duration=1800.0,
        approval_timeout=30,
        reconnect=None,
        tracing=None,
        reasoning=wire.Reasoning(effort="low"),
        turn_detection=SemanticVad(eagerness="low"),
        transcription=wire.Transcription(model="gpt-live-transcribe", language="en"),
        noise_reduction=wire.NoiseReduction(type="far_field"),
        limits=UsageLimits(total_tokens=100_000),
        interruption=InterruptionPolicy(min_speech=0.5),
    )
    assert support.service == {
        "azure_endpoint": "https://acme.openai.azure.com",
        "deployment": "voice",
        "api_version": "2025-08-28",
        "headers": {"X-Tenant": "acme"},
        "model": "gpt-realtime-2.1",
    }
    assert billing.service == {}


def test_a_file_with_one_agent_has_its_name(data: Path) -> None:
    specs = load_specs(data / "hotline.toml")
    assert [(key, spec.name, spec.instructions) for key, spec in specs.items()] == [
        ("hotline", "hotline", "Be brief.")
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, PCM24K) for name in ("pcm16", "pcm", "audio/pcm")),
        *((name, PCMU) for name in ("g711_ulaw", "pcmu", "audio/pcmu")),
        *((name, wire.PCMA) for name in ("g711_alaw", "pcma", "audio/pcma")),
        ({"type": "audio/pcm", "rate": 16000}, wire.AudioFormat(type="audio/pcm", rate=16000)),
    ],
)
def test_names_of_formats(name: Any, expected: wire.AudioFormat) -> None:
    assert read_realtime(input_format=name).input_format == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("turn_detection", "none", None),
        ("turn_detection", "server_vad", wire.ServerVad()),
        ("turn_detection", {"type": "server_vad", "threshold": 0.4}, wire.ServerVad(threshold=0.4)),
        ("transcription", "none", None),
        ("transcription", "whisper", wire.Transcription(model="whisper")),
        ("noise_reduction", "none", None),
        ("noise_reduction", "near_field", wire.NoiseReduction(type="near_field")),
        ("voice", {"id": "v_1"}, wire.CustomVoice(id="v_1")),
        ("tool_choice", "none", "none"),
        ("tool_choice", {"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
        ("max_output_tokens", 100, 100),
        ("request_timeout", "none", None),
        ("request_timeout", None, None),
        ("interruption", "none", None),
        ("extra", {"a": [1]}, {"a": [1]}),
        ("prompt", {"id": "p", "variables": {"a": "b"}}, {"id": "p", "variables": {"a": "b"}}),
    ],
)
def test_values_of_realtime(key: str, value: Any, expected: Any) -> None:
    assert getattr(read_realtime(**{key: value}), key) == expected


def test_every_setting_of_a_session_that_is_data_can_be_given() -> None:
    objects = {
        *("hooks", "format_rejection", "format_guardrail_feedback"),
        *("output_guardrails", "input_guardrails"),
    }
    settings = {one.name for one in attrs.fields(SessionConfig)}
    table: Any = REALTIME.kinds[0]
    assert {*table.fields} == settings - objects


def test_the_service_has_keys_that_the_resolver_knows() -> None:
    assert {*SERVICE.fields} == {*SPEC_KEYS} - {"model"}


def test_a_spec_in_python_takes_objects() -> None:
    config = SessionConfig(voice="marin")

    def lookup() -> str:
        return ""

    spec = AgentSpec(name="Support line", realtime_mode=True, tools=[lookup], realtime=config)
    assert (spec.tools, spec.realtime, spec.agent) == ((lookup,), config, "support-line")
    assert attrs.evolve(spec, instructions="x").tools == (lookup,)
    assert AgentSpec(name="a", realtime_mode=True, realtime={"speed": 1}).realtime.speed == 1


def test_a_spec_that_was_read_can_be_evolved(data: Path) -> None:
    for spec in load_specs(data / "contact_center.toml").values():
        assert attrs.evolve(spec) == spec
        assert attrs.evolve(spec, name="other") != spec


def test_the_repr_has_no_secrets() -> None:
    spec = read(
        instructions=SECRET,
        variables={"a": SECRET},
        mcp_servers=[
            {"name": "a", "command": "x", "args": [SECRET], "env": {"A": SECRET}},
            {"name": "b", "url": f"https://u:{SECRET}@b.test", "headers": {"A": SECRET}},
        ],
    )
    assert SECRET not in repr(spec)
    assert "McpServerSpec(stdio, 'a')" in repr(spec)


# --- slugs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Support line", "support-line"),
        ("  Über-Büro №1 ", "uber-buro-no1"),
        ("a__b--c", "a-b-c"),
        ("x" * 100, "x" * 63),
    ],
)
def test_slugs_of_names(name: str, expected: str) -> None:
    assert slug_of(name) == expected


def test_a_name_without_letters_of_ascii_has_a_slug_of_its_own() -> None:
    assert slug_of("日本").startswith("agent-")
    assert slug_of("日本") == slug_of("日本") != slug_of("日")


@given(st.text(min_size=1))
def test_the_slug_of_every_name_is_valid(name: str) -> None:
    spec = AgentSpec(name="x", realtime_mode=True, agent=slug_of(name))
    assert spec.agent == slug_of(name)


@pytest.mark.parametrize("slug", ["", "A", "a_b", "-a", "a-", "a--b", "a.b", "é", "a\n", "a" * 64])
def test_invalid_slugs_are_refused(slug: str) -> None:
    for key in ("project", "agent"):
        message = error_of({"realtime_mode": True, key: slug})
        assert message.startswith(f"agents.support.{key}: expected up to 63 lower case letters")


# --- errors -------------------------------------------------------------------------------------

IMPORT = 'an import path such as "package.module:name"'
MODE = "a spec for voice agents must have realtime_mode = true"

ERRORS: list[tuple[dict[str, Any], str]] = [
    # of a kind of agent
    ({"name": ""}, 'name: expected a name that is not empty, got ""'),
    ({"name": 3}, "name: expected a name that is not empty, got 3"),
    ({"instructions": ["a"]}, "instructions: expected a string, got a list"),
    ({"instructons": "x"}, "instructons: unknown key: did you mean instructions?"),
    ({"voice": "x"}, "voice: unknown key: did you mean realtime.voice?"),
    ({"base_url": "x"}, "base_url: unknown key: did you mean service.base_url?"),
    ({"a key": 1}, '"a key": unknown key: there is name, realtime_mode, '),
    ({"variables": []}, "variables: expected a table, got a list"),
    ({"variables": {1: 2}}, "variables: expected keys that are strings, got 1"),
    ({"strict_variables": 1}, "strict_variables: expected true or false, got 1"),
    # templates
    ({"instructions": "a\n{{ b"}, "instructions: line 2: unexpected end of template"),
    ({"instructions": "{% for %}"}, "instructions: line 1: "),
    ({"instructions": "{{ a | nothing }}"}, "instructions: line 1: No filter named 'nothing'"),
    ({"instructions": "{% include 'a' %}"}, "instructions: a template cannot include"),
    ({"instructions": "{% extends a %}"}, "instructions: a template cannot include"),
    ({"instructions": "x" * 100_001}, "instructions: longer than 100000 characters"),
    ({"instructions": "{{" + "(" * 5000}, "instructions: the template is nested too deeply"),
    # names of objects
    ({"tools": "a:b"}, 'tools: expected a list, got "a:b"'),
    ({"tools": ["a:b", "a.b"]}, f'tools[1]: expected {IMPORT}, got "a.b"'),
    ({"tools": ["a:"]}, f'tools[0]: expected {IMPORT}, got "a:"'),
    ({"tools": ["a b:c"]}, f'tools[0]: expected {IMPORT}, got "a b:c"'),
    ({"tools": [3]}, f"tools[0]: expected {IMPORT}, or a tool, or a function, got 3"),
    ({"context_builder": "x"}, f'context_builder: expected {IMPORT}, got "x"'),
    ({"output_guardrails": [True]}, f"output_guardrails[0]: expected {IMPORT}, or an Out"),
    ({"input_guardrails": [None]}, f"input_guardrails[0]: expected {IMPORT}, or an InputG"),
    # handoffs
    ({"handoffs": "billing"}, 'handoffs: expected a list, got "billing"'),
    ({"handoffs": [""]}, 'handoffs[0]: expected the name of an agent, or an import path, got ""'),
    ({"handoffs": [{"name": "x"}]}, "handoffs[0].agent: missing: expected the name of an agent"),
    ({"handoffs": [{"agnt": "x"}]}, "handoffs[0].agnt: unknown key: did you mean agent?"),
    (
        {"handoffs": [{"agent": "a", "name": "a b"}]},
        'handoffs[0].name: expected a name of a function, got "a b"',
    ),
    # MCP servers
    ({"mcp_servers": [{"name": "a"}]}, "mcp_servers[0]: expected command (a process) or url"),
    (
        {"mcp_servers": [{"name": "a", "command": "b", "url": "c"}]},
        "mcp_servers[0]: expected command (a process) or url (HTTP): not both",
    ),
    ({"mcp_servers": [{"command": "a"}]}, "mcp_servers[0].name: missing: expected up to 32"),
    (
        {"mcp_servers": [{"command": "a", "name": "a b"}]},
        "mcp_servers[0].name: expected up to 32 ASCII letters",
    ),
    (
        {"mcp_servers": [{"name": "a", "command": "x", "headers": {}}]},
        "mcp_servers[0].headers: unknown key: ",
    ),
    (
        {"mcp_servers": [{"name": "a", "url": f"ftp://{SECRET}"}]},
        "mcp_servers[0].url: expected an http or https URL, got a string",
    ),
    (
        {"mcp_servers": [{"name": "a", "url": "https://a", "headers": {"A": 3}}]},
        "mcp_servers[0].headers.A: expected a string, got int",
    ),
    (
        {"mcp_servers": [{"name": "a", "url": "https://a", "headers": {"A": f"{SECRET}\n"}}]},
        "mcp_servers[0]: MCP server 'a': headers contains an invalid value: A must be printable",
    ),
    (
        {"mcp_servers": [{"name": "a", "command": "x", "call_timeout": 0}]},
        "mcp_servers[0].call_timeout: expected a number > 0, got 0",
    ),
    ({"mcp_servers": "x"}, f'mcp_servers: expected {IMPORT}, got "x"'),
    # realtime
    ({"realtime": 3}, "realtime: expected a table, or a SessionConfig, got 3"),
    (
        {"realtime": {"turn_detection": {"type": "server_vad", "threshold": "high"}}},
        'realtime.turn_detection.threshold: expected a number, got "high"',
    ),
    (
        {"realtime": {"turn_detection": {"type": "server_vad", "threshold": 2}}},
        "realtime.turn_detection.threshold: expected a number from 0 to 1, got 2",
    ),
    (
        {"realtime": {"turn_detection": {"type": "server_vad", "treshold": 1}}},
        "realtime.turn_detection.treshold: unknown key: did you mean threshold?",
    ),
    (
        {"realtime": {"turn_detection": {"threshold": 1}}},
        'realtime.turn_detection.type: missing: expected "server_vad" or "semantic_vad"',
    ),
    (
        {"realtime": {"turn_detection": {"type": "vad"}}},
        'realtime.turn_detection.type: expected "server_vad" or "semantic_vad", got "vad"',
    ),
    (
        {"realtime": {"turn_detection": {"type": "semantic_vad", "eagerness": "x"}}},
        'realtime.turn_detection.eagerness: expected one of "low", "medium", "high", "auto"',
    ),
    ({"realtime": {"turn_detection": 1}}, "realtime.turn_detection: expected a table with"),
    ({"realtime": {"voce": "x"}}, "realtime.voce: unknown key: did you mean voice?"),
    (
        {"realtime": {"instructions": "x"}},
        "realtime.instructions: unknown key: did you mean instructions of the agent",
    ),
    (
        {"realtime": {"modalities": ["audio"]}},
        "realtime.modalities: unknown key: did you mean output_modalities?",
    ),
    ({"realtime": {"speed": 9}}, "realtime.speed: expected a number from 0.25 to 1.5, got 9"),
    ({"realtime": {"speed": float("nan")}}, "realtime.speed: expected a number from"),
    ({"realtime": {"speed": True}}, "realtime.speed: expected a number, got true"),
    ({"realtime": {"idle_timeout": 0}}, "realtime.idle_timeout: expected a number > 0, got 0"),
    (
        {"realtime": {"idle_timeout": "soon"}},
        'realtime.idle_timeout: expected a number > 0, or "none", got "soon"',
    ),
    ({"realtime": {"input_format": "mp3"}}, 'realtime.input_format: expected one of "pcm16"'),
    (
        {"realtime": {"output_modalities": ["audio", "text"]}},
        "realtime.output_modalities: expected a list of 1, got 2",
    ),
    (
        {"realtime": {"output_modalities": ["video"]}},
        'realtime.output_modalities[0]: expected "audio" or "text", got "video"',
    ),
    (
        {"realtime": {"max_output_tokens": "all"}},
        'realtime.max_output_tokens: expected "inf", or an integer >= 1, got "all"',
    ),
    (
        {"realtime": {"max_output_tokens": 1.5}},
        "realtime.max_output_tokens: expected an integer, got 1.5",
    ),
    (
        {"realtime": {"limits": {"tool_calls": 0}}},
        "realtime.limits.tool_calls: expected an integer >= 1, got 0",
    ),
    (
        {"realtime": {"reconnect": {"refresh_before": 10, "force_before": 20}}},
        "realtime.reconnect: force_before must be at most refresh_before",
    ),
    (
        {"realtime": {"interruption": {"resume": True}}},
        "realtime: ignored_phrases and resume of the InterruptionPolicy need transcripts",
    ),
    ({"realtime": {"overflow": "x"}}, 'realtime.overflow: expected "fail" or "drop_oldest_audio"'),
    ({"realtime": {"voice": {"name": "x"}}}, "realtime.voice.name: unknown key: there is id"),
    ({"realtime": {"tool_choice": 1}}, "realtime.tool_choice: expected "),
    # the service
    ({"service": {"api_key": SECRET}}, "service.api_key: a spec has no credentials: set the var"),
    ({"service": {"token": SECRET}}, "service.token: a spec has no credentials: give Service"),
    ({"api_key": SECRET}, "api_key: a spec has no credentials: set the variable OPENAI_API_KEY"),
    ({"service": {"base_ulr": SECRET}}, "service.base_ulr: unknown key: did you mean base_url?"),
    ({"service": {"base_url": SECRET}}, "service.base_url: expected a URL that begins with"),
    ({"service": {"base_url": 3}}, "service.base_url: expected a URL, got int"),
    ({"service": {"base_url": "https://[x"}}, "service.base_url: expected a URL: it cannot be"),
    (
        {"service": {"base_url": f"https://u:{SECRET}@a.test"}},
        "service.base_url: the URL contains credentials",
    ),
    (
        {"service": {"realtime_url": f"wss://a.test?api-key={SECRET}"}},
        "service.realtime_url: the URL contains credentials",
    ),
    (
        {"service": {"headers": {"authorization": SECRET}}},
        "service.headers.authorization: a spec has no credentials",
    ),
    (
        {"service": {"headers": {"Proxy-Authorization": SECRET}}},
        "service.headers.Proxy-Authorization: a spec has no credentials",
    ),
    ({"service": {"headers": {"X": [SECRET]}}}, "service.headers.X: expected a string, got a list"),
    ({"service": {"model": "m"}}, "service.model: unknown key: did you mean model in the table"),
    ({"service": {"deployment": [SECRET]}}, "service.deployment: expected a string, got a list"),
]


@pytest.mark.parametrize(("values", "expected"), ERRORS, ids=[text for _, text in ERRORS])
def test_errors_begin_with_the_path_of_the_key(values: dict[str, Any], expected: str) -> None:
    message = error_of({"realtime_mode": True, **values})
    assert message.startswith(f"agents.support.{expected}")
    assert SECRET not in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, MODE),
        ({"realtime_mode": False}, MODE),
        ({"unknown": 1}, MODE),
        ({"realtime_mode": "yes"}, 'expected true or false, got "yes"'),
        ({"realtime_mode": 1}, "expected true or false, got 1"),
    ],
)
def test_a_spec_for_another_kind_of_agent_is_refused(values: dict[str, Any], expected: str) -> None:
    assert error_of(values).startswith(f"agents.support.realtime_mode: {expected}")


def test_a_spec_in_python_needs_the_mode_too() -> None:
    modes: list[dict[str, Any]] = [{}, {"realtime_mode": False}]
    for mode in modes:
        with pytest.raises(ConfigurationError, match=r"^realtime_mode: a spec for voice agents"):
            AgentSpec(name="a", **mode)


def test_errors_in_python_have_the_path_in_the_spec() -> None:
    with pytest.raises(ConfigurationError, match=r"^realtime\.speed: expected a number from"):
        AgentSpec(name="a", realtime_mode=True, realtime={"speed": 9})


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = ", "not a TOML file: "),
        (f"a = {'1' * 5000}", "not a TOML file: Exceeds the limit"),
        (f"a = {'[' * 5000}", "the tables or lists are nested too deeply"),
        ("", "no agent: write a table [agents.NAME]"),
        ("agents = 3", "agents: expected a table for each agent, got 3"),
        ("[agents]", "agents: expected a table for each agent, got an empty table"),
        ("agents = {a = 3}", "agents.a: expected a table, got 3"),
        ("x = 1\nagents = {a = {realtime_mode = true}}", "x: unknown key: there is agents"),
        (
            "realtime_mode = true\nagents = {a = {realtime_mode = true}}",
            "realtime_mode: unknown key: write it in a table [agents.NAME]",
        ),
        ("realtime_mode = true\nspeed = 1", "speed: unknown key: did you mean realtime.speed?"),
        ("name = 'x'", "realtime_mode: a spec for voice agents"),
        ("[agent.a]\nrealtime_mode = true", "agent: unknown table: write [agents.NAME]"),
        ("[agnets.a]\nrealtime_mode = true", "agnets: unknown table: write [agents.NAME]"),
        (
            "[agents.a]\nrealtime_mode = true\nname = 'x'\n[agents.x]\nrealtime_mode = true",
            "agents.x.name: agents.a has the same name: rename one",
        ),
        (
            "[agents.'a b']\nrealtime_mode = true\nrealtime = {speed = 'x'}",
            'agents."a b".realtime.speed: expected a number, got "x"',
        ),
        (
            "[agents.a]\nrealtime_mode = true\nhandoffs = ['biling']\n[agents.billing]\nrealtime_mode = true",
            'agents.a.handoffs[0]: there is no agent "biling": did you mean billing?',
        ),
        (
            "[agents.a]\nrealtime_mode = true\nhandoffs = ['my-app:build']\n",
            'agents.a.handoffs[0]: there is no agent "my-app:build": there is a; a builder is',
        ),
    ],
)
def test_errors_of_files_name_the_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_specs(path)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(f"my.toml: {expected}")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read: No such file"):
        load_specs(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(ConfigurationError, match=r"latin\.toml: not a TOML file"):
        load_specs(tmp_path / "latin.toml")


def test_a_handoff_may_use_the_key_or_the_name() -> None:
    agents = {
        "a": {"realtime_mode": True, "name": "Agent A", "handoffs": ["b", "Agent B"]},
        "b": {"realtime_mode": True, "name": "Agent B", "handoffs": ["Agent A"]},
    }
    assert list(specs_from_dict({"agents": agents})) == ["a", "b"]


# --- the JSON Schema ----------------------------------------------------------------------------


def test_the_schema_accepts_the_files(data: Path) -> None:
    validator = jsonschema.Draft202012Validator(spec_schema())
    validator.check_schema(spec_schema())
    for name in ("contact_center.toml", "hotline.toml"):
        assert list(validator.iter_errors(tomllib.loads((data / name).read_text()))) == []


def patterns_of(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {one for part in schema for one in patterns_of(part)}
    if not isinstance(schema, dict):
        return set()
    given = schema.get("pattern")
    found = {given} if isinstance(given, str) else set()
    return found.union(*(patterns_of(part) for part in schema.values()))


def test_the_patterns_of_the_schema_are_those_of_editors() -> None:
    """A JSON Schema has the regular expressions of JavaScript."""
    patterns = patterns_of(spec_schema())
    assert len(patterns) > 5
    only_in_python = re.compile(r"\\[AZz]|\(\?P|\(\?[a-zA-Z]|[*+?]\+")
    assert [one for one in patterns if only_in_python.search(one)] == []


@pytest.mark.parametrize(
    "values",
    [
        {"realtime_mode": False},
        {"tools": ["x"]},
        {"realtime": {"voce": "x"}},
        {"realtime": {"turn_detection": {"type": "server_vad", "threshold": "high"}}},
        {"service": {"api_key": "x"}},
        {"project": "A"},
        {"mcp_servers": [{"name": "a"}]},
    ],
)
def test_the_schema_refuses_what_is_wrong(values: dict[str, Any]) -> None:
    agent = {"realtime_mode": True, **values}
    validator = jsonschema.Draft202012Validator(spec_schema())
    assert not validator.is_valid(agent)
    assert not validator.is_valid({"agents": {"a": agent}})
    assert validator.is_valid({"agents": {"a": {"realtime_mode": True}}})
