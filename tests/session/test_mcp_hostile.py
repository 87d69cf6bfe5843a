"""MCP servers that are broken, rude or mad: they cost what they do themselves, and nothing more."""

from __future__ import annotations

import functools
import gzip
import json
import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from mcp import MCPError
from mcp.server import Server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.mcp_servers import MemoryServer
from support.service import send_call, send_call_and_wait
from support.sessions import open_test_session
from support.wire import sent_outputs
from trio_realtime import (
    FunctionTool,
    McpServer,
    McpServerCustom,
    McpServerHttp,
    McpServerStdio,
    RealtimeAgent,
    errors,
    events,
)
from trio_realtime.agents import disambiguate_names, tool_name
from trio_realtime.testing import ScriptedPeer


def having(*servers: McpServer) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Assistant", mcp_servers=servers)


def updates(peer: ScriptedPeer) -> list[list[str]]:
    """The names of the tools that the service was told of, each time."""
    sessions = [frame["session"] for frame in peer.received if frame["type"] == "session.update"]
    return [[tool["name"] for tool in session["tools"]] for session in sessions]


def say(text: str, *, after: float = 0) -> Callable[[dict[str, Any]], Awaitable[str]]:
    async def saying(arguments: dict[str, Any]) -> str:
        await trio.sleep(after)
        return text

    return saying


def refuse_with(code: int, message: str) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    async def refusing(arguments: dict[str, Any]) -> Any:
        raise MCPError(code, message)

    return refusing


def call_both(peer: ScriptedPeer, one: str, other: str) -> None:
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", one)
    peer.call("resp_1", "item_2", "call_2", other)
    peer.end_response("resp_1")


async def real_answer(peer: ScriptedPeer, seconds: float = 5) -> str:
    """The answer of the only call, of a server that is real."""
    with trio.fail_after(seconds):
        while not sent_outputs(peer):  # noqa: ASYNC110 - the peer only collects
            await trio.sleep(0.01)
    ((_, output),) = sent_outputs(peer)
    return output


# --- declarations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (McpServerStdio, {"name": 7, "command": "x"}),
        (McpServerStdio, {"command": "x", "connect_timeout": None}),
        (McpServerStdio, {"command": "x", "connect_timeout": "10"}),
        (McpServerStdio, {"command": "x", "call_timeout": float("nan")}),
        (McpServerStdio, {"command": "x", "needs_approval": "no"}),
        (McpServerStdio, {"command": "x", "on_interrupt": "kill"}),
        (McpServerStdio, {"command": ""}),
        (McpServerStdio, {"command": ["x", "y"]}),
        (McpServerStdio, {"command": "x", "cwd": 3}),
        (McpServerStdio, {"command": "x", "args": "--root /data"}),
        (McpServerStdio, {"command": "x", "args": ["--port", 8080]}),
        (McpServerStdio, {"command": "x", "args": ["a\0b"]}),
        (McpServerStdio, {"command": "x", "allowed_tools": "search"}),
        (McpServerStdio, {"command": "x", "allowed_tools": [1]}),
        (McpServerStdio, {"command": "x", "env": {"PORT": 8080}}),
        (McpServerStdio, {"command": "x", "env": {"TOKEN": None}}),
        (McpServerStdio, {"command": "x", "env": {"A=B": "c"}}),
        (McpServerStdio, {"command": "x", "env": ["A=B"]}),
        (McpServerHttp, {"url": 7}),
        (McpServerHttp, {"url": "http://host", "headers": {"X-Tenant": 7}}),
        (McpServerHttp, {"url": "http://host", "headers": {"X Tenant": "a"}}),
        (McpServerHttp, {"url": "http://host", "headers": {"X-Tenant": "é"}}),
        (McpServerCustom, {"connect": None}),
    ],
)
def test_a_server_that_cannot_work_is_refused_when_it_is_declared(
    kind: type[McpServer], settings: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigurationError):
        kind(**settings | {"name": settings.get("name", "local")})


def test_a_token_with_the_line_break_of_its_file_is_refused_and_not_shown() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"'net'.*Authorization") as caught:
        McpServerHttp(
            name="net", url="http://host", headers={"Authorization": "Bearer hush-hush\n"}
        )
    assert "hush" not in str(caught.value)


def test_paths_are_taken_where_a_program_gets_strings() -> None:
    server = McpServerStdio(
        name="a", command=Path("/bin/x"), args=["--root", Path("/data")], cwd=Path("/tmp")
    )
    assert (server.command, server.args, server.cwd) == ("/bin/x", ("--root", "/data"), "/tmp")


# --- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["Bearer hush-1", "--token=hush-1", "KEY=hush-1", "Authorization: Bearer hush-1"]
)
def test_a_token_is_not_shown_without_what_stands_before_it_either(value: str) -> None:
    net = McpServerHttp(name="n", url="http://host", headers={"X": value})
    program = McpServerStdio(name="p", command="x", args=[value], env={"X": value})
    for server in (net, program):
        assert server.without_secrets("the token hush-1 is wrong") == "the token *** is wrong"


@pytest.mark.parametrize("write", [repr, json.dumps, ascii])
def test_a_secret_is_not_shown_escaped_either(write: Callable[[str], str]) -> None:
    secret = 'hü"\\sh\n'
    server = McpServerStdio(name="p", command="x", env={"KEY": secret})
    assert "sh" not in server.without_secrets(f"what is {write(secret)}?")


async def http_refuse(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    head = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    await stream.send_all(head)
    async for _ in stream:
        pass


async def test_a_key_in_the_url_is_logged_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with on_the_network(http_refuse, "/mcp?key=hush-hush") as server:
        with pytest.raises(errors.McpServerFailed) as caught:
            async with open_test_session(ScriptedPeer(), agent=having(server)):
                pytest.fail("the session opened")
    assert "hush" not in str(caught.value)
    assert "hush" not in caplog.text
    assert "HTTP Request: POST http://127.0.0.1:" in caplog.text


async def test_what_others_log_of_their_requests_is_left_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("httpx2")
    before = list(logger.filters)
    async with (
        on_the_network(serving(), "/mcp?key=hush") as server,
        open_test_session(ScriptedPeer(), agent=having(server)),
    ):
        logger.info("HTTP Request: %s", httpx2.URL("http://example.com/?q=mine"))
        assert "q=mine" in caplog.text
    assert logger.filters == before


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-32000, -32603, -32001, 7])
async def test_an_error_of_a_call_is_told_whatever_its_code_and_costs_nothing_else(
    code: int, autojump_clock: MockClock
) -> None:
    """-32000 is what many servers use for all errors, and what the SDK uses for its own."""
    server = MemoryServer(
        fail=refuse_with(code, "your quota is used up"), slow=say("done", after=3)
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())) as session:
        call_both(peer, "fail", "slow")
        await trio.sleep(5)
        assert sent_outputs(peer) == [("call_1", "your quota is used up"), ("call_2", "done")]
        assert len(server.attempts) == 1
        assert drain_events(session.events, events.Error) == []


async def test_that_holds_for_a_server_object_in_the_same_process_too(
    autojump_clock: MockClock,
) -> None:
    async def refuse(context: Any, params: Any) -> CallToolResult:
        raise MCPError(-32000, "your quota is used up")

    async def list_tools(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name="fail", input_schema={"type": "object"})])

    server = Server("here", on_list_tools=list_tools, on_call_tool=refuse)
    peer = ScriptedPeer()
    declared = McpServerCustom(name="here", connect=lambda: server)
    async with open_test_session(peer, agent=having(declared)) as session:
        await send_call_and_wait(peer, "fail")
        await trio.sleep(5)
        assert sent_outputs(peer) == [("call_1", "your quota is used up")]
        assert drain_events(session.events, events.Error) == []


async def test_an_error_without_words_gets_some(autojump_clock: MockClock) -> None:
    async def fail(arguments: dict[str, Any]) -> Any:
        return CallToolResult(content=[], is_error=True)

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(MemoryServer(fail=fail).declare())):
        await send_call_and_wait(peer, "fail")
        assert sent_outputs(peer) == [("call_1", "the tool failed, and does not say why")]


PROGRAM = r"""
import json, sys
how = sys.argv[1]
def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    if method == "server/discover":
        send(id=number, error={"code": -32601, "message": "unknown"})
    elif method == "initialize" and how == "unlicensed":
        send(id=number, error={"code": -32001, "message": "the licence has expired"})
        sys.exit(3)
    elif method == "initialize":
        version = "1" if how == "odd" else message["params"]["protocolVersion"]
        send(id=number, result={"protocolVersion": version,
             "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}})
    elif method == "tools/list":
        schema = 3 if how == "no list" else {"type": "object"}
        send(id=number, result={"tools": [{"name": "cut", "inputSchema": schema}]})
    elif method == "tools/call" and how == "garbage":
        print("\n".join(["what now?"] * 2000), flush=True)
        send(id=number, result={"content": []})
    elif method == "tools/call":
        print(how.replace("ID", str(number)), flush=True)
"""


def program(how: str) -> McpServerStdio:
    return McpServerStdio(name="s", command=sys.executable, args=["-c", PROGRAM, how])


TEXT = '{"content":[{"type":"text","text":"half an emoji: \\ud83d"}]}'
DEEP = "[" * 300 + "]" * 300
VERY_DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (f'{{"jsonrpc":"2.0","id":ID,"result":{TEXT}}}', "half an emoji: ?"),
        (
            f'{{"jsonrpc":"2.0","id":ID,"result":{{"content":[],"structuredContent":{{"a":{DEEP}}}}}}}',
            "depth exceeded",
        ),
        ('{"jsonrpc":"2.0","id":ID,"result":null}', "its answer cannot be read"),
        (f'{{"jsonrpc":"2.0","id":ID,"result":{VERY_DEEP}}}', "its answer cannot be read"),
        (f'{{"result":{VERY_DEEP},"jsonrpc":"2.0","id":ID}}', "its answer cannot be read"),
        ('{"jsonrpc":"2.0","id":ID,"result":{"content":[{"ty', "its answer cannot be read"),
        ('{"id":ID,"error":{"code":"no"}}', "its answer cannot be read"),
    ],
    ids=["emoji", "deep", "null", "very deep", "id at the end", "cut", "odd error"],
)
async def test_an_answer_that_is_hard_to_read_is_an_answer(line: str, answer: str) -> None:
    """What can be mended is; of the rest the id can be read, and whoever waits is told."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(program(line))) as session:
        send_call(peer, "cut")
        assert answer in await real_answer(peer)
        assert drain_events(session.events, events.Error) == []


async def test_what_is_no_message_at_all_is_logged_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(program("garbage"))):
        send_call(peer, "cut")
        assert await real_answer(peer) == ""
    noted = [record for record in caplog.records if "no message" in record.getMessage()]
    assert len(noted) == 4  # the first, the 10th, the 100th and the 1000th


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("unlicensed", "the licence has expired"),
        ("odd", "(?i)unsupported protocol version"),
        ("no list", "inputSchema"),
    ],
)
async def test_why_a_program_cannot_be_used_is_told(how: str, why: str) -> None:
    """And not that it has ended, which it does because we end it."""
    with pytest.raises(errors.McpServerFailed, match=why):
        async with open_test_session(ScriptedPeer(), agent=having(program(how))):
            pytest.fail("the session opened")


# --- lists -------------------------------------------------------------------------------------


class EndsWithNothing(MemoryServer):
    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        found = await super()._list(_context, None)
        return ListToolsResult(tools=found.tools, next_cursor="")


async def test_an_empty_cursor_ends_the_list(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(EndsWithNothing().declare())):
        assert updates(peer) == [["echo", "hang"]]


class Restless(MemoryServer):
    """Has another tool whenever it is asked, and says so: as often as it is told to."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.asked = 0

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        self.asked += 1
        self.handlers = {f"tool_{self.asked}": self.handlers.popitem()[1]}
        found = await super()._list(_context, None)
        if self.asked < self.times:
            await self.notify_tools_changed()
        return found


async def test_changes_are_passed_on_once_a_second_at_most(autojump_clock: MockClock) -> None:
    server = Restless(300)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())) as session:
        await trio.sleep(9.5)
        assert len(updates(peer)) <= 11
        assert len(drain_events(session.events, events.McpToolsChanged)) <= 10


async def test_of_many_changes_the_first_is_told_at_once_and_the_last_in_the_end(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())):
        for number in range(50):
            server.handlers = {f"tool_{number}": say("")}
            await server.notify_tools_changed()
            await wait_all_tasks_blocked()
        assert updates(peer)[1:] == [["tool_0"]]
        await trio.sleep(1.1)
        assert updates(peer)[1:] == [["tool_0"], ["tool_49"]]


async def test_a_connection_that_is_lost_between_two_looks_is_noticed_at_once(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    async with open_test_session(ScriptedPeer(), agent=having(server.declare())) as session:
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        server.cut()
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.Error)) == 1


async def test_a_name_means_the_same_tool_when_the_list_comes_in_another_order(
    autojump_clock: MockClock,
) -> None:
    """The service may still know it as it was."""
    server = MemoryServer()
    server.handlers = {"room.free": say("free"), "room/free": say("freed")}
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())):
        first, _ = updates(peer)[0]
        peer.acknowledge = False
        server.handlers = dict(reversed(server.handlers.items()))
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        await send_call_and_wait(peer, first)
        assert sent_outputs(peer) == [("call_1", "free")]


async def test_thousands_of_tools_of_one_name_are_named_apart(autojump_clock: MockClock) -> None:
    async def invoke(context: Any, arguments: str) -> None: ...

    names = [f"{number:b}".replace("0", ".").replace("1", "/") for number in range(5000)]
    given = {name: FunctionTool(name=tool_name(f"x{name}"), invoke=invoke) for name in names}
    found = disambiguate_names((), {MemoryServer().declare(): given})
    assert len({tool.name for tool in found}) == 5000


class Twice(MemoryServer):
    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        found = await super()._list(_context, params)
        return ListToolsResult(tools=found.tools * 2)


async def test_a_tool_that_is_listed_twice_is_one_tool(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(Twice().declare())):
        assert updates(peer) == [["echo", "hang"]]


class Serial(MemoryServer):
    """Does one thing after the other, as simple programs do."""

    def __init__(self, **handlers: Any) -> None:
        super().__init__(**handlers)
        self.turn = trio.Lock()

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        async with self.turn:
            return await super()._list(_context, params)

    async def _call(self, _context: Any, params: Any) -> Any:
        async with self.turn:
            return await super()._call(_context, params)


async def test_a_call_has_its_time_while_the_tools_cannot_be_listed(
    autojump_clock: MockClock,
) -> None:
    """After an error of a call they are listed anew, and such a server does so after the call."""
    server = Serial(fail=refuse_with(-32602, "no such room"), slow=say("done", after=30))
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())):
        call_both(peer, "fail", "slow")
        await trio.sleep(15)
        await server.notify_tools_changed()
        await trio.sleep(25)
        assert sent_outputs(peer) == [("call_1", "no such room"), ("call_2", "done")]
        assert len(server.attempts) == 1


class Ungrateful(MemoryServer):
    """Lists its tools once; then it says no, or nothing."""

    def __init__(self, *, speaks: bool, **handlers: Any) -> None:
        super().__init__(**handlers)
        self.page_size = 10
        self.speaks = speaks
        self.asked = 0

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        self.asked += 1
        if self.asked == 2 and not self.speaks:
            await trio.sleep_forever()
        if self.asked == 2:
            raise MCPError(-32603, "the list is gone")
        return await super()._list(_context, params)


async def test_a_list_that_cannot_be_had_costs_no_call_that_is_under_way(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = Ungrateful(speaks=True, slow=say("done", after=30))
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())):
        send_call(peer, "slow")
        await trio.sleep(1)
        await server.notify_tools_changed()
        await trio.sleep(35)
        assert sent_outputs(peer) == [("call_1", "done")]
        assert len(server.attempts) == 1
    assert "does not list its tools: the list is gone" in caplog.text


@pytest.mark.parametrize(
    ("speaks", "why"), [(True, "the list is gone"), (False, "does not list its tools any more")]
)
async def test_a_server_that_is_in_no_call_and_lists_no_tools_is_started_anew(
    speaks: bool, why: str, autojump_clock: MockClock
) -> None:
    server = Ungrateful(speaks=speaks)
    async with open_test_session(
        ScriptedPeer(), agent=having(server.declare(connect_timeout=4))
    ) as session:
        await server.notify_tools_changed()
        await trio.sleep(6)
        (error,) = drain_events(session.events, events.Error)
        assert why in str(error.error)
        assert len(server.attempts) == 2


# --- on the network ----------------------------------------------------------------------------

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def on_the_network(serve: Serve, path: str = "/mcp") -> AsyncGenerator[McpServerHttp]:
    async def quietly(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            await serve(stream)

    async with trio.open_nursery() as nursery:
        start = functools.partial(trio.serve_tcp, quietly, 0, host="127.0.0.1")
        (listener,) = await nursery.start(start)
        port = listener.socket.getsockname()[1]
        yield McpServerHttp(name="net", url=f"http://127.0.0.1:{port}{path}")
        nursery.cancel_scope.cancel()


def serving(answer: Serve | None = None) -> Serve:
    """A server whose calls are answered so; by default like any other request, with an error."""

    async def serve(stream: trio.SocketStream) -> None:
        while True:
            message = await read_request(stream)
            if message.get("method") == "tools/call" and answer is not None:
                await answer(stream)
            else:
                await reply_to(stream, message)

    return serve


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


async def test_a_call_without_a_time_limit_has_none_on_the_network_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trio_realtime.session.mcp.http._READ_TIMEOUT", 0.3)

    async def nothing(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with (
        on_the_network(serving(nothing)) as server,
        open_test_session(peer, agent=having(server)) as session,
    ):
        send_call(peer, "echo")
        await trio.sleep(0.8)
        assert sent_outputs(peer) == []
        assert drain_events(session.events, events.Error) == []


async def test_an_answer_without_an_end_costs_its_call_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trio_realtime.session.mcp.http.MAX_MESSAGE", 1_000_000)
    sent = 0

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(HEAD + b"\r\n")
        while sent < 500:
            await stream.send_all(b" " * 100_000)
            sent += 1

    peer = ScriptedPeer()
    async with (
        on_the_network(serving(flood)) as server,
        open_test_session(peer, agent=having(server)) as session,
    ):
        send_call(peer, "echo")
        assert "more than 1000000 bytes" in await real_answer(peer)
        assert sent < 500
        assert drain_events(session.events, events.Error) == []


async def test_a_call_goes_where_the_server_sends_it_on_its_own_host() -> None:
    async def send_on(stream: trio.SocketStream) -> None:
        head = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"
        await stream.send_all(head)
        await reply_to(stream, await read_request(stream))

    peer = ScriptedPeer()
    async with (
        on_the_network(serving(send_on)) as server,
        open_test_session(peer, agent=having(server)),
    ):
        send_call(peer, "echo")
        assert await real_answer(peer) == "?"


async def test_an_answer_that_is_packed_unasked_is_not_unpacked() -> None:
    body = gzip.compress(b" " * 1_000_000)

    async def pack(stream: trio.SocketStream) -> None:
        more = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
        await stream.send_all(HEAD + more + body)

    peer = ScriptedPeer()
    async with (
        on_the_network(serving(pack)) as server,
        open_test_session(peer, agent=having(server)),
    ):
        send_call(peer, "echo")
        assert "compressed" in await real_answer(peer)


# The SDK lets go of the stream before its end, and of the generators that read it.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_long_answer_as_an_event_is_an_answer_too() -> None:
    """The SDK would end at 1 MB, and a program may write more."""
    text = "x" * 3_000_000

    async def tell(stream: trio.SocketStream) -> None:
        result = CallToolResult(content=[TextContent(text=text)]).model_dump(
            by_alias=True, exclude_none=True
        )
        event = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
        await stream.send_all(head % len(event) + event)

    peer = ScriptedPeer()
    async with (
        on_the_network(serving(tell)) as server,
        open_test_session(peer, agent=having(server)),
    ):
        send_call(peer, "echo")
        assert await real_answer(peer) == text


async def read_request(stream: trio.SocketStream) -> dict[str, Any]:
    data = b""
    while True:
        chunk = await stream.receive_some()
        if not chunk:
            raise EOFError
        data += chunk
        head, end, body = data.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if b"content-length:" in line]
        if end and len(body) >= (int(length[0].split(b":")[1]) if length else 0):
            found: dict[str, Any] = json.loads(body or b"{}")
            return found


async def reply_to(stream: trio.SocketStream, message: dict[str, Any]) -> None:
    results: dict[str, Any] = {
        "initialize": {
            "protocolVersion": message.get("params", {}).get("protocolVersion"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]},
    }
    found = results.get(message.get("method", ""))
    end = {"error": {"code": -32601, "message": "?"}} if found is None else {"result": found}
    reply = {"jsonrpc": "2.0", "id": message.get("id"), **end}
    body = b"" if message.get("id") is None else json.dumps(reply).encode()
    head = HEAD if body else b"HTTP/1.1 202 Accepted\r\n"
    await stream.send_all(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
