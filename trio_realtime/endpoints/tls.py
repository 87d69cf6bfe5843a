"""The TLS context of an endpoint."""

from __future__ import annotations

import os
import ssl

from trio_realtime.errors import ConfigurationError

__all__ = ["load_context"]


def load_context(
    ssl_context: ssl.SSLContext | None, ca_file: str | os.PathLike[str] | None
) -> ssl.SSLContext | None:
    """Return the context to use, ``None`` for the default. This reads ``ca_file``.

    Raises:
        ConfigurationError: Both are given, or the file cannot be read or has no certificate.
    """
    if ca_file is None:
        return ssl_context
    if ssl_context is not None:
        raise ConfigurationError(
            "pass ssl_context= or ca_file=, not both: ssl_context.load_verify_locations() adds "
            "certificates to a context"
        )
    path = os.fspath(ca_file)
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ConfigurationError(
            f"ca_file has no valid certificate in PEM format: {path}"
        ) from None
    except OSError as exc:
        raise ConfigurationError(f"ca_file cannot be read: {path}: {exc.strerror}") from exc
