"""Tools that the client of a session runs."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.gateway import make_spec
from trio_realtime import FunctionTool, RealtimeAgent, open_realtime_session
from trio_realtime.errors import ConfigurationError
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.server.managed import ManagedSession, client_tool
from trio_realtime.server.rpc import RpcEvent

SHOW_MAP = client_tool(
    "show_map",
    description="Show a place on the map of the page.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}},
    timeout=20,
)


def make_session(*calls: Any, tool: FunctionTool = SHOW_MAP) -> ManagedSession:
    local = local_connector(responder=ScriptedResponder([*calls, Say("Done.")]))
    return ManagedSession(make_spec(tool), endpoint=local.endpoint, connector=local)


async def next_event(events: Any, type_: str) -> RpcEvent:
    with trio.fail_after(100):
        async for event in events:
            if event.type == type_:
                assert isinstance(event, RpcEvent)
                return event
    raise AssertionError(f"the session ended without {type_}")


@pytest.mark.parametrize("is_error", [False, True])
async def test_the_client_sends_the_result(is_error: bool, autojump_clock: MockClock) -> None:
    async with make_session(Call("show_map", {"place": "Oslo"})).managed() as session:
        events = session.stream_events(0)
        await session.send_text("Where is Oslo?")
        required = await next_event(events, "tool_result_required")
        call_id = required.data["call_id"]
        assert required.data == {
            "call_id": call_id,
            "tool_name": "show_map",
            "arguments": '{"place":"Oslo"}',
        }
        await trio.sleep(19)
        assert not session.answer_tool_call("another", "x")
        assert session.answer_tool_call(call_id, "It is shown.", is_error=is_error)
        assert not session.answer_tool_call(call_id, "again")
        end = await next_event(events, "realtime_tool_end")
        assert end.data["output"] == "It is shown."
        assert (await next_event(events, "realtime_agent_end")).data["output"] == "Done."
        assert not session.answer_tool_call(call_id, "too late")


async def test_a_client_that_does_not_answer(autojump_clock: MockClock) -> None:
    async with make_session(Call("show_map", {"place": "Oslo"})).managed() as session:
        events = session.stream_events(0)
        await session.send_text("Where is Oslo?")
        required = await next_event(events, "tool_result_required")
        began = trio.current_time()
        end = await next_event(events, "realtime_tool_end")
        assert trio.current_time() - began == pytest.approx(20)
        assert end.data["outcome"] == "timed_out"
        assert not session.answer_tool_call(required.data["call_id"], "too late")


async def test_an_interruption_ends_the_wait(autojump_clock: MockClock) -> None:
    async with make_session(Call("show_map", {"place": "Oslo"})).managed() as session:
        events = session.stream_events(0)
        await session.send_text("Where is Oslo?")
        required = await next_event(events, "tool_result_required")
        await session.interrupt()
        assert not session.answer_tool_call(required.data["call_id"], "too late")


async def test_two_sessions_do_not_answer_for_each_other(autojump_clock: MockClock) -> None:
    async with (
        make_session(Call("show_map", {"place": "Oslo"})).managed() as first,
        make_session(Call("show_map", {"place": "Rome"})).managed() as second,
    ):
        for session in (first, second):
            await session.send_text("Where?")
        of_first = await next_event(first.stream_events(0), "tool_result_required")
        of_second = await next_event(second.stream_events(0), "tool_result_required")
        assert "Oslo" in of_first.data["arguments"]
        assert "Rome" in of_second.data["arguments"]
        assert second.answer_tool_call(of_second.data["call_id"], "Rome is shown.")
        ended = await next_event(second.stream_events(0), "realtime_tool_end")
        assert ended.data["output"] == "Rome is shown."
        assert first.answer_tool_call(of_first.data["call_id"], "Oslo is shown.")


async def test_arguments_that_are_no_object(autojump_clock: MockClock) -> None:
    async with make_session(Call("show_map", "nonsense")).managed() as session:
        events = session.stream_events(0)
        await session.send_text("Where is Oslo?")
        end = await next_event(events, "realtime_tool_end")
        assert "JSON object" in end.data["output"]


@pytest.mark.parametrize("arguments", ["", "null", "{}"])
async def test_a_call_without_arguments(arguments: str, autojump_clock: MockClock) -> None:
    async with make_session(Call("show_map", arguments)).managed() as session:
        events = session.stream_events(0)
        await session.send_text("Show the map.")
        required = await next_event(events, "tool_result_required")
        assert required.data["arguments"] == "{}"
        assert session.answer_tool_call(required.data["call_id"], "It is shown.")
        assert (await next_event(events, "realtime_tool_end")).data["output"] == "It is shown."


async def test_outside_of_a_managed_session_the_tool_fails(autojump_clock: MockClock) -> None:
    service = local_connector(
        responder=ScriptedResponder([Call("show_map", {"place": "Oslo"}), Say("Sorry.")])
    )
    agent = RealtimeAgent[None](name="Assistant", tools=[SHOW_MAP])
    async with open_realtime_session(
        agent, transport=service, endpoint=service.endpoint
    ) as session:
        assert (await session.ask("Where is Oslo?")).text == "Sorry."


def test_options_are_those_of_a_tool() -> None:
    tool = client_tool("pay", needs_approval=True, timeout=None)
    assert (tool.needs_approval, tool.timeout) == (True, None)
    with pytest.raises(ConfigurationError):
        client_tool("not a name")
