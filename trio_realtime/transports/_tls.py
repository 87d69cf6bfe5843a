"""TLS without I/O: encrypt and decrypt bytes that others receive and send."""

from __future__ import annotations

import ssl
from typing import Final, final

__all__ = ["TlsCodec"]

_READ_SIZE: Final = 64 * 1024


@final
class TlsCodec:
    """The client's side of one TLS connection.

    Args:
        context: The TLS context.
        host: The name that the certificate must contain.

    Raises:
        ValueError: The name is no host name.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._received = ssl.MemoryBIO()
        self._output = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._output, server_hostname=host)

    def do_handshake(self) -> bool:
        """Continue the handshake with what was received. Returns whether it is complete.

        Raises:
            ssl.SSLError: It failed.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def receive(self, data: bytes) -> None:
        """Take encrypted bytes for :meth:`do_handshake`; ``b""`` is the end of the stream."""
        if data:
            self._received.write(data)
        else:
            self._received.write_eof()

    def decrypt(self, data: bytes | None) -> tuple[bytes, bool]:
        """Take encrypted bytes. Returns what they contain, and whether nothing can follow.

        ``None`` returns what came with the handshake.
        """
        if data is not None:
            self.receive(data)
        parts: list[bytes] = []
        is_last = False
        try:
            # A read returns one record.
            while part := self._tls.read(_READ_SIZE):
                parts.append(part)
                if not self._received.pending and not self._tls.pending():
                    break
            else:
                is_last = True
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        except ssl.SSLError:
            # The peer has ended or broken TLS. A missing close_notify is common, and messages have sizes.
            is_last = True
        return (parts[0] if len(parts) == 1 else b"".join(parts)), is_last

    def encrypt(self, data: bytes) -> bytes:
        """Return the encrypted data, after whatever else is to be sent. They must be sent in order.

        Raises:
            ssl.SSLError: The peer has ended or broken TLS.
        """
        self._tls.write(data)
        return self._output.read()

    def take_output(self) -> bytes:
        """Return what is to be sent: the handshake, or the answer to a new key."""
        return self._output.read() if self._output.pending else b""
