"""What a storage needs from the place where it stores objects. All methods block."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class ObjectInfo:
    """An object of a storage.

    Attributes:
        key: its key.
        size: the number of its bytes.
        modified: when it was stored.
    """

    key: str
    size: int
    modified: datetime


class ObjectBackend(Protocol):
    """A place for objects. A missing object is a ``FileNotFoundError``.

    Attributes:
        errors: the exceptions that its methods raise when something outside of the program fails.
        secrets: texts that must not be in a message.
    """

    errors: tuple[type[Exception], ...]
    secrets: tuple[str, ...]

    def put(self, key: str, source: bytes | Path, content_type: str | None) -> None:
        """Store an object. Readers see the old object or the new one, never a part."""
        ...

    def read(
        self, key: str, start: int, length: int | None, chunk_size: int
    ) -> tuple[int, Iterator[bytes]]:
        """Return the size of an object, and an iterator of the bytes of a range."""
        ...

    def info(self, key: str) -> ObjectInfo:
        """Return what is known of an object."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object."""
        ...

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Return the objects below a prefix, in any order."""
        ...

    def url(self, key: str, expires: float) -> str | None:
        """Return a URL that needs no credentials for ``expires`` seconds; ``None`` if there is none."""
        ...
