"""What the load server reads of the messages of clients."""

from __future__ import annotations

import pytest

from benchmarks.websocket_server import is_audio, unmask


@pytest.mark.parametrize("size", [0, 1, 4, 7, 1000])
def test_a_payload_is_unmasked(size: int) -> None:
    mask, payload = b"\x01\x80\xff\x10", bytes(n % 251 for n in range(size))
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    assert unmask(masked, mask) == payload


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"type":"input_audio_buffer.append","audio":"AAAA', True),
        ('{"event_id": "x", "type": "input_audio_buffer.append", "audio": "AAAA', True),
        ('{"audio": "AAAA', True),
        ('{"type": "session.update", "session": {"audio": {"input"', False),
        ('{"session": {"type": "realtime", "audio": {"input"', False),
    ],
)
def test_audio_is_recognized_by_its_beginning(message: str, expected: bool) -> None:
    assert is_audio(message.encode()) is expected
