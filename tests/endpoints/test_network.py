"""The proxy and the TLS context of an endpoint, and their way to the connector."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_realtime import RealtimeAgent, open_realtime_session
from trio_realtime.endpoints import Endpoint
from trio_realtime.errors import ConfigurationError, ConnectFailed
from trio_realtime.local import local_connector
from trio_realtime.testing import TEST_ENDPOINT
from trio_realtime.transports import ConnectOptions, Transport, TransportConnectError
from trio_realtime.transports._streams import default_context

KEY = "sk-test-0123456789"
PROXY = "http://user:S3cret@proxy.test:8080"

CONSTRUCTORS: dict[str, Callable[..., Endpoint]] = {
    "openai": lambda **options: Endpoint.openai(KEY, **options),
    "azure": lambda **options: Endpoint.azure(
        "https://res.openai.azure.com", deployment="d", api_key=KEY, **options
    ),
    "voice_live": lambda **options: Endpoint.voice_live(
        "https://res.services.ai.azure.com", model="m", api_key=KEY, **options
    ),
    "compatible": lambda **options: Endpoint.compatible("wss://host.test", **options),
    "from_env": Endpoint.from_env,
}


@pytest.fixture(params=CONSTRUCTORS)
def make(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return CONSTRUCTORS[request.param]


@pytest.fixture
def ca_file(tmp_path: Path, repository: Path) -> Path:
    certificate = repository / "tests" / "transports" / "localhost.pem"
    path = tmp_path / "ca.pem"
    path.write_bytes(certificate.read_bytes())
    return path


# --- proxies ------------------------------------------------------------------------------------


async def test_every_constructor_takes_a_proxy(make: Callable[..., Endpoint]) -> None:
    endpoint = make(proxy="me:pw@proxy.test:8080")
    resolved = await endpoint.resolve()
    assert endpoint.proxy == resolved.proxy == "http://me:pw@proxy.test:8080"
    assert (await endpoint.attach("rtc_1").resolve()).proxy == resolved.proxy


async def test_the_environment_is_read_for_each_connection(
    make: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, direct = make(), make(proxy="")
    assert (await endpoint.resolve()).proxy is None
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert (await endpoint.resolve()).proxy == PROXY
    assert (await direct.resolve()).proxy is None
    monkeypatch.setenv("NO_PROXY", "azure.com,openai.com,host.test")
    assert (await endpoint.resolve()).proxy is None
    assert (await make(proxy=PROXY).resolve()).proxy == PROXY


async def test_the_proxy_may_come_from_another_environment(
    make: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://other.test:1")
    assert (await make().with_proxy_from({"ALL_PROXY": PROXY}).resolve()).proxy == PROXY
    assert (await make().with_proxy_from({}).resolve()).proxy is None
    with pytest.raises(
        ConfigurationError, match=r"^all_proxy names a proxy of an unsupported kind"
    ):
        make().with_proxy_from({"all_proxy": "socks4://proxy.test"})


async def test_an_invalid_proxy_is_a_configuration_error(
    make: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"^proxy= names a proxy of an unsupported kind"):
        make(proxy="socks4://proxy.test")
    monkeypatch.setenv("ALL_PROXY", "socks4://user:S3cret@proxy.test")
    with pytest.raises(ConfigurationError, match=r"^ALL_PROXY names") as caught:
        await make().resolve()
    assert "S3cret" not in str(caught.value)


async def test_the_password_of_a_proxy_is_masked(make: Callable[..., Endpoint]) -> None:
    endpoint = make(proxy=PROXY)
    for shown in (repr(endpoint), repr(await endpoint.resolve())):
        assert "proxy='http://***@proxy.test:8080'" in shown
        assert "S3cret" not in shown


# --- TLS ----------------------------------------------------------------------------------------


async def test_every_constructor_takes_a_tls_context(make: Callable[..., Endpoint]) -> None:
    context = ssl.create_default_context()
    assert (await make(ssl_context=context).resolve()).ssl_context is context
    assert (await make().resolve()).ssl_context is None


async def test_a_ca_file_is_read_once(make: Callable[..., Endpoint], ca_file: Path) -> None:
    endpoint = make(ca_file=ca_file)
    await trio.Path(ca_file).unlink()
    context = (await endpoint.resolve()).ssl_context
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert (await endpoint.resolve()).ssl_context is context


async def test_a_ca_file_may_be_a_str(ca_file: Path) -> None:
    endpoint = Endpoint.compatible("wss://host.test", ca_file=str(ca_file))
    assert (await endpoint.resolve()).ssl_context is not None


def test_invalid_ca_files_are_named(make: Callable[..., Endpoint], tmp_path: Path) -> None:
    missing, invalid, directory = tmp_path / "missing", tmp_path / "invalid", tmp_path / "directory"
    invalid.write_text("no certificate")
    directory.mkdir()
    for path in (missing, invalid, directory):
        with pytest.raises(ConfigurationError, match=f"ca_file .*{path}"):
            make(ca_file=path)


def test_a_context_and_a_ca_file_exclude_each_other(
    make: Callable[..., Endpoint], ca_file: Path
) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        make(ssl_context=ssl.create_default_context(), ca_file=ca_file)


def test_the_default_context_trusts_what_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca_file: Path
) -> None:
    create = default_context.__wrapped__  # not cached
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(empty))
    monkeypatch.setenv("SSL_CERT_FILE", str(empty / "missing"))
    assert create().get_ca_certs() == []
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert len(create().get_ca_certs()) == 1


# --- on the way to the connector ----------------------------------------------------------------


async def test_the_connector_gets_the_proxy_and_the_context(ca_file: Path) -> None:
    seen: list[ConnectOptions] = []

    def connect(options: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
        seen.append(options)
        raise TransportConnectError("no network")

    agent: RealtimeAgent[Any] = RealtimeAgent(name="A")
    endpoint = Endpoint.compatible("wss://host.test", proxy=PROXY, ca_file=ca_file)
    with pytest.raises(ConnectFailed, match="no network"):
        async with open_realtime_session(agent, endpoint=endpoint, transport=connect):
            raise AssertionError
    assert [(options.proxy, options.ssl_context) for options in seen] == [
        (PROXY, endpoint.ssl_context)
    ]


def test_endpoints_of_the_local_server_are_direct() -> None:
    assert local_connector().endpoint.proxy == TEST_ENDPOINT.proxy == ""
