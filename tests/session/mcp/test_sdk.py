"""Connections through the MCP SDK: lists of tools, results and errors of calls."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from mcp import MCPError
from mcp.server import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)
from trio.testing import MockClock

from support.events import drain_events
from support.mcp_servers import (
    MemoryServer,
    agent_with,
    all_offered_names,
    call_two_tools,
    offered_names,
    only_output,
    raise_mcp_error,
    return_text,
)
from support.service import send_call_and_wait
from support.sessions import open_test_session
from support.wire import sent_outputs, sent_settings
from trio_realtime import McpServerCustom, errors, events
from trio_realtime.testing import ScriptedPeer

# --- connecting --------------------------------------------------------------------------------


async def test_a_server_object_in_the_same_process_can_be_used(
    autojump_clock: MockClock,
) -> None:
    server = MCPServer("here", log_level="CRITICAL")

    @server.tool()
    async def add(a: int, b: int) -> dict[str, int]:
        """Add two numbers."""
        return {"sum": a + b}

    peer = ScriptedPeer()
    declaration = McpServerCustom(name="here", connect=lambda: server)
    async with open_test_session(peer, agent=agent_with(declaration)):
        await send_call_and_wait(peer, "add", '{"a": 2, "b": 3}')
        assert '"sum"' in await only_output(peer)


# --- lists of tools ----------------------------------------------------------------------------


async def test_the_tools_of_all_pages_are_offered(autojump_clock: MockClock) -> None:
    async def nothing(arguments: dict[str, Any]) -> str:
        return ""

    server = MemoryServer(one=nothing, two=nothing, three=nothing)
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    server.schemas["echo"] = schema
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())):
        assert offered_names(peer) == ["echo", "hang", "one", "two", "three"]
        assert sent_settings(peer)[0]["tools"][0] == {
            "type": "function",
            "name": "echo",
            "description": "echo!",
            "parameters": schema,
        }
        assert len(sent_settings(peer)) == 1


class EmptyCursor(MemoryServer):
    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        result = await super()._list(_context, None)
        return ListToolsResult(tools=result.tools, next_cursor="")


async def test_an_empty_cursor_ends_the_list(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(EmptyCursor().declare())):
        assert all_offered_names(peer) == [["echo", "hang"]]


async def test_changes_are_subscribed_to_if_the_server_supports_it(
    autojump_clock: MockClock,
) -> None:
    server = MCPServer("here", log_level="CRITICAL")

    @server.tool()
    async def learn(ctx: Context[Any, Any]) -> str:
        server.add_tool(extra, name="extra")
        await ctx.notify_tools_changed()
        return "learnt"

    async def extra() -> str:
        return "extra"

    peer = ScriptedPeer()
    declaration = McpServerCustom(name="here", connect=lambda: server)
    async with open_test_session(peer, agent=agent_with(declaration)):
        assert offered_names(peer) == ["learn"]
        await send_call_and_wait(peer, "learn")
        assert offered_names(peer) == ["learn", "extra"]


# --- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ([TextContent(text="one"), TextContent(text="two")], "one\ntwo"),
        ([], ""),
        (CallToolResult(content=[], structured_content={"sum": 5}), '{"sum":5}'),
        (
            CallToolResult(content=[TextContent(text="5")], structured_content={"sum": 5}),
            "5",
        ),
        (
            [TextContent(text="see"), ImageContent(data="AAAA", mime_type="image/png")],
            'see\n{"type":"image","mime_type":"image/png","bytes":3}',
        ),
        (
            [AudioContent(data="AAAAAAAA", mime_type="audio/wav")],
            '{"type":"audio","mime_type":"audio/wav","bytes":6}',
        ),
        (
            [ResourceLink(name="log", uri="file:///log")],
            '{"type":"resource_link","uri":"file:///log","name":"log"}',
        ),
        (
            [
                EmbeddedResource(
                    resource=TextResourceContents(uri="file:///a", mime_type="text/plain", text="A")
                )
            ],
            '{"type":"resource","uri":"file:///a","mime_type":"text/plain","text":"A"}',
        ),
        (
            [EmbeddedResource(resource=BlobResourceContents(uri="file:///b", blob="AAAA"))],
            '{"type":"resource","uri":"file:///b","bytes":3}',
        ),
    ],
)
async def test_a_result_is_converted_to_text(
    result: Any, output: str, autojump_clock: MockClock
) -> None:
    async def give(arguments: dict[str, Any]) -> Any:
        return result

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(MemoryServer(give=give).declare())):
        await send_call_and_wait(peer, "give")
        assert await only_output(peer) == output


async def test_an_error_result_fails_the_call_and_its_text_is_the_output(
    autojump_clock: MockClock,
) -> None:
    async def fail(arguments: dict[str, Any]) -> Any:
        return CallToolResult(content=[TextContent(text="no such file")], is_error=True)

    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=agent_with(MemoryServer(fail=fail).declare())
    ) as session:
        await send_call_and_wait(peer, "fail")
        assert await only_output(peer) == "no such file"
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert isinstance(end.error, errors.McpCallFailed)
        assert end.error.server == "memory"


async def test_an_error_result_without_text_gets_a_default_text(autojump_clock: MockClock) -> None:
    async def fail(arguments: dict[str, Any]) -> Any:
        return CallToolResult(content=[], is_error=True)

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(MemoryServer(fail=fail).declare())):
        await send_call_and_wait(peer, "fail")
        assert sent_outputs(peer) == [("call_1", "the tool failed without an error message")]


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-32000, -32603, -32001, 7])
async def test_an_error_response_fails_only_its_call_whatever_its_code(
    code: int, autojump_clock: MockClock
) -> None:
    """Many servers use -32000 for any error; the SDK uses it for closed connections."""
    server = MemoryServer(
        fail=raise_mcp_error(code, "your quota is used up"), slow=return_text("done", after=3)
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())) as session:
        call_two_tools(peer, "fail", "slow")
        await trio.sleep(5)
        assert sent_outputs(peer) == [("call_1", "your quota is used up"), ("call_2", "done")]
        assert len(server.attempts) == 1
        assert drain_events(session.events, events.Error) == []


async def test_an_error_of_a_server_object_fails_only_its_call(
    autojump_clock: MockClock,
) -> None:
    async def fail(context: Any, params: Any) -> CallToolResult:
        raise MCPError(-32000, "your quota is used up")

    async def list_tools(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name="fail", input_schema={"type": "object"})])

    server = Server("here", on_list_tools=list_tools, on_call_tool=fail)
    peer = ScriptedPeer()
    declaration = McpServerCustom(name="here", connect=lambda: server)
    async with open_test_session(peer, agent=agent_with(declaration)) as session:
        await send_call_and_wait(peer, "fail")
        await trio.sleep(5)
        assert sent_outputs(peer) == [("call_1", "your quota is used up")]
        assert drain_events(session.events, events.Error) == []
