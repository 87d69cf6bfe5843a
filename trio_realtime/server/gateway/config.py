"""The configuration of a gateway: a TOML file."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.prices import PriceTable
from trio_realtime.server.service import ServiceSettings
from trio_realtime.server.spec import AgentSpec, load_specs
from trio_realtime.server.spec.files import read_toml
from trio_realtime.server.spec.kinds import (
    Choice,
    Field,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Number,
    OrNone,
    Table,
    Text,
)
from trio_realtime.server.spec.paths import SpecError, join
from trio_realtime.server.spec.service_table import SERVICE

from .access import OriginPolicy, TenantKeys, check_public_url
from .admission import Admission, TenantLimits
from .gateway import GatewaySettings

__all__ = ["GatewayConfig", "StorageConfig", "TenantConfig", "TwilioConfig", "load_config"]

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")

_SECONDS: Final = Number(above=0)
_COUNT: Final = Number(low=1, is_integer=True)
_SIZE: Final = Number(low=1024, is_integer=True)


@attrs.frozen(kw_only=True)
class StorageConfig:
    """Where sessions are stored.

    Attributes:
        database: the URL of the history; ``None`` to store none.
        recordings: the directory of recordings; ``None`` to record nothing.
        objects: the URL of an object storage, where finished recordings are moved.
        opt_out: store that things happened, and nothing of what was said.
        on_failure: what happens to a session whose history cannot be stored.
    """

    database: str | None = None
    recordings: Path | None = None
    objects: str | None = None
    opt_out: bool = False
    on_failure: Literal["degrade", "end_session"] = "degrade"


@attrs.frozen(kw_only=True)
class TenantConfig:
    """A tenant: its key, and its limits.

    Attributes:
        key_sha256: the SHA-256 hash of the key, in hexadecimal digits.
        limits: how many sessions it may have.
    """

    key_sha256: str
    limits: TenantLimits = TenantLimits()


@attrs.frozen(kw_only=True)
class TwilioConfig:
    """How calls of Twilio are answered.

    Attributes:
        auth_token: the token of the account, with which Twilio signs requests.
        agent: the agent that answers; the default agent if it is ``None``.
        greeting: what the agent is asked to say first; ``None`` to let the caller speak first.
        dtmf_message: a message of the user for each key that the caller presses, with ``{key}`` for the
            key; ``None`` to ignore keys.
        tenant: whose sessions the calls are.
    """

    auth_token: str = attrs.field(repr=False)
    agent: str | None = None
    greeting: str | None = "Greet the caller, and ask how you can help."
    dtmf_message: str | None = None
    tenant: str = "default"


@attrs.frozen(kw_only=True)
class GatewayConfig:
    """The configuration of a gateway. :func:`load_config` reads it from a file.

    Attributes:
        specs: the agents by name.
        default_agent: the agent of requests that name none; the first one if it is ``None``.
        node: the name of this process in the history, by which it finds its sessions after a crash. By
            default, the name of the machine and the port. Processes that share a database need different
            names.
        host, port: where to listen; port 0 chooses a free one.
        public_url: the URL at which clients reach the gateway, if a proxy is in front of it, with the path that
            the proxy removes.
        certfile, keyfile: PEM files, to serve ``https`` and ``wss``.
        allowed_origins: other web pages that may use the gateway.
        allow_anonymous: whether requests need no key. By default, if there are no tenants and ``host`` is a
            loopback address.
        max_sessions: sessions at the same time, of all tenants together.
        drain_timeout: seconds that sessions may go on after the server was asked to stop.
        metrics_key_needed: whether ``/metrics`` needs the key of a tenant.
        web: whether to serve the web client.
        openai: whether to serve the OpenAI Realtime protocol at ``/v1/realtime``.
        settings: times and sizes.
        service: the service of all agents.
        storage: where sessions are stored.
        prices: what usage costs, for the history; ``None`` to store no prices.
        tenants: the tenants by name.
        twilio: how calls of Twilio are answered; ``None`` to answer none.
    """

    specs: Mapping[str, AgentSpec]
    default_agent: str | None = None
    node: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    allowed_origins: tuple[str, ...] = ()
    allow_anonymous: bool | None = None
    max_sessions: int = 200
    drain_timeout: float = 30.0
    metrics_key_needed: bool = False
    web: bool = True
    openai: bool = True
    settings: GatewaySettings = GatewaySettings()
    service: ServiceSettings = ServiceSettings()
    storage: StorageConfig = StorageConfig()
    prices: PriceTable | None = None
    tenants: Mapping[str, TenantConfig] = attrs.field(factory=dict[str, TenantConfig])
    twilio: TwilioConfig | None = None

    @property
    def owner_node(self) -> str:
        """The name of this process in the history."""
        return self.node or f"{socket.gethostname()}:{self.port}"

    def keys(self) -> TenantKeys:
        """Return the keys of the tenants.

        Raises:
            ConfigurationError: nobody could use the gateway, or two tenants have the same key.
        """
        hashes = {tenant.key_sha256: name for name, tenant in self.tenants.items()}
        if len(hashes) < len(self.tenants):
            raise ConfigurationError("two tenants have the same key: give each one its own")
        anonymous = self.allow_anonymous
        if anonymous is None:
            anonymous = self._is_local
        return TenantKeys(hashes, allow_anonymous=anonymous)

    @property
    def _is_local(self) -> bool:
        """Whether the gateway is for everyone on this machine, unless ``allow_anonymous`` says otherwise."""
        return not self.tenants and _is_loopback(self.host)

    def origins(self) -> OriginPolicy:
        """Return which web pages may use the gateway.

        A gateway that needs no key because it is local is used by the names of this machine only.

        Raises:
            ConfigurationError: an origin or ``public_url`` is not one.
        """
        hosts: set[str] | None = None
        if self._is_local and self.allow_anonymous is None:
            hosts = {*_LOOPBACK_NAMES, self.host}
            if self.public_url is not None:
                check_public_url(self.public_url)
                hosts.add(urlsplit(self.public_url).hostname or "")
        return OriginPolicy(self.allowed_origins, hosts=hosts)

    def admission(self) -> Admission:
        """Return the limits of the server and of the tenants."""
        limits = {name: tenant.limits for name, tenant in self.tenants.items()}
        return Admission(max_sessions=self.max_sessions, tenants=limits)


def load_config(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> GatewayConfig:
    """Read the configuration of a gateway. Call it before the server starts: it blocks.

    Paths in the file are relative to its directory.

    Args:
        path: the file.
        environ: the variables that ``key_env`` and ``auth_token_env`` name; ``os.environ`` by default.

    Raises:
        ConfigurationError: the file or a file that it names cannot be read, or a value cannot work. The
            message names the file and the path of the key.
    """
    file = Path(path)
    data = read_toml(file)
    try:
        values: dict[str, Any] = _CONFIG.read(data, "")
        return _make_config(values, file.parent, os.environ if environ is None else environ)
    except SpecError as exc:
        raise SpecError(f"{file.name}: {exc.path}", exc.problem) from exc.__cause__


_ENV_NAME: Final = Text(expected="the name of a variable", pattern=r"[A-Za-z_][A-Za-z0-9_]*")
_TENANT: Final = Table(
    fields={
        "key_sha256": Text(
            expected="64 lower-case hexadecimal digits", pattern=r"[0-9a-f]{64}", is_secret=True
        ),
        "key_env": _ENV_NAME,
        "max_sessions": _COUNT,
        "max_sessions_per_minute": _COUNT,
    },
    refused={"key": "write key_sha256, the SHA-256 hash of the key, or key_env, a variable"},
)
_SETTINGS: Final[Mapping[str, Kind | Field]] = {
    "attach_timeout": _SECONDS,
    "grace": _SECONDS,
    "hello_timeout": _SECONDS,
    "send_timeout": _SECONDS,
    "max_message_size": _SIZE,
    "hidden_events": ListOf(Text()),
    "error_details": Flag(),
}
_STORAGE: Final = Table(
    fields={
        "database": Text(is_secret=True),
        "recordings": Text(),
        "objects": Text(is_secret=True),
        "opt_out": Flag(),
        "on_failure": Choice(("degrade", "end_session")),
    }
)
_PRICES: Final = Table(fields={each.name: Number(low=0) for each in attrs.fields(PriceTable)})
_CONFIG: Final = Table(
    fields={
        "agents": Text(expected="the name of the file with the agents"),
        "default_agent": Text(),
        "node": Text(expected="a name that is not empty", pattern=r"\S+"),
        "host": Text(),
        "port": Number(low=0, high=65535, is_integer=True),
        "public_url": Text(),
        "certfile": Text(),
        "keyfile": Text(),
        "allowed_origins": ListOf(Text()),
        "allow_anonymous": Flag(),
        "max_sessions": _COUNT,
        "drain_timeout": Number(low=0),
        "metrics_key_needed": Flag(),
        "web": Flag(),
        "openai": Flag(),
        **_SETTINGS,
        "service": SERVICE,
        "storage": _STORAGE,
        "prices": _PRICES,
        "tenants": MapOf(_TENANT),
        "twilio": Table(
            fields={
                "auth_token_env": _ENV_NAME,
                "agent": Text(),
                "greeting": OrNone(Text()),
                "dtmf_message": Text(expected="a text with {key}", pattern=r"(?s).*\{key\}.*"),
                "tenant": Text(),
            }
        ),
    },
    places={
        "database": "storage.database",
        "recordings": "storage.recordings",
        "objects": "storage.objects",
        "base_url": "service.base_url",
        "realtime_url": "service.realtime_url",
    },
)


def _make_config(
    values: dict[str, Any], directory: Path, environ: Mapping[str, str]
) -> GatewayConfig:
    agents = values.pop("agents", None)
    if agents is None:
        raise SpecError("agents", 'name the file with the agents, such as "agents.toml"')
    specs = load_specs(directory / agents, check_imports=True)
    default = values.get("default_agent")
    if default is not None and default not in specs:
        raise SpecError("default_agent", f"there is no such agent; there are {', '.join(specs)}")
    settings = {name: values.pop(name) for name in _SETTINGS if name in values}
    if "hidden_events" in settings:
        settings["hidden_events"] = frozenset(settings["hidden_events"])
    is_local = not values.get("tenants") and _is_loopback(values.get("host", "127.0.0.1"))
    settings.setdefault("error_details", is_local)
    for name, value in settings.items():
        _check(name, partial(GatewaySettings, **{name: value}))
    for name in ("certfile", "keyfile"):
        if name in values:
            values[name] = directory / values[name]
    service = values.pop("service", {})
    if "deployment" in service:
        service["deployment_name"] = service.pop("deployment")
    config = GatewayConfig(
        specs=specs,
        settings=GatewaySettings(**settings),
        service=ServiceSettings(**service),
        storage=_make_storage(values.pop("storage", {}), directory),
        tenants={
            name: _make_tenant(join("tenants", name), table, environ)
            for name, table in values.pop("tenants", {}).items()
        },
        prices=PriceTable(**values.pop("prices")) if "prices" in values else None,
        twilio=_make_twilio(values.pop("twilio", None), specs, environ),
        **values,
    )
    _check("tenants" if config.tenants else "allow_anonymous", config.keys)
    if config.public_url is not None:
        _check("public_url", partial(check_public_url, config.public_url))
    _check("allowed_origins", config.origins)
    return config


def _check(path: str, make: Callable[[], object]) -> None:
    try:
        make()
    except ConfigurationError as exc:
        raise SpecError(path, str(exc)) from None


def _make_storage(table: dict[str, Any], directory: Path) -> StorageConfig:
    if "recordings" in table:
        table["recordings"] = directory / table["recordings"]
    prefix, database = "sqlite:///", table.get("database", "")
    if database.startswith(prefix) and not database.startswith((f"{prefix}/", f"{prefix}:memory:")):
        table["database"] = f"{prefix}{(directory / database[len(prefix) :]).absolute()}"
    return StorageConfig(**table)


def _make_tenant(path: str, table: dict[str, Any], environ: Mapping[str, str]) -> TenantConfig:
    variable, digest = table.pop("key_env", None), table.pop("key_sha256", None)
    if (variable is None) == (digest is None):
        raise SpecError(path, "give key_sha256 or key_env")
    if variable is not None:
        key = _secret(f"{path}.key_env", variable, environ)
        digest = hashlib.sha256(key.encode()).hexdigest()
    return TenantConfig(key_sha256=digest, limits=TenantLimits(**table))


def _make_twilio(
    table: dict[str, Any] | None, specs: Mapping[str, AgentSpec], environ: Mapping[str, str]
) -> TwilioConfig | None:
    if table is None:
        return None
    agent = table.get("agent")
    if agent is not None and agent not in specs:
        raise SpecError("twilio.agent", f"there is no such agent; there are {', '.join(specs)}")
    variable = table.get("auth_token_env", "TWILIO_AUTH_TOKEN")
    token = _secret("twilio.auth_token_env", variable, environ)
    options = {
        name: table[name] for name in ("greeting", "dtmf_message", "tenant") if name in table
    }
    return TwilioConfig(auth_token=token, agent=agent, **options)


def _secret(path: str, variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable)
    if not value:
        raise SpecError(path, f"the variable {variable} is not set")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
