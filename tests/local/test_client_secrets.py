"""Ephemeral keys: lifetime, use, and the session that they open."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.local import ConnectionRequest, ServerConfig, client_secrets
from trio_realtime.local.client_secrets import ClientSecrets
from trio_realtime.local.errors import ProtocolError
from trio_realtime.local.harness import ProtocolHarness, types_of
from trio_realtime.local.types import ClientSecret


def secrets_of(**settings: Any) -> ClientSecrets:
    return ClientSecrets(ServerConfig(epoch=0.0, **settings))


def created(secrets: ClientSecrets, now: float = 0.0, **body: Any) -> ClientSecret:
    secret = secrets.find(secrets.create(body, now)["value"], now)
    assert secret is not None
    return secret


def test_a_key_expires() -> None:
    secrets = secrets_of()
    secret = created(secrets, 5.0, expires_after={"anchor": "created_at", "seconds": 10})
    assert secrets.find(secret.value, 14.9) is secret
    assert secrets.find(secret.value, 15.0) is None


def test_a_key_is_valid_for_ten_minutes_by_default() -> None:
    secrets = secrets_of()
    assert secrets.create({"expires_after": None, "session": None}, 1.0)["expires_at"] == 601


def test_a_key_can_be_used_once() -> None:
    secrets = secrets_of()
    secret = created(secrets)
    assert secrets.use(secret)
    assert not secrets.use(secret)
    assert secrets.find(secret.value, 0.0) is None


def test_the_number_of_keys_is_limited_until_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_secrets, "_MAX_SECRETS", 2)
    secrets = secrets_of()
    created(secrets)
    created(secrets)
    with pytest.raises(ProtocolError, match="Too many client secrets"):
        secrets.create({}, 0.0)
    assert secrets.create({}, 600.0)["value"]


def test_the_size_of_their_settings_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_secrets, "_MAX_BYTES", 1000)
    secrets = secrets_of()
    created(secrets, session={"type": "realtime", "instructions": "x" * 1000})
    with pytest.raises(ProtocolError, match="Too many client secrets"):
        secrets.create({}, 0.0)


def test_the_settings_of_the_key_apply_to_the_session() -> None:
    tool = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com"}
    secret = created(
        secrets_of(),
        session={"type": "realtime", "instructions": "Hi.", "model": "m", "tools": [tool]},
    )
    harness = ProtocolHarness(ConnectionRequest("/v1/realtime", client_secret=secret))
    session = harness.frames[0]["session"]
    assert (session["instructions"], session["model"]) == ("Hi.", "m")
    assert "mcp_list_tools.in_progress" in types_of(harness.frames)


def test_the_url_may_name_another_model() -> None:
    secret = created(secrets_of(), session={"type": "realtime", "model": "m"})
    request = ConnectionRequest("/v1/realtime?model=other", client_secret=secret)
    assert ProtocolHarness(request).session["model"] == "other"


def test_a_key_of_a_transcription_session_opens_one() -> None:
    secret = created(secrets_of(), session={"type": "transcription"})
    harness = ProtocolHarness(ConnectionRequest("/v1/realtime", client_secret=secret))
    assert harness.session["type"] == "transcription"


@pytest.mark.parametrize("settings", [{}, {"api_keys": {"sk-right"}}, {"require_key": False}])
def test_a_key_that_is_not_confirmed_is_wrong(settings: Any) -> None:
    headers = (("Authorization", "Bearer ek_expired"),)
    harness = ProtocolHarness(ConnectionRequest(headers=headers), **settings)
    assert harness.frames[0]["error"]["code"] == "invalid_api_key"
    assert harness.closed is not None
