"""From specs to agents: imports, contexts, templates, MCP servers and handoffs."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import send_call
from trio_realtime import (
    AgentHandoff,
    FunctionTool,
    McpServerHttp,
    McpServerStdio,
    RealtimeAgent,
    open_realtime_session,
)
from trio_realtime.errors import ConfigurationError
from trio_realtime.server.spec import (
    AgentSpec,
    BuildWarning,
    BuiltAgent,
    build_agent,
    check_references,
    load_specs,
)
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.wire import UNSET, CustomVoice

DATA = Path(__file__).parent / "data"


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that the specs of the tests refer to."""
    monkeypatch.syspath_prepend(DATA)
    yield importlib.import_module("spec_app")
    sys.modules.pop("spec_app", None)


SECRET = "s3cr3t"
ENVIRON = {"FILES_TOKEN": SECRET, "SEARCH_AUTHORIZATION": f"Bearer {SECRET}"}
SETTINGS = {"tenant": "acme"}


def make(name: str = "support", **values: Any) -> AgentSpec:
    return AgentSpec.from_dict(
        {"realtime_mode": True, **values}, name=name, source=f"agents.{name}"
    )


async def build(spec: AgentSpec, *others: AgentSpec, **options: Any) -> BuiltAgent:
    specs = {one.name: one for one in (spec, *others)}
    return await build_agent(spec, specs=specs, **{"environ": {}, "settings": SETTINGS, **options})


async def error_of(spec: AgentSpec, *others: AgentSpec, **options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        await build(spec, *others, **options)
    assert SECRET not in str(caught.value)
    return caught.value


def handoffs_of(agent: RealtimeAgent[Any]) -> dict[str, AgentHandoff[Any]]:
    assert callable(agent.handoffs)
    return {one.name: one for one in agent.handoffs()}


# --- everything at once -------------------------------------------------------------------------


async def test_a_file_with_all_settings_is_built(data: Path, app: Any) -> None:
    specs = load_specs(data / "contact_center.toml", check_imports=True)
    built = await build_agent(
        specs["support"], specs=specs, settings=SETTINGS, environ=ENVIRON, variables={"id": 3}
    )
    assert built.warnings == ()
    assert built.context == {"customer_name": "Ada", "settings": SETTINGS}
    support = built.agent
    assert support.name == "Support line"
    assert support.instructions == "You work for Acme. You talk to Ada.\n"
    assert [tool.name for tool in support.tools] == ["refund", "opening_hours"]
    assert support.tools[0] is app.refund
    assert support.output_guardrails == (app.no_prices,)
    assert support.input_guardrails == (app.no_swearing,)
    assert support.voice == "marin"
    assert built.config == attrs.evolve(specs["support"].realtime, voice=UNSET)
    assert app.CALLS[0] == ("load_context", {"company": "Acme", "id": 3}, SETTINGS)

    files, search = support.mcp_servers
    assert isinstance(files, McpServerStdio)
    assert (files.command, files.args) == ("mcp-files", ("--root", "/srv"))
    assert files.env == {"LOG": "debug", "TOKEN": SECRET}
    assert (files.needs_approval, files.call_timeout) == (True, None)
    assert isinstance(search, McpServerHttp)
    assert search.headers == {"X-Tenant": "acme", "Authorization": f"Bearer {SECRET}"}
    assert search.required
    assert not files.required  # the default of a table

    handoffs = handoffs_of(support)
    assert list(handoffs) == ["to_billing", "transfer_to_expert_for_support_line"]
    assert handoffs["to_billing"].description == "Questions about invoices."
    billing = handoffs["to_billing"].agent
    assert (billing.name, billing.voice) == ("billing", "cedar")
    assert billing.instructions == "You send invoices for Acme Billing."
    assert billing.mcp_servers == (search,), "agents that declare the same server share it"
    assert handoffs_of(billing)["transfer_to_support_line"].agent is support


async def test_the_first_agent_may_be_any(data: Path, app: Any) -> None:
    specs = load_specs(data / "contact_center.toml")
    built = await build_agent(specs["billing"], specs=specs, environ=ENVIRON)
    assert built.agent.name == "billing"
    assert built.context == {"company": "Acme Billing"}
    assert built.config.model is None
    support = handoffs_of(built.agent)["transfer_to_support_line"].agent
    assert support.instructions == "You work for Acme. You talk to Ada.\n"


async def test_a_session_runs_and_hands_over_in_a_circle(
    data: Path, app: Any, autojump_clock: MockClock
) -> None:
    specs = {
        key: attrs.evolve(spec, mcp_servers=())
        for key, spec in load_specs(data / "contact_center.toml").items()
    }
    built = await build_agent(specs["support"], specs=specs)
    peer = ScriptedPeer()
    with trio.fail_after(60):
        async with open_realtime_session(
            built.agent,
            config=built.config,
            context=built.context,
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
        ) as session:
            assert session.context["customer_name"] == "Ada"
            send_call(peer, "to_billing")
            await peer.expect("conversation.item.create")
            create = await peer.expect("response.create")
            assert session.current_agent.name == "billing"
            peer.begin_response("resp_2", create)
            peer.call("resp_2", "item_2", "call_2", "transfer_to_support_line")
            peer.end_response("resp_2")
            await peer.expect("conversation.item.create")
            assert session.current_agent is built.agent


# --- variables and contexts ---------------------------------------------------------------------


async def test_without_a_builder_the_context_has_the_variables() -> None:
    spec = make(variables={"a": 1, "b": [1]}, instructions="{{ a }}{{ b[0] }}{{ c }}")
    built = await build(spec, variables={"a": 2, "c": 3})
    assert (built.agent.instructions, built.context) == ("213", {"a": 2, "b": [1], "c": 3})
    built.context["b"].append(2)
    assert spec.variables == {"a": 1, "b": [1]}, "sessions do not share variables"


async def test_each_session_renders_again() -> None:
    spec = make(instructions="{{ a }}")
    for value in ("x", "y"):
        assert (await build(spec, variables={"a": value})).agent.instructions == value


@pytest.mark.parametrize("builder", ["customer", "load_context"])
async def test_sync_and_async_builders(app: Any, builder: str) -> None:
    name = "spec_app:Builders.customer" if builder == "customer" else "spec_app:load_context"
    spec = make(
        context_builder=name,
        variables={"customer_id": 3, "name": "-"},
        instructions="{{ name }} {{ customer_name }} {{ _secret }}{{ changed }}",
    )
    built = await build(spec)
    assert [(builder, {"customer_id": 3, "name": "-"}, SETTINGS)] == app.CALLS
    if builder == "customer":
        assert built.context == app.Customer(name="customer 3")
        assert built.agent.instructions == "customer 3  "
    else:
        assert built.context == {"customer_name": "Ada", "settings": SETTINGS}
        assert built.agent.instructions == "- Ada "


async def test_a_builder_in_python_and_a_context_of_attrs() -> None:
    @attrs.frozen
    class Context:
        user: str

    spec = make(context_builder=lambda variables, settings: Context(user="Ada"))
    built = await build(attrs.evolve(spec, instructions="{{ user }}"))
    assert (built.context, built.agent.instructions) == (Context(user="Ada"), "Ada")


async def test_a_builder_without_a_result_makes_an_empty_context(app: Any) -> None:
    built = await build(make(context_builder="spec_app:returns_nothing", variables={"a": 1}))
    assert (built.context, built.warnings) == ({}, ())


async def test_the_context_of_the_first_agent_is_in_the_templates_of_all(app: Any) -> None:
    first = make("first", context_builder="spec_app:load_context", handoffs=["second", "third"])
    second = make("second", instructions="{{ customer_name }}", variables={"customer_name": "-"})
    third = make(
        "third",
        context_builder="spec_app:load_context",
        instructions="{{ customer_name }} {{ a }}",
        variables={"a": "b"},
    )
    built = await build(first, second, third)
    agents = [one.agent for one in handoffs_of(built.agent).values()]
    assert [agent.instructions for agent in agents] == ["Ada", "Ada b"]
    assert len(app.CALLS) == 1, "agents with the same builder share the context"


async def test_another_agent_has_variables_of_its_own_builder(app: Any) -> None:
    first = make("first", context_builder="spec_app:load_context", handoffs=["second"])
    second = make(
        "second",
        context_builder="spec_app:Builders.customer",
        instructions="{{ name }} {{ customer_name }}",
    )
    built = await build(first, second)
    assert built.context["customer_name"] == "Ada"
    agent = handoffs_of(built.agent)["transfer_to_second"].agent
    assert agent.instructions == "customer unknown Ada"


# --- failures of templates and contexts ---------------------------------------------------------


@pytest.mark.parametrize(
    ("builder", "problem"),
    [
        ("fails", "the function raised RuntimeError"),
        ("is_cancelled", "the function raised ForeignCancellation"),
        ("returns_a_number", "the function must return a mapping, a dataclass, an attrs object"),
    ],
)
async def test_a_context_builder_that_fails(app: Any, builder: str, problem: str) -> None:
    spec = make(
        context_builder=f"spec_app:{builder}", variables={"a": 1}, instructions="{{ a }}{{ b }}"
    )
    built = await build(spec)
    assert (built.context, built.agent.instructions) == ({}, "1")
    (warning,) = built.warnings
    assert warning.code == "context_failed"
    assert warning.message.startswith(f"agents.support.context_builder: {problem}")
    assert SECRET not in warning.message + repr(warning) + repr(built)
    assert warning.exception is not None

    error = await error_of(spec, on_context_error="refuse")
    assert str(error).startswith(f"agents.support.context_builder: {problem}")
    assert type(error.__cause__) is type(warning.exception)


async def test_a_template_that_fails() -> None:
    spec = make(instructions="a\n{{ 1 / b }}", variables={"b": 0})
    built = await build(spec)
    assert built.agent.instructions == "a\n{{ 1 / b }}"
    message = "agents.support.instructions: line 2: ZeroDivisionError"
    assert built.warnings == (BuildWarning(code="template_failed", message=message),)
    assert isinstance(built.warnings[0].exception, ZeroDivisionError)
    assert str(await error_of(spec, on_template_error="refuse")) == message
    assert (await build(spec, variables={"b": 1})).agent.instructions == "a\n1.0"


async def test_a_failure_in_another_agent_is_a_warning_too() -> None:
    built = await build(make(handoffs=["b"]), make("b", instructions="{{ 1 / 0 }}"))
    assert [one.message for one in built.warnings] == [
        "agents.b.instructions: line 1: ZeroDivisionError"
    ]


async def test_strict_variables_are_refused() -> None:
    spec = make(instructions="{{ a }}{{ b }}", strict_variables=True, variables={"a": 1})
    error = await error_of(spec)
    assert str(error) == "agents.support.instructions: line 1: 'b' is undefined"
    assert (await build(spec, variables={"b": 2})).agent.instructions == "12"


async def test_an_unknown_policy_is_refused() -> None:
    for name in ("on_template_error", "on_context_error"):
        assert 'expected "warn" or "refuse"' in str(await error_of(make(), **{name: "raise"}))


# --- cancellation -------------------------------------------------------------------------------


async def test_cancellation_is_no_failure_of_a_builder(autojump_clock: MockClock) -> None:
    async def hang(variables: Any, settings: Any) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await build(attrs.evolve(make(), context_builder=hang))
    assert scope.cancelled_caught


async def test_cancellation_abandons_the_thread_of_a_sync_builder() -> None:
    started, finish = threading.Event(), threading.Event()

    def hang(variables: Any, settings: Any) -> None:
        started.set()
        finish.wait()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await trio.to_thread.run_sync(started.wait)
                scope.cancel()

            nursery.start_soon(cancel)
            await build(attrs.evolve(make(), context_builder=hang))
    assert scope.cancelled_caught
    finish.set()


# --- imports ------------------------------------------------------------------------------------

IMPORT_ERRORS: list[tuple[Mapping[str, Any], str]] = [
    ({"tools": ["no_such.module:x"]}, 'tools[0]: cannot import "no_such.module:x": No module'),
    ({"tools": ["spec_app:refnd"]}, 'tools[0]: cannot import "spec_app:refnd": spec_app has no '),
    ({"tools": ["spec_app:refnd"]}, "did you mean refund?"),
    (
        {"context_builder": "spec_app:Builders.custmer"},
        "spec_app.Builders has no custmer: did you mean customer?",
    ),
    ({"tools": ["broken_app:x"]}, 'cannot import "broken_app:x": the module raised ValueError at '),
    ({"tools": ["broken_app:x"]}, "broken_app.py, line 2"),
    ({"tools": ["no_syntax:x"]}, "no_syntax.py, line 3"),
    ({"tools": ["script_app:x"]}, 'cannot import "script_app:x": the module raised SystemExit'),
    ({"tools": ["lazy_app:x"]}, 'cannot import "lazy_app:x": the module raised LookupError'),
    ({"tools": ["spec_app:SECRET"]}, "tools[0]: expected a FunctionTool or a function, got a str"),
    ({"output_guardrails": ["spec_app:SECRET"]}, "expected an OutputGuardrail, got a string"),
    ({"mcp_servers": ["spec_app:SECRET"]}, "mcp_servers[0]: expected a function, got a string"),
    ({"tools": ["spec_app:refund", "spec_app:NOT_A_TOOL"]}, "tools[1]: expected a FunctionTool"),
    (
        {"tools": ["spec_app:Customer"]},
        "tools[0]: expected a FunctionTool or a function, got the class Cu",
    ),
    ({"tools": ["spec_app:without_annotations"]}, "tools[0]: "),
    (
        {"output_guardrails": ["spec_app:no_swearing"]},
        "output_guardrails[0]: expected an OutputGuardrail, got InputGuardrail",
    ),
    (
        {"input_guardrails": ["spec_app:opening_hours"]},
        "decorate the function with @input_guardrail",
    ),
    (
        {"context_builder": "spec_app:takes_too_little"},
        "context_builder: the function is called with (variables, settings), but is declared with",
    ),
    ({"context_builder": "spec_app:NOT_A_TOOL"}, "context_builder: expected a function, got int"),
    (
        {"mcp_servers": ["spec_app:takes_too_little"]},
        "mcp_servers[0]: the function is called with (settings, spec), but",
    ),
    ({"handoffs": ["spec_app:NOT_A_TOOL"]}, "handoffs[0]: expected a function, got int"),
]


@pytest.mark.parametrize(
    ("values", "expected"), IMPORT_ERRORS, ids=[one for _, one in IMPORT_ERRORS]
)
async def test_what_cannot_be_imported(
    app: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: Mapping[str, Any],
    expected: str,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_app.py").write_text(f"\nraise ValueError('{SECRET}')")
    (tmp_path / "no_syntax.py").write_text(f"KEY = '{SECRET}'\n\ndef x(:\n")
    (tmp_path / "script_app.py").write_text("raise SystemExit(1)")
    (tmp_path / "lazy_app.py").write_text(f"def __getattr__(name): raise LookupError('{SECRET}')")
    spec = make(**values)  # nothing is imported when the spec is read
    error = await error_of(spec)
    assert str(error).startswith("agents.support.")
    assert expected in str(error)
    assert SECRET not in str(error)
    with pytest.raises(ConfigurationError) as caught:
        check_references(spec)
    assert str(caught.value) == str(error)


def test_imports_are_checked_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("realtime_mode = true\ntools = ['no_such.module:x']")
    assert load_specs(path)["my"].tools == ("no_such.module:x",)
    with pytest.raises(ConfigurationError, match=r"^my\.toml: tools\[0\]: cannot import"):
        load_specs(path, check_imports=True)


async def test_a_module_is_imported_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "threaded_app.py").write_text(
        "import threading\nname = threading.current_thread().name\ndef tool() -> str: return name\n"
    )
    built = await build(make(tools=["threaded_app:tool"]))
    (tool,) = built.agent.tools
    function: Any = tool.function
    assert function() != threading.main_thread().name
    monkeypatch.delitem(sys.modules, "threaded_app")


async def test_a_module_that_another_session_imports_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in ``sys.modules`` already, and importing it waits for the other thread."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_app.py").write_text(
        "import threading\n"
        "has_begun, may_end = threading.Event(), threading.Event()\n"
        "has_begun.set()\n"
        "assert may_end.wait(20), 'trio is blocked'\n"
        "def tool() -> str: return ''\n"
    )
    names: list[str] = []

    async def build_one() -> None:
        built = await build(make(tools=["slow_app:tool"]))
        names.extend(tool.name for tool in built.agent.tools)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(build_one)
        while "slow_app" not in sys.modules:
            await trio.lowlevel.checkpoint()
        slow: Any = sys.modules["slow_app"]
        while not hasattr(slow, "has_begun"):
            await trio.lowlevel.checkpoint()
        nursery.start_soon(build_one)
        await wait_all_tasks_blocked()
        slow.may_end.set()
    assert names == ["tool", "tool"]
    monkeypatch.delitem(sys.modules, "slow_app")


async def test_objects_in_python(app: Any) -> None:
    server = McpServerStdio(name="a", command="a")
    spec = AgentSpec(
        name="support",
        realtime_mode=True,
        tools=[app.refund, app.opening_hours],
        output_guardrails=[app.no_prices],
        mcp_servers=[server, app.crm_server],
        handoffs=[app.EXPERT, app.build_handoff],
    )
    agent = (await build_agent(spec)).agent
    assert [type(tool) for tool in agent.tools] == [FunctionTool, FunctionTool]
    assert agent.tools[0] is app.refund
    assert agent.output_guardrails == (app.no_prices,)
    assert [one.name for one in agent.mcp_servers] == ["a", "crm"]
    assert list(handoffs_of(agent)) == ["transfer_to_expert", "call_expert"]
    broken = attrs.evolve(spec, tools=[lambda: ""])
    assert str(await error_of(broken)).startswith('agent "support": tools[0]: a lambda has no name')


# --- MCP servers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "names"),
    [
        ("spec_app:crm_server", ["crm"]),
        (["spec_app:crm_server", "spec_app:two_servers"], ["crm", "one", "two"]),
        (["spec_app:SHARED_SERVER", {"name": "x", "command": "x"}], ["shared", "x"]),
    ],
)
async def test_builders_of_mcp_servers(app: Any, declared: Any, names: list[str]) -> None:
    agent = (await build(make(mcp_servers=declared))).agent
    assert [server.name for server in agent.mcp_servers] == names
    if "crm" in names:
        assert app.CALLS == [("crm_server", "support", SETTINGS)]


async def test_values_of_the_environment_replace_those_of_the_file() -> None:
    declared = [
        {
            "name": "a",
            "url": "https://a.test/mcp",
            "headers": {"authorization": "x", "X-A": "1"},
            "headers_from": {"Authorization": "A"},
        },
        {"name": "b", "command": "b", "env": {"a": "x", "A": "y"}, "env_from": {"A": "EMPTY"}},
    ]
    built = await build_agent(
        make(mcp_servers=declared), environ={"A": f"Bearer {SECRET}", "EMPTY": ""}
    )
    http, stdio = built.agent.mcp_servers
    assert isinstance(http, McpServerHttp)
    assert dict(http.headers or {}) == {"X-A": "1", "Authorization": f"Bearer {SECRET}"}
    assert isinstance(stdio, McpServerStdio)
    assert dict(stdio.env or {}) == {"a": "x", "A": ""}


async def test_an_empty_variable_is_no_header() -> None:
    """The server would refuse the session, and nothing would say why."""
    table = {"name": "a", "url": "https://a.test", "headers_from": {"Authorization": "EMPTY"}}
    with pytest.raises(
        ConfigurationError, match=r"headers_from\.Authorization: set the environment variable EMPTY"
    ):
        await build_agent(make(mcp_servers=[table]), environ={"EMPTY": ""})


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (
            [{"name": "a", "command": "a", "env_from": {"TOKEN": "A_TOKEN"}}],
            "agents.support.mcp_servers[0].env_from.TOKEN: set the environment variable A_TOKEN",
        ),
        (
            ["spec_app:build_nonsense"],
            "agents.support.mcp_servers[0]: expected an McpServer, but the builder returned int",
        ),
        (
            ["spec_app:build_nothing"],
            "agents.support.mcp_servers[0]: the function raised RuntimeError",
        ),
        (
            ["spec_app:SHARED_SERVER", {"name": "shared", "command": "x"}],
            "agents.support: more than one MCP server named shared: rename one",
        ),
    ],
)
async def test_mcp_servers_that_cannot_be_built(app: Any, declared: Any, expected: str) -> None:
    assert str(await error_of(make(mcp_servers=declared))) == expected


# --- handoffs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "name", "agent"),
    [
        ("spec_app:build_expert", "transfer_to_expert_for_support", "Expert for support"),
        ("spec_app:build_handoff", "call_expert", "Expert"),
        ("spec_app:EXPERT", "transfer_to_expert", "Expert"),
        ({"agent": "spec_app:EXPERT", "name": "ask"}, "ask", "Expert"),
    ],
)
async def test_builders_of_handoffs(app: Any, declared: Any, name: str, agent: str) -> None:
    built = await build(make(handoffs=[declared]))
    assert {one: found.agent.name for one, found in handoffs_of(built.agent).items()} == {
        name: agent
    }


@pytest.mark.parametrize(
    ("handoffs", "expected"),
    [
        (["biling"], 'handoffs[0]: there is no agent "biling": did you mean billing?'),
        (
            ["spec_app:build_nonsense"],
            "handoffs[0]: expected an agent or a handoff, but the builder returned int",
        ),
        (["spec_app:build_nothing"], "handoffs[0]: the function raised RuntimeError"),
        (["spec_app:build_broken"], "handoffs: the function raised RuntimeError"),
        (
            [{"agent": "spec_app:build_handoff", "name": "x"}],
            "handoffs[0]: a handoff has its own name and description",
        ),
        (
            ["billing", "billing"],
            "handoffs: agent 'support' has more than one tool or handoff named transfer_to_billing",
        ),
    ],
)
async def test_handoffs_that_cannot_be_built(app: Any, handoffs: Any, expected: str) -> None:
    error = await error_of(make(handoffs=handoffs), make("billing"))
    assert str(error).startswith(f"agents.support.{expected}")


async def test_a_handoff_needs_the_other_specs() -> None:
    with pytest.raises(ConfigurationError, match=r'handoffs\[0\]: there is no agent "b": there is'):
        await build_agent(make(handoffs=["b"]))


async def test_three_agents_in_a_circle_and_one_that_is_not_reached() -> None:
    specs = [
        make("a", handoffs=["b"]),
        make("b", handoffs=["c"]),
        make("c", handoffs=["a", "b"]),
        make("d", tools=["no_such.module:x"]),
    ]
    a = (await build(*specs)).agent
    b = handoffs_of(a)["transfer_to_b"].agent
    c = handoffs_of(b)["transfer_to_c"].agent
    assert handoffs_of(c)["transfer_to_a"].agent is a
    assert handoffs_of(c)["transfer_to_b"].agent is b


async def test_the_first_spec_may_be_a_changed_copy() -> None:
    specs = {"a": make("a", instructions="old", handoffs=["b"]), "b": make("b", handoffs=["a"])}
    changed = attrs.evolve(specs["a"], instructions="new")
    a = (await build_agent(changed, specs=specs)).agent
    back = handoffs_of(handoffs_of(a)["transfer_to_b"].agent)["transfer_to_a"].agent
    assert (a.instructions, back) == ("new", a)


async def test_the_first_spec_need_not_be_among_the_others() -> None:
    a = (await build_agent(make("a", handoffs=["b"]), specs={"b": make("b", handoffs=["a"])})).agent
    b = handoffs_of(a)["transfer_to_b"].agent
    assert handoffs_of(b)["transfer_to_a"].agent is a


async def test_sessions_do_not_share_agents() -> None:
    spec = make(handoffs=["b"])
    first, second = [(await build(spec, make("b"))).agent for _ in range(2)]
    assert first is not second
    assert (
        handoffs_of(first)["transfer_to_b"].agent is not handoffs_of(second)["transfer_to_b"].agent
    )


# --- voices -------------------------------------------------------------------------------------


async def test_each_agent_has_its_voice() -> None:
    built = await build(
        make(realtime={"voice": "marin", "speed": 1.2}, handoffs=["b"]),
        make("b", realtime={"voice": "cedar", "speed": 0.5}),
    )
    assert (built.agent.voice, built.config.voice, built.config.speed) == ("marin", UNSET, 1.2)
    assert handoffs_of(built.agent)["transfer_to_b"].agent.voice == "cedar"


async def test_a_custom_voice_is_a_setting_of_the_session() -> None:
    built = await build(make(realtime={"voice": {"id": "v_1"}}))
    assert (built.agent.voice, built.config.voice) == (UNSET, CustomVoice(id="v_1"))
