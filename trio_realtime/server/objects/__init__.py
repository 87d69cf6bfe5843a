"""Storage of artifacts by URL: a directory, S3, Azure Blob Storage or Google Cloud Storage."""

from __future__ import annotations

from .backend import ObjectInfo as ObjectInfo
from .errors import ObjectNotFound as ObjectNotFound, ObjectStorageError as ObjectStorageError
from .opening import open_object_storage as open_object_storage
from .storage import ObjectReader as ObjectReader, ObjectStorage as ObjectStorage
