"""Storages of objects: a directory, memory, and a server that speaks S3."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from hypothesis import given, settings, strategies as st

from support.fake_s3 import FakeS3, serve_s3
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.server.objects import (
    ObjectNotFound,
    ObjectStorage,
    ObjectStorageError,
    directory as directory_module,
    open_object_storage,
    remote as remote_module,
)
from trio_realtime.server.objects.keys import check_key

KEY = "sess_1/run_1/recording.wav"
SECRET = "secret-key-of-a-test"


@pytest.fixture
def s3() -> Generator[FakeS3]:
    with serve_s3() as server:
        yield server


def open_s3(server: FakeS3, url: str = "s3://bucket/prefix") -> ObjectStorage:
    options = {
        "aws_endpoint": server.url,
        "aws_region": "us-east-1",
        "aws_access_key_id": "AKIATEST",
        "aws_secret_access_key": SECRET,
        "allow_http": "true",
    }
    return open_object_storage(url, options=options)


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    match request.param:
        case "file":
            return open_object_storage((tmp_path / "a b").as_uri())
        case "memory":
            return open_object_storage("memory://")
        case _:
            return open_s3(request.getfixturevalue("s3"))


# --- all storages -------------------------------------------------------------------------------


async def test_an_object_is_read_as_it_was_stored(storage: ObjectStorage, tmp_path: Path) -> None:
    path = tmp_path / "source"
    await trio.Path(path).write_bytes(b"from a file")
    await storage.put(KEY, b"0123456789", content_type="audio/wav")
    await storage.put("other", path)
    assert await storage.get(KEY) == b"0123456789"
    assert await storage.get("other") == b"from a file"
    await storage.put(KEY, b"new")
    assert await storage.get(KEY) == b"new"
    info = await storage.info(KEY)
    assert info is not None
    assert (info.key, info.size) == (KEY, 3)
    assert abs(info.modified - datetime.now(UTC)) < timedelta(days=10_000)
    assert info.modified.tzinfo is not None


async def test_ranges(storage: ObjectStorage) -> None:
    await storage.put(KEY, b"0123456789")
    assert await storage.get(KEY, start=3) == b"3456789"
    assert await storage.get(KEY, start=3, length=4) == b"3456"
    assert await storage.get(KEY, length=2) == b"01"
    assert await storage.get(KEY, start=8, length=100) == b"89"
    wrong: list[tuple[int, int | None]] = [(-1, None), (0, 0), (0, -1)]
    for start, length in wrong:
        with pytest.raises(UsageError, match="start must not be negative"):
            await storage.get(KEY, start=start, length=length)


async def test_a_large_object_is_read_in_chunks(storage: ObjectStorage) -> None:
    data = bytes(range(256)) * 4096
    await storage.put(KEY, data)
    chunks: list[bytes] = []
    async with storage.open(KEY, chunk_size=100_000) as reader:
        assert reader.size == len(data)
        async for chunk in reader:
            chunks.append(chunk)  # noqa: PERF401 - the loop is what is tested
    assert b"".join(chunks) == data
    assert len(chunks) > 2
    async with storage.open(KEY, chunk_size=1000):
        pass  # leaving early is allowed


async def test_objects_are_listed_by_folder(storage: ObjectStorage) -> None:
    for key in ("b/2", "a/1", "b/c/3", "bb/4"):
        await storage.put(key, key.encode())
    assert [info.key for info in await storage.list()] == ["a/1", "b/2", "b/c/3", "bb/4"]
    assert [(info.key, info.size) for info in await storage.list("b")] == [("b/2", 3), ("b/c/3", 5)]
    assert await storage.list("b") == await storage.list("b/")
    assert await storage.list("missing") == []


async def test_an_object_that_does_not_exist(storage: ObjectStorage) -> None:
    assert not await storage.exists(KEY)
    with pytest.raises(ObjectNotFound, match=f"cannot read '{KEY}' in "):
        await storage.get(KEY)
    await storage.delete(KEY)
    await storage.put(KEY, b"x")
    assert await storage.exists(KEY)
    assert not await storage.exists("sess_1")  # the name of a folder
    assert not await storage.exists(f"{KEY}/more")
    await storage.delete(KEY)
    assert not await storage.exists(KEY)
    assert await storage.list() == []


async def test_a_source_that_cannot_be_stored(storage: ObjectStorage, tmp_path: Path) -> None:
    with pytest.raises(ObjectStorageError, match=f"cannot store '{KEY}'") as info:
        await storage.put(KEY, tmp_path / "missing")
    assert not isinstance(info.value, ObjectNotFound)
    source: object = 7
    with pytest.raises(UsageError, match="expected bytes or the path of a file, got int"):
        await storage.put(KEY, source)  # type: ignore[arg-type]
    assert await storage.list() == []


async def test_methods_check_keys(storage: ObjectStorage) -> None:
    key = "../secret"
    calls: list[Callable[[], object]] = [
        lambda: storage.put(key, b""),
        lambda: storage.get(key),
        lambda: storage.exists(key),
        lambda: storage.delete(key),
        lambda: storage.list(key),
        lambda: storage.url(key),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="has a part that begins with a dot"):
            await call()  # type: ignore[misc]
    with pytest.raises(UsageError, match="expires must be from 1 to 604800 seconds, got 0"):
        await storage.url(KEY, 0)


# --- keys and URLs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/.hidden",
        "a\\b",
        "a\nb",
        "a\0",
        "x" * 1025,
    ],
)
def test_keys_are_relative_paths(key: str) -> None:
    with pytest.raises(UsageError, match="expected a relative path such as"):
        check_key(key)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_a_valid_key_stays_within_its_directory(key: str) -> None:
    root = Path("/srv/objects")
    try:
        check_key(key)
    except UsageError:
        return
    path = root / key
    assert path.is_relative_to(root)
    assert ".." not in path.parts
    assert path.relative_to(root).as_posix() == key


@pytest.mark.parametrize(
    "url", ["", "recordings", "/var/recordings", "ftp://host/x", "file:/x", "s3:bucket"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not supported: use file:///directory"):
        open_object_storage(url)


@pytest.mark.parametrize("url", ["file://relative/x", "file://", "file:///a%00b"])
def test_a_directory_has_an_absolute_path(url: str) -> None:
    with pytest.raises(ConfigurationError, match="use three slashes"):
        open_object_storage(url)


def test_options_belong_to_remote_storages() -> None:
    with pytest.raises(ConfigurationError, match="a storage with memory:// has no options"):
        open_object_storage("memory://", options={"aws_region": "x"})
    with pytest.raises(ConfigurationError, match="'nonsense' is not valid") as info:
        open_object_storage(
            "s3://bucket", options={"nonsense": "x", "aws_secret_access_key": SECRET}
        )
    assert SECRET not in str(info.value)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-realtime\[objects\]'"):
        open_object_storage("s3://bucket")
    assert repr(open_object_storage(tmp_path.as_uri())) == f"<ObjectStorage {tmp_path.as_uri()}>"


def test_the_name_has_no_credentials() -> None:
    storage = open_object_storage(f"https://user:{SECRET}@example.com/files?token={SECRET}")
    assert SECRET not in repr(storage)
    assert "example.com/files" in repr(storage)


# --- a directory --------------------------------------------------------------------------------


def files_in(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


async def test_a_directory_has_the_objects_as_files(tmp_path: Path) -> None:
    storage = open_object_storage(tmp_path.as_uri())
    await storage.put(KEY, b"x")
    assert files_in(tmp_path) == ["sess_1", "sess_1/run_1", KEY]
    await storage.delete(KEY)
    assert files_in(tmp_path) == []
    assert await storage.url(KEY) is None


async def test_a_cancelled_copy_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, storage = tmp_path / "source", open_object_storage((tmp_path / "objects").as_uri())
    await trio.Path(source).write_bytes(bytes(1000))
    await storage.put(KEY, b"old")
    create = directory_module._create
    with trio.CancelScope() as scope:

        def create_and_cancel(path: Path) -> IO[bytes]:
            file = create(path)
            trio.from_thread.run_sync(scope.cancel)
            return file

        monkeypatch.setattr(directory_module, "_create", create_and_cancel)
        await storage.put(KEY, source)
    assert scope.cancelled_caught
    assert await storage.get(KEY) == b"old"
    assert [info.key for info in await storage.list()] == [KEY]


async def test_a_key_below_a_file_cannot_be_stored(tmp_path: Path) -> None:
    storage = open_object_storage(tmp_path.as_uri())
    await storage.put("a", b"x")
    with pytest.raises(ObjectStorageError, match="cannot store 'a/b'"):
        await storage.put("a/b", b"y")


# --- S3 -----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_requests_have_the_prefix_and_the_media_type(s3: FakeS3) -> None:
    await open_s3(s3).put(KEY, b"data", content_type="audio/wav")
    assert s3.objects == {f"prefix/{KEY}": (b"data", "audio/wav")}
    assert [info.key for info in await open_s3(s3).list("sess_1")] == [KEY]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "file"])
async def test_a_large_object_is_uploaded_in_parts(s3: FakeS3, tmp_path: Path, kind: str) -> None:
    data = bytes(range(250)) * 80_000
    await trio.Path(tmp_path / "source").write_bytes(data)
    source = data if kind == "bytes" else tmp_path / "source"
    await open_s3(s3).put(KEY, source, content_type="audio/wav")
    assert s3.objects == {f"prefix/{KEY}": (data, "audio/wav")}
    assert sum("partNumber" in request for request in s3.requests) == 3
    assert s3.uploads == {}


@pytest.mark.slow
async def test_a_cancelled_upload_leaves_no_object(
    s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "PART_SIZE", 5 * 1024 * 1024)
    await trio.Path(tmp_path / "source").write_bytes(bytes(300_000_000))
    with trio.CancelScope() as scope:

        async def cancel_during_the_upload() -> None:
            while not any("partNumber" in request for request in s3.requests):
                await trio.lowlevel.checkpoint()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_during_the_upload)
            await open_s3(s3).put(KEY, tmp_path / "source")
    assert scope.cancelled_caught
    assert s3.objects == {}


@pytest.mark.slow
async def test_a_url_of_an_object_is_signed(s3: FakeS3) -> None:
    url = await open_s3(s3).url(KEY, 60)
    assert url is not None
    assert url.startswith(f"{s3.url}/bucket/prefix/{KEY}?")
    assert SECRET not in url
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]


@pytest.mark.slow
async def test_an_error_has_no_credentials(s3: FakeS3) -> None:
    s3.failure = (
        f"<Error><Code>AccessDenied</Code><Message>{SECRET} http://a/?sig=abc</Message></Error>"
    )
    storage = open_s3(s3)
    with pytest.raises(ObjectStorageError, match="cannot store") as info:
        await storage.put(KEY, b"x")
    text = f"{info.value!r} {info.value} {info.value.__cause__!r}"
    assert "AccessDenied" in text
    assert SECRET not in text
    assert "abc" not in text
    assert info.value.__suppress_context__
    with pytest.raises(ObjectStorageError, match="cannot read"):
        await storage.get(KEY)
    with pytest.raises(ObjectStorageError, match="cannot list"):
        await storage.list()
