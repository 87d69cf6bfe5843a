"""The options of the ``serve`` command."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from trio_realtime import Endpoint, RealtimeAgent, open_realtime_session
from trio_realtime.cli import serve
from trio_realtime.cli.exit import UserFacingError
from trio_realtime.cli.serve import make_server_config, make_ssl_context, reachable_urls
from trio_realtime.errors import AuthenticationFailed
from trio_realtime.local import local_connector, serve_local

# -- TLS -----------------------------------------------------------------------------------------

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJZ+xy/ugYM5D4Zen
cxqC+no1/AxokJLWfmZ53FhOWx6hRANCAARxneYI88Xy/M0Upht/0B6Mh+X+mG7A
dQOktmDqnviR242XV79qtw65tmjb6YUYv81mMjnUwrdhTBk1I/0eIxSM
-----END PRIVATE KEY-----
"""
KEY_WITH_PASSWORD = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjeJDXFr2QAvgICA+gw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEN5gOdqkYJeXe7kBq9CMsPYEgZBB
55e5gMBac2yhOTQIH2h4tqg6PbHnCut7V/vV6s8E/u6f3uoqBmK/w98EdbkQd9ts
0fu40ZL6tecIbDp/seSTXz7IwQWzzuX1dhHN3lOOonBWlO5lIuW5/Rn4yKb6hgCD
Tm7fhPpYZfYCsoXzNi0sSVc6wbkZo6BUsWmrk2l101bLXg1pFRlAgg5DglVpcro=
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def certificate(repository: Path) -> Path:
    """Return a PEM file with a certificate for localhost and its private key."""
    return repository / "tests" / "transports" / "localhost.pem"


@pytest.fixture
def chain(certificate: Path, tmp_path: Path) -> Path:
    """Return a PEM file with a certificate only."""
    text = certificate.read_text(encoding="utf-8")
    path = tmp_path / "chain.pem"
    path.write_text(text[text.index("-----BEGIN CERTIFICATE") :], encoding="utf-8")
    return path


def write(folder: Path, text: str) -> Path:
    path = folder / "some.key"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_certificate_and_its_key_may_be_in_one_file_or_two(
    certificate: Path, chain: Path
) -> None:
    assert isinstance(make_ssl_context(certificate, None), ssl.SSLContext)
    assert isinstance(make_ssl_context(chain, certificate), ssl.SSLContext)
    assert make_ssl_context(None, None) is None


def test_a_key_needs_a_certificate(certificate: Path) -> None:
    with pytest.raises(UserFacingError, match="--keyfile needs --certfile"):
        make_ssl_context(None, certificate)


def test_a_missing_file_is_named(certificate: Path, tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match=r"--certfile .*nowhere.pem: No such file"):
        make_ssl_context(tmp_path / "nowhere.pem", None)
    with pytest.raises(UserFacingError, match=r"--keyfile .*nowhere.key: No such file"):
        make_ssl_context(certificate, tmp_path / "nowhere.key")


def test_a_certificate_without_its_key_is_rejected(chain: Path) -> None:
    with pytest.raises(UserFacingError, match="name the file of the key with --keyfile"):
        make_ssl_context(chain, None)


def test_a_file_that_is_not_pem_is_rejected(certificate: Path, tmp_path: Path) -> None:
    other = write(tmp_path, "no certificate")
    with pytest.raises(UserFacingError, match="must have a certificate and its private key"):
        make_ssl_context(other, None)
    with pytest.raises(UserFacingError, match="a private key, both in PEM format"):
        make_ssl_context(certificate, other)


def test_a_key_of_another_certificate_is_rejected(chain: Path, tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="does not belong to the certificate"):
        make_ssl_context(chain, write(tmp_path, KEY))


def test_a_key_with_a_password_is_rejected_without_asking_for_it(
    chain: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserFacingError, match="has a password"):
        make_ssl_context(chain, write(tmp_path, KEY_WITH_PASSWORD))


# -- configuration -------------------------------------------------------------------------------


def test_the_options_become_the_configuration() -> None:
    config = make_server_config(
        model="m", pace="unlimited", voice="tone", api_keys=("a", "b"), dialect="beta"
    )
    assert config["default_model"] == "m"
    assert config["dialect"] == "beta"
    assert config["api_keys"] == {"a", "b"}


@pytest.mark.parametrize(
    ("accepted", "key", "is_accepted"),
    [
        ((), None, True),
        ((), "any", True),
        (("a",), "a", True),
        (("a",), None, False),
        (("a",), "b", False),
    ],
)
async def test_without_api_keys_a_client_needs_none(
    accepted: tuple[str, ...], key: str | None, is_accepted: bool
) -> None:
    config = make_server_config(
        model="m", pace="unlimited", voice="tone", api_keys=accepted, dialect="ga"
    )
    connector = local_connector(**config)
    endpoint = Endpoint.compatible("ws://local.test", api_key=key)
    agent = RealtimeAgent(name="A")
    if is_accepted:
        async with open_realtime_session(agent, endpoint=endpoint, transport=connector):
            pass
    else:
        with pytest.raises(AuthenticationFailed):
            async with open_realtime_session(agent, endpoint=endpoint, transport=connector):
                pass


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_one_url_for_each_reachable_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_outgoing_address", lambda family: "192.0.2.7")
    async with serve_local(host="0.0.0.0", default_model="m") as server:
        end = f":{server.port}/v1/realtime?model=m"
        assert list(reachable_urls(server, "0.0.0.0")) == [
            f"ws://127.0.0.1{end}",
            f"ws://192.0.2.7{end}",
        ]
        monkeypatch.setattr(serve, "_outgoing_address", lambda family: None)
        assert list(reachable_urls(server, "::")) == [f"ws://[::1]{end}"]
        assert list(reachable_urls(server, "box.local")) == [server.url_with_model]
