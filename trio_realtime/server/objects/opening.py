"""Opens the storage that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import trio

from trio_realtime._redaction import redact_url
from trio_realtime.errors import ConfigurationError

from .backend import ObjectBackend
from .directory import DirectoryBackend
from .memory import MemoryBackend
from .remote import RemoteBackend
from .storage import ObjectStorage

_REMOTE: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https")


def open_object_storage(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> ObjectStorage:
    """Open a storage by its URL. Nothing is read or written yet.

    Args:
        url: one of ``file:///directory``, ``memory://``, ``s3://bucket/prefix``, ``gs://bucket/prefix``,
            ``az://container/prefix``, or the ``https://`` URL of a bucket, a container or a WebDAV server. All but
            the first two need the extra ``objects``.
        options: settings of the provider, as obstore names them: ``aws_region``, ``aws_endpoint``,
            ``aws_access_key_id``, ``azure_storage_account_name`` and so on. Those that are missing come from
            the environment. ``allow_http`` with ``true`` allows plain HTTP.
        limiter: limits the threads; eight by default.

    Raises:
        ConfigurationError: the URL or an option is not valid, or the extra is not installed.
    """
    scheme = url.partition(":")[0].lower()
    name = redact_url(url) if scheme in _REMOTE else url
    if scheme not in ("file", "memory", *_REMOTE) or "://" not in url:
        raise ConfigurationError(
            f"the storage URL {redact_url(url)} is not supported: use file:///directory, memory://, "
            "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or https://..."
        )
    if options and scheme not in _REMOTE:
        raise ConfigurationError(f"a storage with {scheme}:// has no options")
    backend: ObjectBackend
    if scheme == "file":
        backend = DirectoryBackend(_directory(url))
    elif scheme == "memory":
        backend = MemoryBackend()
    else:
        backend = RemoteBackend(url, options or {})
    return ObjectStorage(backend, name=name, limiter=limiter)


def _directory(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise ConfigurationError(
            f"the storage URL {url!r:.200} has no absolute path: use three slashes, as in "
            "file:///var/recordings"
        )
    return Path(path)
