"""The messages of a Twilio media stream, as text frames of a WebSocket.

Messages of Twilio are accepted liberally: numbers may be strings, unknown keys and unknown messages are
ignored. Messages to Twilio have exactly the keys that Twilio documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import attrs
import msgspec
import pybase64

__all__ = [
    "Connected",
    "Dtmf",
    "MalformedMessage",
    "MarkReturned",
    "Media",
    "Stop",
    "StreamMessage",
    "StreamStart",
    "Unknown",
    "clear_message",
    "mark_message",
    "media_message",
    "parse_message",
]

MAX_MESSAGE: Final = 256 * 1024
"""Characters of the longest message that is parsed. Twilio's are below one thousand."""

_MAX_NUMBER: Final = 10**15

_MAX_QUOTED: Final = 40
"""Characters of a bad value that an error shows."""


class MalformedMessage(ValueError):
    """A message is not one that Twilio sends. It can be ignored; the text says what is wrong."""


@attrs.frozen(kw_only=True)
class StreamStart:
    """The call that a media stream belongs to.

    Attributes:
        stream_sid, call_sid, account_sid: Twilio's ids of the stream, the call and the account.
        parameters: the ``<Parameter>`` elements of the TwiML, without the token of the stream.
        tracks: the tracks that Twilio sends.
        encoding: the audio format in Twilio's spelling, ``audio/x-mulaw``.
        sample_rate: samples per second.
        channels: audio channels.
    """

    stream_sid: str
    call_sid: str = ""
    account_sid: str = ""
    parameters: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    tracks: tuple[str, ...] = ("inbound",)
    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


@attrs.frozen(kw_only=True)
class Connected:
    """The first message: the WebSocket is a media stream."""


@attrs.frozen(kw_only=True)
class Media:
    """Audio of one track.

    Attributes:
        audio: mu-law at 8 kHz.
        track: ``inbound`` is what the caller says.
        chunk: the number of the piece, from 1; ``None`` if it is missing.
        timestamp: milliseconds from the beginning of the stream; ``None`` if it is missing.
    """

    audio: bytes = attrs.field(repr=False)
    track: str = "inbound"
    chunk: int | None = None
    timestamp: int | None = None


@attrs.frozen(kw_only=True)
class MarkReturned:
    """Twilio has played everything that was sent before the mark, or has dropped it after a ``clear``."""

    name: str


@attrs.frozen(kw_only=True)
class Dtmf:
    """The caller has pressed a key: ``0`` to ``9``, ``*``, ``#`` or ``A`` to ``D``."""

    key: str


@attrs.frozen(kw_only=True)
class Stop:
    """The stream has ended: the caller has hung up, or the call goes on elsewhere."""


@attrs.frozen(kw_only=True)
class Unknown:
    """A message of a kind that this version does not know."""

    event: str


StreamMessage: TypeAlias = Connected | StreamStart | Media | MarkReturned | Dtmf | Stop | Unknown
"""The messages that Twilio sends."""

_KEYS: Final = frozenset("0123456789*#ABCD")


def parse_message(text: str | bytes) -> StreamMessage:
    """Parse a message of Twilio.

    Raises:
        MalformedMessage: it is no JSON object, or a value that is needed is missing or invalid.
    """
    if len(text) > MAX_MESSAGE:
        raise MalformedMessage(f"the message has {len(text)} characters")
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
        raise MalformedMessage(f"it is no JSON: {exc}") from None
    if not isinstance(message, dict):
        raise MalformedMessage("it is no JSON object")
    fields = cast("dict[str, Any]", message)
    event = fields.get("event")
    if not isinstance(event, str):
        raise MalformedMessage("it has no event")
    parser = _PARSERS.get(event)
    return parser(fields) if parser is not None else Unknown(event=event[:_MAX_QUOTED])


def _start(message: dict[str, Any]) -> StreamStart:
    start = _object(message, "start")
    stream_sid = _sid(start, "streamSid") or _sid(message, "streamSid")
    if not stream_sid:
        raise MalformedMessage("start has no streamSid")
    media_format = start.get("mediaFormat")
    audio = cast("dict[str, Any]", media_format) if isinstance(media_format, dict) else {}
    given = start.get("customParameters")
    parameters = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    tracks = start.get("tracks")
    names = cast("Sequence[Any]", tracks) if isinstance(tracks, list) else ("inbound",)
    encoding, rate = audio.get("encoding", "audio/x-mulaw"), _number(audio, "sampleRate")
    channels = _number(audio, "channels")
    return StreamStart(
        stream_sid=stream_sid,
        call_sid=_sid(start, "callSid"),
        account_sid=_sid(start, "accountSid"),
        parameters={key: value for key, value in parameters.items() if isinstance(value, str)},
        tracks=tuple(str(name) for name in names),
        encoding=str(encoding),
        sample_rate=8000 if rate is None else rate,
        channels=1 if channels is None else channels,
    )


def _media(message: dict[str, Any]) -> Media:
    media = _object(message, "media")
    payload = _text(media, "payload")
    try:
        audio = pybase64.b64decode(payload, validate=True)
    except ValueError:
        raise MalformedMessage("the payload of media is no base64") from None
    return Media(
        audio=audio,
        track=_optional_text(media, "track") or "inbound",
        chunk=_number(media, "chunk"),
        timestamp=_number(media, "timestamp"),
    )


def _dtmf(message: dict[str, Any]) -> Dtmf:
    key = _text(_object(message, "dtmf"), "digit").upper()
    if key not in _KEYS:
        raise MalformedMessage(f"{key[:_MAX_QUOTED]!r} is no key of a phone")
    return Dtmf(key=key)


_PARSERS: Final[Mapping[str, Callable[[dict[str, Any]], StreamMessage]]] = {
    "connected": lambda _: Connected(),
    "start": _start,
    "media": _media,
    "mark": lambda message: MarkReturned(name=_text(_object(message, "mark"), "name")),
    "dtmf": _dtmf,
    "stop": lambda _: Stop(),
}


def _object(message: dict[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise MalformedMessage(f"{name} is no object")
    return cast("dict[str, Any]", value)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedMessage(f"{name} is no text")
    return value


def _optional_text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _sid(fields: dict[str, Any], name: str) -> str:
    """Return an id; empty if it is missing. It is logged, so it must not look like anything else."""
    value = fields.get(name) or ""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{0,64}", value):
        raise MalformedMessage(f"{name} is no id")
    return value


def _number(fields: dict[str, Any], name: str) -> int | None:
    """Return a number that may be a string; ``None`` if it is neither, or one that no call reaches."""
    match fields.get(name):
        case bool():
            return None
        case int(value) if 0 <= value <= _MAX_NUMBER:
            return value
        case str(text) if text.isascii() and text.isdecimal() and len(text) < 16:
            return int(text)
        case _:
            return None


# --- to Twilio ------------------------------------------------------------------------------------


def media_message(stream_sid: str, audio: bytes) -> str:
    """Return the message that plays audio, which is mu-law at 8 kHz."""
    payload = pybase64.b64encode(audio).decode()
    return _encode({"event": "media", "streamSid": stream_sid, "media": {"payload": payload}})


def mark_message(stream_sid: str, name: str) -> str:
    """Return the message that asks for a report once everything before it was played."""
    return _encode({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}})


def clear_message(stream_sid: str) -> str:
    """Return the message that drops the audio that was not played yet."""
    return _encode({"event": "clear", "streamSid": stream_sid})


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
