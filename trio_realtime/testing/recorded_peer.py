"""A service that plays a recording of frames, in step with the session."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import attrs
import msgspec

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, open_realtime_session
from trio_realtime.endpoints import Endpoint
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire.dialects import DialectName

from .peer import Frame, ScriptedPeer

__all__ = ["RecordedPeer", "replay_recording"]

ContextT = TypeVar("ContextT")


class _Line(msgspec.Struct, forbid_unknown_fields=False):
    """One line of a recording, from the view of the client."""

    direction: Literal["sent", "received"]
    data: dict[str, Any] | str


_CAUSES: Mapping[str, str] = {
    "session.updated": "session.update",
    "conversation.item.added": "conversation.item.create",
    "conversation.item.created": "conversation.item.create",
    "conversation.item.deleted": "conversation.item.delete",
    "conversation.item.truncated": "conversation.item.truncate",
    "input_audio_buffer.speech_started": "input_audio_buffer.append",
    "input_audio_buffer.committed": "input_audio_buffer.commit",
    "input_audio_buffer.cleared": "input_audio_buffer.clear",
    "response.created": "response.create",
}
"""What a client sends to receive a frame. The service also sends some of them by itself."""


@attrs.frozen
class _Reply:
    """A frame of the service, which follows the ``count``-th frame of type ``cause`` of the client."""

    frame: Frame
    cause: str
    count: int


class RecordedPeer(ScriptedPeer):
    """A service that plays a recording. Pass its ``connect`` method as ``transport=``.

    A recording is a JSONL file. Each line has the ``direction`` of a frame, ``sent`` or ``received`` by the
    client, and its ``data``: a JSON object, or its text.

    An answer of the service waits until the session has sent as many frames of the type that it answers as
    the recorded client had: a ``response.created`` waits for its ``response.create``. What these frames
    contain is not compared: check it with ``received``.

    Args:
        path: the file.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is no recorded frame.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(greet=False, acknowledge=False)
        self._replies = deque(_replies_of(_read_lines(Path(path))))
        self._sent: Counter[str] = Counter()
        self._play()

    @property
    def remaining(self) -> int:
        """The number of frames that were not played yet."""
        return len(self._replies)

    @property
    def waiting_for(self) -> str | None:
        """The type of the frame that the session has to send next; ``None`` at the end."""
        return self._replies[0].cause if self._replies else None

    def _handle_frame(self, frame: Frame) -> None:
        super()._handle_frame(frame)
        self._sent[frame["type"]] += 1
        self._play()

    def _play(self) -> None:
        while self._replies and self._sent[self._replies[0].cause] >= self._replies[0].count:
            self.send(self._replies.popleft().frame)


def _replies_of(lines: Iterable[tuple[str, Frame]]) -> Iterator[_Reply]:
    """Yield the frames of the service, each with what it waits for."""
    sent: Counter[str] = Counter()
    for direction, frame in lines:
        kind = frame["type"]
        if direction == "sent":
            # Another client may send its audio in fewer frames.
            sent[kind] = 1 if kind == "input_audio_buffer.append" else sent[kind] + 1
        else:
            cause = "" if _is_output(frame) else _CAUSES.get(kind, "")
            yield _Reply(frame, cause, sent[cause])


def _is_output(frame: Frame) -> bool:
    """Return whether the item of the frame is the model's. The model needs no frame of the client."""
    item: Frame = frame.get("item") or {}
    return item.get("role") == "assistant" or item.get("type") == "function_call"


def _read_lines(path: Path) -> Iterator[tuple[str, Frame]]:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"cannot read {path}: {exc.strerror}") from exc
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entry = msgspec.json.decode(line, type=_Line)
            data = entry.data
            frame = msgspec.json.decode(data, type=Frame) if isinstance(data, str) else data
            frame["type"]
        except (msgspec.MsgspecError, KeyError) as exc:
            raise ConfigurationError(
                f"{path}:{number}: expected a recorded frame such as "
                '{"direction": "received", "data": {"type": "session.created"}}: '
                f"{exc}"
            ) from exc
        yield entry.direction, frame


@overload
def replay_recording(
    path: str | Path,
    agent: RealtimeAgent[None],
    *,
    config: SessionConfig | None = None,
    dialect: DialectName = "ga",
) -> AbstractAsyncContextManager[tuple[RealtimeSession[None], RecordedPeer]]: ...


@overload
def replay_recording(
    path: str | Path,
    agent: RealtimeAgent[ContextT],
    *,
    config: SessionConfig | None = None,
    context: ContextT,
    dialect: DialectName = "ga",
) -> AbstractAsyncContextManager[tuple[RealtimeSession[ContextT], RecordedPeer]]: ...


@asynccontextmanager
async def replay_recording(
    path: str | Path,
    agent: RealtimeAgent[Any],
    *,
    config: SessionConfig | None = None,
    context: Any = None,
    dialect: DialectName = "ga",
) -> AsyncGenerator[tuple[RealtimeSession[Any], RecordedPeer]]:
    """Open a session with a :class:`RecordedPeer` for the duration of an ``async with`` block.

    The session receives the recorded frames. The test does what the recorded user did: it sends a
    message, or audio. The agent's tools run again; what they return does not change the recorded answers.

    Args:
        path: the recording, a JSONL file.
        agent: the agent.
        config: the settings of the session. By default it does not connect again.
        context: the ``context`` of the session.
        dialect: the dialect of the recorded service.

    Raises:
        ConfigurationError: the file is no recording.
        RealtimeError: see :func:`~trio_realtime.open_realtime_session`.
    """
    peer = RecordedPeer(path)
    async with open_realtime_session(
        agent,
        endpoint=Endpoint.compatible("ws://recording.invalid/v1/realtime", dialect=dialect),
        transport=peer.connect,
        config=SessionConfig(reconnect=None) if config is None else config,
        context=context,
    ) as session:
        yield session, peer
