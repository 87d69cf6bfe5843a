"""Phone calls of Twilio as sessions of the gateway."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, final
from urllib.parse import parse_qsl, urlsplit

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from trio_realtime import RealtimeSession
from trio_realtime.errors import RealtimeError
from trio_realtime.server.twilio import (
    CallEnd,
    InvalidSignature,
    StreamSettings,
    StreamStart,
    StreamTokens,
    run_media_stream,
    twilio_voice,
)
from trio_realtime.wire import PCMU

from .access import check_public_url
from .config import TwilioConfig
from .gateway import Gateway
from .responses import RequestError, handles_errors, read_body

__all__ = ["TwilioLine"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")
_MAX_FORM: Final = 64 * 1024
#: Variables and metadata of a call, and the fields of the webhook.
_NUMBERS: Final = {"from_number": "From", "to_number": "To"}


@final
class TwilioLine:
    """Answers the calls of phone numbers at Twilio. Each call gets a session of its own.

    Args:
        gateway: the gateway.
        config: how calls are answered.
        public_url: the URL at which Twilio reaches the gateway; by default, that of each request.

    Raises:
        ConfigurationError: ``public_url`` is no URL of a web server.
    """

    def __init__(
        self, gateway: Gateway, config: TwilioConfig, *, public_url: str | None = None
    ) -> None:
        if public_url is not None:
            check_public_url(public_url)
        self._gateway = gateway
        self._config = config
        self._public_url = public_url
        self._tokens = StreamTokens()
        self._settings = StreamSettings(dtmf_message=config.dtmf_message)

    def routes(self) -> list[BaseRoute]:
        """Return the routes ``/twilio/voice``, the webhook, and ``/twilio/stream``, the media stream."""
        return [
            Route("/twilio/voice", handles_errors(self._voice), methods=["POST"]),
            WebSocketRoute("/twilio/stream", self._stream),
        ]

    async def _voice(self, request: Request) -> Response:
        body = await read_body(request, limit=_MAX_FORM)
        form = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        url = self._address_of(request)
        try:
            answer = twilio_voice(
                url,
                form,
                request.headers,
                auth_token=self._config.auth_token,
                stream_url=_stream_url(url),
                tokens=self._tokens,
                now=trio.current_time(),
                parameters=_numbers_of(dict(form)),
            )
        except InvalidSignature as exc:
            raise RequestError(str(exc), status=403, code="forbidden") from None
        return Response(answer, media_type="text/xml")

    def _address_of(self, request: Request) -> str:
        if self._public_url is None:
            return str(request.url)
        query = f"?{request.url.query}" if request.url.query else ""
        return f"{self._public_url.rstrip('/')}{request.url.path}{query}"

    async def answer(self, websocket: Any) -> CallEnd:
        """Connect a media stream with a session of its own. Returns how the call ended.

        Args:
            websocket: an accepted WebSocket, as for :func:`~trio_realtime.server.twilio.run_media_stream`.
        """
        end = await run_media_stream(
            websocket,
            self._open_session,
            on_session=self._greet,
            tokens=self._tokens,
            settings=self._settings,
        )
        _log.info("a phone call ended: %s", end.reason)
        return end

    async def _stream(self, socket: WebSocket) -> None:
        await socket.accept()
        await self.answer(socket)

    @asynccontextmanager
    async def _open_session(self, start: StreamStart) -> AsyncGenerator[RealtimeSession[Any]]:
        created = await self._gateway.create_session(
            tenant=self._config.tenant,
            agent=self._config.agent,
            transport="twilio",
            variables=start.parameters,
            metadata={
                "call_sid": start.call_sid,
                "stream_sid": start.stream_sid,
                **{name: start.parameters[name] for name in _NUMBERS if name in start.parameters},
            },
            audio_format=PCMU,
        )
        hosted = self._gateway.find(created.session_id)
        async with hosted.owned(trio.CancelScope()) as managed:
            yield managed.session

    async def _greet(self, session: RealtimeSession[Any]) -> None:
        if self._config.greeting is not None:
            with suppress(RealtimeError):  # the session has ended, which the call notices
                await session.create_response(instructions=self._config.greeting)


def _stream_url(webhook: str) -> str:
    """Return the address of the media stream, which is next to the webhook: the gateway may be mounted."""
    parts = urlsplit(webhook)
    scheme = "wss" if parts.scheme == "https" else "ws"
    path = f"{parts.path.removesuffix('/voice')}/stream"
    return parts._replace(scheme=scheme, path=path, query="", fragment="").geturl()


def _numbers_of(form: dict[str, str]) -> dict[str, str]:
    """Return who calls, and which number, as parameters of the stream."""
    return {name: form[field][:100] for name, field in _NUMBERS.items() if form.get(field)}
