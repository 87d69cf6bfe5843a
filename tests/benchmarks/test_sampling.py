"""Samples of a stack, and the layers that they fall into."""

from __future__ import annotations

import pytest

from benchmarks.sampling import OTHER, Sampler, layer_of

PACKAGES = "/venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("file", "layer"),
    [
        (f"{PACKAGES}/trio/_core/_io_epoll.py", "epoll"),
        ("/usr/lib/python3.11/selectors.py", "epoll"),
        (f"{PACKAGES}/trio/_socket.py", "the socket"),
        (f"{PACKAGES}/trio/_highlevel_socket.py", "the socket"),
        ("/usr/lib/python3.11/asyncio/selector_events.py", "the socket"),
        ("/src/trio_realtime/transports/_byte_streams.py", "the socket"),
        (f"{PACKAGES}/trio/_core/_run.py", "tasks and scopes"),
        ("<attrs generated methods trio._core._run.CancelScope>", "tasks and scopes"),
        ("/usr/lib/python3.11/asyncio/events.py", "tasks and scopes"),
        ("/src/trio_realtime/transports/_engine.py", "frames of the WebSocket"),
        (f"{PACKAGES}/websockets/frames.py", "frames of the WebSocket"),
        ("/src/trio_realtime/wire/codec.py", "JSON and base64"),
        (f"{PACKAGES}/pydantic/main.py", "JSON and base64"),
        ("/src/trio_realtime/core/conversation.py", "session"),
        (f"{PACKAGES}/agents/realtime/session.py", "session"),
        ("/src/benchmarks/duplex/exchange.py", "application"),
        ("/usr/lib/python3.11/contextlib.py", None),
    ],
)
def test_a_file_belongs_to_a_layer_or_to_its_caller(file: str, layer: str | None) -> None:
    assert layer_of(file) == layer


def test_samples_are_shares_of_the_layers() -> None:
    sampler = Sampler()
    assert sampler.shares() == {}
    sampler.start()
    try:
        while not sampler.shares():
            sum(range(10_000))
    finally:
        sampler.stop()
    shares = sampler.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares.keys() <= {OTHER, "application", "tasks and scopes"}
