"""Storage of artifacts: one interface for a directory, memory and the stores of cloud providers."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, final

import trio

from trio_realtime.errors import UsageError

from .backend import ObjectBackend, ObjectInfo
from .errors import ObjectNotFound, ObjectStorageError, describe
from .keys import check_key, check_prefix

T = TypeVar("T")

CHUNK_SIZE: Final = 1024 * 1024
MAX_THREADS: Final = 8
MAX_EXPIRES: Final = 7 * 24 * 3600
"""Seconds that a URL of S3 can be valid."""


@final
class ObjectReader(AsyncIterator[bytes]):
    """The bytes of an object, in chunks. :meth:`ObjectStorage.open` makes it.

    Attributes:
        size: the bytes of the whole object.
    """

    def __init__(
        self, size: int, chunks: Iterator[bytes], call: Callable[..., Any], key: str
    ) -> None:
        self.size: int = size
        self._chunks = chunks
        self._call = call
        self._key = key

    async def __anext__(self) -> bytes:
        chunk: bytes | None = await self._call("read", self._key, next, self._chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk


@final
class ObjectStorage:
    """Objects by key. :func:`open_object_storage` makes it.

    Keys are relative paths. All methods run in threads; cancellation takes effect between two chunks of an
    object, and before and after other requests.

    Args:
        backend: where the objects are.
        name: the URL of the storage, without credentials.
        limiter: limits the threads; eight by default.
    """

    def __init__(
        self, backend: ObjectBackend, *, name: str, limiter: trio.CapacityLimiter | None = None
    ) -> None:
        self.name: str = name
        self._backend = backend
        self._limiter = limiter or trio.CapacityLimiter(MAX_THREADS)

    def __repr__(self) -> str:
        return f"<ObjectStorage {self.name}>"

    async def put(
        self, key: str, source: bytes | str | os.PathLike[str], *, content_type: str | None = None
    ) -> None:
        """Store an object. One with the same key is replaced.

        The object appears when it is complete: a reader never sees a part of it. Cancellation and errors
        leave what was there before.

        Args:
            key: the key.
            source: the bytes, or the path of a file.
            content_type: the media type, such as ``audio/wav``, for storages that have one.

        Raises:
            UsageError: the key is not valid.
            ObjectStorageError: the file cannot be read, or the object cannot be stored.
        """
        check_key(key)
        if isinstance(source, str | os.PathLike):
            source = Path(source)
        elif not isinstance(source, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(f"expected bytes or the path of a file, got {type(source).__name__}")
        try:
            await self._run(self._backend.put, key, source, content_type)
        except self._backend.errors as exc:
            # A file that is missing is no missing object.
            self._fail("store", key, exc, ObjectStorageError)

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return an object, or a range of it. Use :meth:`open` for one that may be large.

        Args:
            key: the key.
            start: the first byte.
            length: the number of bytes at most; all by default.

        Raises:
            UsageError: the key or the range is not valid.
            ObjectNotFound: there is no such object.
            ObjectStorageError: it cannot be read.
        """
        async with self.open(key, start=start, length=length) as reader:
            return b"".join([chunk async for chunk in reader])

    @asynccontextmanager
    async def open(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        chunk_size: int = CHUNK_SIZE,
    ) -> AsyncGenerator[ObjectReader]:
        """Open an object, or a range of it, to iterate over its chunks during a block.

        Args:
            key: the key.
            start: the first byte.
            length: the number of bytes at most; all by default.
            chunk_size: bytes of a chunk, roughly.

        Raises:
            UsageError: the key or the range is not valid.
            ObjectNotFound: there is no such object.
            ObjectStorageError: it cannot be read. Iterating may raise this too.
        """
        check_key(key)
        if start < 0 or (length is not None and length <= 0) or chunk_size <= 0:
            raise UsageError("start must not be negative, length and chunk_size must be positive")
        size, chunks = await self._call(
            "read", key, self._backend.read, key, start, length, chunk_size
        )
        try:
            yield ObjectReader(size, chunks, self._call, key)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                with trio.CancelScope(shield=True):
                    await self._run(close)

    async def info(self, key: str) -> ObjectInfo | None:
        """Return the size and the time of an object; ``None`` if there is no such object.

        Raises:
            UsageError: the key is not valid.
            ObjectStorageError: the storage cannot be read.
        """
        check_key(key)
        try:
            return await self._call("read", key, self._backend.info, key)
        except ObjectNotFound:
            return None

    async def exists(self, key: str) -> bool:
        """Return whether there is an object with this key. Raises like :meth:`info`."""
        return await self.info(key) is not None

    async def delete(self, key: str) -> None:
        """Remove an object. If there is none, nothing happens.

        Raises:
            UsageError: the key is not valid.
            ObjectStorageError: it cannot be removed.
        """
        check_key(key)
        with suppress(ObjectNotFound):
            await self._call("remove", key, self._backend.delete, key)

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Return the objects whose keys begin with ``prefix/``, by key; all objects by default.

        Raises:
            UsageError: the prefix is not valid.
            ObjectStorageError: the storage cannot be read.
        """
        prefix = check_prefix(prefix)
        found: list[ObjectInfo] = await self._call("list", prefix, self._backend.list, prefix)
        return sorted(found, key=lambda info: info.key)

    async def url(self, key: str, expires: float = 3600) -> str | None:
        """Return a URL with which anyone can read an object for a while. Treat it as a secret.

        The object need not exist.

        Args:
            key: the key.
            expires: seconds for which it is valid, up to a week.

        Returns:
            The URL; ``None`` if the storage has none: a directory, memory, or a plain HTTP server.

        Raises:
            UsageError: the key or ``expires`` is not valid.
            ObjectStorageError: the credentials do not allow it.
        """
        check_key(key)
        if not 1 <= expires <= MAX_EXPIRES:
            raise UsageError(f"expires must be from 1 to {MAX_EXPIRES} seconds, got {expires!r}")
        url: str | None = await self._call("sign a URL of", key, self._backend.url, key, expires)
        return url

    # --- threads --------------------------------------------------------------------------------

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)

    async def _call(self, verb: str, key: str, function: Callable[..., T], *args: Any) -> T:
        try:
            return await self._run(function, *args)
        except FileNotFoundError as exc:
            self._fail(verb, key, exc, ObjectNotFound)
        except self._backend.errors as exc:
            self._fail(verb, key, exc, ObjectStorageError)

    def _fail(
        self, verb: str, key: str, exc: Exception, kind: type[ObjectStorageError]
    ) -> NoReturn:
        reason = describe(exc, self._backend.secrets)
        # The cause may have credentials in its message.
        raise kind(f"cannot {verb} {key!r} in {self.name}: {reason}") from None
