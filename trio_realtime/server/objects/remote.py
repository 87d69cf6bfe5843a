"""Objects in S3, Google Cloud Storage, Azure Blob Storage or on an HTTP server, with obstore."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import trio

from trio_realtime._redaction import redact_url, secret_values
from trio_realtime.errors import ConfigurationError

from .backend import ObjectInfo
from .errors import describe

PART_SIZE: Final = 8 * 1024 * 1024
"""Bytes of a part of an upload. A smaller object is one request."""

_CONCURRENT_PARTS: Final = 4
_SECRET_WORDS: Final = ("key", "secret", "token", "password", "credential", "sas", "signature")
_CLIENT: Final = {"timeout": "60s", "connect_timeout": "10s"}
_RETRY: Final = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}


class RemoteBackend:
    """Stores objects with obstore, whose functions block.

    Args:
        url: the URL of a bucket or container, with an optional prefix of all keys.
        options: settings of the provider, such as ``aws_region``. ``allow_http`` allows plain HTTP.

    Raises:
        ConfigurationError: the extra ``objects`` is not installed, or the URL or an option is not valid.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        try:
            self._obstore: Any = importlib.import_module("obstore")
            stores: Any = importlib.import_module("obstore.store")
            base_error: type[Exception] = importlib.import_module("obstore.exceptions").BaseError
        except ImportError as exc:
            raise ConfigurationError(
                f"objects at {redact_url(url)} need obstore: pip install 'trio-realtime[objects]'"
            ) from exc
        self.errors: tuple[type[Exception], ...] = (OSError, ValueError, base_error)
        self.secrets: tuple[str, ...] = (*secret_values(url), *_secret_options(options))
        config = dict(options)
        client: dict[str, Any] = dict(_CLIENT)
        client["allow_http"] = config.pop("allow_http", "false").lower() in ("true", "1", "yes")
        try:
            self._store: Any = stores.from_url(
                url, config=config or None, client_options=client, retry_config=dict(_RETRY)
            )
        except (*self.errors, TypeError) as exc:
            raise ConfigurationError(
                f"objects cannot be stored at {redact_url(url)}: {describe(exc, self.secrets)}"
            ) from None
        self._is_signing = not isinstance(self._store, stores.HTTPStore)

    def put(self, key: str, source: bytes | Path, content_type: str | None) -> None:
        """Upload an object: a large one in parts, which appear together."""
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        attributes = {"Content-Type": content_type} if content_type else None
        if size <= PART_SIZE:
            data = source if isinstance(source, bytes) else source.read_bytes()
            self._obstore.put(self._store, key, data, attributes=attributes, use_multipart=False)
            return
        self._obstore.put(
            self._store,
            key,
            _parts(source),
            attributes=attributes,
            chunk_size=PART_SIZE,
            max_concurrency=_CONCURRENT_PARTS,
        )

    def read(
        self, key: str, start: int, length: int | None, chunk_size: int
    ) -> tuple[int, Iterator[bytes]]:
        """Request an object or a range of it."""
        options: dict[str, Any] = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        result = self._obstore.get(self._store, key, options=options or None)
        stream = result.stream(min_chunk_size=chunk_size)
        return int(result.meta["size"]), (bytes(chunk) for chunk in stream)

    def info(self, key: str) -> ObjectInfo:
        """Request the metadata of an object."""
        return _info(self._obstore.head(self._store, key))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._obstore.delete(self._store, key)

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Request the objects below a prefix."""
        pages = self._obstore.list(self._store, prefix=prefix or None)
        return [_info(meta) for page in pages for meta in page]

    def url(self, key: str, expires: float) -> str | None:
        """Sign a URL."""
        if not self._is_signing:
            return None
        lifetime = timedelta(seconds=expires)
        url: str = self._obstore.sign(self._store, "GET", key, lifetime)
        return url


def _parts(source: bytes | Path) -> Iterator[bytes]:
    """Yield the parts of an object. Raises ``trio.Cancelled`` between two of them, which ends the upload."""
    if isinstance(source, bytes):
        for start in range(0, len(source), PART_SIZE):
            trio.from_thread.check_cancelled()
            yield source[start : start + PART_SIZE]
        return
    with source.open("rb") as file:
        while part := file.read(PART_SIZE):
            trio.from_thread.check_cancelled()
            yield part


def _secret_options(options: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of the options that may be credentials."""
    for name, value in options.items():
        if value and any(word in name.lower() for word in _SECRET_WORDS):
            yield value


def _info(meta: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(key=meta["path"], size=meta["size"], modified=meta["last_modified"])
