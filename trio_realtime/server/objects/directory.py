"""Objects as files of a directory."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import trio

from .backend import ObjectInfo

_COPY_SIZE: Final = 1024 * 1024
_TEMPORARY: Final = ".tmp-"
"""The prefix of files that are being written. No part of a key begins with a dot."""


class DirectoryBackend:
    """Stores each object in a file of its own, with the key as its path.

    Args:
        directory: the directory. It is created with the first object.
    """

    def __init__(self, directory: Path) -> None:
        self.errors: tuple[type[Exception], ...] = (OSError,)
        self.secrets: tuple[str, ...] = ()
        self._directory = directory

    def put(self, key: str, source: bytes | Path, content_type: str | None) -> None:  # noqa: ARG002
        """Write a temporary file, and give it its name when it is durable."""
        path = self._directory / key
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            with _create(temporary) as file:
                for chunk in _chunks_of(source):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def read(
        self, key: str, start: int, length: int | None, chunk_size: int
    ) -> tuple[int, Iterator[bytes]]:
        """Open a file, and return its size and the bytes of a range."""
        path = self._directory / key
        self._info(path)
        file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
        end = size if length is None else min(start + length, size)
        file.seek(start)
        return size, _FileChunks(file, end - start, chunk_size)

    def info(self, key: str) -> ObjectInfo:
        """Return the size and the time of a file."""
        return self._info(self._directory / key)

    def delete(self, key: str) -> None:
        """Remove a file, and the directories that are empty then."""
        path = self._directory / key
        self._info(path)
        path.unlink()
        for parent in path.parents:
            if parent == self._directory:
                break
            try:
                parent.rmdir()
            except OSError:
                break  # another object is there

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Return all files below a directory."""
        found: list[ObjectInfo] = []
        for directory, _, names in os.walk(self._directory / prefix):
            for name in names:
                try:
                    if not name.startswith("."):
                        found.append(self._info(Path(directory) / name))
                except FileNotFoundError:
                    continue  # it was removed meanwhile
        return found

    def url(self, key: str, expires: float) -> str | None:  # noqa: ARG002 - the protocol
        """Return ``None``: files have no URL that others could read."""
        return None

    def _info(self, path: Path) -> ObjectInfo:
        try:
            status = path.stat()
        except NotADirectoryError:
            raise FileNotFoundError(f"{path} does not exist") from None
        if stat.S_ISDIR(status.st_mode):
            raise FileNotFoundError(f"{path} is a directory")
        return ObjectInfo(
            key=path.relative_to(self._directory).as_posix(),
            size=status.st_size,
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
        )


def _create(path: Path) -> IO[bytes]:
    """Create a file and the directories above it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.open("xb")
        except FileNotFoundError:
            continue  # the directory was empty, and was removed with another object


def _chunks_of(source: bytes | Path) -> Iterator[bytes]:
    """Yield the bytes of an object. Raises ``trio.Cancelled`` between two chunks."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(_COPY_SIZE):
            trio.from_thread.check_cancelled()
            yield chunk


class _FileChunks(Iterator[bytes]):
    """The chunks of an open file. A generator that was not started could not close it."""

    def __init__(self, file: IO[bytes], length: int, chunk_size: int) -> None:
        self._file = file
        self._left = length
        self._chunk_size = chunk_size

    def __next__(self) -> bytes:
        chunk = self._file.read(min(self._chunk_size, self._left)) if self._left > 0 else b""
        if not chunk:
            self._file.close()
            self._left = 0
            raise StopIteration
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return  # other systems cannot open a directory
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
