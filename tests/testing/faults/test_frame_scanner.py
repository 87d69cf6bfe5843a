"""Messages are found in the bytes of a WebSocket, however the bytes are divided."""

from __future__ import annotations

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from trio_realtime.testing.faults._frame_scanner import FrameScanner

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frames(client: bool) -> tuple[bytes, list[bytes]]:
    """Return the bytes of a connection, and the payloads of its messages as they are on the wire."""
    protocol = FrameProtocol(client=client, extensions=[])
    data, payloads = HEAD, []
    for size in (3, 0, 125, 126, 70_000):
        frame = bytes(protocol.send_data(b"m" * size))
        data += frame + bytes(protocol.ping(b"ping"))
        payloads.append(frame[len(frame) - size :])
    assert Opcode.PING > 7
    return data, [payload for payload in payloads if payload]


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7, 1000, 1_000_000])
def test_payloads_are_found(client: bool, size: int) -> None:
    data, expected = frames(client)
    scanner = FrameScanner()
    found = b""
    for start in range(0, len(data), size):
        chunk = data[start : start + size]
        for begin, end in scanner.payloads(chunk):
            assert 0 <= begin < end <= len(chunk)
            found += chunk[begin:end]
    assert found == b"".join(expected)


def test_a_head_without_an_end_has_no_messages() -> None:
    scanner = FrameScanner()
    assert list(scanner.payloads(b"\x16\x03\x01" * 1000)) == []
