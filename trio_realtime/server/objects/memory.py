"""Objects in memory, for tests and for programs that need nothing durable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from .backend import ObjectInfo


class MemoryBackend:
    """Stores objects in a dict. They end with it."""

    def __init__(self) -> None:
        self.errors: tuple[type[Exception], ...] = (OSError,)
        self.secrets: tuple[str, ...] = ()
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    def put(self, key: str, source: bytes | Path, content_type: str | None) -> None:  # noqa: ARG002
        """Store an object."""
        data = source.read_bytes() if isinstance(source, Path) else source
        self._objects[key] = data, datetime.now(UTC)

    def read(
        self, key: str, start: int, length: int | None, chunk_size: int
    ) -> tuple[int, Iterator[bytes]]:
        """Return the size of an object, and the bytes of a range."""
        data, _ = self._get(key)
        end = len(data) if length is None else min(start + length, len(data))
        starts = range(start, end, chunk_size)
        return len(data), (data[first : min(first + chunk_size, end)] for first in starts)

    def info(self, key: str) -> ObjectInfo:
        """Return what is known of an object."""
        data, modified = self._get(key)
        return ObjectInfo(key=key, size=len(data), modified=modified)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._objects.pop(key, None)

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Return the objects below a prefix."""
        keys = list(self._objects)
        return [self.info(key) for key in keys if not prefix or key.startswith(f"{prefix}/")]

    def url(self, key: str, expires: float) -> str | None:  # noqa: ARG002 - the protocol
        """Return ``None``: memory has no URLs."""
        return None

    def _get(self, key: str) -> tuple[bytes, datetime]:
        try:
            return self._objects[key]
        except KeyError:
            raise FileNotFoundError(f"there is no object {key}") from None
