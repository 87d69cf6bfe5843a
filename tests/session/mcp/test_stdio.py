"""MCP servers that are local programs: their messages, and how they are started and ended."""

from __future__ import annotations

import sys

import pytest
import trio

from support.events import drain_events
from support.mcp_servers import agent_with, observe_programs, program_server, wait_real_output
from support.service import send_call
from support.sessions import open_test_session
from trio_realtime import McpServerStdio, errors, events
from trio_realtime.testing import ScriptedPeer

pytestmark = pytest.mark.slow

TIMEOUT = 60
"""Real seconds."""


# --- a minimal program -------------------------------------------------------------------------

PROGRAM = r"""
import json, sys
behavior = sys.argv[1]
def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    if method == "server/discover":
        send(id=number, error={"code": -32601, "message": "unknown"})
    elif method == "initialize" and behavior == "unlicensed":
        send(id=number, error={"code": -32001, "message": "the licence has expired"})
        sys.exit(3)
    elif method == "initialize":
        version = "1" if behavior == "bad-version" else message["params"]["protocolVersion"]
        send(id=number, result={"protocolVersion": version,
             "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}})
    elif method == "tools/list":
        schema = 3 if behavior == "no list" else {"type": "object"}
        send(id=number, result={"tools": [{"name": "cut", "inputSchema": schema}]})
    elif method == "tools/call" and behavior == "garbage":
        print("\n".join(["garbage"] * 2000), flush=True)
        send(id=number, result={"content": []})
    elif method == "tools/call":
        print(behavior.replace("ID", str(number)), flush=True)
"""


def minimal_program(behavior: str) -> McpServerStdio:
    return McpServerStdio(name="s", command=sys.executable, args=["-c", PROGRAM, behavior])


TEXT = '{"content":[{"type":"text","text":"half an emoji: \\ud83d"}]}'
DEEP = "[" * 300 + "]" * 300
VERY_DEEP = "[" * 5000 + "]" * 5000


# --- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "output"),
    [
        (f'{{"jsonrpc":"2.0","id":ID,"result":{TEXT}}}', "half an emoji: ?"),
        (
            f'{{"jsonrpc":"2.0","id":ID,"result":{{"content":[],"structuredContent":{{"a":{DEEP}}}}}}}',
            "depth exceeded",
        ),
        ('{"jsonrpc":"2.0","id":ID,"result":null}', "the response of the server is invalid"),
        (
            f'{{"jsonrpc":"2.0","id":ID,"result":{VERY_DEEP}}}',
            "the response of the server is invalid",
        ),
        (
            f'{{"result":{VERY_DEEP},"jsonrpc":"2.0","id":ID}}',
            "the response of the server is invalid",
        ),
        (
            '{"jsonrpc":"2.0","id":ID,"result":{"content":[{"ty',
            "the response of the server is invalid",
        ),
        ('{"id":ID,"error":{"code":"no"}}', "the response of the server is invalid"),
    ],
    ids=["emoji", "deep", "null", "very deep", "id at the end", "cut", "invalid error"],
)
async def test_an_invalid_response_is_repaired_or_fails_only_its_call(
    line: str, output: str
) -> None:
    """Invalid characters are replaced. In other cases the id is recovered, and the call fails."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(minimal_program(line))) as session:
        send_call(peer, "cut")
        assert output in await wait_real_output(peer)
        assert drain_events(session.events, events.Error) == []


async def test_lines_that_are_not_messages_are_ignored_and_logged_sparsely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(minimal_program("garbage"))):
        send_call(peer, "cut")
        assert await wait_real_output(peer) == ""
    logged = [
        record for record in caplog.records if "not a JSON-RPC message" in record.getMessage()
    ]
    assert len(logged) == 4  # the 1st, 10th, 100th and 1000th


# --- starting and ending -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("unlicensed", "the licence has expired"),
        ("bad-version", "(?i)unsupported protocol version"),
        ("no list", "inputSchema"),
    ],
)
async def test_a_failed_handshake_is_reported_with_its_cause(behavior: str, reason: str) -> None:
    """The reason is not the exit of the program, which the client causes itself."""
    with pytest.raises(errors.McpServerFailed, match=reason):
        async with open_test_session(ScriptedPeer(), agent=agent_with(minimal_program(behavior))):
            pytest.fail("the session opened")


async def test_a_missing_program_is_reported() -> None:
    server = McpServerStdio(name="local", command="no-such-program-anywhere")
    with pytest.raises(errors.McpServerFailed, match=r"'local' did not start: .*no-such") as caught:
        async with open_test_session(ScriptedPeer(), agent=agent_with(server)):
            pytest.fail("the session opened")
    assert caught.value.server == "local"


async def test_a_program_that_exits_immediately_is_reported_with_its_status() -> None:
    server = McpServerStdio(
        name="local", command=sys.executable, args=["-c", "raise SystemExit(7)"]
    )
    with pytest.raises(errors.McpServerFailed, match="it exited with status 7"):
        async with open_test_session(ScriptedPeer(), agent=agent_with(server)):
            pytest.fail("the session opened")


@pytest.mark.skipif(sys.platform == "win32", reason="the program uses POSIX signals")
async def test_leaving_kills_a_program_that_ignores_signals_and_its_children() -> None:
    peer = ScriptedPeer()
    with trio.fail_after(TIMEOUT):
        async with observe_programs() as observer:
            server = program_server(observer, "ignore-exit")
            async with open_test_session(peer, agent=agent_with(server), close_timeout=0.4):
                lifetime = await observer.wait_started()
                peer.begin_response("resp_1")
                peer.call("resp_1", "item_1", "call_1", "hang")
                assert await lifetime.next_report() == "hang called"
                left = trio.current_time()
            assert trio.current_time() - left < 2, "the SDK itself would wait for four seconds"
            await lifetime.wait_exited()
