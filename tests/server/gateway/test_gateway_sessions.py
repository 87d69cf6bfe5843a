"""Sessions of a gateway that are created, continued, ended and stored at bad moments."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.gateway import GatewayClient, make_spec, open_test_gateway
from trio_realtime.errors import InternalError, UsageError
from trio_realtime.server.gateway import (
    Admission,
    GatewaySettings,
    NotAdmitted,
    TenantLimits,
    open_gateway,
)
from trio_realtime.server.managed import ManagedSession, SessionStores
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.spec import AgentSpec
from trio_realtime.server.store import WriteOptions, open_history_store
from trio_realtime.transports import ConnectOptions, Transport


@asynccontextmanager
async def never_connects(_options: ConnectOptions) -> AsyncGenerator[Transport]:
    await trio.sleep_forever()
    yield


async def test_of_many_that_continue_a_session_at_once_one_does(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_test_gateway(stores=SessionStores(history=history)) as under_test,
    ):
        gateway = under_test.gateway
        owner = await under_test.call()
        session_id = owner.welcome["session_id"]
        await gateway.find(session_id).session.stop()
        outcomes: list[str] = []

        async def create() -> None:
            try:
                await gateway.create_session(tenant="acme", session_id=session_id)
            except UsageError as exc:
                outcomes.append(str(exc))
            else:
                outcomes.append("created")

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(create)
        assert outcomes.count("created") == 1
        assert sum("runs already" in outcome for outcome in outcomes) == 3
        assert gateway.admission.running == 1


async def test_a_session_is_continued_at_once(tmp_path: Path) -> None:
    """Its rows are written behind, and may not be in the database yet."""
    async with (
        open_history_store(
            tmp_path / "history.db", options=WriteOptions(batch_delay=10)
        ) as history,
        open_test_gateway(stores=SessionStores(history=history)) as under_test,
    ):
        owner = await under_test.call()
        session = under_test.gateway.find(owner.welcome["session_id"]).session
        await session.stop()
        created = await under_test.gateway.create_session(
            tenant="acme", session_id=session.session_id
        )
        again = await under_test.attach(created, created.token)
        assert again.welcome["last_seq"] > session.last_seq


async def test_a_session_that_fails_to_start_is_not_counted() -> None:
    spec = AgentSpec(name="Assistant", realtime_mode=True, tools=["no.such.module:tool"])
    async with open_test_gateway(spec) as under_test:
        with pytest.raises(UsageError, match=r"no\.such\.module"):
            await under_test.gateway.create_session(tenant="acme")
        with pytest.raises(UsageError, match="no agent"):
            await under_test.gateway.create_session(tenant="acme", agent="unknown")
        with pytest.raises(UsageError, match="to continue"):
            await under_test.gateway.create_session(tenant="acme", session_id="sess_1")
        assert under_test.gateway.admission.running == 0


async def test_the_log_says_when_sessions_begin_and_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trio_realtime.server.gateway")
    async with open_test_gateway() as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        await under_test.gateway.find(created.session_id).session.stop()
    began, ended = caplog.messages
    assert began == f"session {created.session_id}: began, agent Assistant, tenant acme, over web"
    assert ended.startswith(f"session {created.session_id}: ended by application: stopped, after ")


async def test_refusals_are_reported(autojump_clock: MockClock) -> None:
    codes: list[str] = []
    async with open_gateway(
        {"A": make_spec()}, admission=Admission(max_sessions=1), on_refusal=codes.append
    ) as gateway:
        gateway.admission.admit("acme", 0)
        with pytest.raises(NotAdmitted):
            await gateway.create_session(tenant="acme")
        gateway.admission.drain()
        with pytest.raises(NotAdmitted):
            await gateway.create_session(tenant="acme")
    assert codes == ["server_full", "draining"]


async def test_creating_may_be_cancelled(autojump_clock: MockClock) -> None:
    async with open_test_gateway(admission=Admission(max_sessions=1)) as under_test:
        with trio.CancelScope() as scope:
            scope.cancel()
            await under_test.gateway.create_session(tenant="acme")
        assert scope.cancelled_caught
        assert under_test.gateway.admission.running == 0
        await under_test.call()


async def test_the_limits_of_a_tenant(autojump_clock: MockClock) -> None:
    admission = Admission(tenants={"acme": TenantLimits(max_sessions=1)})
    async with open_test_gateway(admission=admission) as under_test:
        gateway = under_test.gateway
        owner = await under_test.call()
        with pytest.raises(NotAdmitted):
            await gateway.create_session(tenant="acme")
        await gateway.create_session(tenant="other")
        await owner.send("end")
        await owner.receive_all()
        await gateway.create_session(tenant="acme")
        assert gateway.admission.running == 2


async def test_a_session_that_is_created_while_the_gateway_shuts_down_is_refused(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ManagedSession.start

    async def start_late(session: ManagedSession) -> str:
        await trio.sleep(5)
        return await start(session)

    monkeypatch.setattr(ManagedSession, "start", start_late)
    seen: list[RpcEvent] = []
    async with open_test_gateway(on_event=seen.append) as under_test:
        gateway = under_test.gateway
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.drain, 60)
            with pytest.raises(NotAdmitted) as info:
                await gateway.create_session(tenant="acme")
        assert info.value.code == "draining"
        assert (gateway.sessions, gateway.admission.running) == ({}, 0)
        assert [event.type for event in seen] == ["run_started", "run_ended"]
        assert seen[-1].data["reason"] == "server_drain"


@pytest.mark.parametrize("how", ["client_lost", "drain", "end"])
async def test_a_session_that_ends_while_it_connects_is_no_error(
    how: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    settings = GatewaySettings(grace=5)
    async with open_test_gateway(connector=never_connects, settings=settings) as under_test:
        gateway = under_test.gateway
        created = await gateway.create_session(tenant="acme")
        owner = await under_test.attach(created, created.token)
        await wait_all_tasks_blocked()
        session = gateway.find(created.session_id).session
        if how == "client_lost":
            owner.socket.disconnect()
            await trio.sleep(6)
        elif how == "drain":
            await gateway.drain(1)
        else:
            await owner.send("end")
            await owner.receive_all()
        end = await session.wait_ended()
        assert end.reason == {"drain": "server_drain", "end": "client_ended"}.get(how, how)
        assert gateway.admission.running == 0
    assert caplog.records == []


async def test_a_session_that_cannot_be_stopped_leaves_the_others_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_test_gateway(settings=GatewaySettings(grace=5)) as under_test:
        healthy, broken = await under_test.call(), await under_test.call()
        hosted = under_test.gateway.find(broken.welcome["session_id"])
        stop = ManagedSession.stop

        async def crash(session: ManagedSession, *arguments: Any, **options: Any) -> Any:
            if session is hosted.session and not failed:
                failed.append(session)
                raise InternalError("a bug")
            return await stop(session, *arguments, **options)

        failed: list[ManagedSession] = []
        monkeypatch.setattr(ManagedSession, "stop", crash)
        broken.socket.disconnect()
        await trio.sleep(10)
        assert failed
        assert "a bug" in caplog.text
        await healthy.send("text", text="Hello!")
        await healthy.receive_until("realtime_agent_end")


# --- a history that a session needs -------------------------------------------------------------


class Unstored:
    """A gateway whose history takes no rows."""

    def __init__(self) -> None:
        self.gateway: Any = None

    def on_failure(self, session_id: str, _error: Exception) -> None:
        if self.gateway is not None:
            self.gateway.end_unstored_session(session_id)


@pytest.mark.parametrize("max_rows", [1, 3, 6])
async def test_a_session_that_cannot_be_stored_ends(max_rows: int, tmp_path: Path) -> None:
    """The queue is full when the session begins, or during the call."""
    unstored = Unstored()
    seen: list[RpcEvent] = []
    options = WriteOptions(max_rows=max_rows, batch_delay=60, overflow="fail", close_timeout=0)
    async with (
        open_history_store(
            tmp_path / "history.db", options=options, on_failure=unstored.on_failure
        ) as history,
        open_test_gateway(
            stores=SessionStores(history=history), on_event=seen.append
        ) as under_test,
    ):
        unstored.gateway = under_test.gateway
        created = await under_test.gateway.create_session(tenant="acme")
        hosted = under_test.gateway.find(created.session_id)
        client = GatewayClient(under_test.open_socket(created.session_id))
        await client.send("hello", protocol=1, token=created.token)
        await client.send("text", text="Hello!")
        end = await hosted.session.wait_ended()
        assert (end.by, end.reason) == ("server", "store_failed")
        await client.receive_all()
        types = [event.type for event in seen]
        assert types[-1] == "run_ended"
        assert types.count("run_ended") == 1
        assert under_test.gateway.admission.running == 0
