"""The steps of a connection, and what the doctor says about the first one that fails."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_realtime import Endpoint
from trio_realtime.cli.doctor.connection import Attempt, open_and_close
from trio_realtime.local import serve_local

pytestmark = pytest.mark.slow

CERTIFICATE = Path(__file__).parents[2] / "transports" / "localhost.pem"


def statuses(attempt: Attempt) -> dict[str, str]:
    return {step.name: step.status for step in attempt.steps}


async def attempt_at(url: str, **options: Any) -> Attempt:
    endpoint = Endpoint.compatible(url, api_key="key-0123456789", model="m", **options)
    with trio.fail_after(20):
        return await open_and_close(endpoint, None)


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncGenerator[str]:
    """Accept connections, and answer what arrives; ``None`` closes each connection at once."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            if answer is not None:
                await stream.receive_some()
                await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_service_that_works_passes_every_step() -> None:
    async with serve_local() as server:
        attempt = await open_and_close(server.endpoint, None)
        assert attempt.problem is None
        assert statuses(attempt) == dict.fromkeys(
            ["settings", "lookup", "tcp", "upgrade", "session"], "ok"
        )
        assert all(step.seconds >= 0 for step in attempt.steps)
        # Nothing was asked of the model.
        assert {frame["type"] for frame in server.connections[0].received} == {"session.update"}


async def test_tls_is_a_step_of_its_own() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    async with serve_local(host="localhost", ssl_context=context) as server:
        trusted = await attempt_at(server.url, ca_file=str(CERTIFICATE), proxy="")
        assert trusted.problem is None
        assert statuses(trusted)["tls"] == "ok"
        attempt = await attempt_at(server.url, proxy="")
    assert attempt.problem is not None
    assert attempt.problem.step == "tls"
    assert "certificate" in attempt.problem.message
    assert "--ca-file" in attempt.problem.advice
    assert statuses(attempt) == {
        **dict.fromkeys(["settings", "lookup", "tcp"], "ok"),
        "tls": "failed",
        **dict.fromkeys(["upgrade", "session"], "skipped"),
    }


@pytest.mark.parametrize(
    ("url", "options", "step"),
    [
        ("wss://no-such-host.invalid", {}, "lookup"),
        ("ws://127.0.0.1:9", {}, "tcp"),
        ("ws://h.test", {"proxy": "http://u:secret-password@127.0.0.1:9"}, "proxy"),
    ],
)
async def test_the_step_that_fails_is_named(url: str, options: dict[str, str], step: str) -> None:
    attempt = await attempt_at(url, **options)
    assert attempt.problem is not None
    assert attempt.problem.step == step
    assert statuses(attempt)[step] == "failed"
    assert statuses(attempt)["session"] == "skipped"
    assert "secret-password" not in str(attempt)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (None, "check the path of the URL"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "check the API key"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "check --model"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "check the path of the URL"),
    ],
)
async def test_a_rejected_upgrade_says_what_to_check(answer: bytes | None, advice: str) -> None:
    async with listening(answer) as url:
        attempt = await attempt_at(url, proxy="")
    assert attempt.problem is not None
    assert attempt.problem.step == "upgrade"
    assert advice in attempt.problem.advice


async def test_a_key_that_is_rejected_after_the_upgrade_fails_the_session() -> None:
    async with serve_local(api_keys={"another-key"}) as server:
        attempt = await attempt_at(server.url, proxy="")
    assert attempt.problem is not None
    assert attempt.problem.step == "session"
    assert "check the API key" in attempt.problem.advice
    assert "key-0123456789" not in str(attempt)
