"""The file of a gateway: every key, and every error with its path."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.gateway import make_spec
from trio_realtime.errors import ConfigurationError
from trio_realtime.prices import PriceTable
from trio_realtime.server.gateway import (
    AccessDenied,
    GatewayConfig,
    GatewaySettings,
    NotAdmitted,
    TenantConfig,
    TenantLimits,
    load_config,
)
from trio_realtime.server.service import ServiceSettings

KEY = "a key of a tenant 0123456789"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
OTHER_DIGEST = hashlib.sha256(b"another").hexdigest()
AGENTS = """
[agents.support]
realtime_mode = true
instructions = "Help."

[agents.sales]
realtime_mode = true
"""


def load(
    tmp_path: Path,
    text: str,
    *,
    environ: dict[str, str] | None = None,
    agents: str | None = 'agents = "agents.toml"',
) -> GatewayConfig:
    (tmp_path / "agents.toml").write_text(AGENTS, encoding="utf-8")
    file = tmp_path / "gateway.toml"
    file.write_text(f"{agents or ''}\n{text}", encoding="utf-8")
    return load_config(file, environ=environ or {})


def test_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert list(config.specs) == ["support", "sales"]
    settings = GatewaySettings(error_details=True)
    expected = GatewayConfig(specs=config.specs, settings=settings)
    assert config == expected
    assert (config.host, config.port, config.drain_timeout) == ("127.0.0.1", 8080, 30.0)


FULL = f"""
default_agent = "sales"
node = "voice-1"
host = "0.0.0.0"
port = 0
public_url = "https://voice.example"
certfile = "tls/chain.pem"
keyfile = "tls/key.pem"
allowed_origins = ["https://app.example", "https://b.example:8443"]
allow_anonymous = true
max_sessions = 7
drain_timeout = 0
metrics_key_needed = true
web = false
openai = false
attach_timeout = 11.5
grace = 12
hello_timeout = 13
send_timeout = 14
max_message_size = 4096
hidden_events = ["realtime_audio"]
error_details = true

[service]
base_url = "https://api.example/v1"
deployment = "mine"
headers = {{ x-team = "voice" }}
dialect = "ga"

[storage]
database = "sqlite:///data/history.db"
recordings = "data/recordings"
objects = "s3://bucket/prefix"
opt_out = true
on_failure = "end_session"

[prices]
input_text = 4
output_audio = 64.5

[tenants.acme]
key_sha256 = "{DIGEST}"
max_sessions = 2
max_sessions_per_minute = 30

[tenants.other]
key_env = "OTHER_KEY"

[twilio]
auth_token_env = "MY_TOKEN"
agent = "support"
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ('host = "0.0.0.0"\nallow_anonymous = true', False),
        (f'[tenants.acme]\nkey_sha256 = "{DIGEST}"', False),
        ("error_details = false", False),
        (f'error_details = true\n[tenants.acme]\nkey_sha256 = "{DIGEST}"', True),
    ],
)
def test_the_texts_of_errors_are_for_a_gateway_of_this_machine(
    tmp_path: Path, text: str, expected: bool
) -> None:
    assert load(tmp_path, text).settings.error_details is expected


def test_every_key(tmp_path: Path) -> None:
    config = load(tmp_path, FULL, environ={"OTHER_KEY": "another", "MY_TOKEN": "twilio token"})
    assert config.default_agent == "sales"
    assert config.node == config.owner_node == "voice-1"
    assert (config.host, config.port) == ("0.0.0.0", 0)
    assert config.public_url == "https://voice.example"
    assert config.certfile == tmp_path / "tls/chain.pem"
    assert config.keyfile == tmp_path / "tls/key.pem"
    assert config.allowed_origins == ("https://app.example", "https://b.example:8443")
    assert config.allow_anonymous is True
    assert (config.max_sessions, config.drain_timeout) == (7, 0)
    assert (config.metrics_key_needed, config.web, config.openai) == (True, False, False)
    assert config.settings == GatewaySettings(
        attach_timeout=11.5,
        grace=12,
        hello_timeout=13,
        send_timeout=14,
        max_message_size=4096,
        hidden_events=frozenset({"realtime_audio"}),
        error_details=True,
    )
    assert config.service == ServiceSettings(
        base_url="https://api.example/v1",
        deployment_name="mine",
        headers={"x-team": "voice"},
        dialect="ga",
    )
    assert config.storage.database == f"sqlite:///{tmp_path}/data/history.db"
    assert config.storage.recordings == tmp_path / "data/recordings"
    assert config.storage.objects == "s3://bucket/prefix"
    assert (config.storage.opt_out, config.storage.on_failure) == (True, "end_session")
    assert config.prices == PriceTable(input_text="4", output_audio="64.5")
    assert config.tenants == {
        "acme": TenantConfig(
            key_sha256=DIGEST, limits=TenantLimits(max_sessions=2, max_sessions_per_minute=30)
        ),
        "other": TenantConfig(key_sha256=OTHER_DIGEST),
    }
    assert config.twilio is not None
    assert (config.twilio.auth_token, config.twilio.agent) == ("twilio token", "support")
    assert "twilio token" not in repr(config)
    # What is not in the file has a default that differs, so the file has every key.
    default = GatewayConfig(specs=config.specs)
    for field in attrs.fields(GatewayConfig):
        if field.name != "specs":
            assert getattr(config, field.name) != getattr(default, field.name), field.name


SERVICE_KEYS = {
    "realtime_url": '"wss://a.example/v1/realtime"',
    "base_url": '"https://a.example/v1"',
    "azure_endpoint": '"https://a.openai.azure.com"',
    "voice_live_endpoint": '"https://a.services.ai.azure.com"',
    "deployment": '"d"',
    "api_version": '"2025-01-01"',
    "headers": '{ x-team = "voice" }',
    "force_api_key_header": "true",
    "api_key_in_query": "true",
    "organization": '"o"',
    "project": '"p"',
    "dialect": '"beta"',
}


@pytest.mark.parametrize("name", SERVICE_KEYS)
def test_every_key_of_the_service(name: str, tmp_path: Path) -> None:
    config = load(tmp_path, f"[service]\n{name} = {SERVICE_KEYS[name]}")
    assert config.service != ServiceSettings()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///history.db", "sqlite:///{}/history.db"),
        ("sqlite:///./data/history.db", "sqlite:///{}/data/history.db"),
        ("sqlite:////var/lib/history.db", "sqlite:////var/lib/history.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ],
)
def test_the_path_of_a_database(url: str, expected: str, tmp_path: Path) -> None:
    config = load(tmp_path, f'[storage]\ndatabase = "{url}"')
    assert config.storage.database == expected.format(tmp_path)


def test_the_path_of_the_agents_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.toml").write_text(AGENTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub" / "gateway.toml").write_text('agents = "more.toml"', encoding="utf-8")
    assert set(load_config("sub/gateway.toml").specs) == {"support", "sales"}


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        ("agents = 5", "agents", "expected"),
        ('agents = "missing.toml"', "missing.toml", "cannot be read"),
        ('default_agent = "nobody"', "default_agent", "support, sales"),
        ("default_agent = 5", "default_agent", "expected"),
        ("host = 5", "host", "expected"),
        ("port = 65536", "port", "65535"),
        ("port = -1", "port", "0"),
        ("port = 80.5", "port", "expected"),
        ("port = true", "port", "expected"),
        ('port = "80"', "port", "expected"),
        ("public_url = 5", "public_url", "expected"),
        ("grace = inf", "grace", "finite"),
        ("attach_timeout = inf", "attach_timeout", "finite"),
        ("attach_timeout = nan", "attach_timeout", "0"),
        ('public_url = "voice.example"', "public_url", "a scheme, a host"),
        ('public_url = "wss://voice.example"', "public_url", "a scheme, a host"),
        ('public_url = "http://["', "public_url", "a scheme, a host"),
        ('public_url = "https://"', "public_url", "a scheme, a host"),
        ('public_url = "https://voice.example?a=b"', "public_url", "a scheme, a host"),
        ('public_url = "https://user:pw@voice.example"', "public_url", "a scheme, a host"),
        ('public_url = "https://voice.example:port"', "public_url", "a scheme, a host"),
        ('public_url = "https://voice example"', "public_url", "a scheme, a host"),
        ("certfile = 5", "certfile", "expected"),
        ("keyfile = 5", "keyfile", "expected"),
        ('allowed_origins = "https://a.example"', "allowed_origins", "expected"),
        ('allowed_origins = ["https://a.example/path"]', "allowed_origins", "origin"),
        ('allowed_origins = ["a.example"]', "allowed_origins", "origin"),
        ("allowed_origins = [5]", "allowed_origins", "expected"),
        ('allow_anonymous = "yes"', "allow_anonymous", "expected"),
        ("allow_anonymous = false", "allow_anonymous", "nobody"),
        ('host = "0.0.0.0"', "allow_anonymous", "nobody"),
        ("max_sessions = 0", "max_sessions", "1"),
        ("max_sessions = 1.5", "max_sessions", "expected"),
        ("drain_timeout = -1", "drain_timeout", "0"),
        ("drain_timeout = nan", "drain_timeout", "expected"),
        ("metrics_key_needed = 1", "metrics_key_needed", "expected"),
        ("web = 1", "web", "expected"),
        ("openai = 1", "openai", "expected"),
        ("attach_timeout = 0", "attach_timeout", "0"),
        ("grace = 0", "grace", "0"),
        ("hello_timeout = 0", "hello_timeout", "0"),
        ("send_timeout = 0", "send_timeout", "0"),
        ("grace = nan", "grace", "expected"),
        ("max_message_size = 100", "max_message_size", "1024"),
        ("hidden_events = [5]", "hidden_events", "expected"),
        ("[prices]\ninput = 4", "prices.input", "input_text"),
        ("[prices]\ninput_text = -1", "prices.input_text", "expected"),
        ("dance = 1", "dance", ""),
        ('database = "sqlite://"', "database", "storage.database"),
        ('base_url = "https://a.example"', "base_url", "service.base_url"),
        ("[service]\ndance = 1", "service.dance", ""),
        ('[service]\nbase_url = "x"', "service.base_url", "URL"),
        ('[service]\napi_key = "sk-secret"', "service.api_key", "credentials"),
        ('[service]\nbase_url = "https://u:sk-secret@a.example"', "service.base_url", "credential"),
        ("[storage]\ndatabase = 5", "storage.database", "expected"),
        ('[storage]\non_failure = "explode"', "storage.on_failure", "degrade"),
        ("[storage]\nopt_out = 1", "storage.opt_out", "expected"),
        ("[storage]\ndance = 1", "storage.dance", ""),
        ("tenants = 5", "tenants", "expected"),
        ("[tenants.acme]", "tenants.acme", "key_sha256 or key_env"),
        (f'[tenants.acme]\nkey_sha256 = "{DIGEST}"\nkey_env = "K"', "tenants.acme", "key_sha256"),
        ('[tenants.acme]\nkey_sha256 = "sk-secret"', "tenants.acme.key_sha256", "64"),
        (
            f'[tenants.acme]\nkey_sha256 = "{DIGEST.upper()}"',
            "tenants.acme.key_sha256",
            "lower-case",
        ),
        (
            "[agents.support]\nrealtime_mode = true",
            "agents",
            "the name of the file with the agents",
        ),
        ('[tenants.acme]\nkey = "sk-secret"', "tenants.acme.key", "key_sha256"),
        ('[tenants.acme]\nkey_env = "UNSET"', "tenants.acme.key_env", "UNSET is not set"),
        ('[tenants.acme]\nkey_env = "EMPTY"', "tenants.acme.key_env", "EMPTY is not set"),
        ('[tenants.acme]\nkey_env = "a b"', "tenants.acme.key_env", "name of a variable"),
        ('[tenants."a b"]\nkey_env = "UNSET"', 'tenants."a b".key_env', "UNSET"),
        (
            f'[tenants.acme]\nkey_sha256 = "{DIGEST}"\nmax_sessions = 0',
            "tenants.acme.max_sessions",
            "1",
        ),
        (
            f'[tenants.a]\nkey_sha256 = "{DIGEST}"\n[tenants.b]\nkey_sha256 = "{DIGEST}"',
            "tenants",
            "same key",
        ),
        ("[twilio]", "twilio.auth_token_env", "TWILIO_AUTH_TOKEN is not set"),
        ('[twilio]\nauth_token = "sk-secret"', "twilio.auth_token", ""),
        ('[twilio]\nauth_token_env = "TOKEN"\nagent = "nobody"', "twilio.agent", "support, sales"),
        ('[twilio]\ndtmf_message = "a key"', "twilio.dtmf_message", "a text with {key}"),
    ],
)
def test_an_error_names_the_file_and_the_path(
    text: str, path: str, problem: str, tmp_path: Path
) -> None:
    agents = None if "agents" in text.partition("\n")[0] else 'agents = "agents.toml"'
    with pytest.raises(ConfigurationError) as info:
        load(tmp_path, text, environ={"EMPTY": "", "TOKEN": "t"}, agents=agents)
    message = str(info.value)
    assert message.startswith(("gateway.toml: ", str(tmp_path)))
    assert path in message
    assert problem in message
    assert "sk-secret" not in message


def test_a_file_without_agents(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gateway\.toml: agents: name the file"):
        load(tmp_path, "", agents=None)


def test_an_error_in_the_file_of_the_agents_names_that_file(tmp_path: Path) -> None:
    load(tmp_path, "")
    (tmp_path / "agents.toml").write_text(
        "[agents.support]\nrealtime_mode = true\nspeed = 1\n", encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match=r"agents\.toml: agents\.support\.speed"):
        load_config(tmp_path / "gateway.toml")


def test_the_cause_of_a_failed_import_is_that_of_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path, "")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raising_tools.py").write_text("raise LookupError('a fault')\n", encoding="utf-8")
    (tmp_path / "agents.toml").write_text(
        '[agents.support]\nrealtime_mode = true\ntools = ["raising_tools:x"]\n', encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match="raised LookupError") as info:
        load_config(tmp_path / "gateway.toml")
    assert isinstance(info.value.__cause__, LookupError)


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"[a\n"])
def test_a_file_that_is_no_toml(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a TOML file"):
        load_config(file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(tmp_path / "missing.toml")


# --- what the configuration makes ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_requests_need_no_key_only_on_a_loopback_address(host: str, is_loopback: bool) -> None:
    config = GatewayConfig(specs={"A": make_spec()}, host=host)
    if is_loopback:
        assert config.keys().tenant_of(None) == "default"
    else:
        with pytest.raises(ConfigurationError, match="nobody may use the gateway"):
            config.keys()
    anonymous = attrs.evolve(config, allow_anonymous=True)
    assert anonymous.keys().tenant_of(None) == "default"


def test_tenants_need_their_keys(tmp_path: Path) -> None:
    config = load(tmp_path, f'[tenants.acme]\nkey_sha256 = "{DIGEST}"')
    keys = config.keys()
    assert keys.tenant_of(f"Bearer {KEY}") == "acme"
    for authorization in (None, "", "Bearer", f"Basic {KEY}", "Bearer another", KEY):
        with pytest.raises(AccessDenied):
            keys.tenant_of(authorization)


def test_the_limits_of_tenants(tmp_path: Path) -> None:
    text = f'max_sessions = 2\n[tenants.acme]\nkey_sha256 = "{DIGEST}"\nmax_sessions = 1'
    admission = load(tmp_path, text).admission()
    admission.admit("acme", 0)
    with pytest.raises(NotAdmitted):
        admission.admit("acme", 0)
    admission.admit("other", 0)
    with pytest.raises(NotAdmitted):
        admission.admit("third", 0)


@pytest.mark.parametrize("value", [0, -1, float("nan"), True, "5", None])
@pytest.mark.parametrize(
    "name", ["attach_timeout", "grace", "hello_timeout", "send_timeout", "max_message_size"]
)
def test_settings_must_be_positive(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        GatewaySettings(**{name: value})


@pytest.mark.parametrize(
    ("options", "is_limited"),
    [
        ({}, True),
        ({"public_url": "https://voice.example"}, True),
        ({"host": "::1"}, True),
        ({"allow_anonymous": True}, False),
        ({"tenants": {"acme": TenantConfig(key_sha256="a" * 64)}}, False),
        ({"host": "0.0.0.0", "allow_anonymous": True}, False),
    ],
)
def test_a_gateway_of_this_machine_is_used_by_its_names(
    options: dict[str, Any], is_limited: bool
) -> None:
    config = GatewayConfig(specs={}, **options)
    policy = config.origins()
    policy.check(None, "localhost:8080")
    if "public_url" in options:
        policy.check("https://voice.example", "voice.example")
    try:
        policy.check("http://evil.example", "evil.example")
    except AccessDenied:
        assert is_limited
    else:
        assert not is_limited
