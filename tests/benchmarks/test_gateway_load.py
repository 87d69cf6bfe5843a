"""The benchmark of the gateway: what its clients read, and its report."""

from __future__ import annotations

import json

from benchmarks.gateway.client import Load
from benchmarks.gateway.command import GatewayReport
from trio_realtime.server.rpc import RpcEvent

EVENT = RpcEvent(
    type="realtime_audio",
    session_id="sess_1",
    run_id="run_1",
    seq=3,
    time=12.5,
    data={"item_id": "item_1"},
    audio=bytes(4800),
)


def test_events_are_read_from_both_kinds_of_frames() -> None:
    load = Load("http://127.0.0.1:1", 1, 40)
    event, audio = load.decode(EVENT.to_frame())
    assert (event.type, event.time, event.data["item_id"], audio) == (
        "realtime_audio",
        12.5,
        "item_1",
        4800,
    )
    pong, audio = load.decode('{"type": "pong", "id": "7"}')
    assert (pong.type, pong.id, pong.time, audio) == ("pong", "7", 0.0, 0)


def test_a_frame_has_the_bytes_of_its_duration() -> None:
    load = Load("http://127.0.0.1:1", 1, 100)
    assert (load.frame_seconds, len(load.frame)) == (0.1, 4800)


def test_the_report_has_the_cost_of_each_client() -> None:
    report = GatewayReport(
        clients=50,
        seconds=10.0,
        frame_ms=40,
        stores=True,
        cpu=0.5,
        idle_memory=100_000_000,
        memory=150_000_000,
        latencies={"event_p50": 0.001, "event_p99": 0.02, "ping_p50": 0.002, "ping_p99": 0.03},
        counts={"frames": 12_500},
    )
    text = report.to_text()
    assert "50 web clients for 10 s, frames of 40 ms, with recordings and history" in text
    assert "50 % of a core" in text
    assert "10.0 ms/s" in text
    assert "1000 kB" in text
    assert "frames 12500" in text
    assert json.loads(json.dumps(report.to_json()))["cpu"] == 0.5
