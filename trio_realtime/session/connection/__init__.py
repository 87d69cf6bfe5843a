"""One connection: handshake, reader, writer and send queue."""
