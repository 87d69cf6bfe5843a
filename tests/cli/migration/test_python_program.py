"""Finding the names of openai-agents in Python programs."""

from __future__ import annotations

import textwrap

import pytest

from trio_realtime.cli.migration import load_mapping
from trio_realtime.cli.migration.python_program import find_uses

PYTHON = load_mapping("python")
IMPORTS = "from agents.realtime import RealtimeRunner, RealtimeSession, RealtimeSessionEvent\n"


def found(program: str) -> list[tuple[int, str]]:
    """The line and the listed name of each use."""
    uses = find_uses(textwrap.dedent(program), PYTHON)
    listed = [(use.line, PYTHON.find(*use.names)) for use in uses]
    return [(line, name[0] if name else "?") for line, name in listed]


def names(program: str) -> set[str]:
    """The names that a program uses besides those that ``IMPORTS`` imports."""
    imported = {"RealtimeRunner", "RealtimeSession", "RealtimeSessionEvent"}
    return {name for _, name in found(IMPORTS + textwrap.dedent(program))} - imported


# --- imports -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "from agents.realtime import RealtimeAgent as A\nA(tools=[])",
        "import agents.realtime\nagents.realtime.RealtimeAgent(tools=[])",
        "import agents.realtime as rt\nrt.RealtimeAgent(tools=[])",
        "from agents import realtime\nrealtime.RealtimeAgent(tools=[])",
        "from agents.realtime.agent import RealtimeAgent\nRealtimeAgent(tools=[])",
        "import agents\nA = agents.realtime.RealtimeAgent\nA(tools=[])",
    ],
)
def test_names_are_resolved_through_imports_and_aliases(program: str) -> None:
    assert (program.count("\n") + 1, "RealtimeAgent.tools") in found(program)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("from agents import function_tool", "agents.function_tool"),
        ("from agents.tool import function_tool", "agents.function_tool"),
        ("from agents.guardrail import OutputGuardrail", "agents.OutputGuardrail"),
        ("from agents.tool_context import ToolContext", "agents.tool_context.ToolContext"),
        ("from agents import ModelBehaviorError as E", "agents.ModelBehaviorError"),
        ("from agents import Mystery", "?"),
    ],
)
def test_names_of_other_modules_are_found(program: str, name: str) -> None:
    assert found(program) == [(1, name)]


@pytest.mark.parametrize(
    "program",
    [
        "import asyncio\nasyncio.run(main())",
        "from .agents import function_tool",
        "from my_agents.realtime import RealtimeAgent",
        "session.interrupt()",
        "",
    ],
)
def test_a_program_without_the_sdk_uses_none_of_its_names(program: str) -> None:
    assert found(program) == []


def test_asyncio_is_reported_in_programs_of_the_sdk() -> None:
    program = """
        import asyncio
        import agents
        task = asyncio.create_task(main())
        task.cancel()
        task.set_name("x")
        asyncio.all_tasks()
    """
    assert found(program) == [
        (4, "asyncio.create_task"),
        (5, "asyncio.Task.cancel"),
        (7, "?"),
    ]


# --- following values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "async def f(s: RealtimeSession): await s.interrupt()",
        "async def f(s: 'RealtimeSession | None'): await s.interrupt()",
        "async def f(all: dict[str, RealtimeSession]): await all['x'].interrupt()",
        "async def f(all: dict[str, RealtimeSession]):\n    s = all.get('x')\n    await s.interrupt()",
        "async def f(all: list[RealtimeSession]):\n    for s in all: await s.interrupt()",
        "async def f():\n    async with await RealtimeRunner(a).run() as s: await s.interrupt()",
        "async def f():\n    s = await RealtimeRunner(a).run()\n    await s.interrupt()",
        "async def f():\n    r = RealtimeRunner(a)\n    s = await (await r.run()).enter()\n    await s.interrupt()",
        "async def f():\n    if (s := await RealtimeRunner(a).run()): await s.interrupt()",
        "async def f():\n    await get().interrupt()\ndef get() -> RealtimeSession: ...",
        "async def f():\n    s = await get()\n    await s.interrupt()\nasync def get():\n    return await RealtimeRunner(a).run()",
        "async def f(all: list[RealtimeSession]): [await s.interrupt() for s in all if s.interrupt]",
        "async def f(all: list[RealtimeSession]): {s: await s.interrupt() for s in all}",
        "async def f(session): await session.interrupt()",
        "async def f(x): await x.my_session.interrupt()",
        "class C:\n    def __init__(self, s: RealtimeSession): self.s = s\n    async def f(self): await self.s.interrupt()",
        "class C:\n    async def f(self): await self.s.interrupt()\n    async def g(self): self.s = await RealtimeRunner(a).run()",
        "class C:\n    async def g(self, x: RealtimeSession): await self.h(x)\n    async def h(self, y): await y.interrupt()",
        "async def f(x): await x.interrupt()\nasync def g(s: RealtimeSession): await f(s)",
    ],
)
def test_sessions_are_followed(program: str) -> None:
    assert "RealtimeSession.interrupt" in names(program)


def test_methods_of_collections_and_of_other_objects_are_not_of_the_sdk() -> None:
    program = """
        async def f(all: dict[str, RealtimeSession], websocket):
            all.get("x")
            all.items()
            await websocket.close()
    """
    assert names(program) == set()


def test_options_of_calls_are_found() -> None:
    program = """
        from agents import function_tool
        async def f(s: RealtimeSession):
            await s.reject_tool_call("id", rejection_message="no", always=True)
        @function_tool(name_override="x", bogus=1)
        def tool(): ...
    """
    assert names(program) == {
        "RealtimeSession.reject_tool_call",
        "RealtimeSession.reject_tool_call(rejection_message=)",
        "RealtimeSession.reject_tool_call(always=)",
        "agents.function_tool",
        "agents.function_tool(name_override=)",
        "?",
    }


# --- configurations ----------------------------------------------------------------------------

CONFIG = '{"model_settings": {"turn_detection": {"type": "server_vad"}}}'
CONFIG_NAMES = {
    "RealtimeRunConfig.model_settings",
    "RealtimeSessionModelSettings.turn_detection",
    "RealtimeTurnDetectionConfig.type",
}


@pytest.mark.parametrize(
    "program",
    [
        f"RealtimeRunner(a, config={CONFIG})",
        f"config = {CONFIG}\nRealtimeRunner(a, config=config)",
        f"def f():\n    c = {CONFIG}\n    RealtimeRunner(a, config=c)",
        f"from agents.realtime import RealtimeRunConfig\nc: RealtimeRunConfig = {CONFIG}",
        f"use(**{CONFIG})",
        "from agents.realtime import RealtimeRunConfig as C\nC(model_settings={'turn_detection': {'type': 'x'}})",
        "from agents.realtime import RealtimeRunConfig as C\nc: C = {}\nc['model_settings']['turn_detection']['type'] = 'x'",
    ],
)
def test_keys_of_configurations_are_found(program: str) -> None:
    assert names(program) >= CONFIG_NAMES


def test_an_unknown_key_of_a_configuration_is_reported() -> None:
    assert "?" in names('RealtimeRunner(a, config={"voices": 1})')


def test_other_dictionaries_are_ignored() -> None:
    assert names('row = {"type": "audio", "voice": "ash", **other}') == set()


# --- events ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "if event.type == 'tool_end': print(event.tool)",
        "if event.type == 'audio': pass\n        elif event.type == 'tool_end': print(event.tool)",
        "if ready and event.type == 'tool_end' and event.tool: pass",
        "if isinstance(event, RealtimeToolEnd): print(event.tool)",
        "match event:\n            case RealtimeToolEnd(tool=tool): pass",
        "match event:\n            case RealtimeToolEnd(): print(event.tool)",
        "match event.type:\n            case 'tool_end': print(event.tool)",
    ],
)
def test_fields_of_events_are_those_of_the_class_that_the_branch_is_about(body: str) -> None:
    program = f"""
from agents.realtime import RealtimeToolEnd
async def f(s: RealtimeSession):
    async for event in s:
        {body}
"""
    assert names(program) >= {"RealtimeToolEnd", "RealtimeToolEnd.tool"}


def test_a_branch_says_nothing_about_what_follows_it() -> None:
    program = """
        def f(event: RealtimeSessionEvent):
            if event.type == "tool_start":
                return
            print(event.output)
    """
    assert names(program) == {"RealtimeToolStart", "RealtimeToolEnd.output"}


def test_several_types_in_one_comparison_are_all_found() -> None:
    program = """
        def f(event: RealtimeSessionEvent):
            return event.type in ("agent_start", "agent_end", "nothing")
    """
    assert names(program) == {"RealtimeAgentStartEvent", "RealtimeAgentEndEvent"}


def test_events_of_the_model_are_followed() -> None:
    program = """
        from agents.realtime import RealtimeModelUsageEvent
        def f(event: RealtimeSessionEvent):
            if event.type == "raw_model_event" and event.data.type == "transcript_delta":
                print(event.data.delta)
            if isinstance(event.data, RealtimeModelUsageEvent):
                print(event.info.context.usage)
    """
    assert names(program) >= {
        "RealtimeRawModelEvent.data",
        "RealtimeModelTranscriptDeltaEvent",
        "RealtimeModelTranscriptDeltaEvent.delta",
        "RealtimeSessionEvent.info",
        "RealtimeEventInfo.context",
        "agents.RunContextWrapper.usage",
    }


def test_overridden_hooks_are_found() -> None:
    program = """
        from agents.realtime import RealtimeAgentHooks
        class Log(RealtimeAgentHooks):
            async def on_start(self, context, agent): ...
            async def on_llm_start(self, *rest): ...
            def helper(self): ...
    """
    assert names(program) == {
        "RealtimeAgentHooks",
        "RealtimeAgentHooks.on_start",
        "RealtimeAgentHooks.on_llm_start",
    }


def test_a_program_that_is_not_python_is_rejected() -> None:
    with pytest.raises(SyntaxError):
        find_uses("import agents\nif", PYTHON)
