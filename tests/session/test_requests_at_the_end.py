"""``ask`` and the handles of responses end with the session, in whatever state the request is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import accept_create
from support.sessions import PassivePeer, open_test_session
from support.tools import wait
from support.wire import CREATE, ITEM
from trio_realtime import RealtimeSession
from trio_realtime.errors import ClosedByService, ConnectionLost, RealtimeError, SessionClosed
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]
Begin: TypeAlias = Callable[[Session], Awaitable[object]]
Serve: TypeAlias = Callable[[ScriptedPeer], Awaitable[None]]


# --- requests -----------------------------------------------------------------------------------


async def ask(session: Session) -> None:
    await session.ask("What time is it?")


async def respond(session: Session) -> None:
    await (await session.create_response())


async def respond_out_of_band(session: Session) -> None:
    await (await session.create_response(conversation="none"))


async def update_settings(session: Session) -> None:
    await session.update_settings(speed=1.2)


# --- how far the service has come ---------------------------------------------------------------


async def nothing(_peer: ScriptedPeer) -> None:
    """The create was sent, or waits behind another response."""
    await trio.lowlevel.checkpoint()


async def create(peer: ScriptedPeer) -> None:
    """The response was created."""
    while (frame := await peer.next())["type"] != CREATE:
        pass
    conversation = None if frame["response"].get("conversation") == "none" else "conv_test"
    peer.begin_response("resp_1", frame, conversation_id=conversation)
    peer.text("resp_1", "item_1", "It is")


async def call(peer: ScriptedPeer) -> None:
    """The response waits for its tool, which runs."""
    await create(peer)
    peer.call("resp_1", "item_2", "call_1", "wait", '{"seconds": 60}')
    peer.end_response("resp_1")


async def continue_after_call(peer: ScriptedPeer) -> None:
    """The call was answered, and the response that follows was created."""
    await create(peer)
    peer.call("resp_1", "item_2", "call_1", "wait", '{"seconds": 0}')
    peer.end_response("resp_1")
    await peer.expect(ITEM)
    await accept_create(peer, "resp_2")


STATES: dict[str, tuple[Begin, Serve]] = {
    "ask sent": (ask, nothing),
    "ask created": (ask, create),
    "ask waits for a tool": (ask, call),
    "ask continued": (ask, continue_after_call),
    "response sent": (respond, nothing),
    "response created": (respond, create),
    "out-of-band sent": (respond_out_of_band, nothing),
    "out-of-band created": (respond_out_of_band, create),
    "settings sent": (update_settings, nothing),
}


# --- how the session ends -----------------------------------------------------------------------


async def close_by_service(peer: ScriptedPeer, _session: Session) -> None:
    peer.close(1000)
    await trio.lowlevel.checkpoint()


async def close(_peer: ScriptedPeer, session: Session) -> None:
    await session.aclose()


async def reach_limit(_peer: ScriptedPeer, session: Session) -> None:
    await trio.sleep(100)
    assert session.end is not None
    assert session.end.by == "limit"


ENDS: dict[str, tuple[Callable[[ScriptedPeer, Session], Awaitable[None]], type[RealtimeError]]] = {
    "closed by the service": (close_by_service, ClosedByService),
    "closed": (close, SessionClosed),
    "limit": (reach_limit, SessionClosed),
}


@pytest.mark.parametrize(("end", "expected"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("is_queued", [False, True], ids=["", "queued"])
@pytest.mark.parametrize(("begin", "serve"), STATES.values(), ids=STATES)
async def test_request_ends_with_the_session(
    begin: Begin,
    serve: Serve,
    end: Callable[[ScriptedPeer, Session], Awaitable[None]],
    expected: type[RealtimeError],
    *,
    is_queued: bool,
    autojump_clock: MockClock,
) -> None:
    """In time: when the connection ends, and not at the request's own timeout."""
    peer = ScriptedPeer()
    raised: list[RealtimeError] = []
    ended_at: list[float] = []

    async def wait_for_request(session: Session) -> None:
        try:
            await begin(session)
        except RealtimeError as exc:
            raised.append(exc)
            ended_at.append(trio.current_time())

    async with (
        open_test_session(
            peer, wait, max_duration=50, limit_grace=0, request_timeout=None, close_timeout=0.2
        ) as session,
        trio.open_nursery() as nursery,
    ):
        opened_at = trio.current_time()
        peer.acknowledge = False
        if is_queued:
            # Its own response, or the one of its prompt, is not sent before the end.
            peer.begin_response("resp_other")
            await wait_all_tasks_blocked()
        nursery.start_soon(wait_for_request, session)
        await wait_all_tasks_blocked()
        if not is_queued:
            await serve(peer)
        await wait_all_tasks_blocked()
        await trio.sleep(1)
        assert raised == []
        await end(peer, session)
        await wait_all_tasks_blocked()
        (error,) = raised
        assert type(error) is expected
        assert session.end is not None
        assert ended_at[0] - opened_at <= session.end.duration


async def test_request_ends_when_the_link_breaks(autojump_clock: MockClock) -> None:
    peer = PassivePeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        handle = await session.create_response()

        async def drop_soon() -> None:
            await trio.sleep(1)
            peer.far.drop()

        nursery.start_soon(drop_soon)
        with pytest.raises(ConnectionLost, match="1006"):
            await handle
        assert handle.is_done


async def test_request_after_the_end_raises_at_once(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer(), max_duration=5) as session:
        await trio.sleep(10)
        for begin in (ask, respond, respond_out_of_band, update_settings):
            with pytest.raises(SessionClosed, match="max_duration"):
                await begin(session)
