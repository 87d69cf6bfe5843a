"""The gate: one create outstanding at most, and no wish for a response is ever lost."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.core import CoreDriver
from trio_realtime.core.responses.queue import METADATA_KEY, ResponseQueue, ResponseRequest
from trio_realtime.wire import (
    InputText,
    MessageItem,
    ResponseCreate,
    ResponseParams,
    ServerEvent,
    structure_server_event,
)

PARAMS = ResponseParams(instructions="Be brief.")


def automatic(token: str) -> ResponseRequest:
    return ResponseRequest(token=token, waiters=(token,))


def manual(token: str) -> ResponseRequest:
    return ResponseRequest(token=token, params=PARAMS, waiters=(token,))


def gate_with(*wishes: ResponseRequest) -> ResponseQueue:
    gate = ResponseQueue()
    for wish in wishes:
        gate.add(wish)
    return gate


def taken(gate: ResponseQueue) -> tuple[str, ...] | None:
    wish = gate.next_to_send()
    return None if wish is None else wish.waiters


# --- the table ----------------------------------------------------------------------------------


def test_free_a_wish_may_be_sent() -> None:
    assert ResponseQueue().is_idle
    assert ResponseQueue().next_to_send() is None

    gate = gate_with(automatic("a"))

    assert not gate.is_idle
    assert taken(gate) == ("a",)
    assert gate.outstanding == automatic("a")


def test_outstanding_nothing_else_is_sent() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()

    gate.add(manual("b"))

    assert gate.next_to_send() is None
    assert not gate.is_idle


def test_outstanding_to_running_by_the_echo() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()

    assert gate.created("r1", "a") == automatic("a")

    assert gate.outstanding is None
    assert gate.running == "r1"
    gate.add(automatic("b"))
    assert gate.next_to_send() is None


def test_running_to_free_by_the_end() -> None:
    gate = gate_with(automatic("a"), manual("b"))
    gate.next_to_send()
    gate.created("r1", "a")

    assert gate.done("r1") is None  # whose it was is known since it began

    assert gate.running is None
    assert taken(gate) == ("b",)


def test_the_end_of_another_response_frees_nothing() -> None:
    gate = gate_with(automatic("a"), manual("b"))
    gate.next_to_send()
    gate.created("r2", "a")

    gate.done("r1")

    assert gate.running == "r2"
    assert gate.next_to_send() is None


def test_outstanding_to_lost_to_a_response_that_runs() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()
    gate.created("vad", None)

    assert gate.rejected("a") is True

    assert gate.outstanding is None
    assert gate.next_to_send() is None
    assert not gate.is_idle
    gate.done("vad")
    assert taken(gate) == ("a",)


def test_lost_to_a_response_that_is_not_yet_seen() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()

    assert gate.rejected("a") is True
    assert gate.next_to_send() is None
    assert not gate.is_idle

    gate.created("vad", None)
    assert gate.next_to_send() is None
    gate.done("vad")
    assert taken(gate) == ("a",)


def test_lost_to_free_by_an_end_whose_beginning_was_missed() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()
    gate.rejected("a")

    gate.done("vad")

    assert taken(gate) == ("a",)


def test_a_refusal_of_what_is_not_outstanding_changes_nothing() -> None:
    gate = gate_with(automatic("a"))
    assert gate.rejected("a") is False
    gate.next_to_send()

    assert gate.rejected("z") is False
    assert gate.failed("z") is None

    assert gate.outstanding == automatic("a")


def test_a_create_that_was_wrong_is_given_up_and_the_next_may_go() -> None:
    gate = gate_with(manual("a"), manual("b"))
    gate.next_to_send()

    assert gate.failed("a") == manual("a")

    assert taken(gate) == ("b",)


def test_a_create_that_was_wrong_during_a_response_waits_for_its_end() -> None:
    gate = gate_with(manual("a"), manual("b"))
    gate.next_to_send()
    gate.created("vad", None)

    gate.failed("a")

    assert gate.next_to_send() is None
    assert gate.done("vad") is None
    assert taken(gate) == ("b",)


def test_a_lost_connection_drops_all_and_returns_it() -> None:
    gate = gate_with(manual("a"), automatic("b"), manual("c"))
    gate.next_to_send()
    gate.created("vad", None)

    assert gate.clear() == (manual("a"), automatic("b"), manual("c"))

    assert gate.is_idle
    assert gate.running is None
    assert gate.clear() == ()


def test_a_lost_connection_forgets_that_a_create_was_lost() -> None:
    gate = gate_with(manual("a"))
    gate.next_to_send()
    gate.rejected("a")
    gate.clear()

    gate.add(manual("b"))

    assert taken(gate) == ("b",)


# --- the line -----------------------------------------------------------------------------------


def test_automatic_wishes_that_wait_together_become_one() -> None:
    gate = gate_with(automatic("a"), automatic("b"), automatic("c"))

    wish = gate.next_to_send()

    assert wish == ResponseRequest(token="a", waiters=("a", "b", "c"))
    gate.created("r1", "a")
    gate.done("r1")
    assert gate.is_idle


def test_manual_wishes_stay_apart_and_in_order() -> None:
    gate = gate_with(manual("a"), automatic("b"), automatic("c"), manual("d"), manual("e"))

    served = []
    while not gate.is_idle:
        wish = gate.next_to_send()
        assert wish is not None
        served.append((wish.waiters, wish.params))
        gate.created(f"r_{wish.token}", wish.token)
        gate.done(f"r_{wish.token}")

    assert served == [(("a",), PARAMS), (("b", "c"), None), (("d",), PARAMS), (("e",), PARAMS)]


def test_a_refused_wish_is_first_again() -> None:
    gate = gate_with(manual("a"), manual("b"))
    gate.next_to_send()
    gate.rejected("a")
    gate.done("vad")

    assert taken(gate) == ("a",)


def test_a_refused_automatic_wish_joins_those_that_came_after_it() -> None:
    # Two messages, one answer: what was lost is not asked for twice.
    gate = gate_with(automatic("a"))
    gate.next_to_send()
    gate.add(automatic("b"))
    gate.created("vad", None)
    gate.rejected("a")
    gate.done("vad")

    assert taken(gate) == ("a", "b")


def test_a_wish_that_was_taken_for_refused_and_has_begun_is_not_sent_again() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()
    gate.add(automatic("b"))
    gate.rejected("a")

    assert gate.created("r1", "a") == automatic("a")

    gate.done("r1")
    assert taken(gate) == ("b",)  # it came after the create that was answered


def test_a_wish_that_waits_can_be_withdrawn() -> None:
    gate = gate_with(manual("a"), manual("b"), manual("c"))

    assert gate.withdraw("b") == manual("b")
    assert gate.withdraw("b") is None

    assert gate.clear() == (manual("a"), manual("c"))


def test_a_wish_that_is_on_its_way_cannot_be_withdrawn() -> None:
    gate = gate_with(manual("a"))
    gate.next_to_send()

    assert gate.withdraw("a") is None
    assert gate.outstanding == manual("a")


# --- whose response it is -----------------------------------------------------------------------


def test_a_response_without_our_token_is_not_ours_where_metadata_is_echoed() -> None:
    gate = gate_with(automatic("a"), manual("b"))
    gate.next_to_send()
    gate.created("r1", "a")
    gate.done("r1")
    gate.next_to_send()

    assert gate.created("vad", None) is None
    assert gate.probable_owner is None
    assert gate.done("vad") is None

    assert gate.outstanding == manual("b")


def test_a_token_that_is_not_ours_claims_nothing() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()

    assert gate.created("r1", "of another client") is None

    assert gate.outstanding == automatic("a")


def test_a_server_without_echo_settles_by_the_end_of_the_response() -> None:
    gate = gate_with(automatic("a"), manual("b"))
    gate.next_to_send()

    assert gate.created("r1", None) is None
    assert gate.probable_owner == automatic("a")
    assert gate.done("r1") == automatic("a")

    assert taken(gate) == ("b",)
    gate.created("r2", "b")  # so it does echo, after all
    assert gate.done("r2") is None
    assert gate.is_idle


def test_a_server_without_echo_that_refuses_settles_nothing_by_the_end_of_the_winner() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()
    gate.created("vad", None)

    gate.rejected("a")

    assert gate.probable_owner is None
    assert gate.done("vad") is None
    assert taken(gate) == ("a",)


def test_a_response_that_the_service_was_to_make_by_itself_is_not_ours() -> None:
    gate = gate_with(automatic("a"))
    gate.next_to_send()

    gate.created("vad", None, spontaneous=True)

    assert gate.probable_owner is None
    assert gate.done("vad") is None
    assert gate.outstanding == automatic("a")


def test_what_runs_before_a_wish_is_sent_is_not_ours() -> None:
    gate = ResponseQueue()
    gate.created("vad", None)
    gate.add(automatic("a"))

    assert gate.probable_owner is None
    assert gate.done("vad") is None
    assert taken(gate) == ("a",)


# --- through the conversation: errors as servers send them ---------------------------------------


def creates(effects: object) -> list[str | None]:
    assert isinstance(effects, list | tuple)
    return [effect.event_id for effect in effects if isinstance(effect, ResponseCreate)]


def server_says(conversation: CoreDriver, **frame: object) -> list[str | None]:
    event: ServerEvent = structure_server_event(frame)
    return creates(conversation.receive(event, 0.0))


def response(response_id: str, token: str | None = None, status: str = "completed") -> object:
    metadata = None if token is None else {METADATA_KEY: token}
    return {"id": response_id, "status": status, "metadata": metadata}


def ask(conversation: CoreDriver) -> list[str | None]:
    item = MessageItem(role="user", content=(InputText(text="Hello?"),))
    return creates(conversation.send_item(item, respond=True))


@pytest.mark.parametrize("names_event", [True, False])
@pytest.mark.parametrize("winner_first", [True, False])
def test_a_message_that_lost_to_voice_activity_is_answered_after_all(
    names_event: bool, winner_first: bool
) -> None:
    conversation = CoreDriver(agent=None)
    (token,) = ask(conversation)
    refusal = {
        "code": "conversation_already_has_active_response",
        "message": "CoreDriver already has an active response in progress",
        "event_id": token if names_event else None,
    }
    began = {"type": "response.created", "response": response("vad", status="in_progress")}
    refused = {"type": "error", "error": refusal}

    for frame in (began, refused) if winner_first else (refused, began):
        assert server_says(conversation, **frame) == []
    sent = server_says(conversation, type="response.done", response=response("vad"))

    assert len(sent) == 1
    assert (
        server_says(conversation, type="response.created", response=response("r2", sent[0])) == []
    )
    assert server_says(conversation, type="response.done", response=response("r2", sent[0])) == []
    assert conversation.is_quiet


def test_a_message_that_lost_to_a_response_beside_the_conversation_is_answered_after_all() -> None:
    # A server that has room for one response in all.
    conversation = CoreDriver(agent=None)
    beside, _ = conversation.create_response(ResponseParams(conversation="none"))
    server_says(conversation, type="response.created", response=response("r1", beside))
    (token,) = ask(conversation)
    error = {"code": "conversation_already_has_active_response", "event_id": token}
    assert server_says(conversation, type="error", error=error) == []

    sent = server_says(conversation, type="response.done", response=response("r1", beside))

    assert sent == [token]


def test_an_error_about_something_else_leaves_the_create_on_its_way() -> None:
    conversation = CoreDriver(agent=None)
    ask(conversation)

    error = {"code": "invalid_value", "message": "Invalid audio.", "event_id": None}
    assert server_says(conversation, type="error", error=error) == []

    assert not conversation.is_quiet
    assert ask(conversation) == []


# --- against a server that refuses when it is busy ------------------------------------------------


class BusyServer(RuleBasedStateMachine):
    """A gate and a server with a queue in each direction, and everything in between in any order.

    The server begins responses of its own, refuses creates while it is busy and, in half of the
    runs, does not echo metadata. Of a response that it begins by itself the client is warned, as
    the end of the user's speech does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = ResponseQueue()
        self.numbers = 0
        self.echoes = True
        # the client's side
        self.waiting: deque[tuple[str, bool]] = deque()  # waiter, whether automatic
        self.in_flight: dict[str, tuple[str, ...]] = {}  # token -> waiters
        self.kinds: dict[str, bool] = {}
        # the wire
        self.to_server: deque[str] = deque()
        self.to_client: deque[tuple[str, str, str | None]] = deque()
        # the server's side
        self.active: str | None = None
        self.token_of: dict[str, str | None] = {}
        self.served: list[str] = []
        self.wished: list[str] = []

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    # --- the client

    @initialize(echoes=st.booleans())
    def meet(self, echoes: bool) -> None:
        self.echoes = echoes

    @rule(is_automatic=st.booleans())
    def wish(self, is_automatic: bool) -> None:
        token = f"w{self.number()}"
        self.waiting.append((token, is_automatic))
        self.kinds[token] = is_automatic
        self.wished.append(token)
        self.gate.add(automatic(token) if is_automatic else manual(token))
        self.pump()

    def pump(self) -> None:
        wish = self.gate.next_to_send()
        if wish is None:
            return
        assert self.in_flight == {}, "a second create is on its way"
        assert self.gate.running is None
        assert wish.waiters == self.expected()
        assert wish.token == wish.waiters[0]
        assert (wish.params is None) == self.kinds[wish.token]
        self.in_flight[wish.token] = wish.waiters
        self.to_server.append(wish.token)

    def expected(self) -> tuple[str, ...]:
        """The waiters of the next create: one manual wish, or all automatic ones at the head."""
        waiter, is_automatic = self.waiting.popleft()
        waiters = [waiter]
        while is_automatic and self.waiting and self.waiting[0][1]:
            waiters.append(self.waiting.popleft()[0])
        return tuple(waiters)

    @precondition(lambda self: self.to_client)
    @rule()
    def hear(self) -> None:
        kind, name, token = self.to_client.popleft()
        match kind:
            case "created":
                spontaneous = self.token_of[name] is None
                claimed = self.gate.created(name, token, spontaneous=spontaneous)
                if self.echoes:
                    self.check_claim(claimed, name)
            case "done":
                claimed = self.gate.done(name)
                if not self.echoes:
                    self.check_claim(claimed, name)
            case _:
                assert self.gate.rejected(name) is True
                waiters = self.in_flight.pop(name)
                self.waiting.extendleft((w, self.kinds[w]) for w in reversed(waiters))
        self.pump()

    def check_claim(self, claimed: ResponseRequest | None, response_id: str) -> None:
        token = self.token_of[response_id]
        assert (claimed.token if claimed else None) == token
        if token is not None:
            self.in_flight.pop(token)

    # --- the server

    def begin(self, token: str | None) -> None:
        self.active = f"r{self.number()}"
        self.token_of[self.active] = token
        self.to_client.append(("created", self.active, token if self.echoes else None))

    @precondition(lambda self: self.active is None)
    @rule()
    def speak_unasked(self) -> None:
        self.begin(None)

    @precondition(lambda self: self.to_server)
    @rule()
    def read(self) -> None:
        token = self.to_server.popleft()
        if self.active is not None:
            self.to_client.append(("refused", token, None))
            return
        self.served.extend(self.in_flight[token])
        self.begin(token)

    @precondition(lambda self: self.active is not None)
    @rule()
    def finish(self) -> None:
        assert self.active is not None
        self.to_client.append(("done", self.active, None))
        self.active = None

    # --- what holds

    @invariant()
    def no_more_than_one_create_is_on_its_way(self) -> None:
        assert len(self.in_flight) <= 1
        assert len(self.to_server) <= 1

    @invariant()
    def wishes_are_served_once_and_in_their_order(self) -> None:
        assert self.served == self.wished[: len(self.served)]

    def teardown(self) -> None:
        for _ in range(20 * (len(self.wished) + 2)):
            if self.to_client:
                self.hear()
            elif self.to_server:
                self.read()
            elif self.active is not None:
                self.finish()
        assert self.served == self.wished, "a wish was lost"
        assert self.gate.is_idle


TestBusyServer = BusyServer.TestCase
TestBusyServer.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
