"""The frames that the load server sends."""

from __future__ import annotations

from typing import Any

from benchmarks.burst import frames as fr
from trio_realtime.wire import UnknownEvent, decode_server_event


def test_the_library_knows_all_events_of_a_response() -> None:
    item: dict[str, Any] = {"id": "item_0", "type": "message", "role": "user", "content": []}
    stream = [
        fr.session_frame("session.created"),
        *fr.item_frames(item, None),
        *fr.opening_frames("resp_1", "item_1", None, {"key": "value"}),
        *fr.burst_frames("resp_1", "item_1", 10),
        *fr.closing_frames("resp_1", "item_1", 10, None),
        *fr.call_frames("resp_2", "call_1", "get_status", "{}", "item_1", None),
    ]
    decoded = [decode_server_event(fr.encode(frame)) for frame in stream]
    assert [event for event in decoded if isinstance(event, UnknownEvent)] == []
