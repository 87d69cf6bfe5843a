"""The messages between a client and the gateway, besides events and binary frames of audio.

The types and the limits of the fields are checked by :func:`.parse_client_message`, and are in the AsyncAPI
document.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, TypeAlias

import attrs

from trio_realtime._event_json import OMIT_NONE, object_encoder
from trio_realtime.wire import AudioFormat

from .event import PROTOCOL_VERSION

__all__ = [
    "CLIENT_MESSAGES",
    "MAX_AUDIO_BYTES",
    "MAX_TEXT_LENGTH",
    "SERVER_MESSAGES",
    "Ack",
    "Approve",
    "Clear",
    "ClientMessage",
    "Commit",
    "End",
    "ErrorReply",
    "EventsMissed",
    "Hello",
    "Interrupt",
    "Message",
    "Mute",
    "Ping",
    "Playback",
    "Pong",
    "Reject",
    "SendAudio",
    "SendText",
    "ServerMessage",
    "ToolResult",
    "Welcome",
]

MAX_TEXT_LENGTH: Final = 100_000
"""The number of characters that a text of the user may have."""

MAX_AUDIO_BYTES: Final = 4 * 1024 * 1024
"""The number of bytes of audio that one message may have: 87 seconds of PCM16 at 24 kHz."""

_MAX_BASE64: Final = (MAX_AUDIO_BYTES + 2) // 3 * 4

Role: TypeAlias = Literal["owner", "observer"]
"""``owner`` speaks with the agent, ``observer`` only receives events."""

AudioEncoding: TypeAlias = Literal["binary", "base64", "none"]
"""How a client receives audio: as binary frames, as base64 in the JSON, or not at all."""


def _limits(**keywords: Any) -> dict[str, Any]:
    """Return the metadata of a field with the keywords of JSON Schema that limit its value."""
    return {"schema": keywords}


def _optional(**keywords: Any) -> dict[str, Any]:
    """Return the metadata of a field that is left out if it is ``None``."""
    return {"schema": keywords, **OMIT_NONE}


@attrs.frozen(kw_only=True)
class Message:
    """Base class of all messages."""

    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the message as a JSON object with its ``type``."""
        kind: Any = self.__class__
        return {"type": self.type, **object_encoder(kind)(self)}


# --- from the client ---------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class _ClientMessage(Message):
    """Base class of the messages of a client.

    Attributes:
        id: chosen by the client; the answer has the same one. Without it, there is no answer.
    """

    id: str | None = attrs.field(default=None, metadata=_optional(minLength=1, maxLength=128))


@attrs.frozen(kw_only=True)
class Hello(_ClientMessage):
    """The first message of a client.

    Attributes:
        protocol: the version of the protocol that the client speaks.
        token: the token of the session, or the ``resume_token`` of an earlier connection.
        role: what the client is.
        audio: how the client receives audio.
        last_seq: the number of the last event that the client has received; the events after it are sent.
            ``null`` for the events from now on.
    """

    type: ClassVar[Literal["hello"]] = "hello"
    protocol: int = attrs.field(metadata=_limits(minimum=1))
    token: str | None = attrs.field(default=None, repr=False, metadata=_optional(maxLength=4096))
    role: Role = "owner"
    audio: AudioEncoding = "binary"
    last_seq: int | None = attrs.field(default=None, metadata=_optional(minimum=0))


@attrs.frozen(kw_only=True)
class SendText(_ClientMessage):
    """The user wrote a text, and the agent answers it.

    Attributes:
        text: what the user wrote.
    """

    type: ClassVar[Literal["text"]] = "text"
    text: str = attrs.field(metadata=_limits(minLength=1, maxLength=MAX_TEXT_LENGTH))


@attrs.frozen(kw_only=True)
class SendAudio(_ClientMessage):
    """Audio of the user, for clients that cannot send binary frames.

    Attributes:
        audio: raw audio in the input format.
        commit: whether the user's turn ends with it.
    """

    type: ClassVar[Literal["audio"]] = "audio"
    audio: bytes = attrs.field(repr=False, metadata=_limits(maxLength=_MAX_BASE64))
    commit: bool = False


@attrs.frozen(kw_only=True)
class Commit(_ClientMessage):
    """The user's turn ended: the agent answers the audio so far."""

    type: ClassVar[Literal["commit"]] = "commit"


@attrs.frozen(kw_only=True)
class Clear(_ClientMessage):
    """The audio of the user that was not committed is dropped."""

    type: ClassVar[Literal["clear"]] = "clear"


@attrs.frozen(kw_only=True)
class Interrupt(_ClientMessage):
    """The agent stops speaking."""

    type: ClassVar[Literal["interrupt"]] = "interrupt"


@attrs.frozen(kw_only=True)
class Approve(_ClientMessage):
    """A call of a tool that waits for approval may run.

    Attributes:
        call_id: the call.
        always: whether later calls of the same tool need no approval.
    """

    type: ClassVar[Literal["approve"]] = "approve"
    call_id: str = attrs.field(metadata=_limits(minLength=1, maxLength=512))
    always: bool = False


@attrs.frozen(kw_only=True)
class Reject(_ClientMessage):
    """A call of a tool that waits for approval may not run.

    Attributes:
        call_id: the call.
        always: whether later calls of the same tool are rejected too.
        message: what the model is given as the reason.
    """

    type: ClassVar[Literal["reject"]] = "reject"
    call_id: str = attrs.field(metadata=_limits(minLength=1, maxLength=512))
    always: bool = False
    message: str | None = attrs.field(default=None, metadata=_optional(maxLength=10_000))


@attrs.frozen(kw_only=True)
class ToolResult(_ClientMessage):
    """The result of a tool that the client runs.

    Attributes:
        call_id: the call, as in ``tool_result_required``.
        output: the result, for the model.
        is_error: whether the tool has failed, and ``output`` says why.
    """

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    call_id: str = attrs.field(metadata=_limits(minLength=1, maxLength=512))
    output: str = attrs.field(metadata=_limits(maxLength=MAX_TEXT_LENGTH))
    is_error: bool = False


@attrs.frozen(kw_only=True)
class Playback(_ClientMessage):
    """How much of an item the user has heard.

    Attributes:
        item_id: the item.
        content_index: the part of the item.
        played_ms: milliseconds of its audio that were played.
    """

    type: ClassVar[Literal["playback"]] = "playback"
    item_id: str = attrs.field(metadata=_limits(minLength=1, maxLength=512))
    content_index: int = attrs.field(metadata=_limits(minimum=0, maximum=1_000_000))
    played_ms: float = attrs.field(metadata=_limits(minimum=0, maximum=10**12))


@attrs.frozen(kw_only=True)
class Mute(_ClientMessage):
    """The microphone of the user was muted, or is no longer muted.

    Attributes:
        muted: whether the audio of the user is dropped.
    """

    type: ClassVar[Literal["mute"]] = "mute"
    muted: bool


@attrs.frozen(kw_only=True)
class Ping(_ClientMessage):
    """The client wants to know whether the gateway answers. The answer is ``pong``."""

    type: ClassVar[Literal["ping"]] = "ping"


@attrs.frozen(kw_only=True)
class End(_ClientMessage):
    """The session ends."""

    type: ClassVar[Literal["end"]] = "end"


# --- from the gateway --------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Welcome(Message):
    """The answer to ``hello``: the client is connected.

    Attributes:
        protocol: the version of the protocol.
        session_id: the session.
        run_id: the run of the session.
        role: what the client is.
        resume_token: a token with which the client may connect again after its connection was lost.
        last_seq: the number of the latest event of the session.
        input_format: the format in which the client sends audio.
        output_format: the format in which the client receives audio.
        grace: seconds that the session goes on without its owner, who may connect again in this time.
    """

    type: ClassVar[Literal["welcome"]] = "welcome"
    protocol: int = PROTOCOL_VERSION
    session_id: str
    run_id: str
    role: Role
    resume_token: str | None = attrs.field(default=None, repr=False)
    last_seq: int
    input_format: AudioFormat
    output_format: AudioFormat
    grace: float


@attrs.frozen(kw_only=True)
class Ack(Message):
    """A message of the client was carried out.

    Attributes:
        id: the id of the message.
    """

    type: ClassVar[Literal["ack"]] = "ack"
    id: str


@attrs.frozen(kw_only=True)
class ErrorReply(Message):
    """A message of the client was not carried out. The connection stays open unless it is closed after this.

    Attributes:
        id: the id of the message, if it had one.
        code: what is wrong, for programs.
        message: what is wrong, and what to change.
    """

    type: ClassVar[Literal["error"]] = "error"
    id: str | None = attrs.field(default=None, metadata=OMIT_NONE)
    code: str
    message: str


@attrs.frozen(kw_only=True)
class Pong(Message):
    """The answer to ``ping``.

    Attributes:
        id: the id of the message, if it had one.
    """

    type: ClassVar[Literal["pong"]] = "pong"
    id: str | None = attrs.field(default=None, metadata=OMIT_NONE)


@attrs.frozen(kw_only=True)
class EventsMissed(Message):
    """The client was too slow or away for too long: these events are not sent any more.

    Attributes:
        first: the number of the first event that is missing.
        last: the number of the last event that is missing.
    """

    type: ClassVar[Literal["events_missed"]] = "events_missed"
    first: int
    last: int


ClientMessage: TypeAlias = (
    Hello
    | SendText
    | SendAudio
    | Commit
    | Clear
    | Interrupt
    | Approve
    | Reject
    | ToolResult
    | Playback
    | Mute
    | Ping
    | End
)
"""Any message of a client."""

ServerMessage: TypeAlias = Welcome | Ack | ErrorReply | Pong | EventsMissed
"""Any message of the gateway that is no event."""

CLIENT_MESSAGES: Final[tuple[type[ClientMessage], ...]] = (
    Hello,
    SendText,
    SendAudio,
    Commit,
    Clear,
    Interrupt,
    Approve,
    Reject,
    ToolResult,
    Playback,
    Mute,
    Ping,
    End,
)
"""The classes of :data:`ClientMessage`."""

SERVER_MESSAGES: Final[tuple[type[ServerMessage], ...]] = (
    Welcome,
    Ack,
    ErrorReply,
    Pong,
    EventsMissed,
)
"""The classes of :data:`ServerMessage`."""
