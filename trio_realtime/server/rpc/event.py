"""One event of a session as it is sent to clients and stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast

import attrs
import msgspec
import pybase64

from trio_realtime._event_json import json_safe
from trio_realtime.wire import FrameError, JsonObject, parse_frame

__all__ = ["AUDIO_TYPE", "PROTOCOL_VERSION", "RpcEvent", "RpcEventError"]

PROTOCOL_VERSION: Final = 1
"""The version of the events. It changes only if a client of an older version would misread them."""

AUDIO_TYPE: Final = "realtime_audio"
"""The type of the only event that has audio."""

_AUDIO_KEY: Final = "audio"
_LENGTH_BYTES: Final = 4
_MAX_SEQ: Final = 2**63 - 1


class RpcEventError(ValueError):
    """A value is not an event of this version. The message says which key is wrong."""


@attrs.frozen(kw_only=True)
class RpcEvent:
    """One event of a session, ready to be sent or stored.

    Types and keys of ``data`` that this version does not know are accepted, and stay as they are.

    Attributes:
        type: ``realtime_`` and the type of the session event, such as ``realtime_audio``, or the type of a run
            event, such as ``run_started``.
        session_id: the session.
        run_id: the run of the session: a session that is continued has several.
        seq: the number of the event in the session: 1, 2, 3 and so on, without gaps.
        time: when it happened, in seconds since the Unix epoch.
        data: the fields of the event, as JSON values.
        audio: raw audio in the output format of the session; only ``realtime_audio`` has it.
        version: the version of the protocol.

    Raises:
        RpcEventError: ``time`` is not finite, ``audio`` belongs to another type than ``realtime_audio``, or is
            in ``data``.
    """

    type: str
    session_id: str
    run_id: str
    seq: int
    time: float
    data: Mapping[str, Any]
    audio: bytes | None = attrs.field(default=None, repr=False)
    version: int = PROTOCOL_VERSION

    def __attrs_post_init__(self) -> None:
        if not math.isfinite(self.time):
            raise RpcEventError(f"time: expected a finite number, got {self.time!r}")
        if self.type != AUDIO_TYPE:
            if self.audio is not None:
                raise RpcEventError(f"audio: only {AUDIO_TYPE} has audio, not {self.type!r}")
        elif _AUDIO_KEY in self.data:
            raise RpcEventError("data: pass the audio as the argument 'audio'")

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a JSON object, with the audio as base64 in ``data["audio"]``."""
        data = dict(self.data)
        if self.type == AUDIO_TYPE:
            audio = self.audio
            data[_AUDIO_KEY] = None if audio is None else pybase64.b64encode_as_string(audio)
        return self._header(data)

    @classmethod
    def from_dict(cls, value: Any) -> RpcEvent:
        """Return the event of a JSON object, as :meth:`to_dict` returned it.

        Keys that an event does not have are ignored.

        Raises:
            RpcEventError: it is no such object, or one of another version.
        """
        return _read(value, audio=None, in_frame=False)

    def to_frame(self) -> bytes:
        """Return the event as a binary frame.

        The frame has 4 bytes with the length of the header (unsigned, big-endian), the header (JSON in
        UTF-8, as :meth:`to_dict` without the audio), and the audio.
        """
        data = dict(self.data)
        if self.type == AUDIO_TYPE and self.audio is None:
            data[_AUDIO_KEY] = None  # unlike audio of no bytes
        header = _encode(self._header(data))
        return len(header).to_bytes(_LENGTH_BYTES, "big") + header + (self.audio or b"")

    @classmethod
    def from_frame(cls, frame: bytes | bytearray | memoryview) -> RpcEvent:
        """Return the event of a binary frame, as :meth:`to_frame` returned it.

        Raises:
            RpcEventError: it is no such frame, or one of another version.
        """
        if not isinstance(frame, bytes | bytearray | memoryview):
            raise RpcEventError(f"expected a binary frame, got {type(frame).__name__}")
        content = bytes(frame)
        size = len(content) - _LENGTH_BYTES
        if size < 0:
            raise RpcEventError(f"the frame has {len(content)} bytes, which is no complete length")
        length = int.from_bytes(content[:_LENGTH_BYTES], "big")
        if length > size:
            raise RpcEventError(f"the header has {length} bytes, and the frame only {size} more")
        end = _LENGTH_BYTES + length
        try:
            header = parse_frame(content[_LENGTH_BYTES:end])
        except FrameError as exc:
            raise RpcEventError(f"the header is not a JSON object: {exc}") from None
        return _read(header, audio=content[end:], in_frame=True)

    def _header(self, data: JsonObject) -> JsonObject:
        return {
            "type": self.type,
            "session_id": self.session_id,
            "run_id": self.run_id,
            "seq": self.seq,
            "time": self.time,
            "data": data,
            "version": self.version,
        }


def _encode(header: JsonObject) -> bytes:
    try:
        return msgspec.json.encode(header)
    except (TypeError, ValueError, RecursionError):
        # The event was created with values that JSON does not have.
        return msgspec.json.encode(json_safe(header))


# --- reading -----------------------------------------------------------------------------------


def _read(value: Any, *, audio: bytes | None, in_frame: bool) -> RpcEvent:
    if not isinstance(value, Mapping):
        raise RpcEventError(f"expected a JSON object, got {type(value).__name__}")
    source = cast("Mapping[str, Any]", value)
    version = _get(source, "version", _is_int, "an integer")
    if version != PROTOCOL_VERSION:
        raise RpcEventError(f"version: expected {PROTOCOL_VERSION}, got {version}")
    kind = _get(source, "type", _is_name, "a non-empty string")
    data = dict(_get(source, "data", _is_object, "an object"))
    return RpcEvent(
        type=kind,
        session_id=_get(source, "session_id", _is_str, "a string"),
        run_id=_get(source, "run_id", _is_str, "a string"),
        seq=_get(source, "seq", _is_seq, "an integer from 1"),
        time=float(_get(source, "time", _is_time, "a finite number")),
        data=data,
        audio=_take_audio(kind, data, audio, in_frame=in_frame),
        version=version,
    )


def _take_audio(
    kind: str, data: JsonObject, following: bytes | None, *, in_frame: bool
) -> bytes | None:
    """Return the audio of an event, and remove it from the data."""
    if kind != AUDIO_TYPE:
        if following:
            raise RpcEventError(f"{len(following)} bytes follow the header of a {kind!r}")
        return None
    if not in_frame:
        return _decode_audio(data.pop(_AUDIO_KEY, None))
    if _AUDIO_KEY not in data:
        return following
    if data.pop(_AUDIO_KEY) is not None or following:
        raise RpcEventError("data.audio: in a frame, audio follows the header")
    return None


def _decode_audio(value: Any) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RpcEventError(f"data.audio: expected a string, got {type(value).__name__}")
    try:
        return pybase64.b64decode(value, validate=True)
    except ValueError:
        raise RpcEventError("data.audio: expected base64") from None


def _get(source: Mapping[str, Any], key: str, is_valid: Callable[[Any], bool], kind: str) -> Any:
    if key not in source:
        raise RpcEventError(f"{key} is missing")
    value = source[key]
    return value if is_valid(value) else _reject(key, kind, value)


def _reject(key: str, kind: str, value: Any) -> NoReturn:
    is_short = value is None or isinstance(value, bool | int | float | str)
    got = f"{value!r:.80}" if is_short else type(value).__name__
    raise RpcEventError(f"{key}: expected {kind}, got {got}")


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seq(value: Any) -> bool:
    return _is_int(value) and 1 <= value <= _MAX_SEQ


def _is_time(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -_MAX_SEQ <= value <= _MAX_SEQ
    return isinstance(value, float) and math.isfinite(value)


def _is_object(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    pairs = cast("Mapping[Any, Any]", value)  # type: ignore[redundant-cast]
    return all(isinstance(key, str) for key in pairs)
