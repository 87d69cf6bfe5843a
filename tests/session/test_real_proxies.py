"""Sessions through programs of the network: nginx with TLS, and the HTTP proxy tinyproxy.

Both are Debian packages, which ``.ci/run`` installs. Without them the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    SessionConfig,
    errors,
    open_realtime_session,
    serve_local,
)
from trio_realtime._nursery import open_bare_nursery
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    Transport,
    connect_trio_websocket,
)

pytestmark = pytest.mark.slow

KEY = "sk-local-0123456789"
USER, PASSWORD = "caller", "secret-of-the-proxy"

NGINX_CONFIG = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {directory}/server.pem;
    ssl_certificate_key {directory}/server.pem;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
    }}
    location /moved/ {{
      return 301 https://other.test/v1/realtime?key=0123456789;
    }}
    location /busy/ {{
      add_header Retry-After 30 always;
      return 503;
    }}
  }}
}}
"""

TINYPROXY_CONFIG = f"""
Listen 127.0.0.1
Port {{port}}
Timeout 600
LogLevel Info
BasicAuth {USER} {PASSWORD}
"""


def find_program(name: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if path is None:
        pytest.skip(f"{name} is not installed; .ci/run installs it on Debian")
    return path


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def run_program(*command: str, ready: bytes) -> AsyncGenerator[None]:
    """Run a program for the duration of the block, once its output contains ``ready``."""
    run = partial(
        trio.run_process, command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with open_bare_nursery(AssertionError) as nursery:
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        output = b""
        while ready not in output:
            data = await process.stdout.receive_some()
            assert data, f"the program ended: {output.decode()}"
            output += data
        yield


@asynccontextmanager
async def serve_nginx(directory: Path, authority: trustme.CA, upstream: int) -> AsyncGenerator[int]:
    """Run nginx with TLS in front of a local server, and yield its port."""
    program, port = find_program("nginx"), find_free_port()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    config = directory / "nginx.conf"
    text = NGINX_CONFIG.format(directory=directory, port=port, upstream=upstream)
    config.write_text(text, encoding="utf-8")
    # The last line that it logs before it accepts connections; it listens already.
    async with run_program(*(program, "-p", str(directory), "-c", str(config)), ready=b"getrlimit"):
        yield port


@asynccontextmanager
async def serve_tinyproxy(directory: Path) -> AsyncGenerator[int]:
    """Run tinyproxy with a password, and yield its port."""
    program, port = find_program("tinyproxy"), find_free_port()
    config = directory / "tinyproxy.conf"
    config.write_text(TINYPROXY_CONFIG.format(port=port), encoding="utf-8")
    async with run_program(*(program, "-d", "-c", str(config)), ready=b"Accepting connections"):
        yield port


@attrs.frozen
class ConnectorWith:
    """A connector that changes options of the connection."""

    connect: Connector
    changes: dict[str, Any]

    def __call__(self, options: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
        return self.connect(attrs.evolve(options, **self.changes))


async def ask_through(
    url: str, authority: trustme.CA, connect: Connector = connect_trio_websocket, **changes: Any
) -> str:
    """Open a session that trusts the authority, and return the answer to one question."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with open_realtime_session(
        RealtimeAgent[None](name="A"),
        endpoint=Endpoint.compatible(url, api_key=KEY, model="gpt-realtime"),
        transport=ConnectorWith(connect, {"ssl_context": context, **changes}),
        config=SessionConfig(output_modalities=("text",)),
    ) as session:
        return str(await session.ask("Are you there?"))


async def test_a_session_through_nginx_with_a_private_authority(
    tmp_path: Path, authority: trustme.CA, connector: Connector
) -> None:
    with trio.fail_after(30):
        async with (
            serve_local(api_keys={KEY}) as server,
            serve_nginx(tmp_path, authority, server.port) as port,
        ):
            answer = await ask_through(f"https://localhost:{port}/v1", authority, connector)
    assert "Are you there?" in answer


async def test_a_session_through_a_proxy_with_a_password_and_nginx(
    tmp_path: Path, authority: trustme.CA, connector: Connector
) -> None:
    with trio.fail_after(30):
        async with (
            serve_local(api_keys={KEY}) as server,
            serve_nginx(tmp_path, authority, server.port) as port,
            serve_tinyproxy(tmp_path) as proxy_port,
        ):
            proxy = f"http://{USER}:{PASSWORD}@127.0.0.1:{proxy_port}"
            answer = await ask_through(
                f"https://localhost:{port}/v1", authority, connector, proxy=proxy
            )
    assert "Are you there?" in answer
    headers = {name.lower() for name, _ in server.connections[0].request.headers}
    assert "proxy-authorization" not in headers


async def test_a_wrong_password_of_the_proxy_is_reported(
    tmp_path: Path, authority: trustme.CA
) -> None:
    with trio.fail_after(30):
        async with serve_tinyproxy(tmp_path) as port:
            proxy = f"http://{USER}:wrong-password@127.0.0.1:{port}"
            with pytest.raises(errors.ConnectFailed, match="rejected the user name") as caught:
                await ask_through("https://localhost:1/v1", authority, proxy=proxy)
    assert caught.value.status in (401, 407)
    assert "wrong-password" not in str(caught.value)


async def test_a_wrong_key_behind_nginx_is_reported(tmp_path: Path, authority: trustme.CA) -> None:
    with trio.fail_after(30):
        async with (
            serve_local(api_keys={"another"}) as server,
            serve_nginx(tmp_path, authority, server.port) as port,
        ):
            with pytest.raises(errors.AuthenticationFailed) as caught:
                await ask_through(f"https://localhost:{port}/v1", authority)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "status", "says", "retry_after"),
    [
        ("/v1", 502, ": 502 Bad Gateway", None),
        ("/moved", 301, "redirects to https://other.test/v1/realtime?*** (HTTP status 301)", None),
        ("/busy", 503, ": 503 Service Temporarily Unavailable (try again after 30 s)", 30.0),
    ],
)
async def test_a_refusal_of_nginx_is_reported_in_one_line(
    path: str,
    status: int,
    says: str,
    retry_after: float | None,
    tmp_path: Path,
    authority: trustme.CA,
) -> None:
    # Nothing listens on port 1.
    with trio.fail_after(30):
        async with serve_nginx(tmp_path, authority, 1) as port:
            with pytest.raises(errors.ConnectFailed) as caught:
                await ask_through(f"https://localhost:{port}{path}", authority)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.status, caught.value.retry_after) == (status, retry_after)


async def test_an_unknown_authority_of_nginx_is_reported(
    tmp_path: Path, authority: trustme.CA, connector: Connector
) -> None:
    with trio.fail_after(30):
        async with serve_nginx(tmp_path, authority, 1) as port:
            with pytest.raises(errors.ConnectFailed, match="SSL_CERT_FILE") as caught:
                await ask_through(
                    f"https://localhost:{port}/v1", authority, connector, ssl_context=None
                )
    assert f"certificate of localhost:{port} was rejected" in str(caught.value)
