"""Tasks of a session are named for what they do, so that a task tree explains itself."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    SessionHooks,
    function_tool,
    output_guardrail,
)
from trio_realtime.testing import ScriptedPeer


def task_names() -> list[str]:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    found: list[str] = []
    waiting = [root]
    while waiting:
        task = waiting.pop()
        found.append(task.name)
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


@function_tool
async def endless() -> None:
    await trio.sleep_forever()


@output_guardrail
async def slow(context: AgentContext[None], text: str) -> bool:
    await trio.sleep_forever()
    return False


GUARDED = RealtimeAgent[None](name="Assistant", output_guardrails=[slow])


async def test_tasks_are_named_for_their_service_tool_or_guardrail(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    agent = RealtimeAgent(name="Assistant", tools=[endless], output_guardrails=[slow])
    async with open_test_session(peer, agent=agent, guardrail_debounce=5):
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.text("resp_1", "item_1", "a long text")
        peer.call("resp_1", "item_2", "call_1", "endless")
        await wait_all_tasks_blocked()
        names = set(task_names())
    assert {"reader of connection 1", "writer", "guardrails", "tools"} <= names
    assert "tool endless call_1 of resp_1" in names
    assert "guardrail slow resp_1" in names


async def test_an_idle_session_has_no_task_for_calls_checks_and_deadlines(
    autojump_clock: MockClock,
) -> None:
    async with open_test_session(ScriptedPeer(), agent=GUARDED):
        await wait_all_tasks_blocked()
        assert {"guardrails", "tools", "deadlines"}.isdisjoint(task_names())


async def test_a_single_guardrail_has_no_task_besides_its_check(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=GUARDED, guardrail_debounce=5):
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.text("resp_1", "item_1", "a long text")
        await wait_all_tasks_blocked()
        assert [name for name in task_names() if name.startswith("guardrail")] == [
            "guardrails",
            "guardrail slow resp_1",
        ]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"hooks": SessionHooks[None]()}, "hooks"),
        ({"max_duration": 3600.0}, "limits"),
    ],
)
async def test_a_session_runs_a_task_for_hooks_and_limits_only_if_it_has_them(
    options: dict[str, Any], name: str, autojump_clock: MockClock
) -> None:
    async with open_test_session(ScriptedPeer(), **options):
        await wait_all_tasks_blocked()
        with_it = set(task_names())
    async with open_test_session(ScriptedPeer()):
        await wait_all_tasks_blocked()
        without = set(task_names())
    assert name in with_it
    assert {"hooks", "limits", "MCP tools"}.isdisjoint(without)
