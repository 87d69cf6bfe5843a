"""The spec of an agent: the agent and the settings of its sessions as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from trio_realtime.agents import FunctionTool, InputGuardrail, McpServer, OutputGuardrail
from trio_realtime.config import SessionConfig
from trio_realtime.errors import ConfigurationError

from .handoff_table import HANDOFF, HandoffSpec
from .imports import IMPORT_EXPECTED, IMPORT_PATTERN
from .kinds import Anything, Field, Flag, Kind, ListOf, MapOf, Object, OneOf, Table, Text
from .mcp_table import MCP_SERVER, McpServerSpec
from .paths import SpecError, describe, is_list, under
from .realtime import REALTIME
from .service_table import SERVICE
from .slugs import SLUG_EXPECTED, SLUG_PATTERN, slug_of
from .templates import InstructionsTemplate

__all__ = ["AGENT", "AgentSpec"]

_IMPORT: Final = Text(expected=IMPORT_EXPECTED, pattern=IMPORT_PATTERN)
_SLUG: Final = Text(expected=SLUG_EXPECTED, pattern=SLUG_PATTERN)


def _is(*classes: type[Any]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, classes)


def _is_tool(value: Any) -> bool:
    return isinstance(value, FunctionTool) or (callable(value) and not isinstance(value, type))


def _reference(expected: str, test: Callable[[Any], bool]) -> OneOf:
    """Return a kind for an import path, or for the object itself in Python."""
    return OneOf(_IMPORT, Object(expected=expected, test=test))


_MCP_OBJECT: Final = _reference(
    "an McpServer, or a function that returns one",
    lambda value: callable(value) or isinstance(value, McpServer),
)
_FIELDS: Final[Mapping[str, Kind | Field]] = {
    "name": Text(expected="a name that is not empty", pattern=r"\S(?:.*\S)?"),
    "realtime_mode": Field(kind=Flag(), is_required=True),
    "instructions": Text(),
    "strict_variables": Flag(),
    "variables": MapOf(Anything()),
    "context_builder": _reference("a function", callable),
    "tools": ListOf(_reference("a tool, or a function", _is_tool)),
    "handoffs": ListOf(HANDOFF),
    "output_guardrails": ListOf(_reference("an OutputGuardrail", _is(OutputGuardrail))),
    "input_guardrails": ListOf(_reference("an InputGuardrail", _is(InputGuardrail))),
    "mcp_servers": OneOf(
        ListOf(OneOf(MCP_SERVER, _MCP_OBJECT)),
        _MCP_OBJECT,
    ),
    "realtime": REALTIME,
    "service": SERVICE,
    "project": _SLUG,
    "agent": _SLUG,
}
_PLACES: Final[Mapping[str, str]] = {
    **{
        name: f"realtime.{name}"
        for name in (
            *("model", "voice", "speed", "turn_detection", "transcription", "noise_reduction"),
            *("input_format", "output_format", "tool_choice", "max_output_tokens"),
            *("output_modalities", "idle_timeout", "max_duration", "approval_timeout"),
        )
    },
    **{
        name: f"service.{name}"
        for name in ("base_url", "realtime_url", "deployment", "api_version")
    },
}
AGENT: Final = Table(
    fields=_FIELDS,
    places=_PLACES,
    refused={key: SERVICE.refused[key] for key in ("api_key", "token")},
)
"""The table of an agent in a file."""


def _read(name: str, value: Any) -> Any:
    return AGENT.fields[name].kind.read(value, name)


def _field(name: str, **options: Any) -> Any:
    """Return the attribute for a key of the table."""

    def read(value: Any) -> Any:
        return _read(name, value)

    return attrs.field(converter=read, **options)


def _read_name(value: Any) -> str:
    return str(_read("name", value))


def _read_context_builder(value: Any) -> str | Callable[..., Any] | None:
    found: str | Callable[..., Any] | None = value
    return found if value is None else _read("context_builder", value)


def _read_handoffs(value: Any) -> tuple[HandoffSpec, ...]:
    found: tuple[HandoffSpec, ...] = _read("handoffs", value)
    return found


def _read_mcp_servers(
    value: Any,
) -> tuple[McpServerSpec | McpServer | str | Callable[..., Any], ...]:
    found: Any = _read("mcp_servers", value)
    return found if is_list(found) else (found,)  # type: ignore[return-value]


def _read_realtime(value: Any) -> SessionConfig:
    found: SessionConfig = _read("realtime", value)
    return found


def _read_service(value: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _read("service", value)
    return found


def _compile_template(spec: AgentSpec) -> InstructionsTemplate:
    try:
        return InstructionsTemplate(spec.instructions, strict=spec.strict_variables)
    except ConfigurationError as exc:
        raise SpecError("instructions", str(exc)) from None


def _repr_length(text: str) -> str:
    return f"<{len(text)}>"


def _slug(spec: AgentSpec) -> str:
    return slug_of(spec.name)


def _check_realtime_mode(_spec: Any, _attribute: Any, value: Any) -> None:
    if value is not True:
        raise SpecError("realtime_mode", _WRONG_MODE)


_WRONG_MODE: Final = (
    "a spec for voice agents must have realtime_mode = true. Without it, the spec may be for another "
    "kind of agent, and is not used"
)


@attrs.frozen(kw_only=True)
class AgentSpec:
    """An agent and the settings of its sessions, in Python or from a TOML file.

    Everything that needs no code of the application is checked when the spec is created. In Python, the
    objects themselves may be given instead of import paths. Sessions share a spec: it does not change.

    Args:
        name: the name of the agent.
        realtime_mode: must be true, which says that the spec is for a realtime voice agent.
        instructions: the system prompt, as a Jinja2 template. It is rendered for each session.
        strict_variables: whether an undefined variable of the template is an error. By default, it is
            empty.
        variables: the variables of the template.
        context_builder: the import path of a function, sync or async, that is called for each session with
            the variables (a dict) and the settings given to :func:`build_agent`. It returns the context of
            the session: a mapping, a dataclass, an attrs object or ``None``. Its items or fields are added
            to the variables of the template. A sync function runs in a thread.
        tools: import paths of tools, or of functions, of which tools are made.
        handoffs: the agents that may take over: names of other specs, or import paths of agents, of
            handoffs or of functions, sync or async, that are called with the settings and this spec and
            return one. A table ``{agent = ..., name = ..., description = ...}`` adds the name and
            the description of the function that the model calls. Specs may refer to each other.
        output_guardrails, input_guardrails: import paths of guardrails.
        mcp_servers: MCP servers: tables with the arguments of :class:`~trio_realtime.McpServerStdio` or
            :class:`~trio_realtime.McpServerHttp`; or import paths of servers, or of functions, sync or async,
            that are called with the settings and this spec and return one or more. In a table,
            ``env_from`` and ``headers_from`` map names to variables of the environment, for secrets.
        realtime: the settings of sessions: a :class:`~trio_realtime.SessionConfig`, or a table with its
            arguments. ``"none"`` means ``None``. Encodings have names such as ``"pcm16"`` and ``"pcmu"``.
            When an agent takes over, only its voice applies; other settings are those of the first agent.
        service: the service, as a table for ``resolve_service``. It has no credentials.
        project: the slug of the project; ``"default"`` by default.
        agent: the slug of the agent; by default, made of the name.
        source: where the spec is from, for error messages.

    Raises:
        ConfigurationError: a value cannot work. The message names the path of its key.
    """

    name: str = attrs.field(converter=_read_name)
    realtime_mode: bool = _field("realtime_mode", default=False, validator=_check_realtime_mode)
    instructions: str = _field("instructions", default="", repr=_repr_length)
    strict_variables: bool = _field("strict_variables", default=False)
    variables: Mapping[str, Any] = _field("variables", factory=dict[str, Any], repr=False)
    context_builder: str | Callable[..., Any] | None = attrs.field(
        default=None, converter=_read_context_builder
    )
    tools: Sequence[Any] = _field("tools", default=())
    handoffs: tuple[HandoffSpec, ...] = attrs.field(default=(), converter=_read_handoffs)
    output_guardrails: Sequence[Any] = _field("output_guardrails", default=())
    input_guardrails: Sequence[Any] = _field("input_guardrails", default=())
    mcp_servers: tuple[McpServerSpec | McpServer | str | Callable[..., Any], ...] = attrs.field(
        default=(), converter=_read_mcp_servers
    )
    realtime: SessionConfig = attrs.field(
        factory=SessionConfig, converter=_read_realtime, repr=False
    )
    _service: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any], converter=_read_service, alias="service", repr=False
    )
    project: str = _field("project", default="default")
    agent: str = _field("agent", default=attrs.Factory(_slug, takes_self=True))
    source: str = attrs.field(default="", eq=False, repr=False)
    template: InstructionsTemplate = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_compile_template, takes_self=True)
    )

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], *, name: str | None = None, source: str = ""
    ) -> AgentSpec:
        """Create a spec of a table, as a TOML file has it.

        Args:
            data: the table.
            name: the name of the agent, if the table has none.
            source: the path of the table, for error messages, such as ``agents.support``.

        Raises:
            ConfigurationError: a key is unknown or missing, or a value cannot work. The message names
                its path.
        """
        try:
            values: dict[str, Any] = {} if name is None else {"name": name}
            values |= _checked_table(data)
            return cls(**values, source=source)
        except SpecError as exc:
            raise SpecError(under(source, exc.path), exc.problem) from None

    @property
    def service(self) -> Mapping[str, Any]:
        """The table ``service``, and the model of ``realtime`` under the key ``model``."""
        model = self.realtime.model
        return {**self._service, **({} if model is None else {"model": model})}

    def path(self, key: str) -> str:
        """Return the path of a key of this spec, for an error message."""
        return under(self.source or f"agent {describe(self.name)}: ", key)


def _checked_table(data: Any) -> dict[str, Any]:
    """Return the table of an agent whose keys are known."""
    if not AGENT.accepts(data):
        raise SpecError("", f"expected a table, got {describe(data)}")
    if not data.get("realtime_mode", False):  # first: other kinds of agents have other keys
        raise SpecError("realtime_mode", _WRONG_MODE)
    AGENT.check_keys(data, "")
    return dict(data)
