"""From a spec to an agent, for one session."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import attrs
import trio

from trio_realtime.agents import (
    AgentHandoff,
    McpServer,
    RealtimeAgent,
    check_agents,
    handoff,
)
from trio_realtime.config import SessionConfig
from trio_realtime.errors import ConfigurationError
from trio_realtime.session.user_code import Raised, Returned, call_user_code
from trio_realtime.wire import UNSET

from .agent_spec import AgentSpec
from .calls import call_function
from .files import find_spec, unknown_handoff
from .handoff_table import HandoffSpec
from .mcp_table import McpServerSpec
from .paths import SpecError, describe_type, is_list, is_mapping
from .references import References, import_references_in_threads
from .templates import TemplateFailed, VariableMissing

__all__ = ["BuildWarning", "BuiltAgent", "OnError", "VariableNotGiven", "build_agent"]

OnError: TypeAlias = Literal["warn", "refuse"]
"""What a failure does: it is a warning, or it raises."""

WarningCode: TypeAlias = Literal["template_failed", "context_failed"]

T = TypeVar("T")


class VariableNotGiven(SpecError):
    """Strict instructions use a variable that neither the spec nor the session has."""


@attrs.frozen(kw_only=True)
class BuildWarning:
    """Something that failed while an agent was built, without which the session can run.

    Attributes:
        code: ``template_failed``: the agent has its instructions as they were written.
            ``context_failed``: the context is empty.
        message: what failed, and where. It has no text of exceptions of the application.
        exception: what was raised. Its text may have secrets.
    """

    code: WarningCode
    message: str
    exception: BaseException | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class BuiltAgent:
    """An agent that was built for one session.

    Attributes:
        agent: the agent, with the agents that it can hand over to.
        config: the settings of the session. A voice is a setting of its agent, so that each agent has its
            own.
        context: the context of the session: what the context builder returned; without one, a dict with
            the variables; an empty dict if it failed.
        warnings: what failed.
    """

    agent: RealtimeAgent[Any]
    config: SessionConfig
    context: Any = attrs.field(repr=False)
    warnings: tuple[BuildWarning, ...] = ()


async def build_agent(
    spec: AgentSpec,
    *,
    specs: Mapping[str, AgentSpec] | None = None,
    settings: Any = None,
    variables: Mapping[str, Any] | None = None,
    on_template_error: OnError = "warn",
    on_context_error: OnError = "warn",
    environ: Mapping[str, str] | None = None,
) -> BuiltAgent:
    """Build the agent of a spec, and all agents that it can hand over to, for one session.

    The instructions of every agent are rendered now. The template of an agent has the variables of its
    spec, replaced by ``variables``, by what the context builder of the first agent returned, and by what
    its own context builder returned. An agent with the same context builder as the first one shares its
    context.

    If the call is cancelled, nothing is left behind, except for the threads of sync builders, whose
    results are dropped.

    Args:
        spec: the spec of the first agent.
        specs: the other specs, which handoffs may name.
        settings: given to the builders of contexts, MCP servers and handoffs.
        variables: variables of this session. They replace those of the specs.
        on_template_error: what a template that fails does. ``"warn"``: the agent gets the instructions
            as they were written. ``"refuse"``: the call fails. An undefined variable always makes it fail
            if the spec has ``strict_variables``.
        on_context_error: what a context builder that fails does. ``"warn"``: the context is empty.
        environ: the environment, for ``env_from`` and ``headers_from``; ``os.environ`` by default.

    Raises:
        ConfigurationError: an import path, a builder, a handoff or a variable of the environment cannot
            work, or something failed that is to be refused. The message names the path of the key. What
            a builder raised is the cause.
    """
    for value in (on_template_error, on_context_error):
        if value not in {"warn", "refuse"}:
            raise ConfigurationError(f'expected "warn" or "refuse", got {value!r}')
    builder = _Builder(
        first=spec,
        specs=specs or {},
        settings=settings,
        variables=variables or {},
        on_template_error=on_template_error,
        on_context_error=on_context_error,
        environ=os.environ if environ is None else environ,
    )
    await trio.lowlevel.checkpoint()
    agent = await builder.build()
    voice = spec.realtime.voice
    config = attrs.evolve(spec.realtime, voice=UNSET) if isinstance(voice, str) else spec.realtime
    return BuiltAgent(
        agent=agent, config=config, context=builder.context, warnings=tuple(builder.warnings)
    )


@attrs.define(kw_only=True, eq=False)
class _Builder:
    """Builds the agents of one session. The attributes after ``environ`` are the results."""

    first: AgentSpec
    specs: Mapping[str, AgentSpec]
    settings: Any
    variables: Mapping[str, Any]
    on_template_error: OnError
    on_context_error: OnError
    environ: Mapping[str, str]

    warnings: list[BuildWarning] = attrs.field(factory=list[BuildWarning])
    context: Any = attrs.field(factory=dict[str, Any])
    _shared_variables: Mapping[str, Any] = attrs.field(factory=dict[str, Any], init=False)
    _references: dict[str, References] = attrs.field(factory=dict[str, References], init=False)
    _handoffs: dict[str, tuple[AgentHandoff[Any], ...]] = attrs.field(
        factory=dict[str, Any], init=False
    )
    _servers: list[tuple[McpServerSpec, McpServer]] = attrs.field(
        factory=list[tuple[McpServerSpec, McpServer]], init=False
    )

    async def build(self) -> RealtimeAgent[Any]:
        """Return the first agent."""
        reachable = await self._import_reachable()
        agents = {one.name: await self._agent(one) for one in reachable}
        for one in reachable:
            self._handoffs[one.name] = tuple(
                [await self._handoff(one, *entry, agents) for entry in self._declared_handoffs(one)]
            )
        first = agents[self.first.name]
        try:
            check_agents(first)
        except ConfigurationError as exc:
            raise SpecError(self.first.path("handoffs"), str(exc)) from None
        except Exception as exc:  # of a function of an agent that a builder made
            raise SpecError(self.first.path("handoffs"), _problem(exc)) from exc
        return first

    async def _import_reachable(self) -> list[AgentSpec]:
        """Return the specs that the session may reach, the first one first."""
        reachable = [self.first]
        for one in reachable:  # the list grows during the loop
            self._references[one.name] = await import_references_in_threads(one)
            targets = [self._target(one, index) for index in range(len(one.handoffs))]
            known = {spec.name for spec in reachable}
            new = {spec.name: spec for spec in targets if spec and spec.name not in known}
            reachable += new.values()
        return reachable

    def _target(self, spec: AgentSpec, index: int) -> AgentSpec | None:
        """Return the spec that a handoff names; ``None`` if it names none."""
        name = spec.handoffs[index].spec_name
        if name is None:
            return None
        found = find_spec(self.specs, name)
        if found is None and name == self.first.name:
            return self.first
        if found is None:
            raise unknown_handoff(spec, index, name, self.specs)
        # Agents are found by the names of their specs: the first spec may be a changed copy.
        return found

    # --- agents ---

    async def _agent(self, spec: AgentSpec) -> RealtimeAgent[Any]:
        references = self._references[spec.name]
        instructions = self._render(spec, await self._variables(spec, references))
        servers = [
            server
            for path, source in references.mcp_servers
            for server in await self._mcp_servers(spec, path, source)
        ]
        voice = spec.realtime.voice
        try:
            return RealtimeAgent(
                name=spec.name,
                instructions=instructions,
                tools=references.tools,
                voice=voice if isinstance(voice, str) else UNSET,
                # A function, because agents may refer to each other.
                handoffs=lambda: self._handoffs[spec.name],
                output_guardrails=references.output_guardrails,
                input_guardrails=references.input_guardrails,
                mcp_servers=tuple(servers),
            )
        except ConfigurationError as exc:
            raise SpecError(spec.path(""), str(exc)) from None

    def _render(self, spec: AgentSpec, variables: Mapping[str, Any]) -> str:
        path = spec.path("instructions")
        try:
            return spec.template.render(variables)
        except VariableMissing as exc:
            raise VariableNotGiven(path, str(exc)) from None
        except TemplateFailed as exc:
            if self.on_template_error == "refuse":
                raise SpecError(path, str(exc)) from exc
            self._warn("template_failed", f"{path}: {exc}", exc.__cause__ or exc)
            return spec.instructions

    def _warn(self, code: WarningCode, message: str, exc: BaseException) -> None:
        self.warnings.append(BuildWarning(code=code, message=message, exception=exc))

    # --- contexts ---

    async def _variables(self, spec: AgentSpec, references: References) -> Mapping[str, Any]:
        """Return the variables of a template. For the first agent, also make the context."""
        base = {**_copy(spec.variables), **_copy(self.variables)}
        builder = references.context_builder
        is_first = spec is self.first
        if builder is None:
            if is_first:
                self.context = base
            return {**base, **self._shared_variables}
        if not is_first and builder == self._references[self.first.name].context_builder:
            return {**base, **self._shared_variables}
        context, own = await self._build_context(spec, builder, base)
        if is_first:
            self.context, self._shared_variables = context, own
        return {**base, **self._shared_variables, **own}

    async def _build_context(
        self, spec: AgentSpec, builder: Any, variables: dict[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Return a context, and the variables in it."""
        path = spec.path("context_builder")
        made = await call_user_code(_make_context, builder, _copy(variables), self.settings)
        if isinstance(made, Returned):
            return made.value
        problem = _problem(made.failure)
        if self.on_context_error == "refuse":
            raise SpecError(path, problem) from made.failure
        self._warn("context_failed", f"{path}: {problem}", made.failure)
        return {}, {}

    # --- MCP servers ---

    async def _mcp_servers(self, spec: AgentSpec, path: str, source: Any) -> Sequence[McpServer]:
        if isinstance(source, McpServer):
            return [source]
        if isinstance(source, McpServerSpec):
            # Agents that declare the same server share it.
            for declared, server in self._servers:
                if declared == source:
                    return [server]
            server = source.build(self.environ, path)
            self._servers.append((source, server))
            return [server]
        built = await self._call_builder(spec, path, source)
        servers: Sequence[Any] = built if is_list(built) else [built]
        for server in servers:
            if not isinstance(server, McpServer):
                raise SpecError(
                    path, f"expected an McpServer, but the builder returned {describe_type(server)}"
                )
        return servers

    async def _call_builder(self, spec: AgentSpec, path: str, builder: Any) -> Any:
        called = await call_user_code(call_function, builder, self.settings, spec)
        if isinstance(called, Raised):
            raise SpecError(path, _problem(called.failure)) from called.failure
        return called.value

    # --- handoffs ---

    def _declared_handoffs(
        self, spec: AgentSpec
    ) -> list[tuple[str, HandoffSpec, AgentSpec | None]]:
        declared = self._references[spec.name].handoffs
        return [(*entry, self._target(spec, index)) for index, entry in enumerate(declared)]

    async def _handoff(
        self,
        spec: AgentSpec,
        path: str,
        declared: HandoffSpec,
        target: AgentSpec | None,
        agents: Mapping[str, RealtimeAgent[Any]],
    ) -> AgentHandoff[Any]:
        found: Any = declared.agent if target is None else agents[target.name]
        kind: type[Any] = found.__class__
        if not issubclass(kind, RealtimeAgent | AgentHandoff):
            found = await self._call_builder(spec, path, found)
            kind = found.__class__
        if issubclass(kind, AgentHandoff):
            if declared.name is not None or declared.description is not None:
                raise SpecError(path, "a handoff has its own name and description: remove them")
            return found  # type: ignore[no-any-return]
        if not issubclass(kind, RealtimeAgent):
            raise SpecError(
                path,
                f"expected an agent or a handoff, but the builder returned {describe_type(found)}",
            )
        return handoff(found, name=declared.name, description=declared.description)


async def _make_context(
    builder: Any, variables: dict[str, Any], settings: Any
) -> tuple[Any, Mapping[str, Any]]:
    """Return what a context builder makes, and the variables in it."""
    made: Any = await call_function(builder, variables, settings)
    context: Any = dict[str, Any]() if made is None else made
    return context, _variables_of(context)


def _problem(exc: BaseException) -> str:
    """Return what a function of the application raised, without text that may have secrets."""
    if isinstance(exc, ConfigurationError):  # written for the operator of the application
        return str(exc)
    return f"the function raised {type(exc).__name__}"


def _copy(value: T) -> T:
    """Return a copy whose containers may be changed. Other objects are shared."""
    copied: Any = value
    if is_mapping(value):
        copied = {key: _copy(one) for key, one in value.items()}
    elif is_list(value) and not isinstance(value, tuple):
        copied = [_copy(one) for one in value]
    return copied  # type: ignore[no-any-return]


def _variables_of(context: Any) -> Mapping[str, Any]:
    """Return the items or fields of a context.

    Raises:
        ConfigurationError: it has none.
    """
    if is_mapping(context):
        return {str(key): value for key, value in context.items()}
    kind: Any = context.__class__
    if attrs.has(kind):
        names = [one.name for one in attrs.fields(kind)]
    elif dataclasses.is_dataclass(kind):
        names = [one.name for one in dataclasses.fields(kind)]
    else:
        raise ConfigurationError(
            "the function must return a mapping, a dataclass, an attrs object or None, got "
            f"{kind.__name__}"
        )
    return {name: getattr(context, name) for name in names if not name.startswith("_")}
