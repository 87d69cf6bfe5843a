"""Declarations of MCP servers: validation, redaction of secrets, and unique names of tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from support.mcp_servers import MemoryServer
from trio_realtime import (
    FunctionTool,
    McpServer,
    McpServerCustom,
    McpServerHttp,
    McpServerStdio,
    errors,
)
from trio_realtime.agents import disambiguate_names, tool_name

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
def test_an_invalid_declaration_is_rejected(
    kind: type[McpServer], settings: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigurationError):
        kind(**settings | {"name": settings.get("name", "local")})


def test_a_header_with_a_trailing_newline_is_rejected_without_showing_it() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"'net'.*Authorization") as caught:
        McpServerHttp(
            name="net", url="http://host", headers={"Authorization": "Bearer hush-hush\n"}
        )
    assert "hush" not in str(caught.value)


def test_paths_are_accepted_for_programs() -> None:
    server = McpServerStdio(
        name="a", command=Path("/bin/x"), args=["--root", Path("/data")], cwd=Path("/tmp")
    )
    assert (server.command, server.args, server.cwd) == ("/bin/x", ("--root", "/data"), "/tmp")


# --- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["Bearer hush-1", "--token=hush-1", "KEY=hush-1", "Authorization: Bearer hush-1"]
)
def test_a_token_is_redacted_without_its_label_too(value: str) -> None:
    net = McpServerHttp(name="n", url="http://host", headers={"X": value})
    program = McpServerStdio(name="p", command="x", args=[value], env={"X": value})
    for server in (net, program):
        assert server.without_secrets("the token hush-1 is wrong") == "the token *** is wrong"


@pytest.mark.parametrize("write", [repr, json.dumps, ascii])
def test_an_escaped_secret_is_redacted_too(write: Callable[[str], str]) -> None:
    secret = 'hü"\\sh\n'
    server = McpServerStdio(name="p", command="x", env={"KEY": secret})
    assert "sh" not in server.without_secrets(f"what is {write(secret)}?")


# --- names -------------------------------------------------------------------------------------


def tools_named(*names: str) -> dict[str, FunctionTool]:
    async def invoke(context: Any, arguments: str) -> None: ...

    return {name: FunctionTool(name=tool_name(name), invoke=invoke) for name in names}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("a.b/c d", "a_b_c_d"), ("x" * 100, "x" * 64), ("日本", "tool"), ("fine-1", "fine-1")],
)
def test_names_are_converted_to_what_the_service_allows(name: str, allowed: str) -> None:
    assert tool_name(name) == allowed


def test_ambiguous_names_are_prefixed_with_the_servers_name_and_stay_unique() -> None:
    a, b = MemoryServer().declare("a"), MemoryServer().declare("b")
    renamed = disambiguate_names(
        {"own", "a_own", "b_search"},
        {a: tools_named("own", "search", "read"), b: tools_named("search", "own")},
    )
    assert [tool.name for tool in renamed] == [
        *("a_own_5b3975", "a_search", "read"),
        *("b_search_241932", "b_own"),
    ]
    long = disambiguate_names({"x" * 64}, {a: tools_named("x" * 64), b: tools_named("x" * 64)})
    assert {len(tool.name) for tool in long} == {64}
    assert len({tool.name for tool in long}) == 2


async def test_thousands_of_tools_with_the_same_name_get_unique_names(
    autojump_clock: MockClock,
) -> None:
    async def invoke(context: Any, arguments: str) -> None: ...

    names = [f"{number:b}".replace("0", ".").replace("1", "/") for number in range(5000)]
    tools = {name: FunctionTool(name=tool_name(f"x{name}"), invoke=invoke) for name in names}
    renamed = disambiguate_names((), {MemoryServer().declare(): tools})
    assert len({tool.name for tool in renamed}) == 5000
