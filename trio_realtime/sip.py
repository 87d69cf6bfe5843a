"""Phone calls over SIP: accept, reject, transfer and end them.

A caller reaches the service by SIP, and the service reports the call to a webhook with the event
``realtime.call.incoming``. The answer to it is an HTTPS request, which :class:`SipCalls` sends. A session
then joins the call::

    calls = SipCalls(endpoint)


    async def answer(call_id: str) -> None:
        await calls.accept(call_id, agent, config=config)
        async with open_realtime_session(
            agent, endpoint=endpoint.attach(call_id), config=config
        ) as s:
            ...

Verify the signature of the webhook before you use its ``call_id``, for example with
``openai.webhooks.unwrap`` of the ``openai`` package.

:class:`SipCalls` needs httpx2: ``pip install 'trio-realtime[sip]'``. :func:`accept_payload` does not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Generator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import quote, urlsplit

import attrs
import trio

from ._end_dates import warn_about_end_dates
from ._redaction import SecretMask, redact_url
from ._validation import is_number
from .agents import RealtimeAgent, check_agents, describe
from .config import SessionConfig
from .endpoints import Endpoint, ResolvedEndpoint
from .errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    ConnectTimeout,
    RealtimeError,
    SipRequestRejected,
    UsageError,
)
from .session.agent_settings import first_settings
from .session.connection.http_body import read_error
from .wire import unstructure

if TYPE_CHECKING:
    import httpx2

__all__ = ["SipCalls", "accept_payload"]

ContextT = TypeVar("ContextT")

_MAX_BODY = 64 * 1024
"""Bytes of an error response to read."""

_QUERY_OF_SESSION = frozenset({"call_id", "deployment", "model"})
"""Shorter values are no keys, and masking them would damage the text."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+")


# --- the payload -------------------------------------------------------------------------------


@overload
async def accept_payload(
    agent: RealtimeAgent[None],
    *,
    model: str | None = None,
    config: SessionConfig | None = None,
) -> dict[str, Any]: ...


@overload
async def accept_payload(
    agent: RealtimeAgent[ContextT],
    *,
    model: str | None = None,
    config: SessionConfig | None = None,
    context: ContextT,
) -> dict[str, Any]: ...


async def accept_payload(
    agent: RealtimeAgent[Any],
    *,
    model: str | None = None,
    config: SessionConfig | None = None,
    context: Any = None,
) -> dict[str, Any]:
    """Return the body of the request that accepts a call.

    It has the settings that a session with this agent begins with, so that the agent may speak before
    a session has joined the call. There are two differences. It has no audio formats, because the call
    has negotiated them. It has no tools of the agent's MCP servers, because these start with the
    session.

    Args:
        agent: The agent that answers the call.
        model: The model of the call, unless ``config`` names one.
        config: The settings of the session.
        context: The context of the session, for instructions and conditions that are functions.

    Raises:
        ConfigurationError: A handoff of the agent is not valid, or a name occurs twice.
    """
    config = config if config is not None else SessionConfig()
    check_agents(agent)
    described = await describe(agent, context)
    settings = first_settings(described, config, joins_call=True)
    model = config.model or model
    return unstructure(attrs.evolve(settings, model=model) if model else settings)


# --- the requests ------------------------------------------------------------------------------


class SipCalls:
    """Accepts, rejects, transfers and ends the SIP calls of a service.

    Every method sends one HTTPS request. A key function of the endpoint is called for each request.
    Redirects are not followed. If a method is cancelled or times out, the service may have received
    the request all the same.

    All methods raise:

    - :class:`AuthenticationFailed`: The service rejected the key.
    - :class:`SipRequestRejected`: The service rejected the request, for example because the call is
      over (status 404).
    - :class:`ConnectFailed`: The service was not reached, redirected, failed (status 500 and above) or
      wants fewer requests (status 429). Trying again may help.
    - :class:`ConnectTimeout`: There was no response within ``timeout``.
    - :class:`ConfigurationError`: An argument, or the key that the key function returned, is invalid.

    Args:
        endpoint: The service. Its URL must end with ``/realtime``: the requests go to
            ``/realtime/calls/...`` of the same server, with ``https`` for ``wss``.
        timeout: Seconds for one request, including the key function.
        http_client: A client to send the requests with, for example one with a proxy. It is not
            closed, and its timeouts do not apply. Without it, each request has a client of its own,
            which respects the variables of the environment for proxies and certificates.

    Raises:
        ConfigurationError: httpx2 is not installed, the URL of the endpoint has another form, or
            ``timeout`` is not positive.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float = 10.0,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        if find_spec("httpx2") is None:
            raise ConfigurationError("SIP calls need httpx2: pip install 'trio-realtime[sip]'")
        if not urlsplit(endpoint.url).path.endswith("/realtime"):
            raise ConfigurationError(
                "the path of the endpoint's URL must end with /realtime for SIP calls: "
                f"{redact_url(endpoint.url)}"
            )
        if not is_number(timeout) or not timeout > 0:
            raise ConfigurationError(f"timeout must be a number > 0, got {timeout!r}")
        self._endpoint = endpoint
        self._timeout = timeout
        self._http_client = http_client

    def __repr__(self) -> str:
        return f"SipCalls({self._endpoint!r})"

    @overload
    async def accept(
        self,
        call_id: str,
        agent: RealtimeAgent[None],
        *,
        config: SessionConfig | None = None,
    ) -> None: ...

    @overload
    async def accept(
        self,
        call_id: str,
        agent: RealtimeAgent[ContextT],
        *,
        config: SessionConfig | None = None,
        context: ContextT,
    ) -> None: ...

    async def accept(
        self,
        call_id: str,
        agent: RealtimeAgent[Any],
        *,
        config: SessionConfig | None = None,
        context: Any = None,
    ) -> None:
        """Accept an incoming call.

        Open a session with ``endpoint.attach(call_id)`` next, with the same agent, settings and context.

        Args:
            call_id: The ``call_id`` of the event ``realtime.call.incoming``.
            agent: The agent that answers the call.
            config: The settings of the session. Its model, or else the endpoint's, is the model of the
                call.
            context: The context of the session.
        """
        config = config if config is not None else SessionConfig()
        warn_about_end_dates(
            attrs.evolve(self._endpoint, call_id=None),
            config,
            stacklevel=2,
            uses_prompt=agent.prompt is not None,
        )
        payload = await accept_payload(
            agent, model=self._endpoint.default_model, config=config, context=context
        )
        await self._post(call_id, "accept", payload)

    async def reject(self, call_id: str, *, status_code: int | None = None) -> None:
        """Reject an incoming call.

        Args:
            call_id: The ``call_id`` of the event ``realtime.call.incoming``.
            status_code: The SIP status for the caller, from 300 to 699, such as 486 (busy). By default
                the service sends 603 (decline).

        Raises:
            UsageError: ``status_code`` is not such a number.
        """
        if status_code is None:
            await self._post(call_id, "reject", None)
            return
        if type(status_code) is not int or not 300 <= status_code <= 699:
            raise UsageError(
                f"status_code must be a SIP status from 300 to 699, such as 486, got {status_code!r}"
            )
        await self._post(call_id, "reject", {"status_code": status_code})

    async def refer(self, call_id: str, *, target_uri: str) -> None:
        """Transfer a call to another number or SIP address. The session of the call ends.

        Args:
            call_id: The call.
            target_uri: A URI such as ``tel:+14155550123`` or ``sip:agent@example.com``.

        Raises:
            UsageError: ``target_uri`` is not a URI.
        """
        if type(target_uri) is not str or not _URI.fullmatch(target_uri):
            raise UsageError(
                "target_uri must be a URI such as tel:+14155550123 or sip:agent@example.com, "
                f"got {target_uri!r}"
            )
        await self._post(call_id, "refer", {"target_uri": target_uri})

    async def hangup(self, call_id: str) -> None:
        """End a call. The session of the call ends too. WebRTC calls can be ended like this as well.

        Args:
            call_id: The call.
        """
        await self._post(call_id, "hangup", None)

    async def _post(self, call_id: str, action: str, body: Mapping[str, Any] | None) -> None:
        with trio.move_on_after(self._timeout):
            resolved = await self._endpoint.attach(call_id).resolve()
            url = _url_of_action(resolved.url, call_id, action)
            await self._send(action, url, resolved, body)
            return
        raise ConnectTimeout(f"SIP {action} failed: no response within {self._timeout:g} s")

    async def _send(
        self, action: str, url: str, resolved: ResolvedEndpoint, body: Mapping[str, Any] | None
    ) -> None:
        import httpx2

        mask = SecretMask(headers=resolved.headers, urls=[resolved.url])
        # Bodies of errors are limited in size, so compressed ones are not accepted.
        headers = [("Accept-Encoding", "identity"), *resolved.headers]
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        try:
            with _redacted_logs(httpx2.URL(url)):
                async with (
                    self._client() as client,
                    client.stream(
                        "POST",
                        url,
                        headers=headers,
                        content=None if body is None else json.dumps(body).encode(),
                        follow_redirects=False,
                        timeout=None,  # the cancel scope in `_post` is the limit
                    ) as response,
                ):
                    if response.is_success:
                        return
                    text = await _read_text(response)
        except httpx2.HTTPError as exc:
            reason = mask.text(str(exc)) or type(exc).__name__
            raise ConnectFailed(f"SIP {action} failed: {reason}") from exc
        location = response.headers.get("location", "")
        raise _error_of(action, response.status_code, location, mask.text(text))

    def _client(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        import httpx2

        return httpx2.AsyncClient() if self._http_client is None else nullcontext(self._http_client)


def _url_of_action(url: str, call_id: str, action: str) -> str:
    """Return the URL of the request for a URL of a session; other parts of the query remain."""
    parts = urlsplit(url)
    pairs = (
        pair for pair in parts.query.split("&") if pair.partition("=")[0] not in _QUERY_OF_SESSION
    )
    return parts._replace(
        scheme={"ws": "http", "wss": "https"}[parts.scheme],
        path=f"{parts.path}/calls/{quote(call_id, safe='')}/{action}",
        query="&".join(pairs),
    ).geturl()


async def _read_text(response: httpx2.Response) -> str:
    """Return the beginning of a body, also if the connection breaks before its end."""
    import httpx2

    await trio.lowlevel.checkpoint()  # the body may have arrived already
    stream, body = response.stream, b""
    assert isinstance(stream, httpx2.AsyncByteStream)
    with suppress(httpx2.TransportError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= _MAX_BODY:
                # Closing makes the next read fail, which ends httpx2's nested generators. A `break`
                # would leave them to the garbage collector.
                await stream.aclose()
    return body[:_MAX_BODY].decode("utf-8", "replace")


def _error_of(action: str, status: int, location: str, body: str) -> RealtimeError:
    reason, code = read_error(body)
    detail = f": {reason}" if reason else ""
    if status in (401, 403):
        message = f"the service rejected the key (HTTP {status}){detail}"
        return AuthenticationFailed(message, code=code)
    if 300 <= status < 400:
        return ConnectFailed(
            f"SIP {action} failed: the service redirects to {redact_url(location)} "
            f"(HTTP {status}). Redirects are not followed: if you trust the target, use its URL for "
            "the endpoint",
            status=status,
        )
    message = f"SIP {action} failed (HTTP {status}){detail}"
    if 400 <= status < 500 and status not in (408, 429):
        return SipRequestRejected(message, status=status, code=code)
    return ConnectFailed(message, status=status)


# --- secrets -----------------------------------------------------------------------------------


@contextmanager
def _redacted_logs(url: httpx2.URL) -> Generator[None]:
    """Redact a URL in the log records of httpx2, because its query may have the key."""
    redaction = _UrlRedaction(url)
    logger = logging.getLogger("httpx2")
    logger.addFilter(redaction)
    try:
        yield
    finally:
        logger.removeFilter(redaction)


class _UrlRedaction(logging.Filter):
    """A logging filter that redacts one URL and drops no records."""

    def __init__(self, url: httpx2.URL) -> None:
        super().__init__()
        self._url = url

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record in place."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                redact_url(str(arg)) if arg == self._url else arg for arg in record.args
            )
        return True
