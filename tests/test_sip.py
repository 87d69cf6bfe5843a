"""SIP calls: the payload that accepts a call, and the requests."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import attrs
import h11
import httpx2
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.wire import last_settings_update
from trio_realtime import (
    PCMU,
    AgentContext,
    Endpoint,
    ModelEndDateWarning,
    RealtimeAgent,
    ServerVad,
    SessionConfig,
    Transcription,
    errors,
    function_tool,
    open_realtime_session,
    sip,
)
from trio_realtime.sip import SipCalls, accept_payload
from trio_realtime.testing import ScriptedPeer

KEY = "sk-the-secret-key"
ENDPOINT = Endpoint.openai(KEY)
CALL = "rtc_u1_0123"


@function_tool
async def refund(amount: int) -> str:
    """Pay money back."""
    return f"{amount} refunded"


BILLING = RealtimeAgent[None](name="Billing")
AGENT = RealtimeAgent[None](
    name="Hotline", instructions="Be brief.", tools=[refund], voice="ash", handoffs=[BILLING]
)
CONFIG = SessionConfig(
    input_format=PCMU,
    output_format=PCMU,
    turn_detection=ServerVad(silence_duration_ms=400),
    transcription=Transcription(model="gpt-live-transcribe"),
)


# --- the payload -------------------------------------------------------------------------------


async def test_the_payload_has_the_settings_that_a_session_sends() -> None:
    payload = await accept_payload(AGENT, config=CONFIG)
    peer = ScriptedPeer()
    async with open_realtime_session(
        AGENT, config=CONFIG, endpoint=ENDPOINT.attach(CALL), transport=peer.connect
    ):
        assert payload == last_settings_update(peer)["session"]
    assert payload["type"] == "realtime"
    assert payload["instructions"] == "Be brief."
    assert [tool["name"] for tool in payload["tools"]] == ["refund", "transfer_to_billing"]
    assert payload["audio"] == {
        "input": {
            "transcription": {"model": "gpt-live-transcribe"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
        },
        "output": {"voice": "ash"},
    }


async def test_the_formats_of_a_call_are_not_sent_even_if_there_is_no_other_audio_setting() -> None:
    agent = RealtimeAgent[None](name="Hotline")
    assert await accept_payload(agent) == {"type": "realtime", "instructions": "", "tools": []}


async def test_the_context_reaches_instructions_and_conditions() -> None:
    async def write(about: AgentContext[str]) -> str:
        return f"The caller is {about.context}."

    tool = attrs.evolve(refund, is_enabled=lambda about: about.context == "Kim")
    agent = RealtimeAgent[str](name="Hotline", instructions=write, tools=[tool])
    payload = await accept_payload(agent, context="Kim")
    assert payload["instructions"] == "The caller is Kim."
    assert len(payload["tools"]) == 1
    assert (await accept_payload(agent, context="Sam"))["tools"] == []


async def test_the_model_of_the_settings_overrides_the_argument() -> None:
    config = SessionConfig(model="gpt-realtime-2.1-mini")
    assert (await accept_payload(AGENT, model="other"))["model"] == "other"
    payload = await accept_payload(AGENT, model="other", config=config)
    assert payload["model"] == "gpt-realtime-2.1-mini"


async def test_an_invalid_handoff_is_reported() -> None:
    agent = RealtimeAgent[None](name="Hotline", handoffs=[BILLING, BILLING])
    with pytest.raises(errors.ConfigurationError, match="transfer_to_billing"):
        await accept_payload(agent)


# --- the requests ------------------------------------------------------------------------------

Answer = Callable[[httpx2.Request], httpx2.Response]


class Service:
    """Answers requests with a function, and records them."""

    def __init__(self, answer: Answer = lambda _: httpx2.Response(200)) -> None:
        self.requests: list[httpx2.Request] = []
        self.answer = answer
        self.client = httpx2.AsyncClient(transport=httpx2.MockTransport(self._handle))

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        return self.answer(request)

    def calls(self, endpoint: Endpoint = ENDPOINT) -> SipCalls:
        return SipCalls(endpoint, http_client=self.client)

    @property
    def sent(self) -> tuple[str, str, Any]:
        """The method, the URL and the body of the only request."""
        (request,) = self.requests
        body = json.loads(request.content) if request.content else None
        return request.method, str(request.url), body


def answering(status: int, **options: Any) -> Service:
    return Service(lambda _: httpx2.Response(status, **options))


BASE = f"https://api.openai.com/v1/realtime/calls/{CALL}"


async def test_accept_sends_the_payload_with_the_model_of_the_endpoint() -> None:
    service = Service()
    await service.calls().accept(CALL, AGENT, config=CONFIG)
    payload = await accept_payload(AGENT, model="gpt-realtime-2.1", config=CONFIG)
    assert service.sent == ("POST", f"{BASE}/accept", payload)
    assert payload["model"] == "gpt-realtime-2.1"
    (request,) = service.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "arguments", "body"),
    [
        ("reject", {}, None),
        ("reject", {"status_code": 486}, {"status_code": 486}),
        ("refer", {"target_uri": "tel:+14155550123"}, {"target_uri": "tel:+14155550123"}),
        ("hangup", {}, None),
    ],
)
async def test_the_other_requests(method: str, arguments: dict[str, Any], body: Any) -> None:
    service = Service()
    await getattr(service.calls(), method)(CALL, **arguments)
    assert service.sent == ("POST", f"{BASE}/{method}", body)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (ENDPOINT.attach("rtc_other"), f"{BASE}/hangup"),
        (
            Endpoint.azure("https://r.openai.azure.com", deployment="d", api_key=KEY),
            f"https://r.openai.azure.com/openai/v1/realtime/calls/{CALL}/hangup",
        ),
        (
            Endpoint.compatible("ws://a.test:8000/x/?tenant=t", model="m"),
            f"http://a.test:8000/x/realtime/calls/{CALL}/hangup?tenant=t",
        ),
        (
            Endpoint.compatible("https://a.test", api_key=KEY, auth="query"),
            f"https://a.test/v1/realtime/calls/{CALL}/hangup?api-key={KEY}",
        ),
    ],
    ids=["attached", "azure", "compatible", "key in the query"],
)
async def test_requests_go_to_the_server_of_the_endpoint(endpoint: Endpoint, url: str) -> None:
    service = Service()
    await service.calls(endpoint).hangup(CALL)
    assert service.sent == ("POST", url, None)


async def test_a_call_id_is_escaped() -> None:
    service = Service()
    await service.calls().hangup("rtc_/../?a#b")
    assert service.sent[1] == "https://api.openai.com/v1/realtime/calls/rtc_%2F..%2F%3Fa%23b/hangup"


async def test_a_key_function_is_called_for_each_request() -> None:
    keys = iter(["first-key", "second-key"])

    async def fetch() -> str:
        await trio.lowlevel.checkpoint()
        return next(keys)

    service = Service()
    calls = service.calls(Endpoint.openai(fetch))
    await calls.hangup(CALL)
    await calls.hangup(CALL)
    sent = [request.headers["authorization"] for request in service.requests]
    assert sent == ["Bearer first-key", "Bearer second-key"]


async def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    service = Service()
    agent = RealtimeAgent[None](name="Hotline", instructions="half of an emoji: \ud83d")
    await service.calls().accept(CALL, agent)
    assert service.sent[2]["instructions"] == "half of an emoji: \ud83d"


async def test_accepting_with_a_model_that_has_ended_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_realtime._end_dates._today", lambda: date(2027, 1, 20))
    monkeypatch.setattr("trio_realtime._end_dates._warned", set[str]())
    service = Service()
    calls = service.calls(ENDPOINT.attach(CALL))
    with pytest.warns(ModelEndDateWarning, match="gpt-realtime-2.1") as caught:
        await calls.accept(CALL, AGENT, config=SessionConfig(model="gpt-realtime"))
    assert [warning.filename for warning in caught] == [__file__]


# --- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status_code", [200, 299, 700, True, "486", 486.0])
async def test_a_status_code_that_does_not_reject_is_refused(status_code: Any) -> None:
    service = Service()
    with pytest.raises(errors.UsageError, match="from 300 to 699"):
        await service.calls().reject(CALL, status_code=status_code)
    assert service.requests == []


@pytest.mark.parametrize("uri", ["+14155550123", "", "tel:", "tel:+1 415", "tel:1\r\nX: y", None])
async def test_a_target_that_is_not_a_uri_is_refused(uri: Any) -> None:
    service = Service()
    with pytest.raises(errors.UsageError, match="tel:"):
        await service.calls().refer(CALL, target_uri=uri)
    assert service.requests == []


@pytest.mark.parametrize("call_id", ["", "rtc 1", "rtc_1\n"])
async def test_an_invalid_call_id_is_refused(call_id: str) -> None:
    service = Service()
    with pytest.raises(errors.ConfigurationError, match="call_id"):
        await service.calls().hangup(call_id)
    assert service.requests == []


def test_an_endpoint_with_another_path_is_refused() -> None:
    endpoint = Endpoint.compatible("wss://a.test/socket?key=hush-hush", realtime_url=True)
    with pytest.raises(errors.ConfigurationError, match="end with /realtime") as caught:
        SipCalls(endpoint)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), None, "10"])
def test_a_timeout_must_be_positive(timeout: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="timeout"):
        SipCalls(ENDPOINT, timeout=timeout)


def test_without_the_extra_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sip, "find_spec", lambda name: None)
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'trio-realtime\[sip\]'"):
        SipCalls(ENDPOINT)


# --- failures ----------------------------------------------------------------------------------


def error_body(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "type": "invalid_request_error"}}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejected_key(status: int) -> None:
    service = answering(status, json=error_body(f"Wrong key: {KEY}", "invalid_api_key"))
    with pytest.raises(errors.AuthenticationFailed) as caught:
        await service.calls().hangup(CALL)
    assert str(caught.value) == f"the service rejected the key (HTTP {status}): Wrong key: ***"
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_a_rejected_request(status: int) -> None:
    service = answering(status, json=error_body("No such call", "call_id_not_found"))
    with pytest.raises(errors.SipRequestRejected) as caught:
        await service.calls().accept(CALL, AGENT)
    assert str(caught.value) == f"SIP accept failed (HTTP {status}): No such call"
    assert (caught.value.status, caught.value.code) == (status, "call_id_not_found")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_failure_that_may_pass(status: int) -> None:
    service = answering(status, html="<html><title>Try\nlater</title><p>nginx</html>")
    with pytest.raises(errors.ConnectFailed) as caught:
        await service.calls().refer(CALL, target_uri="sip:a@b.test")
    assert str(caught.value) == f"SIP refer failed (HTTP {status}): Try later"
    assert caught.value.status == status


async def test_a_redirect_is_not_followed() -> None:
    target = {"location": f"https://other.test/?key={KEY}"}
    service = answering(307, headers=target)
    service.client.follow_redirects = True
    with pytest.raises(errors.ConnectFailed, match=r"redirects to https://other\.test/") as caught:
        await service.calls().hangup(CALL)
    assert len(service.requests) == 1
    assert caught.value.status == 307
    assert KEY not in str(caught.value)


async def test_a_service_that_is_not_reached() -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"no route to {request.url}", request=request)

    endpoint = Endpoint.compatible("https://a.test", api_key=KEY, auth="query")
    with pytest.raises(errors.ConnectFailed, match="SIP hangup failed: no route") as caught:
        await Service(fail).calls(endpoint).hangup(CALL)
    assert KEY not in str(caught.value)


async def test_a_request_that_is_not_answered_times_out(autojump_clock: MockClock) -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        await trio.sleep_forever()
        raise AssertionError

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(hang))
    calls = SipCalls(ENDPOINT, timeout=3, http_client=client)
    start = trio.current_time()
    with pytest.raises(errors.ConnectTimeout, match="within 3 s"):
        await calls.hangup(CALL)
    assert trio.current_time() - start == 3


async def test_the_key_function_counts_for_the_timeout(autojump_clock: MockClock) -> None:
    async def hang() -> str:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(errors.ConnectTimeout, match="within 10 s"):
        await Service().calls(Endpoint.openai(hang)).hangup(CALL)


async def test_a_cancelled_request_is_a_cancellation() -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        await trio.sleep_forever()
        raise AssertionError

    calls = SipCalls(ENDPOINT, http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(hang)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.hangup, CALL)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


# --- secrets -----------------------------------------------------------------------------------


async def test_a_key_in_the_query_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = Endpoint.compatible("https://a.test", api_key=KEY, auth="query")
    await Service().calls(endpoint).hangup(CALL)
    assert f"https://a.test/v1/realtime/calls/{CALL}/hangup?***" in caplog.text
    assert KEY not in caplog.text
    assert logging.getLogger("httpx2").filters == []


def test_the_repr_has_no_key() -> None:
    assert KEY not in repr(SipCalls(ENDPOINT))
    assert "api.openai.com" in repr(SipCalls(ENDPOINT))


# --- sockets -----------------------------------------------------------------------------------


class HttpServer:
    """An HTTP server on a socket. It records requests and always answers the same.

    Attributes:
        received: target and body of each request.
        aborted: set when a client closes the connection before it has received the whole answer.
    """

    def __init__(self, status: int = 200, content: bytes = b"") -> None:
        self.received: list[tuple[bytes, bytes]] = []
        self.aborted = trio.Event()
        headers = [("Content-Length", str(len(content)))]
        self._response = h11.Response(status_code=status, headers=headers)
        self._content = content

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Endpoint]:
        async with trio.open_nursery() as nursery:
            start = functools.partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1")
            (listener,) = await nursery.start(start)
            port = listener.socket.getsockname()[1]
            yield Endpoint.compatible(f"http://127.0.0.1:{port}/v1", api_key=KEY)
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        target, body = b"", b""
        while type(event := http.next_event()) is not h11.EndOfMessage:
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                target = event.target
            elif isinstance(event, h11.Data):
                body += event.data
        self.received.append((target, body))
        try:
            for part in (self._response, h11.Data(data=self._content), h11.EndOfMessage()):
                await stream.send_all(http.send(part) or b"")
        except trio.BrokenResourceError:
            self.aborted.set()


@pytest.mark.slow
async def test_requests_over_a_socket() -> None:
    server = HttpServer()
    async with server.running() as endpoint:
        calls = SipCalls(endpoint)
        await calls.reject(CALL, status_code=486)
        await calls.hangup(CALL)
    path = f"/v1/realtime/calls/{CALL}".encode()
    assert [target for target, _ in server.received] == [path + b"/reject", path + b"/hangup"]
    assert json.loads(server.received[0][1]) == {"status_code": 486}
    assert server.received[1][1] == b""


@pytest.mark.slow
async def test_a_long_body_is_not_read_to_its_end() -> None:
    server = HttpServer(500, b"x" * 50_000_000)
    async with server.running() as endpoint:
        with pytest.raises(errors.ConnectFailed, match=r"HTTP 500\): xxx") as caught:
            await SipCalls(endpoint).hangup(CALL)
        assert len(str(caught.value)) < 500
        with trio.fail_after(5):
            await server.aborted.wait()


@pytest.mark.slow
async def test_a_server_that_is_not_there() -> None:
    async with HttpServer().running() as endpoint:
        pass
    with pytest.raises(errors.ConnectFailed, match="SIP hangup failed: "):
        await SipCalls(endpoint).hangup(CALL)
