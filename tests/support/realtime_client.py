"""A minimal client of a realtime server: sends and receives events over a transport."""

from __future__ import annotations

import json
from typing import Any

from trio_realtime.transports import Transport

Frame = dict[str, Any]
KEY = (("Authorization", "Bearer local"),)
QUERY = "?model=gpt-realtime-2.1"


async def receive(transport: Transport) -> Frame:
    message = await transport.receive()
    assert isinstance(message, str)
    frame: Frame = json.loads(message)
    return frame


async def receive_until(transport: Transport, kind: str) -> list[Frame]:
    frames = [await receive(transport)]
    while frames[-1]["type"] != kind:
        frames.append(await receive(transport))
    return frames


async def send(transport: Transport, kind: str, **fields: Any) -> None:
    await transport.send(json.dumps({"type": kind, **fields}))
