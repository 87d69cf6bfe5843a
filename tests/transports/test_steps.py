"""The steps of a connection are reported before they begin."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
import trio

from trio_realtime.local import serve_local
from trio_realtime.transports import ConnectOptions, TransportConnectError
from trio_realtime.transports.steps import ConnectStep, connect_in_steps

pytestmark = pytest.mark.slow

HEADERS = (("Authorization", "Bearer any"),)
CERTIFICATE = Path(__file__).with_name("localhost.pem")


async def test_a_plain_connection_has_four_steps() -> None:
    steps: list[ConnectStep] = []
    async with serve_local() as server:
        options = ConnectOptions(server.url_with_model, HEADERS)
        with trio.fail_after(10):
            async with connect_in_steps(options, steps.append) as transport:
                assert steps == ["lookup", "tcp", "upgrade", "session"]
                assert json.loads(await transport.receive())["type"] == "session.created"


async def test_an_encrypted_connection_has_a_step_for_tls() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    trust = ssl.create_default_context(cafile=str(CERTIFICATE))
    steps: list[ConnectStep] = []
    async with serve_local(host="localhost", ssl_context=context) as server:
        options = ConnectOptions(server.url_with_model, HEADERS, ssl_context=trust)
        with trio.fail_after(10):
            async with connect_in_steps(options, steps.append):
                assert steps == ["lookup", "tcp", "tls", "upgrade", "session"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ConnectOptions("ws://no-such-host.invalid"), ["lookup"]),
        (ConnectOptions("ws://127.0.0.1:9"), ["lookup", "tcp"]),
        (ConnectOptions("ws://h.test", proxy="http://127.0.0.1:9"), ["lookup", "proxy"]),
        (ConnectOptions("ws://h.test", proxy="http://no-such-host.invalid"), ["lookup"]),
    ],
    ids=["lookup", "tcp", "proxy", "lookup of the proxy"],
)
async def test_the_last_step_is_the_one_that_failed(
    options: ConnectOptions, expected: list[ConnectStep]
) -> None:
    steps: list[ConnectStep] = []
    with trio.fail_after(10), pytest.raises(TransportConnectError):
        async with connect_in_steps(options, steps.append):
            pass
    assert steps == expected
