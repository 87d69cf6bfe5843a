"""Where managed sessions are stored: the history, the recordings, and the storage of artifacts."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import attrs
import trio

from trio_realtime.errors import ConfigurationError, RealtimeError
from trio_realtime.prices import PriceTable
from trio_realtime.server.objects import ObjectStorage
from trio_realtime.server.recording import (
    AudioChunk,
    Recording,
    RecordingFailed,
    open_recorder,
    sweep,
)
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.store import (
    HistoryStore,
    HistoryStoreError,
    SessionFacts,
    SessionJournal,
    artifact_row,
    audio_chunk_row,
)
from trio_realtime.wire import AudioFormat, InputText, MessageItem, OutputText

from .recording import RunRecorder

__all__ = ["RunFacts", "RunHistory", "SessionStores"]

_WAV: Final = "audio/wav"
_CHUNK_SIZE: Final = 256 * 1024
#: Seconds that the database may take to accept the rows that wait.
_FLUSH_TIMEOUT: Final = 10.0

_log: Final = logging.getLogger("trio_realtime.server.managed")


@attrs.frozen(kw_only=True)
class RunFacts:
    """What the stores of a run need to know.

    Attributes:
        session_id, run_id: the ids.
        input_format, output_format: the formats of the user's and the agent's audio.
        fail: reports a part that has failed, by its name, with a message without secrets.
        is_connected: returns whether the session has been connected. Otherwise, there is nothing to record.
    """

    session_id: str
    run_id: str
    input_format: AudioFormat
    output_format: AudioFormat
    fail: Callable[[str, str], None]
    is_connected: Callable[[], bool]


@final
class RunHistory:
    """Turns the events of a run into rows, and hands them to the writer. It never waits.

    Args:
        store: where the rows go.
        journal: turns events into rows.
    """

    def __init__(self, store: HistoryStore, journal: SessionJournal) -> None:
        self._writer = store.writer
        self._journal = journal
        self._chunks = {"user": count(1), "agent": count(1)}

    def register(self, session_id: str, time: float) -> None:
        """Store that the session exists."""
        self._writer.put([self._journal.session_row(session_id, time=time)])

    def record(self, event: RpcEvent) -> None:
        """Store an event."""
        self._writer.put(self._journal.record(event))

    def record_chunk(self, facts: RunFacts, chunk: AudioChunk) -> None:
        """Store where a piece of recorded audio is."""
        audio_format = chunk.audio_format
        rate = f";rate={audio_format.rate}" if audio_format.rate else ""
        row = audio_chunk_row(
            facts.session_id,
            facts.run_id,
            chunk.track,
            next(self._chunks[chunk.track]),
            file=chunk.file,
            offset=chunk.offset,
            size=chunk.size,
            audio_format=f"{audio_format.type}{rate}",
            position_ms=chunk.position_ms,
            duration_ms=chunk.duration_ms,
            delta_ms=chunk.delta_ms,
            item_id=chunk.item_id,
            content_index=chunk.content_index,
        )
        self._writer.put([row])


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(path).absolute()


@attrs.frozen(kw_only=True)
class SessionStores:
    """Where managed sessions are stored. What is ``None`` is not stored.

    Args:
        history: the database of sessions.
        recordings: the directory of recordings. Segments are written there while a call runs.
        objects: where finished recordings are moved. Without it, they stay in ``recordings``.
        opt_out: store that things happened, and nothing of what was said.
        prices: what usage costs, for the history; without it, no prices are stored.
        owner_node: the name of this process in the history, to find its sessions after a crash. No other
            process may have the same name while it runs.
    """

    history: HistoryStore | None = None
    recordings: Path | None = attrs.field(
        default=None, converter=attrs.converters.optional(_absolute)
    )
    objects: ObjectStorage | None = None
    opt_out: bool = False
    prices: PriceTable | None = None
    owner_node: str | None = None

    def open_history(
        self, facts: SessionFacts, earlier_items: Iterable[str] = ()
    ) -> RunHistory | None:
        """Return the history of a new run, which begins with the items of earlier runs that have these ids."""
        if self.history is None:
            return None
        facts = attrs.evolve(facts, owner_node=self.owner_node)
        journal = SessionJournal(
            facts, opt_out=self.opt_out, earlier_items=earlier_items, prices=self.prices
        )
        return RunHistory(self.history, journal)

    @asynccontextmanager
    async def record(
        self, facts: RunFacts, history: RunHistory | None
    ) -> AsyncGenerator[RunRecorder | None]:
        """Record a run for the duration of a block. Leaving the block makes the recording.

        A session that was never connected has none. A failure of the recording does not end the run. Cancellation leaves the segments for
        :meth:`recover`; any other exception of the block is raised after the recording was made.
        """
        if self.recordings is None:
            yield None
            return
        on_chunk = partial(history.record_chunk, facts) if history is not None else None
        opened = open_recorder(
            self.recordings,
            session_id=facts.session_id,
            run_id=facts.run_id,
            input_format=facts.input_format,
            output_format=facts.output_format,
            on_chunk=on_chunk,
            on_failure=lambda error: facts.fail("recording", str(error)),
        )
        async with AsyncExitStack() as stack:
            try:
                recorder = await stack.enter_async_context(opened)
            except ConfigurationError as exc:
                facts.fail("recording", str(exc))
                yield None
                return
            failure: Exception | None = None
            try:
                yield RunRecorder(recorder)
            except Exception as exc:  # noqa: BLE001 - raised below
                failure = exc
            finally:
                if not facts.is_connected():
                    with trio.CancelScope(shield=True), suppress(RecordingFailed):
                        await _remove_run(recorder.directory / "recording.wav")
            if facts.is_connected():
                try:
                    recording = await recorder.finish(trio.current_time())
                except RealtimeError as exc:
                    facts.fail("recording", str(exc))
                else:
                    await self._add_run_recording(recording, facts)
            if failure is not None:
                raise failure

    async def _add_run_recording(self, recording: Recording, facts: RunFacts) -> None:
        self._store_recording(recording, recording.stereo.path.as_uri())
        try:
            await self._upload(recording)
        except RealtimeError as exc:
            facts.fail("artifacts", str(exc))

    async def recover(self) -> list[Recording]:
        """Finish what a crash has left: recordings without an end, and sessions that seem to run.

        Call it when the process starts, before its first session. Recordings that cannot be made or uploaded
        are logged, and do not stop the others. Without ``owner_node``, sessions stay as they are.

        Raises:
            RealtimeError: the directory of recordings or the database cannot be used.
        """
        if self.history is not None:
            await self.history.mark_interrupted_sessions(self.owner_node)
        if self.recordings is None:
            return []
        recordings = await sweep(
            self.recordings,
            on_recording=lambda made: self._store_recording(made, made.stereo.path.as_uri()),
            on_failure=lambda _run, error: _log.warning("%s", error),
        )
        for recording in recordings:
            try:
                await self._upload(recording)
            except RealtimeError as exc:
                _log.warning("session %s: %s", recording.session_id, exc)
        return recordings

    async def flush_history(self) -> None:
        """Wait until the rows of all runs so far are in the history.

        Raises:
            HistoryStoreError: the database does not accept them in time.
        """
        if self.history is None:
            return
        with trio.move_on_after(_FLUSH_TIMEOUT) as scope:
            await self.history.writer.flush()
        if scope.cancelled_caught:
            raise HistoryStoreError("the database does not accept the history; try again later")

    async def recording_of(self, session_id: str) -> Path | None:
        """Return the file of the latest recording of a session; ``None`` if there is none on this machine."""
        artifact = await self._latest_recording(session_id)
        path = _local_path(artifact) if artifact is not None else None
        return path if path is not None and await trio.Path(path).is_file() else None

    @asynccontextmanager
    async def open_recording(self, session_id: str) -> AsyncGenerator[AsyncIterator[bytes] | None]:
        """Open the latest recording of a session, a WAV file, to iterate over its bytes during a block.

        Yields ``None`` if there is none.

        Raises:
            RealtimeError: the database or the object storage cannot be read. Iterating may raise this too.
        """
        artifact = await self._latest_recording(session_id)
        if artifact is None:
            yield None
            return
        path = _local_path(artifact)
        if path is None and self.objects is not None:
            async with self.objects.open(_key_of(artifact)) as reader:
                yield reader
        elif path is not None and await trio.Path(path).is_file():
            async with await trio.open_file(path, "rb") as file:
                yield _FileChunks(file)
        else:
            yield None

    async def _latest_recording(self, session_id: str) -> Mapping[str, Any] | None:
        if self.history is None:
            return None
        artifacts = await self.history.artifacts(session_id, kind="recording")
        return artifacts[-1] if artifacts else None

    async def earlier_items(self, session_id: str) -> tuple[MessageItem, ...]:
        """Return the messages of the earlier runs of a session, as far as they have text.

        What the user did not hear of a message is left out.
        """
        if self.history is None:
            return ()
        rows = await self.history.items(session_id)
        return tuple(item for row in rows if (item := _message_of(row)) is not None)

    async def delete_artifacts(self, artifacts: Iterable[Mapping[str, Any]]) -> None:
        """Delete the files of artifacts, as ``HistoryStore.delete_session`` returns them.

        Raises:
            RealtimeError: a file could not be deleted. All others were.
        """
        failure: RealtimeError | None = None
        for artifact in artifacts:
            path = _local_path(artifact)
            try:
                if path is not None:
                    await _remove_run(path)
                elif self.objects is not None:
                    await self.objects.delete(_key_of(artifact))
            except RealtimeError as exc:
                failure = failure or exc
        if failure is not None:
            raise failure

    async def _upload(self, recording: Recording) -> None:
        """Move a recording to the object storage, if there is one. If that fails, it stays where it is."""
        if self.objects is None:
            return
        path = recording.stereo.path
        key = f"{recording.session_id}/{recording.run_id}/{path.name}"
        await self.objects.put(key, path, content_type=_WAV)
        self._store_recording(recording, f"object:{key}")
        await _remove_run(path)

    def _store_recording(self, recording: Recording, url: str) -> None:
        """Store where a recording is. It waits for nothing: the database may be away."""
        if self.history is None:
            return
        stereo = recording.stereo
        row = artifact_row(
            recording.session_id,
            f"{recording.run_id}_recording",
            run_id=recording.run_id,
            kind="recording",
            url=url,
            size=stereo.size,
            sha256=stereo.sha256,
            content_type=_WAV,
            duration_ms=round(recording.duration_ms),
            created_at=time.time(),
            state="complete" if recording.is_complete else "recovered",
        )
        self.history.writer.put([row])


def _local_path(artifact: Mapping[str, Any]) -> Path | None:
    url = str(artifact["url"])
    return Path(url2pathname(urlsplit(url).path)) if url.startswith("file:") else None


def _key_of(artifact: Mapping[str, Any]) -> str:
    return str(artifact["url"]).removeprefix("object:")


async def _remove_run(recording: Path) -> None:
    """Remove a recording, and the files that described its segments. It cannot be cancelled."""
    with trio.CancelScope(shield=True):
        try:
            await trio.to_thread.run_sync(_remove_files, recording)
        except OSError as exc:
            raise RecordingFailed(f"{recording} could not be removed: {exc.strerror}") from exc


def _remove_files(recording: Path) -> None:
    recording.unlink(missing_ok=True)
    run = recording.parent
    manifest, lock = run / "manifest.jsonl", run / "lock"
    with suppress(FileNotFoundError):
        files = set(run.iterdir())
        if manifest not in files or not files <= {manifest, lock}:
            return  # another directory, or there are segments that stay
        for path in files:
            path.unlink(missing_ok=True)
        run.rmdir()
    with suppress(OSError):  # another run
        run.parent.rmdir()


@final
class _FileChunks(AsyncIterator[bytes]):
    """The bytes of an open file, in chunks."""

    def __init__(self, file: Any) -> None:
        self._file = file

    async def __anext__(self) -> bytes:
        chunk: bytes = await self._file.read(_CHUNK_SIZE)
        if not chunk:
            raise StopAsyncIteration
        return chunk


def _message_of(row: Mapping[str, Any]) -> MessageItem | None:
    heard = row["heard_text"]
    text: str | None = heard if heard is not None else row["text"]
    if row["kind"] != "message" or row["role"] not in ("user", "assistant") or not text:
        return None
    part = InputText(text=text) if row["role"] == "user" else OutputText(text=text)
    return MessageItem(id=row["item_id"], role=row["role"], content=(part,))
