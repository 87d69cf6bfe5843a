"""Phone calls of Twilio as sessions of a gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx2
import pytest
import trio
from starlette.applications import Starlette
from starlette.routing import Mount
from trio.testing import MockClock

from support.gateway import GatewayUnderTest, make_spec, open_test_gateway
from trio_realtime import ServerVad, SessionConfig
from trio_realtime.errors import ConfigurationError
from trio_realtime.local import Say, ScriptedResponder
from trio_realtime.server.gateway import TenantKeys, TwilioConfig, TwilioLine, create_app
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.spec import AgentSpec
from trio_realtime.server.twilio import CallEnd, sign
from trio_realtime.testing.twilio import FakeTwilio, FakeWebSocket, dial_media_stream
from trio_realtime.wire import InputText, MessageItem, OutputAudio

TOKEN = "twilio-auth-token"
FORM = {"CallSid": "CA1", "From": "+15550100", "To": "+15550199"}
GREETING = Say("Good morning, this is the shop. What can I do for you today?", audio_ms=3000)
SPEECH = (b"\x90" * 10 + b"\x10" * 10) * 400  # one second of a loud tone


class Line:
    """A phone line of a gateway, and the requests of Twilio."""

    def __init__(
        self, under_test: GatewayUnderTest, http: httpx2.AsyncClient, line: TwilioLine
    ) -> None:
        self.gateway = under_test.gateway
        self.http = http
        self.ends: list[CallEnd] = []
        self._line = line

    async def voice(self, form: Any = FORM, **headers: str) -> httpx2.Response:
        signature = sign(TOKEN, "https://voice.example/twilio/voice", form)
        return await self.http.post(
            "/twilio/voice",
            content=urlencode(form),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Twilio-Signature": signature,
                **headers,
            },
        )

    async def serve(self, websocket: FakeWebSocket) -> None:
        self.ends.append(await self._line.answer(websocket))

    @asynccontextmanager
    async def call(self) -> AsyncGenerator[FakeTwilio]:
        """Make a call: the webhook, and then the stream."""
        stream = ET.fromstring((await self.voice()).text).find("./Connect/Stream")
        assert stream is not None
        given = {each.get("name", ""): each.get("value", "") for each in stream}
        async with dial_media_stream(self.serve, parameters=given, call_sid="CA1") as call:
            yield call


@asynccontextmanager
async def open_line(
    *specs: Any, dtmf_message: str | None = None, **options: Any
) -> AsyncGenerator[Line]:
    config = TwilioConfig(auth_token=TOKEN, dtmf_message=dtmf_message)
    async with open_test_gateway(*specs, **options) as under_test:
        line = TwilioLine(under_test.gateway, config, public_url="https://voice.example/")
        app = create_app(
            under_test.gateway,
            keys=TenantKeys({}, allow_anonymous=True),
            twilio=line,
            web=False,
        )
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://inside") as http:
            yield Line(under_test, http, line)


async def test_the_webhook_connects_the_call_with_a_stream(autojump_clock: MockClock) -> None:
    async with open_line() as line:
        response = await line.voice()
        assert response.headers["content-type"].startswith("text/xml")
        stream = ET.fromstring(response.text).find("./Connect/Stream")
        assert stream is not None
        assert stream.get("url") == "wss://voice.example/twilio/stream"
        parameters = {each.get("name"): each.get("value") for each in stream}
        assert parameters.pop("token")
        assert parameters == {"from_number": "+15550100", "to_number": "+15550199"}


async def test_the_agent_knows_the_numbers_of_the_call(autojump_clock: MockClock) -> None:
    instructions = "{{ from_number }} calls {{ to_number }}."
    spec = AgentSpec(name="Assistant", realtime_mode=True, instructions=instructions)
    async with (
        open_line(spec, responder=ScriptedResponder([GREETING])) as line,
        line.call() as call,
    ):
        await call.wait_heard(100)
        [hosted] = line.gateway.sessions.values()
        assert hosted.session.session.settings.instructions == "+15550100 calls +15550199."


async def test_a_call_without_numbers_is_answered(autojump_clock: MockClock) -> None:
    async with open_line() as line:
        response = await line.voice({"CallSid": "CA1", "From": ""})
        assert response.status_code == 200
        assert "from_number" not in response.text


@pytest.mark.parametrize(
    ("public_url", "prefix", "expected"),
    [
        (None, "", "ws://inside/twilio/stream"),
        (None, "/calls", "ws://inside/calls/twilio/stream"),
        ("https://voice.example", "/calls", "wss://voice.example/calls/twilio/stream"),
        ("https://voice.example/calls/", "", "wss://voice.example/calls/twilio/stream"),
    ],
)
async def test_the_stream_is_where_the_webhook_is(
    public_url: str | None, prefix: str, expected: str, autojump_clock: MockClock
) -> None:
    async with open_test_gateway() as under_test:
        line = TwilioLine(under_test.gateway, TwilioConfig(auth_token=TOKEN), public_url=public_url)
        keys = TenantKeys({}, allow_anonymous=True)
        app = create_app(under_test.gateway, keys=keys, twilio=line, web=False)
        transport = httpx2.ASGITransport(app=Starlette(routes=[Mount(prefix, app)]))
        called = (public_url or "http://inside").rstrip("/") + f"{prefix}/twilio/voice?a=1"
        async with httpx2.AsyncClient(transport=transport, base_url="http://inside") as http:
            response = await http.post(
                f"{prefix}/twilio/voice?a=1",
                content=urlencode(FORM),
                headers={"X-Twilio-Signature": sign(TOKEN, called, FORM)},
            )
            stream = ET.fromstring(response.text).find("./Connect/Stream")
            assert stream is not None
            assert stream.get("url") == expected
            refused = await http.post(f"{prefix}/twilio/voice", headers={"Host": "[rubbish"})
            assert refused.status_code == 403


async def test_a_public_url_that_cannot_be_one_is_refused(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        config = TwilioConfig(auth_token=TOKEN)
        with pytest.raises(ConfigurationError, match="such as https://"):
            TwilioLine(under_test.gateway, config, public_url="voice.example")


@pytest.mark.parametrize(
    "signature", ["", "wrong", sign("another-token", "https://voice.example/twilio/voice", FORM)]
)
async def test_a_request_that_twilio_did_not_sign_is_refused(
    signature: str, autojump_clock: MockClock
) -> None:
    async with open_line() as line:
        response = await line.voice(**{"X-Twilio-Signature": signature})
        assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")


async def test_a_call_is_greeted_and_recorded_in_the_history_of_the_gateway(
    autojump_clock: MockClock,
) -> None:
    seen: list[RpcEvent] = []
    config = SessionConfig(turn_detection=ServerVad(silence_duration_ms=400))
    responder = ScriptedResponder([GREETING, Say("It is on its way.", audio_ms=1000)])
    async with open_line(
        make_spec(config=config), responder=responder, on_event=seen.append
    ) as line:
        async with line.call() as call:
            await call.wait_heard(1000)
            await call.say(SPEECH)  # a barge-in
            await call.wait_quiet()
            [clear] = call.clears
            [hosted] = line.gateway.sessions.values()
            assert hosted.session.transport == "twilio"
            assert hosted.session.input_format.type == "audio/pcmu"
            await call.hang_up()
        assert line.ends[0].reason == "hung_up"
        assert line.gateway.sessions == {}
        types = [event.type for event in seen]
        assert "realtime_audio_interrupted" in types
        end = seen[-1]
        assert (end.type, end.data["by"], end.data["reason"]) == ("run_ended", "user", "hung_up")
        [cut] = [event for event in seen if event.type == "realtime_audio_interrupted"]
        # The cut is at the last mark before the clear.
        assert 0 <= clear.heard_ms - cut.data["played_ms"] <= 200


async def test_a_pressed_key_becomes_a_message_of_the_user(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([GREETING, Say("Sales.", audio_ms=500)])
    async with (
        open_line(responder=responder, dtmf_message="The caller pressed {key}.") as line,
        line.call() as call,
    ):
        await call.wait_heard(3000)
        [hosted] = line.gateway.sessions.values()
        await call.press("5")
        await call.wait_quiet()
        history = hosted.session.session.history
        messages = [item.content for item in history if isinstance(item, MessageItem)]
        assert messages[1] == (InputText(text="The caller pressed 5."),)
        assert messages[2] == (OutputAudio(transcript="Sales."),)


async def test_a_stream_without_the_token_of_the_webhook_is_refused(
    autojump_clock: MockClock,
) -> None:
    async with open_line() as line:
        async with dial_media_stream(line.serve, parameters={"token": "guess"}) as call:
            await call.wait_over()
        assert line.ends[0].reason == "refused"
        assert line.gateway.admission.running == 0


async def test_a_session_that_ends_ends_the_call(autojump_clock: MockClock) -> None:
    async with open_line(responder=ScriptedResponder([GREETING])) as line:
        async with line.call() as call:
            await call.wait_heard(500)
            [hosted] = line.gateway.sessions.values()
            with trio.fail_after(30):
                await hosted.session.stop()
                await call.wait_over()
        assert line.ends[0].reason == "session_ended"


async def test_a_call_above_the_limit_fails_and_harms_no_other(autojump_clock: MockClock) -> None:
    async with open_line(responder=ScriptedResponder([GREETING])) as line:
        line.gateway.admission.max_sessions = 1
        async with line.call() as first:
            await first.wait_heard(100)
            async with line.call() as second:
                await second.wait_over()
            assert [end.reason for end in line.ends] == ["failed"]
            await first.wait_heard(500)
            assert line.gateway.admission.running == 1
