"""The HTTP endpoints of the local server."""

from __future__ import annotations

import json
from typing import Any, Unpack

import pytest

from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.local import ServerConfig, ServerConfigDict
from trio_realtime.local.client_secrets import ClientSecrets
from trio_realtime.local.http_api import HttpApi
from trio_realtime.local.http_requests import HttpRequest, HttpResponse


def respond(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: str | None = None,
    **settings: Unpack[ServerConfigDict],
) -> HttpResponse:
    settings.setdefault("epoch", 1000.0)
    config = ServerConfig(**settings)
    headers = (("authorization", f"Bearer {key}"),) if key else ()
    api = HttpApi(config, ClientSecrets(config))
    return api.respond(HttpRequest(method, path, headers, body), 5.0)


def error_of(response: HttpResponse) -> dict[str, Any]:
    error: dict[str, Any] = response.body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return error


def test_models_are_listed() -> None:
    response = respond("GET", "/v1/models", models={"b", "a"})
    assert response.status == 200
    assert response.body["object"] == "list"
    assert [model["id"] for model in response.body["data"]] == ["a", "b"]
    assert {model["object"] for model in response.body["data"]} == {"model"}


@pytest.mark.parametrize(("settings", "name"), [({}, DEFAULT_MODEL), ({"default_model": "m"}, "m")])
def test_without_a_list_the_default_model_is_listed(settings: ServerConfigDict, name: str) -> None:
    response = respond("GET", "/openai/v1/models", **settings)
    assert [model["id"] for model in response.body["data"]] == [name]


def test_a_client_secret_is_created() -> None:
    session = {"type": "realtime", "instructions": "Be brief.", "model": "m"}
    body = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": session}
    response = respond("POST", "/v1/realtime/client_secrets", json.dumps(body).encode())
    assert response.status == 200
    assert set(response.body) == {"value", "expires_at", "session"}
    assert response.body["value"].startswith("ek_")
    assert response.body["expires_at"] == 1065
    assert response.body["session"]["instructions"] == "Be brief."
    assert response.body["session"]["model"] == "m"
    assert response.body["session"]["object"] == "realtime.session"
    assert response.body["value"] not in repr(response)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b"[]", "invalid_event", None),
        (b'{"ttl":1}', "unknown_parameter", "ttl"),
        (
            b'{"expires_after":{"anchor":"created_at","seconds":9}}',
            "integer_below_min_value",
            "expires_after.seconds",
        ),
        (b'{"expires_after":{"seconds":7201}}', "integer_above_max_value", "expires_after.seconds"),
        (b'{"session":{"type":"chat"}}', "invalid_value", "session.type"),
        (b'{"session":{"type":"realtime","speed":2}}', "unknown_parameter", "session.speed"),
        (b'{"session":{}}', "missing_required_parameter", "session.type"),
        (b'{"session":{"type":"realtime","model":"other"}}', "invalid_model", None),
    ],
)
def test_an_invalid_body_is_rejected(body: bytes, code: str, param: str | None) -> None:
    response = respond("POST", "/v1/realtime/client_secrets", body, models={"m"})
    assert response.status == 400
    error = error_of(response)
    assert (error["code"], error["param"]) == (code, param)


def test_webrtc_is_rejected_with_a_reason() -> None:
    response = respond("POST", "/v1/realtime/calls", b"v=0")
    assert response.status == 400
    error = error_of(response)
    assert error["code"] == "webrtc_not_supported"
    assert "WebSocket" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/models", 404),
        ("GET", "/v1/realtime/transcription_sessions", 404),
        ("GET", "/v1/realtime", 426),
        ("GET", "/v1/realtime/client_secrets", 405),
        ("DELETE", "/v1/models", 405),
        ("OPTIONS", "/v1/realtime/calls", 405),
    ],
)
def test_other_requests_are_rejected(method: str, path: str, status: int) -> None:
    response = respond(method, f"{path}?api-key=sk-secret")
    assert response.status == status
    assert "sk-secret" not in error_of(response)["message"]
    assert (status == 405) == (dict(response.headers).get("allow") is not None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/realtime/client_secrets"),
        ("POST", "/v1/realtime/calls"),
        ("GET", "/v1/models"),
    ],
)
def test_a_server_with_a_key_requires_it(method: str, path: str) -> None:
    keys = {"sk-right"}
    assert respond(method, path, api_keys=keys).status == 401
    wrong = respond(method, path, key="sk-wrong", api_keys=keys)
    assert error_of(wrong)["code"] == "invalid_api_key"
    assert respond(method, path, key="sk-right", api_keys=keys).status != 401
