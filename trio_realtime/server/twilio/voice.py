"""The webhook of a phone number: the TwiML that connects a call, and the signature of the request.

Twilio signs its webhooks. The WebSocket that follows is opened by the address in the TwiML, which anybody
could guess. So the TwiML carries a token that opens one stream, once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from trio_realtime.errors import ConfigurationError, RealtimeError

__all__ = [
    "TOKEN_PARAMETER",
    "Form",
    "InvalidSignature",
    "StreamTokens",
    "sign",
    "twilio_voice",
    "twiml",
    "validate_signature",
]

TOKEN_PARAMETER: Final = "token"  # noqa: S105 - a name
"""The name of the ``<Parameter>`` with the token of the stream."""

Form: TypeAlias = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]]
"""The fields of a form: a mapping, or pairs, where a name may occur several times."""

_MAX_PARAMETER: Final = 500
"""Characters of the name and the value of a parameter together, by Twilio's documentation."""


class InvalidSignature(RealtimeError):
    """A request does not come from Twilio: its signature is missing or wrong. Answer with HTTP 403."""


# --- TwiML ----------------------------------------------------------------------------------------


def twiml(
    stream_url: str,
    parameters: Mapping[str, str] | None = None,
    *,
    status_callback: str | None = None,
) -> str:
    """Return the TwiML that connects a call with a media stream, in both directions.

    Args:
        stream_url: the address of the WebSocket, ``wss://...`` and without a query, which Twilio does not
            support.
        parameters: values for :attr:`StreamStart.parameters`.
        status_callback: an address to which Twilio reports the beginning and the end of the stream.

    Raises:
        ConfigurationError: the address is none that Twilio accepts, or a parameter is no str, is too long or
            has characters that XML cannot carry.
    """
    _check_stream_url(stream_url)
    response = ET.Element("Response")
    stream = ET.SubElement(ET.SubElement(response, "Connect"), "Stream", url=stream_url)
    if status_callback is not None:
        stream.set("statusCallback", _xml_text(status_callback, "status_callback"))
    for name, value in (parameters or {}).items():
        pair: tuple[Any, Any] = (name, value)
        if not all(isinstance(one, str) for one in pair):
            raise ConfigurationError(
                f"the parameter {name!r:.40}: expected a name and a value that are a str"
            )
        if len(name) + len(value) > _MAX_PARAMETER:
            raise ConfigurationError(
                f"the parameter {name[:40]!r} and its value have more than {_MAX_PARAMETER} characters"
            )
        ET.SubElement(
            stream,
            "Parameter",
            name=_xml_text(name, "the name of a parameter"),
            value=_xml_text(value, f"the parameter {name[:40]!r}"),
        )
    body = ET.tostring(response, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>{body}'


def _check_stream_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("wss", "ws") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    else:
        is_valid = is_valid and not parts.query and not parts.fragment
    if not is_valid:
        raise ConfigurationError(
            "stream_url must be the address of a WebSocket without a query, such as "
            f"wss://example.com/twilio/stream, got {url[:80]!r}. Pass values as parameters"
        )
    _xml_text(url, "stream_url")


def _xml_text(text: str, what: str) -> str:
    """Check that XML can carry a text: it has no way to write most control characters."""
    if any(ord(char) < 32 and char not in "\t\n\r" for char in text) or "\ufffe" in text:
        raise ConfigurationError(f"{what} has control characters, which XML cannot carry")
    if any(0xD800 <= ord(char) < 0xE000 or char == "\uffff" for char in text):
        raise ConfigurationError(f"{what} has characters that XML cannot carry")
    return text


# --- signatures -----------------------------------------------------------------------------------


def _values(form: Form) -> dict[str, set[str]]:
    fields: dict[str, set[str]] = {}
    pairs = cast("Mapping[str, Any]", form).items() if isinstance(form, Mapping) else form
    for name, value in pairs:
        fields.setdefault(name, set()).update([value] if isinstance(value, str) else value)
    return fields


def sign(auth_token: str, url: str, params: Form = ()) -> str:
    """Return Twilio's signature of a request: HMAC-SHA1 of the address and the sorted parameters.

    Args:
        auth_token: the auth token of the account.
        url: the address of the request, with its query.
        params: the fields of the form; nothing for a GET.
    """
    fields = _values(params)
    signed = url + "".join(
        name + value for name in sorted(fields) for value in sorted(fields[name])
    )
    digest = hmac.new(auth_token.encode(), signed.encode(errors="replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def validate_signature(auth_token: str, url: str, params: Form, signature: str | None) -> bool:
    """Return whether a request comes from Twilio.

    Args:
        auth_token: the auth token of the account.
        url: the address that Twilio has called, which a proxy in front of the server may have changed.
            The default port may be missing, and Twilio may have left out any port: either form is valid.
        params: the fields of the form.
        signature: the header ``X-Twilio-Signature``; ``None`` if it is missing.

    Raises:
        ConfigurationError: the auth token is empty.
    """
    if not auth_token:
        raise ConfigurationError("auth_token is empty: take it from the Twilio console")
    given = (signature or "").encode()
    pairs = [(name, value) for name, values in _values(params).items() for value in values]
    # All are compared, so the time does not tell which one was right.
    matches = [
        hmac.compare_digest(sign(auth_token, form_of_url, pairs).encode(), given)
        for form_of_url in _forms_of(url)
    ]
    return any(matches)


def _forms_of(url: str) -> list[str]:
    """Return the address as it is, and with the default port, or without its port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    default = {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(parts.scheme)
    if default is None or not parts.hostname:
        return [url]
    host = f"{parts.netloc}:{default}" if port is None else parts.netloc.rpartition(":")[0]
    return [url, parts._replace(netloc=host).geturl()]


# --- tokens ---------------------------------------------------------------------------------------


class StreamTokens:
    """Tokens that open one media stream each, once. They are held in this process only.

    Args:
        lifetime: seconds after which a token expires. Twilio opens the stream at once.
        max_tokens: tokens that may be waiting; above that, the oldest expire first.
    """

    def __init__(self, *, lifetime: float = 60.0, max_tokens: int = 10_000) -> None:
        self._lifetime = lifetime
        self._max_tokens = max_tokens
        self._tokens: OrderedDict[str, tuple[float, str]] = OrderedDict()  # by their digests

    def __repr__(self) -> str:
        return f"<StreamTokens {len(self._tokens)} waiting>"

    def issue(self, now: float, call_sid: str = "") -> str:
        """Return a new token.

        Args:
            now: seconds of any clock, the same as in :meth:`redeem`.
            call_sid: the call that the token is for; empty for any call.
        """
        token = secrets.token_urlsafe(24)
        self._expire(now)
        while len(self._tokens) >= self._max_tokens:
            self._tokens.popitem(last=False)
        self._tokens[_digest(token)] = (now + self._lifetime, call_sid)
        return token

    def redeem(self, token: str, now: float, call_sid: str = "") -> bool:
        """Use a token up. Returns whether it was valid for this call."""
        self._expire(now)
        # Looking up a digest takes a time that does not depend on the token.
        _, expected = self._tokens.pop(_digest(token), (0.0, None))
        return expected is not None and expected in ("", call_sid)

    def _expire(self, now: float) -> None:
        while self._tokens:
            digest, (expires_at, _) = next(iter(self._tokens.items()))
            if expires_at > now:
                return
            del self._tokens[digest]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


# --- the webhook ----------------------------------------------------------------------------------


def twilio_voice(
    request_url: str,
    form: Form,
    headers: Mapping[str, str],
    *,
    auth_token: str | None,
    stream_url: str,
    tokens: StreamTokens | None = None,
    now: float | None = None,
    parameters: Mapping[str, str] | None = None,
    status_callback: str | None = None,
) -> str:
    """Answer the webhook "a call comes in" of a phone number.

    Args:
        request_url: the address that Twilio has called, as the number's configuration has it.
        form: the fields of the request.
        headers: the headers of the request. Their names are compared without regard to case.
        auth_token: the auth token of the account; ``None`` to skip the check of the signature.
        stream_url: the address of the WebSocket of :func:`run_media_stream`.
        tokens: issues the token of the stream.
        now: the time for the token, in seconds of the clock that redeems it: ``trio.current_time()``.
            It is needed with ``tokens``.
        parameters, status_callback: as in :func:`twiml`.

    Returns:
        str: the TwiML, for an answer with the type ``text/xml``.

    Raises:
        InvalidSignature: the request does not come from Twilio.
        ConfigurationError: an argument cannot work.
    """
    pairs = [(name, value) for name, values in _values(form).items() for value in values]
    if auth_token is not None:
        signature = _header(headers, "x-twilio-signature")
        if not validate_signature(auth_token, request_url, pairs, signature):
            raise InvalidSignature("the signature of the request is missing or wrong")
    given = dict(parameters or {})
    if TOKEN_PARAMETER in given:
        raise ConfigurationError(
            f"the parameter {TOKEN_PARAMETER!r} is for the token of the stream"
        )
    if tokens is not None:
        if now is None:
            raise ConfigurationError("a token expires: pass now=trio.current_time()")
        given[TOKEN_PARAMETER] = tokens.issue(now, dict(pairs).get("CallSid", ""))
    return twiml(stream_url, given, status_callback=status_callback)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)
