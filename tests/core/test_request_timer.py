"""Requests that the service does not answer: each fails in time, and occupies nothing after that."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.core import OUT_OF_BAND, CoreScenario, effects_of, resolved_tokens
from support.service import accept_create, send_text
from support.sessions import open_test_session
from support.wire import CREATE, ITEM
from trio_realtime import SessionConfig, events as ev
from trio_realtime.core import DropConnection, Effect, ResolveRequest
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.errors import ConfigurationError, RequestTimedOut
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import (
    ConversationItemCreate,
    InputText,
    MessageItem,
    ResponseCreate,
    Session,
    SessionUpdate,
)

TIMEOUT = 15.0


def scenario_with_timeout() -> CoreScenario:
    return CoreScenario(request_timeout=TIMEOUT)


def pass_deadline(scenario: CoreScenario) -> list[Effect]:
    """Let the time of the next deadline come. The service is alive: it has sent another event."""
    scenario.receive("rate_limits.updated", rate_limits=[])
    scenario.now = scenario.core.next_deadline
    assert scenario.now < math.inf
    return scenario.core.deadline_passed(scenario.now)


def timed_out(effects: list[Effect]) -> list[str]:
    """Return the tokens of the requests that have timed out."""
    resolved = effects_of(effects, ResolveRequest)
    return [r.token for r in resolved if isinstance(r.outcome, RequestTimedOut)]


# --- the timer ------------------------------------------------------------------------------------


def test_the_next_deadline_is_the_first_of_those_that_wait() -> None:
    timer = RequestTimer(10)
    assert timer.next_deadline == math.inf
    timer.start("a 1")
    timer.now = 3.0
    timer.start("a 2")
    assert timer.next_deadline == 10
    timer.stop("a 1")
    assert timer.next_deadline == 13
    assert (timer.is_due("a 2"), timer.due("a")) == (False, [])
    timer.now = 13.0
    assert (timer.is_due("a 2"), timer.is_due("a 1"), timer.due("a")) == (True, False, ["a 2"])
    timer.stop("a 2")
    assert timer.next_deadline == math.inf


# --- creates --------------------------------------------------------------------------------------


def test_a_create_that_is_never_answered_fails_and_frees_the_slot() -> None:
    scenario = scenario_with_timeout()
    token, _ = scenario.request()
    scenario.core.create_response()  # waits for the slot
    assert scenario.core.next_deadline == TIMEOUT

    effects = pass_deadline(scenario)

    assert timed_out(effects) == [token]
    assert len(effects_of(effects, ResponseCreate)) == 1
    assert scenario.core.next_deadline == 2 * TIMEOUT


def test_a_response_that_begins_after_the_deadline_is_delivered() -> None:
    scenario = scenario_with_timeout()
    _, create = scenario.request()
    pass_deadline(scenario)

    effects = scenario.response_created("r1", create)
    assert len(effects_of(effects, ev.AgentStart)) == 1
    assert len(effects_of(scenario.audio("r1", "item_1"), ev.Audio)) == 1
    assert len(effects_of(scenario.response_done("r1", create), ev.AgentEnd)) == 1
    assert scenario.core.is_quiet


def test_an_answer_ends_the_wait() -> None:
    for answer in ("created", "rejected"):
        scenario = scenario_with_timeout()
        _, create = scenario.request()
        if answer == "created":
            scenario.response_created("r1", create)
        else:
            scenario.receive("error", error={"message": "no", "event_id": create.event_id})
        assert scenario.core.next_deadline == math.inf


def test_there_is_no_limit_while_a_response_runs_that_may_be_the_answer() -> None:
    """The service may echo no metadata."""
    scenario = scenario_with_timeout()
    token, _ = scenario.request()
    scenario.response_created("r1")
    assert scenario.core.next_deadline == math.inf
    assert resolved_tokens(scenario.response_done("r1")) == [token]


def test_a_rejected_create_is_sent_again_if_its_winner_never_appears() -> None:
    scenario = scenario_with_timeout()
    _, create = scenario.request()
    scenario.reject(create, "resp_other")
    assert effects_of(pass_deadline(scenario), ResponseCreate) == [create]


def test_an_unanswered_message_is_an_event() -> None:
    scenario = scenario_with_timeout()
    scenario.message_create()
    (error,) = effects_of(pass_deadline(scenario), ev.Error)
    assert isinstance(error.error, RequestTimedOut)
    assert str(error.error) == "the service did not answer response.create within 15 s"
    assert scenario.core.is_quiet


def test_unanswered_outputs_of_calls_end_the_turn() -> None:
    scenario = scenario_with_timeout()
    token, _ = scenario.follow_up()
    effects = pass_deadline(scenario)
    (end,) = effects_of(effects, ev.AgentEnd)
    assert (end.status, end.reason) == ("failed", "request_timed_out")
    assert timed_out(effects) == [token]
    assert scenario.core.is_quiet


def test_an_unanswered_out_of_band_create_fails_and_its_late_response_stays_out_of_band() -> None:
    scenario = scenario_with_timeout()
    token, create = scenario.request(OUT_OF_BAND)
    assert timed_out(pass_deadline(scenario)) == [token]
    assert scenario.response_created("r1", create) == []
    assert effects_of(scenario.audio("r1", "item_1"), ev.Audio) == []
    assert effects_of(scenario.response_done("r1", create), ev.ResponseEnd) == []


def test_without_a_timeout_nothing_expires() -> None:
    scenario = CoreScenario()
    scenario.request()
    assert scenario.core.next_deadline == math.inf
    scenario.now = 1e9
    assert scenario.core.deadline_passed(scenario.now) == []


# --- settings and edits ---------------------------------------------------------------------------


def test_unanswered_settings_fail_and_the_next_ones_are_sent() -> None:
    scenario = scenario_with_timeout()
    first, _ = scenario.core.update_settings(Session(instructions="a"))
    second, _ = scenario.core.update_settings(Session(instructions="b"))

    effects = pass_deadline(scenario)

    assert timed_out(effects) == [first]
    assert [update.event_id for update in effects_of(effects, SessionUpdate)] == [second]
    effects = scenario.receive("session.updated", session={"instructions": "b"})
    assert resolved_tokens(effects) == [second]
    assert scenario.core.next_deadline == math.inf


def test_an_edit_of_which_nothing_is_reported_fails() -> None:
    scenario = scenario_with_timeout()
    items = [
        MessageItem(id=f"m{number}", role="user", content=(InputText(text="Hi"),))
        for number in range(2)
    ]
    first, effects = scenario.core.update_history(items)
    (created, _) = effects_of(effects, ConversationItemCreate)
    second, _ = scenario.core.update_history([])
    scenario.now = 10.0
    added: dict[str, Any] = {
        "id": created.item.id,
        "type": "message",
        "role": "user",
        "content": [],
    }
    scenario.receive("conversation.item.added", previous_item_id=None, item=added)
    assert scenario.core.next_deadline == 10 + TIMEOUT  # a report is a sign of life

    effects = pass_deadline(scenario)

    assert timed_out(effects) == [first]
    deleted = scenario.receive("conversation.item.deleted", item_id="m0")
    assert resolved_tokens(deleted) == [second]


def test_a_lost_connection_ends_every_wait() -> None:
    scenario = scenario_with_timeout()
    scenario.request()
    scenario.request(OUT_OF_BAND)
    scenario.core.update_settings(Session(instructions="a"))
    scenario.core.disconnected()
    assert scenario.core.next_deadline == math.inf


# --- a silent service -----------------------------------------------------------------------------


def test_a_service_that_sends_nothing_after_a_request_is_taken_for_dead() -> None:
    scenario = scenario_with_timeout()
    scenario.request()
    scenario.now = TIMEOUT
    (drop,) = scenario.core.deadline_passed(scenario.now)
    assert isinstance(drop, DropConnection)
    assert drop.reason == "the service was silent for 15 s after a request"


def test_an_event_that_came_in_the_instant_of_the_request_but_before_it_is_no_answer() -> None:
    scenario = scenario_with_timeout()
    scenario.receive("rate_limits.updated", rate_limits=[])
    scenario.request()
    scenario.now = TIMEOUT
    assert effects_of(scenario.core.deadline_passed(scenario.now), DropConnection)


# --- in a session ---------------------------------------------------------------------------------


async def test_a_request_that_gets_only_an_unrelated_error_does_not_mute_the_session(
    autojump_clock: MockClock,
) -> None:
    """The error names no event, so it may concern anything."""
    peer = ScriptedPeer()

    async def answer() -> None:
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        peer.send({"type": "error", "error": {"type": "server_error", "message": "sorry"}})
        await peer.expect(ITEM)
        await accept_create(peer, "resp_1")
        await send_text(peer, "Yes")
        peer.end_response("resp_1")

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        with pytest.raises(RequestTimedOut, match="within 15 s"):
            await session.ask("Hello?")
        assert (await session.ask("Still there?")).text == "Yes"


async def send_rate_limits(peer: ScriptedPeer) -> None:
    """Show that the service is alive, and answer nothing."""
    await peer.expect(ITEM)
    await peer.expect(CREATE)
    peer.send({"type": "rate_limits.updated", "rate_limits": []})


async def test_the_deadline_of_a_session_can_be_changed_or_switched_off(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, request_timeout=2) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_rate_limits, peer)
        began = trio.current_time()
        with pytest.raises(RequestTimedOut, match="within 2 s"):
            await session.ask("Hello?")
        assert trio.current_time() - began == pytest.approx(2)
    async with open_test_session(ScriptedPeer(), request_timeout=None) as session:
        with trio.move_on_after(500) as scope:
            await session.ask("Hello?")
        assert scope.cancelled_caught


@pytest.mark.parametrize("value", [0, -1, "soon"])
def test_an_invalid_timeout_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="request_timeout"):
        SessionConfig(request_timeout=value)  # type: ignore[arg-type]
