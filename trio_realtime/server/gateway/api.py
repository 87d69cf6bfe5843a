"""The HTTP interface of the gateway: sessions, their history, health and metrics."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, final

import attrs
import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trio_realtime.server.managed import EventReader, EventsMissed, ManagedSession
from trio_realtime.server.rpc import load_asyncapi, load_schema
from trio_realtime.server.store import HistoryStore, HistoryStoreError

from .access import OriginPolicy, TenantKeys
from .gateway import Gateway, SessionNotFound
from .hosting import HostedSession
from .json_values import is_object
from .metrics import CONTENT_TYPE, GatewayMetrics
from .responses import Handler, RequestError, handles_errors, json_response, read_json
from .tokens import Role

__all__ = ["Api"]

_MAX_PAGE: Final = 1000
_MAX_TEXT: Final = 100_000
_STATUSES: Final = ("created", "running", "ended", "failed", "interrupted")
#: Seconds that a request waits for the history to be written.
_FLUSH_TIMEOUT: Final = 0.5


@final
class Api:
    """The handlers of the HTTP interface.

    Args:
        gateway: the gateway.
        keys: the keys of the tenants.
        metrics: what is counted.
        origins: the web pages that may send requests without a key, where these are allowed.
        metrics_key_needed: whether ``/metrics`` needs the key of a tenant.
    """

    def __init__(
        self,
        gateway: Gateway,
        keys: TenantKeys,
        metrics: GatewayMetrics,
        *,
        origins: OriginPolicy,
        metrics_key_needed: bool = False,
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._metrics = metrics
        self._origins = origins
        self._metrics_key_needed = metrics_key_needed
        self._schema = load_schema()
        self._asyncapi = load_asyncapi()

    def routes(self) -> list[Route]:
        """Return the routes of the interface."""
        session = "/v1/sessions/{session_id}"
        actions: Mapping[str, Callable[[Request, ManagedSession], Awaitable[Any]]] = {
            "message": self._send_message,
            "say": self._say,
            "transfer": self._transfer,
            "tool_result": self._answer_tool_call,
            "interrupt": self._interrupt,
            "approve": self._approve,
            "reject": self._reject,
            "end": self._end,
        }
        return [
            _route("/healthz", self._healthz),
            _route("/readyz", self._readyz),
            _route("/metrics", self._get_metrics),
            _route("/v1/events.schema.json", self._get_schema),
            _route("/v1/asyncapi.json", self._get_asyncapi),
            _route("/v1/agents", self._list_agents),
            _route("/v1/sessions", self._create_session, "POST"),
            _route("/v1/sessions", self._list_sessions),
            _route(session, self._get_session),
            _route(session, self._delete_session, "DELETE"),
            _route(f"{session}/events", self._get_events),
            _route(f"{session}/recording", self._get_recording),
            _route(f"{session}/tokens", self._create_token, "POST"),
            *(
                _route(f"{session}/{name}", self._on_running_session(action), "POST")
                for name, action in actions.items()
            ),
        ]

    # --- the server

    async def _healthz(self, _request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return json_response({"status": "ok"})

    async def _readyz(self, _request: Request) -> Response:
        problems: list[str] = []
        if self._gateway.admission.is_draining:
            problems.append("the server is shutting down")
        history = self._gateway.stores.history
        if history is not None:
            with trio.move_on_after(2) as scope:
                try:
                    await history.check()
                except HistoryStoreError:  # its text may name hosts: it is in the log of the store
                    problems.append("the database does not answer")
            if scope.cancelled_caught:
                problems.append("the database does not answer")
        status = "not ready" if problems else "ready"
        return json_response(
            {"status": status, "problems": problems}, status=503 if problems else 200
        )

    async def _get_metrics(self, request: Request) -> Response:
        if self._metrics_key_needed:
            self._tenant(request)
        await trio.lowlevel.checkpoint()
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _get_schema(self, _request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return json_response(self._schema)

    async def _get_asyncapi(self, _request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return json_response(self._asyncapi)

    async def _list_agents(self, request: Request) -> Response:
        self._tenant(request)
        await trio.lowlevel.checkpoint()
        agents = [{"name": name} for name in self._gateway.specs]
        return json_response({"agents": agents, "default": self._gateway.default_agent})

    # --- sessions

    async def _create_session(self, request: Request) -> Response:
        tenant = self._tenant(request)
        body = await read_json(request)
        _check_keys(body, "agent", "session_id", "variables", "metadata")
        created = await self._gateway.create_session(
            tenant=tenant,
            agent=_text_of(body, "agent"),
            session_id=_name_from(_text_of(body, "session_id"), "session_id"),
            variables=_object_of(body, "variables"),
            metadata=_object_of(body, "metadata"),
        )
        location = f"/v1/sessions/{created.session_id}"
        return json_response(
            {**attrs.asdict(created), "url": f"{location}/stream"},
            status=201,
            headers={"Location": location},
        )

    async def _list_sessions(self, request: Request) -> Response:
        tenant = self._tenant(request)
        query = request.query_params
        history = await self._history()
        if history is None:
            sessions = [
                _describe(hosted)
                for hosted in self._gateway.sessions.values()
                if hosted.session.tenant == tenant
            ]
            return json_response({"sessions": sessions, "next_cursor": None})
        page = await history.list_sessions(
            tenant=tenant,
            status=_status_of(request),
            agent=_name_from(query.get("agent"), "agent"),
            limit=_limit_of(request, 50),
            cursor=query.get("cursor"),
        )
        return json_response(page)

    async def _get_session(self, request: Request) -> Response:
        tenant, session_id = self._tenant(request), _id_of(request)
        live = self._live(session_id, tenant)
        stored = await self._stored(session_id, tenant)
        if live is None and stored is None:
            raise SessionNotFound(f"there is no session {session_id!r:.80}")
        described = (
            {} if live is None or live.session.end is not None else {"live": _describe(live)}
        )
        return json_response({**(stored or {"id": session_id}), **described})

    async def _delete_session(self, request: Request) -> Response:
        tenant, session_id = self._tenant(request), _id_of(request)
        if self._live(session_id, tenant) is not None:
            raise RequestError("the session runs: end it before", status=409, code="conflict")
        history = self._gateway.stores.history
        if history is None or await self._stored(session_id, tenant) is None:
            raise SessionNotFound(f"there is no session {session_id!r:.80}")
        with self._gateway.reserve(session_id):
            deleted = await history.delete_session(session_id)
            await self._gateway.stores.delete_artifacts(deleted.artifacts)
        return Response(status_code=204)

    async def _get_events(self, request: Request) -> Response:
        tenant, session_id = self._tenant(request), _id_of(request)
        after, limit = _number_of(request, "after", 0), _limit_of(request, _MAX_PAGE)
        live = self._live(session_id, tenant)
        if "text/event-stream" in request.headers.get("accept", ""):
            if live is None:
                raise SessionNotFound("only a session that runs has a stream of events")
            last = request.headers.get("last-event-id")
            if last is not None:
                after = _number_from(last, "Last-Event-ID")
            stream = _server_sent_events(live.session.stream_events(after))
            return StreamingResponse(
                stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )
        history = self._gateway.stores.history
        if history is None or await self._stored(session_id, tenant) is None:
            raise SessionNotFound(f"there is no stored session {session_id!r:.80}")
        events = await history.events(session_id, after=after, limit=limit)
        return json_response({"events": events})

    async def _get_recording(self, request: Request) -> Response:
        tenant, session_id = self._tenant(request), _id_of(request)
        if await self._stored(session_id, tenant) is None:
            raise SessionNotFound(f"there is no stored session {session_id!r:.80}")
        stack = AsyncExitStack()
        try:
            chunks = await stack.enter_async_context(
                self._gateway.stores.open_recording(session_id)
            )
            if chunks is None:
                raise SessionNotFound("the session has no recording, or it is not complete yet")
            return _StreamedFile(chunks, stack.pop_all(), f"{session_id}.wav")
        finally:
            with trio.CancelScope(shield=True):
                await stack.aclose()

    async def _create_token(self, request: Request) -> Response:
        tenant = self._tenant(request)
        hosted = self._gateway.find(_id_of(request), tenant)
        body = await read_json(request)
        _check_keys(body, "role")
        role = body.get("role", "observer")
        if role not in ("owner", "observer"):
            raise RequestError("role must be owner or observer")
        if role == "owner" and hosted.has_lasting_owner:
            text = "the session belongs to its phone call or its client: only observers may join"
            raise RequestError(text, status=409, code="conflict")
        chosen: Role = role
        return json_response(
            {
                "token": self._gateway.issue_token(hosted.session, chosen),
                "role": chosen,
                "expires_in": self._gateway.tokens.ttl,
            },
            status=201,
        )

    # --- actions on a session that runs

    def _on_running_session(
        self, action: Callable[[Request, ManagedSession], Awaitable[Any]]
    ) -> Handler:
        async def handle(request: Request) -> Response:
            tenant = self._tenant(request)
            hosted = self._gateway.find(_id_of(request), tenant)
            result = await action(request, hosted.session)
            return json_response({} if result is None else result)

        return handle

    async def _send_message(self, request: Request, session: ManagedSession) -> None:
        body = await read_json(request)
        _check_keys(body, "text", "respond")
        text = _text_of(body, "text", max_length=_MAX_TEXT)
        respond = body.get("respond", True)
        if not text or not isinstance(respond, bool):
            raise RequestError("text must be a string that is not empty, and respond a boolean")
        await session.send_text(text, respond=respond)

    async def _say(self, request: Request, session: ManagedSession) -> None:
        body = await read_json(request)
        _check_keys(body, "text")
        await session.say(_text_of(body, "text", max_length=_MAX_TEXT) or "")

    async def _transfer(self, request: Request, session: ManagedSession) -> None:
        body = await read_json(request)
        _check_keys(body, "agent")
        await session.transfer(_text_of(body, "agent") or "")

    async def _answer_tool_call(self, request: Request, session: ManagedSession) -> dict[str, Any]:
        body = await read_json(request)
        _check_keys(body, "call_id", "output", "is_error")
        call_id, output = _text_of(body, "call_id"), _text_of(body, "output", max_length=_MAX_TEXT)
        is_error = body.get("is_error", False)
        if call_id is None or output is None or not isinstance(is_error, bool):
            raise RequestError("call_id and output must be strings, and is_error a boolean")
        return {"was_waiting": session.answer_tool_call(call_id, output, is_error=is_error)}

    async def _interrupt(self, _request: Request, session: ManagedSession) -> None:
        await session.interrupt()

    async def _approve(self, request: Request, session: ManagedSession) -> dict[str, Any]:
        call_id, always, _ = await _read_decision(request)
        return {"was_waiting": await session.approve_tool_call(call_id, always=always)}

    async def _reject(self, request: Request, session: ManagedSession) -> dict[str, Any]:
        call_id, always, message = await _read_decision(request)
        was_waiting = await session.reject_tool_call(call_id, always=always, message=message)
        return {"was_waiting": was_waiting}

    async def _end(self, _request: Request, session: ManagedSession) -> dict[str, Any]:
        end = await session.stop("stopped")
        return {"by": end.by, "reason": end.reason, "duration": end.duration}

    # --- what the handlers share

    def _tenant(self, request: Request) -> str:
        headers = request.headers
        authorization = headers.get("authorization")
        if authorization is None:  # browsers let any page send such requests
            self._origins.check(headers.get("origin"), headers.get("host"))
        return self._keys.tenant_of(authorization)

    def _live(self, session_id: str, tenant: str) -> HostedSession | None:
        try:
            return self._gateway.find(session_id, tenant)
        except SessionNotFound:
            return None

    async def _history(self) -> HistoryStore | None:
        """Return the history, after what has happened so far was written, unless the database is away."""
        history = self._gateway.stores.history
        if history is not None:
            with trio.move_on_after(_FLUSH_TIMEOUT):
                await history.writer.flush()
        return history

    async def _stored(self, session_id: str, tenant: str) -> dict[str, Any] | None:
        history = await self._history()
        return None if history is None else await history.get_session(session_id, tenant=tenant)


def _describe(hosted: HostedSession) -> dict[str, Any]:
    session, attachments = hosted.session, hosted.attachments
    return {
        "id": session.session_id,
        "run_id": session.run_id,
        "agent": session.spec.name,
        "state": session.state,
        "last_seq": session.last_seq,
        "has_owner": attachments.owner is not None,
        "observers": attachments.observers,
    }


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    return Route(path, handles_errors(handler), methods=[method])


class _StreamedFile(StreamingResponse):
    """A WAV file that is open until the response has been sent."""

    def __init__(self, chunks: AsyncIterator[bytes], stack: AsyncExitStack, name: str) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(chunks, media_type="audio/wav", headers=disposition)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _server_sent_events(reader: EventReader) -> AsyncGenerator[bytes]:  # noqa: ASYNC900 - starlette iterates it
    async for event in reader:
        if isinstance(event, EventsMissed):
            data = msgspec.json.encode({"first": event.first, "last": event.last})
            yield b"event: events_missed\ndata: " + data + b"\n\n"
        else:
            data = msgspec.json.encode(event.to_dict())
            yield f"id: {event.seq}\nevent: {event.type}\ndata: ".encode() + data + b"\n\n"


# --- reading requests ----------------------------------------------------------------------------


def _id_of(request: Request) -> str:
    session_id: str = request.path_params["session_id"]
    if "\0" in session_id:
        raise SessionNotFound(f"there is no session {session_id!r:.80}")
    return session_id


def _name_from(text: str | None, name: str) -> str | None:
    if text is not None and "\0" in text:  # PostgreSQL does not take it
        raise RequestError(f"{name} must have no NUL character")
    return text


def _check_keys(body: Mapping[str, Any], *known: str) -> None:
    unknown = sorted(body.keys() - set(known))
    if unknown:
        raise RequestError(f"unknown key {unknown[0]!r:.80}; the keys are {', '.join(known)}")


def _text_of(body: Mapping[str, Any], key: str, *, max_length: int = 500) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > max_length:
        raise RequestError(f"{key} must be a string of at most {max_length} characters")
    return value


def _object_of(body: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    value: Any = body.get(key)
    if value is None or is_object(value):
        return value
    raise RequestError(f"{key} must be a JSON object")


def _number_of(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    return default if text is None else _number_from(text, name)


def _number_from(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise RequestError(f"{name} must be a number")
    return int(text)


def _status_of(request: Request) -> str | None:
    status = request.query_params.get("status")
    if status is not None and status not in _STATUSES:
        raise RequestError(f"status must be one of {', '.join(_STATUSES)}")
    return status


def _limit_of(request: Request, default: int) -> int:
    limit = _number_of(request, "limit", default)
    if not 1 <= limit <= _MAX_PAGE:
        raise RequestError(f"limit must be from 1 to {_MAX_PAGE}")
    return limit


async def _read_decision(request: Request) -> tuple[str, bool, str | None]:
    body = await read_json(request)
    _check_keys(body, "call_id", "always", "message")
    call_id, always = _text_of(body, "call_id"), body.get("always", False)
    if not call_id or not isinstance(always, bool):
        raise RequestError("call_id must be a string, and always a boolean")
    return call_id, always, _text_of(body, "message", max_length=10_000)
