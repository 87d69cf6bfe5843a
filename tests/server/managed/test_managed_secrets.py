"""Keys, passwords and secret headers appear nowhere, however a run fails."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from support.server_process import free_port
from trio_realtime import Endpoint, McpServerHttp, RealtimeError, function_tool
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.server.managed import ManagedSession, SessionStores
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.spec import AgentSpec
from trio_realtime.server.store import open_history_store
from trio_realtime.transports import ConnectOptions, Transport

KEY = "sk-topsecret/key+0123456789"
PASSWORD = "pw-topsecret-0123456789"
MCP_TOKEN = "mcp-topsecret-0123456789"
SECRETS = (KEY, PASSWORD, MCP_TOKEN)


def endpoint_at(host: str) -> Endpoint:
    url = f"ws://somebody:{PASSWORD}@{host}/v1/realtime"
    return Endpoint.compatible(url, api_key=KEY, model="gpt-realtime", proxy="")


def options_as_text(options: ConnectOptions) -> str:
    return f"{options.url} {options.headers} {options.subprotocols}"


@asynccontextmanager
async def crashes(options: ConnectOptions) -> AsyncGenerator[Transport]:
    await trio.lowlevel.checkpoint()
    raise RuntimeError(f"a bug with {options_as_text(options)}")
    yield


@function_tool(on_failure="end_session")
async def fail() -> str:
    """Fail."""
    raise LookupError("no such city")


def appearances(texts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return which secrets appear, in any usual encoding, and where."""
    found: list[tuple[str, str]] = []
    for where, text in texts:
        for secret in SECRETS:
            forms = (
                secret,
                secret.replace("/", "\\/"),
                secret.replace("/", "%2F").replace("+", "%2B"),
                base64.b64encode(f"somebody:{secret}".encode()).decode(),
            )
            found += [(where, secret) for form in forms if form in text]
    return found


def texts_of_files(directory: Path) -> list[tuple[str, str]]:
    return [
        (str(path), path.read_bytes().decode("latin-1"))
        for path in directory.rglob("*")
        if path.is_file()
    ]


LOCAL = local_connector(
    pacing=float("inf"), responder=ScriptedResponder([[Call("fail", {})], [Say("Done")]])
)


@pytest.mark.parametrize(
    ("connector", "reason"),
    [
        (LOCAL, "tool_failed"),
        (local_connector(api_keys={"another"}), "connect_failed"),
        (local_connector(api_keys={"another"}, auth_failure="http401"), "connect_failed"),
    ],
    ids=["tool", "wrong key", "wrong key, HTTP"],
)
async def test_no_secret_appears_anywhere(
    connector: Any, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = await run_and_collect(endpoint_at("localhost"), connector, reason, tmp_path, caplog)
    assert appearances(texts) == []


async def test_a_crash_tells_clients_and_the_history_nothing_but_its_type(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The text of an exception that nobody expected may have anything in it."""
    texts = await run_and_collect(endpoint_at("localhost"), crashes, "crashed", tmp_path, caplog)
    shown = [(where, text) for where, text in texts if where not in ("end", "error", "log")]
    assert appearances(shown) == []
    assert any("RuntimeError" in text for where, text in shown if where == "events")


@pytest.mark.slow
async def test_a_service_that_repeats_the_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        assert b"Bearer" in request
        body = json.dumps({"error": {"message": request.decode(), "code": "invalid_api_key"}})
        head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all((head + body).encode())

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, refuse, [listener])
        endpoint = endpoint_at(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        texts = await run_and_collect(endpoint, None, "connect_failed", tmp_path, caplog)
        nursery.cancel_scope.cancel()
    assert "AuthenticationFailed" in str(texts)
    assert appearances(texts) == []


@pytest.mark.slow
async def test_a_service_that_cannot_be_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = endpoint_at(f"127.0.0.1:{free_port()}")
    texts = await run_and_collect(endpoint, None, "connect_failed", tmp_path, caplog)
    assert appearances(texts) == []


async def run_and_collect(
    endpoint: Endpoint,
    connector: Any,
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> list[tuple[str, str]]:
    """Run a session that fails. Return every text that it leaves, and where."""
    caplog.set_level(logging.DEBUG)
    server = McpServerHttp(
        name="files",
        url=f"http://somebody:{PASSWORD}@127.0.0.1:9/mcp",
        headers={"Authorization": f"Bearer {MCP_TOKEN}"},
        required=False,
    )
    spec = AgentSpec(name="Assistant", realtime_mode=True, tools=[fail], mcp_servers=[server])
    events: list[RpcEvent] = []
    errors: list[BaseException] = []
    async with open_history_store(tmp_path / "history.db") as history:
        stores = SessionStores(history=history, recordings=tmp_path / "recordings")
        session = ManagedSession(
            spec, endpoint=endpoint, connector=connector, stores=stores, on_event=events.append
        )
        texts = [("repr before", repr(session))]
        try:
            async with session.managed():
                texts.append(("repr", repr(session)))
                await session.send_audio(bytes(48_000))
                await session.send_text("fail")
                await session.wait_ended()
                await session.send_text("too late")
        except (RealtimeError, RuntimeError) as exc:
            errors.append(exc)
        assert errors
        assert session.end is not None
        assert session.end.reason == reason
        await history.writer.flush()
    texts += [("events", json.dumps([event.to_dict() for event in events]))]
    texts += [("end", f"{session.end!r} {session.end.message} {session!r}")]
    texts += [
        ("error", "".join(traceback.format_exception(error)) + repr(error)) for error in errors
    ]
    texts += [("log", f"{each.getMessage()} {each.exc_text or ''}") for each in caplog.records]
    texts += texts_of_files(tmp_path)
    # The file of the database has the row, so looking into it can find something.
    assert any(session.session_id in text for where, text in texts if "history.db" in where)
    return texts
