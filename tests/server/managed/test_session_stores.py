"""Where the recordings of managed sessions are, and what happens when they cannot be moved or deleted."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from support.gateway import make_spec
from trio_realtime.errors import RealtimeError
from trio_realtime.local import local_connector
from trio_realtime.server.managed import ManagedSession, SessionStores
from trio_realtime.server.objects import ObjectStorage, ObjectStorageError, open_object_storage
from trio_realtime.server.objects.memory import MemoryBackend
from trio_realtime.server.recording import RecordingFailed, open_recorder
from trio_realtime.server.store import HistoryStore, open_history_store
from trio_realtime.transports import ConnectOptions, Transport
from trio_realtime.wire import PCM24K


class FullBackend(MemoryBackend):
    """A storage that stores nothing, and deletes nothing."""

    def put(self, key: str, source: bytes | Path, content_type: str | None) -> None:
        raise OSError("the storage is full")

    def delete(self, key: str) -> None:
        raise OSError("the storage is read-only")


def full_storage() -> ObjectStorage:
    return ObjectStorage(FullBackend(), name="memory://")


@asynccontextmanager
async def stores_in(
    directory: Path, objects: ObjectStorage | None = None
) -> AsyncGenerator[tuple[SessionStores, HistoryStore]]:
    async with open_history_store(directory / "history.db") as history:
        stores = SessionStores(
            history=history,
            recordings=directory / "recordings",
            objects=objects,
            owner_node="node",
        )
        yield stores, history


async def run_call(stores: SessionStores) -> ManagedSession:
    local = local_connector()
    session = ManagedSession(make_spec(), stores=stores, endpoint=local.endpoint, connector=local)
    async with session.managed():
        await session.send_audio(bytes(4800))
    assert session.end is not None
    return session


async def lose_call(stores: SessionStores) -> ManagedSession:
    """Run a call that leaves segments, as a crash does."""
    with trio.CancelScope() as scope:
        local = local_connector()
        session = ManagedSession(
            make_spec(), stores=stores, endpoint=local.endpoint, connector=local
        )
        async with session.managed():
            await session.send_audio(bytes(48_000))
            scope.cancel()
            await trio.sleep_forever()
    return session


async def urls_of(history: HistoryStore, session: ManagedSession) -> list[str]:
    await history.writer.flush()
    return [artifact["url"] for artifact in await history.artifacts(session.session_id)]


@pytest.mark.parametrize("stops", [False, True])
async def test_a_session_that_was_never_connected_has_no_recording(
    tmp_path: Path, *, stops: bool
) -> None:
    @asynccontextmanager
    async def unreachable(_options: ConnectOptions) -> AsyncGenerator[Transport]:
        await trio.lowlevel.checkpoint()
        if stops:
            nursery.start_soon(session.stop)
            await trio.sleep_forever()
        raise OSError("unreachable")
        yield

    async with stores_in(tmp_path) as (stores, history), trio.open_nursery() as nursery:
        session = ManagedSession(
            make_spec(),
            stores=stores,
            nursery=nursery,
            endpoint=local_connector().endpoint,
            connector=unreachable,
        )
        await session.start()
        with pytest.raises(RealtimeError):
            await session.connect()
        assert session.end is not None
        assert session.end.reason == ("stopped" if stops else "connect_failed")
        assert session.end.failures == ()
        assert await urls_of(history, session) == []
        assert list((tmp_path / "recordings").iterdir()) == []


async def test_an_uploaded_recording_leaves_no_file(tmp_path: Path) -> None:
    storage = open_object_storage("memory://")
    async with stores_in(tmp_path, storage) as (stores, history):
        session = await run_call(stores)
        key = f"{session.session_id}/{session.run_id}/recording.wav"
        assert await urls_of(history, session) == [f"object:{key}"]
        assert await storage.exists(key)
        assert list((tmp_path / "recordings").iterdir()) == []
        deleted = await history.delete_session(session.session_id)
        await stores.delete_artifacts(deleted.artifacts)
        assert not await storage.exists(key)


async def test_a_recording_that_cannot_be_uploaded_stays_and_is_deleted(tmp_path: Path) -> None:
    async with stores_in(tmp_path, full_storage()) as (stores, history):
        session = await run_call(stores)
        assert session.end is not None
        [failure] = session.end.failures
        assert failure.part == "artifacts"
        assert "the storage is full" in failure.message
        await history.writer.flush()
        path = await stores.recording_of(session.session_id)
        assert path is not None
        deleted = await history.delete_session(session.session_id)
        await stores.delete_artifacts(deleted.artifacts)
        assert list((tmp_path / "recordings").iterdir()) == []


async def test_a_recording_that_cannot_be_recovered_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stores_in(tmp_path, full_storage()) as (stores, history):
        sessions = [await lose_call(stores) for _ in range(2)]
        damaged = tmp_path / "recordings" / "damaged" / "run"
        damaged.mkdir(parents=True)
        (damaged / "manifest.jsonl").write_bytes(b"")
        with caplog.at_level(logging.WARNING):
            assert len(await stores.recover()) == 2
        assert caplog.text.count("the storage is full") == 2
        assert "no header that can be read" in caplog.text
        for session in sessions:
            [url] = await urls_of(history, session)
            assert url.startswith("file:")


async def test_deleting_goes_on_after_a_failure(tmp_path: Path) -> None:
    stores = SessionStores(recordings=tmp_path, objects=full_storage())
    blocked, recording = tmp_path / "blocked", tmp_path / "session" / "run" / "recording.wav"
    blocked.mkdir()
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"")
    urls = [blocked.as_uri(), "object:key", recording.as_uri()]
    with pytest.raises(RecordingFailed, match="could not be removed"):
        await stores.delete_artifacts([{"url": url} for url in urls])
    assert not recording.exists()
    with pytest.raises(ObjectStorageError, match="read-only"):
        await stores.delete_artifacts([{"url": url} for url in urls[1:]])


async def test_segments_that_stay_are_described(tmp_path: Path) -> None:
    """A recorder of the program may write into the same directory, with keep_segments."""
    async with stores_in(tmp_path, open_object_storage("memory://")) as (stores, _history):
        assert stores.recordings is not None
        async with open_recorder(
            stores.recordings,
            session_id="sess_1",
            run_id="run_1",
            input_format=PCM24K,
            output_format=PCM24K,
            keep_segments=True,
        ) as recorder:
            recorder.user_audio(bytes(48_000), trio.current_time())
        [recording] = await stores.recover()
        assert [path.name for path in sorted(recording.stereo.path.parent.iterdir())] == [
            "lock",
            "manifest.jsonl",
            "user-000001-0.pcm",
        ]
