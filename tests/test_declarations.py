"""Declarations are checked where they are written, and the errors say what to write."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import trio_realtime as rt
from trio_realtime import (
    AgentHooks,
    HostedMcpTool,
    McpServerStdio,
    RealtimeAgent,
    SessionConfig,
    SessionHooks,
    function_tool,
    handoff,
    input_guardrail,
    open_realtime_session,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)
from trio_realtime._declarations import check_callable
from trio_realtime.agents.handoffs import as_handoffs
from trio_realtime.errors import ConfigurationError

BILLING = RealtimeAgent[None](name="Billing")


def no_parameter() -> bool:
    return False


def one(context: Any) -> bool:
    return False


def two(context: Any, value: Any) -> bool:
    return False


def three(context: Any, agent: Any, output: Any) -> bool:
    return False


def keyword_only(context: Any, *, text: str) -> bool:
    return False


def with_default(context: Any, text: str, limit: int = 3) -> bool:
    return False


class Callable2:
    """An object that is called with two arguments."""

    def __call__(self, context: Any, text: str) -> bool:
        return False


def tool(**options: Any) -> Any:
    return function_tool(**options)(no_parameter)


AGENT: Callable[..., Any] = RealtimeAgent
CONFIG: Callable[..., Any] = SessionConfig

WRONG_PARAMETERS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: output_guardrail(three),  # type: ignore[arg-type]
        (
            "guardrail 'three' is called with (context, text), but is declared with "
            "(context, agent, output)"
        ),
    ),
    (
        lambda: output_guardrail(name="short")(no_parameter),  # type: ignore[arg-type]
        "guardrail 'short' is called with (context, text), but is declared with ()",
    ),
    (
        lambda: input_guardrail(one),  # type: ignore[arg-type]
        "guardrail 'one' is called with (context, text), but is declared with (context)",
    ),
    (
        lambda: input_guardrail(keyword_only),  # type: ignore[arg-type]
        (
            "guardrail 'keyword_only' is called with (context, text), but is declared with "
            "(context, *, text)"
        ),
    ),
    (
        lambda: tool_input_guardrail(one),  # type: ignore[arg-type]
        "tool guardrail 'one' is called with (context, arguments), but is declared with (context)",
    ),
    (
        lambda: tool_output_guardrail(three),  # type: ignore[arg-type]
        (
            "tool guardrail 'three' is called with (context, result), but is declared with "
            "(context, agent, output)"
        ),
    ),
    (
        lambda: AGENT(name="A", instructions=two),
        "the instructions of agent 'A' is called with (context), but is declared with (context, value)",
    ),
    (
        lambda: AGENT(name="A", prompt=no_parameter),
        "the prompt of agent 'A' is called with (context), but is declared with ()",
    ),
    (
        lambda: AGENT(name="A", handoffs=one),
        "the function for the handoffs of agent 'A' is called with (), but is declared with (context)",
    ),
    (
        lambda: tool(is_enabled=two),
        (
            "is_enabled of tool 'no_parameter' is called with (context), but is declared with "
            "(context, value)"
        ),
    ),
    (
        lambda: tool(needs_approval=three),
        (
            "needs_approval of tool 'no_parameter' is called with (context, arguments), but is declared "
            "with (context, agent, output)"
        ),
    ),
    (
        lambda: tool(format_error=one),
        (
            "format_error of tool 'no_parameter' is called with (context, exception), but is declared "
            "with (context)"
        ),
    ),
    (
        lambda: handoff(BILLING, on_handoff=two),
        (
            "on_handoff of the handoff to 'Billing' is called with (context), but is declared with "
            "(context, value)"
        ),
    ),
    (
        lambda: handoff(BILLING, is_enabled=two),  # type: ignore[arg-type]
        (
            "is_enabled of handoff transfer_to_billing is called with (context), but is declared with "
            "(context, value)"
        ),
    ),
    (
        lambda: HostedMcpTool(server_label="s", server_url="https://a", on_approval=one),  # type: ignore[arg-type]
        (
            "on_approval of hosted MCP server 's' is called with (context, request), but is declared "
            "with (context)"
        ),
    ),
    (
        lambda: HostedMcpTool(server_label="s", server_url="https://a", is_enabled=two),  # type: ignore[arg-type]
        (
            "is_enabled of hosted MCP server 's' is called with (context), but is declared with "
            "(context, value)"
        ),
    ),
    (
        lambda: McpServerStdio(name="s", command=("x",), needs_approval=one),  # type: ignore[arg-type]
        (
            "needs_approval of MCP server 's' is called with (context, arguments), but is declared with "
            "(context)"
        ),
    ),
    (
        lambda: CONFIG(format_rejection=two),
        "format_rejection is called with (context), but is declared with (context, value)",
    ),
    (
        lambda: CONFIG(format_guardrail_feedback=one),
        "format_guardrail_feedback is called with (context, trips), but is declared with (context)",
    ),
]


@pytest.mark.parametrize(("declare", "message"), WRONG_PARAMETERS)
def test_a_function_with_other_parameters_is_refused(
    declare: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        declare()


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: output_guardrail(5), "guardrail 'int': expected a function, got 5"),  # type: ignore[call-overload]
        (
            lambda: AGENT(name="A", instructions=b"x"),
            "a str, or a function that returns one, got b'x'",
        ),
        (lambda: AGENT(name="A", instructions=5), "the instructions of agent 'A' must be a str"),
        (lambda: AGENT(name=None), "the name of an agent must be a str, got None"),
        (lambda: AGENT(name="A", handoffs=5), "handoffs: expected a list, got int"),
        (
            lambda: tool(is_enabled="no"),
            "is_enabled of tool 'no_parameter' must be a bool or a function",
        ),
        (lambda: tool(needs_approval=1), "must be a bool or a function, got 1"),
        (
            lambda: tool(format_error="x"),
            "format_error of tool 'no_parameter': expected a function",
        ),
        (lambda: CONFIG(format_rejection="x"), "format_rejection: expected a function, got 'x'"),
        (
            lambda: CONFIG(output_modalities="audio"),
            r'must be \("audio",\) or \("text",\), got \'audio\'',
        ),
        (lambda: CONFIG(output_modalities={"audio"}), r"got {'audio'}"),
    ],
)
def test_a_value_of_another_type_is_refused(declare: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        declare()


@pytest.mark.parametrize(
    "check", [two, with_default, Callable2(), partial(three, None), Callable2().__call__]
)
def test_any_callable_with_these_parameters_is_accepted(check: Any) -> None:
    check_callable(check, "guardrail", "context", "text")
    assert output_guardrail(check).check is check


def test_a_function_whose_signature_is_unknown_is_accepted() -> None:
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(min)
    check_callable(min, "check", "context", "text")


def test_a_wrapper_is_checked_and_not_the_function_that_it_wraps() -> None:
    @functools.wraps(three)
    def injecting(context: Any, text: str) -> bool:
        return three(context, text, "a database")

    @functools.wraps(two)
    def dropping(context: Any) -> bool:
        return two(context, "")

    assert output_guardrail(injecting).check is injecting
    with pytest.raises(ConfigurationError, match=r"but is declared with \(context\)$"):
        output_guardrail(dropping)  # type: ignore[arg-type]


def test_handoffs_may_come_from_a_generator() -> None:
    agent = AGENT(name="A", handoffs=(one for one in [BILLING]))
    assert [found.agent for found in as_handoffs(agent)] == [BILLING]
    assert [found.agent for found in as_handoffs(agent)] == [BILLING]


# --- hooks


def test_a_misspelt_hook_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^Mine.on_tools_end is never called: did you mean on_tool_end\?$"
    ):

        class Mine(AgentHooks[None]):
            async def on_tools_end(self) -> None: ...


def test_a_hook_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^Mine.on_llm is never called: there are on_agent_end, on_"
    ):

        class Mine(SessionHooks[None]):
            async def on_llm(self) -> None: ...


@pytest.mark.parametrize(
    ("base", "name", "meant"),
    [
        (SessionHooks, "on_start", "did you mean on_agent_start?"),
        (SessionHooks, "on_end", "did you mean on_agent_end?"),
        (AgentHooks, "on_agent_start", "did you mean on_start?"),
        (AgentHooks, "on_agent_end", "did you mean on_end?"),
        (AgentHooks, "on_llm_start", "there are on_end, on_handoff, "),
        (SessionHooks, "on_handof", "did you mean on_handoff?"),
    ],
)
def test_the_hook_that_was_meant_is_suggested(base: type, name: str, meant: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"^Mine.{name} is never called: {re.escape(meant)}"
    ):
        type("Mine", (base,), {name: lambda self: None})


def test_other_members_whose_names_begin_like_hooks_are_left_alone() -> None:
    class Listener:
        def on_connect(self) -> None: ...

    class Registered:
        def __init_subclass__(cls, key: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.key = key

        key: str

    @dataclasses.dataclass
    class Mine(AgentHooks[None], Listener, Registered, key="mine"):
        on_slow: Any = None

        def on_connect(self) -> None: ...

        def _log(self, kind: str, *details: Any) -> None: ...

        on_start = functools.partialmethod(_log, "start")

        @functools.lru_cache  # noqa: B019
        def on_end(self, *details: Any) -> None: ...  # type: ignore[override]

    assert Mine.key == "mine"


def test_a_hook_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^Mine\.on_start is never called"):

        class Mine(SessionHooks[None]):
            async def on_start(self, context: Any, agent: Any, event: Any) -> None: ...


def test_a_hook_with_other_parameters_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"^Mine.on_end is called with \(self, context, agent, output, event\), but is declared "
        r"with \(self, context, agent, output\)$",
    ):

        class Mine(AgentHooks[None]):
            async def on_end(self, context: Any, agent: Any, output: str) -> None: ...  # type: ignore[override]


def test_a_static_hook_with_other_parameters_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"called with \(context, agent, event\)"):

        class Mine(AgentHooks[None]):
            @staticmethod
            async def on_start(context: Any) -> None: ...  # type: ignore[override]


def test_a_hook_that_is_no_method_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^Mine.on_start: expected a method, got 5$"):

        class Mine(AgentHooks[None]):
            on_start = 5  # type: ignore[assignment]


def test_valid_hooks_of_all_forms_are_accepted() -> None:
    class Mine(AgentHooks[None], SessionHooks[None]):
        limit = 3

        def on_start(self, *details: Any) -> None: ...  # type: ignore[override]
        @staticmethod
        def on_end(context: Any, agent: Any, output: str, event: Any) -> None: ...  # type: ignore[override]
        @classmethod
        def on_agent_end(cls, context: Any, agent: Any, output: str, event: Any) -> None: ...  # type: ignore[override]

        on_tool_cancelled = partial(three)  # type: ignore[assignment]

        def note_end(self) -> None: ...

    class Derived(Mine):
        async def on_agent_start(self, context: Any, agent: Any, event: Any) -> None: ...

    assert isinstance(Derived(), AgentHooks)


# --- sessions


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("x", "expected an instance of RealtimeAgent, got 'x'"),
        (None, "expected an instance of RealtimeAgent, got None"),
        (RealtimeAgent, r"got <class 'trio_realtime.agents.agent.RealtimeAgent'>$"),
    ],
)
async def test_a_session_of_something_else_than_an_agent_is_refused(
    agent: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with open_realtime_session(agent, endpoint=rt.Endpoint.openai(api_key="k")):
            pass


async def test_a_configuration_of_another_type_is_refused() -> None:
    config: Any = {"model_settings": {"voice": "ash"}}
    with pytest.raises(
        ConfigurationError, match=r"expected config to be a SessionConfig, .* got dict"
    ):
        async with open_realtime_session(BILLING, config=config):
            pass


# --- the names of the agents SDK


async def test_an_agent_of_the_sdk_is_refused() -> None:
    agent = pytest.importorskip("agents.realtime").RealtimeAgent(name="A")
    message = r"got one of agents\.realtime\.agent: import RealtimeAgent from trio_realtime$"
    with pytest.raises(ConfigurationError, match=message):
        async with open_realtime_session(agent, endpoint=rt.Endpoint.openai(api_key="k")):
            pass


def test_a_name_of_the_sdk_is_explained() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"^RealtimeAgent has no argument handoff_description: write handoffs=\[handoff\(agent, desc",
    ):
        AGENT(name="A", handoff_description="x")
    with pytest.raises(
        ConfigurationError, match=r"^FunctionTool has no argument name_override: write name=$"
    ):
        tool(name_override="x")
    with pytest.raises(
        ConfigurationError, match=r"^handoff has no argument tool_name_override: write name=$"
    ):
        handoff(BILLING, tool_name_override="x")  # type: ignore[call-arg]
    with pytest.raises(
        ConfigurationError, match=r"^SessionConfig has no argument model_name: write model=$"
    ):
        CONFIG(model_name="x")


def test_another_unknown_name_is_still_a_type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        AGENT(name="A", colour="red")


def test_every_argument_of_the_sdk_exists_here_or_is_explained() -> None:
    sdk = pytest.importorskip("agents.realtime")
    tools = pytest.importorskip("agents")
    config = pytest.importorskip("agents.realtime.config")
    not_in_sessions = {"defer_loading", "allowed_callers", "custom_data_extractor"}
    compared: list[tuple[Callable[..., Any], dict[str, Any], list[str]]] = [
        (AGENT, {"name": "A"}, [field.name for field in dataclasses.fields(sdk.RealtimeAgent)]),
        (tool, {}, [*inspect.signature(tools.function_tool).parameters][1:]),
        (partial(handoff, BILLING), {}, [*inspect.signature(sdk.realtime_handoff).parameters][1:]),
        (CONFIG, {}, [*config.RealtimeRunConfig.__annotations__]),
        (CONFIG, {}, [*config.RealtimeSessionModelSettings.__annotations__]),
    ]
    unknown: list[str] = []
    for declare, arguments, names in compared:
        for name in names:
            if name in arguments or name in not_in_sessions:
                continue
            try:
                declare(**arguments, **{name: None})
            except TypeError as exc:
                if "unexpected keyword" in str(exc):
                    unknown.append(name)
            except ConfigurationError:
                pass
    assert unknown == []
