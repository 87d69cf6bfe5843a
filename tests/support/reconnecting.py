"""A local server behind a connector with faults, for tests of sessions that reconnect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from trio_realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SessionConfig,
    events as ev,
    open_realtime_session,
)
from trio_realtime.local import LocalConnector, Say, Step, local_connector
from trio_realtime.testing.faults import FaultyConnector, faulty_connector
from trio_realtime.transports import ConnectOptions, Transport

POLICY = ReconnectPolicy(jitter=0.0, max_attempts=4)


class Service:
    """A local server behind a connector with faults. The responder takes the next steps, or says "fine"."""

    def __init__(self, *dials: Any, every: Any = (), **settings: Any) -> None:
        self.steps: list[list[Step]] = []
        settings.setdefault("pacing", 10.0)
        self.local: LocalConnector = local_connector(responder=self, **settings)
        self.faults: FaultyConnector = faulty_connector(self.local, *dials, every=every)

    def respond(self, _turn: object) -> list[Step]:
        return self.steps.pop(0) if self.steps else [Say("fine")]

    @property
    def dial_times(self) -> list[float]:
        return [dial.time for dial in self.faults.dials]

    @property
    def items(self) -> list[Any]:
        """The items of the latest connection."""
        return self.local.connections[-1].items

    @property
    def texts(self) -> list[str]:
        return [item["content"][0].get("text") for item in self.items if item["type"] == "message"]

    def received(self, kind: str, connection: int = -1) -> list[Any]:
        frames = self.local.connections[connection].received
        return [frame for frame in frames if frame["type"] == kind]

    def open(
        self,
        *tools: FunctionTool,
        policy: ReconnectPolicy | None = POLICY,
        transport: Callable[[ConnectOptions], AbstractAsyncContextManager[Transport]] | None = None,
        **settings: Any,
    ) -> AbstractAsyncContextManager[RealtimeSession[None]]:
        settings.setdefault("output_modalities", ("text",))
        return open_realtime_session(
            RealtimeAgent[None](name="A", instructions="a", tools=tools),
            endpoint=self.local.endpoint,
            transport=transport or self.faults,
            config=SessionConfig(reconnect=policy, **settings),
        )


async def lose_and_wait(service: Service, session: RealtimeSession[None]) -> ev.Reconnected:
    with session.subscribe(ev.Reconnected) as channel:
        service.faults.link.drop()
        return await channel.receive()
