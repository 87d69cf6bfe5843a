"""The response queue: at most one create is outstanding, and no request is lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from itertools import product

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.core.responses.queue import (
    MAX_OTHER_RESPONSES,
    TRANSITIONS,
    QueueState,
    ResponseQueue,
    ResponseRequest,
    Trigger,
)
from trio_realtime.wire import ResponseParams

PARAMS = ResponseParams(instructions="Be brief.")


def automatic(token: str) -> ResponseRequest:
    return ResponseRequest(token=token, waiters=(token,))


def manual(token: str) -> ResponseRequest:
    return ResponseRequest(token=token, params=PARAMS, waiters=(token,))


def queue_with(*requests: ResponseRequest) -> ResponseQueue:
    queue = ResponseQueue()
    for request in requests:
        queue.add(request)
    return queue


def next_waiters(queue: ResponseQueue) -> tuple[str, ...] | None:
    request = queue.next_to_send()
    return None if request is None else request.waiters


# --- the states of the slot -----------------------------------------------------------------------


def test_a_request_is_sent_while_the_slot_is_free() -> None:
    assert ResponseQueue().is_idle
    assert ResponseQueue().next_to_send() is None

    queue = queue_with(automatic("a"))

    assert not queue.is_idle
    assert next_waiters(queue) == ("a",)
    assert queue.outstanding == automatic("a")


def test_nothing_is_sent_while_a_create_is_outstanding() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()

    queue.add(manual("b"))

    assert queue.next_to_send() is None
    assert not queue.is_idle


def test_an_echoed_token_attributes_the_response() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()

    assert queue.created("r1", "a") == automatic("a")

    assert queue.outstanding is None
    assert queue.running == "r1"
    queue.add(automatic("b"))
    assert queue.next_to_send() is None


def test_the_end_of_the_response_frees_the_slot() -> None:
    queue = queue_with(automatic("a"), manual("b"))
    queue.next_to_send()
    queue.created("r1", "a")

    assert queue.done("r1") is None  # it was attributed when it was created

    assert queue.running is None
    assert next_waiters(queue) == ("b",)


def test_the_end_of_another_response_does_not_free_the_slot() -> None:
    queue = queue_with(automatic("a"), manual("b"))
    queue.next_to_send()
    queue.created("r2", "a")

    queue.done("r1")

    assert queue.running == "r2"
    assert queue.next_to_send() is None


def test_a_rejected_create_waits_for_the_running_response() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()
    queue.created("vad", None)

    assert queue.rejected("a") is True

    assert queue.outstanding is None
    assert queue.next_to_send() is None
    assert not queue.is_idle
    queue.done("vad")
    assert next_waiters(queue) == ("a",)


def test_a_rejected_create_waits_for_a_response_not_seen_yet() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()

    assert queue.rejected("a") is True
    assert queue.next_to_send() is None
    assert not queue.is_idle

    queue.created("vad", None)
    assert queue.next_to_send() is None
    queue.done("vad")
    assert next_waiters(queue) == ("a",)


def test_a_rejected_create_is_sent_again_after_the_end_of_an_unseen_response() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()
    queue.rejected("a")

    queue.done("vad")

    assert next_waiters(queue) == ("a",)


def test_a_rejection_of_a_request_that_is_not_outstanding_changes_nothing() -> None:
    queue = queue_with(automatic("a"))
    assert queue.rejected("a") is False
    queue.next_to_send()

    assert queue.rejected("z") is False
    assert queue.failed("z") is None

    assert queue.outstanding == automatic("a")


def test_an_invalid_create_is_dropped_and_the_next_is_sent() -> None:
    queue = queue_with(manual("a"), manual("b"))
    queue.next_to_send()

    assert queue.failed("a") == manual("a")

    assert next_waiters(queue) == ("b",)


def test_after_an_invalid_create_the_next_waits_for_the_running_response() -> None:
    queue = queue_with(manual("a"), manual("b"))
    queue.next_to_send()
    queue.created("vad", None)

    queue.failed("a")

    assert queue.next_to_send() is None
    assert queue.done("vad") is None
    assert next_waiters(queue) == ("b",)


def test_clear_drops_and_returns_all_requests() -> None:
    queue = queue_with(manual("a"), automatic("b"), manual("c"))
    queue.next_to_send()
    queue.created("vad", None)

    assert queue.clear() == (manual("a"), automatic("b"), manual("c"))

    assert queue.is_idle
    assert queue.running is None
    assert queue.clear() == ()


def test_clear_forgets_that_a_create_was_rejected() -> None:
    queue = queue_with(manual("a"))
    queue.next_to_send()
    queue.rejected("a")
    queue.clear()

    queue.add(manual("b"))

    assert next_waiters(queue) == ("b",)


# --- the queue ----------------------------------------------------------------------------------


def test_adjacent_automatic_requests_become_one_create() -> None:
    queue = queue_with(automatic("a"), automatic("b"), automatic("c"))

    request = queue.next_to_send()

    assert request == ResponseRequest(token="a", waiters=("a", "b", "c"))
    queue.created("r1", "a")
    queue.done("r1")
    assert queue.is_idle


def test_manual_requests_stay_separate_and_in_order() -> None:
    queue = queue_with(manual("a"), automatic("b"), automatic("c"), manual("d"), manual("e"))

    served = []
    while not queue.is_idle:
        request = queue.next_to_send()
        assert request is not None
        served.append((request.waiters, request.params))
        queue.created(f"r_{request.token}", request.token)
        queue.done(f"r_{request.token}")

    assert served == [(("a",), PARAMS), (("b", "c"), None), (("d",), PARAMS), (("e",), PARAMS)]


def test_a_rejected_request_returns_to_the_head() -> None:
    queue = queue_with(manual("a"), manual("b"))
    queue.next_to_send()
    queue.rejected("a")
    queue.done("vad")

    assert next_waiters(queue) == ("a",)


def test_a_rejected_automatic_request_joins_later_ones() -> None:
    # Two messages, one response: the rejected request does not cause a second one.
    queue = queue_with(automatic("a"))
    queue.next_to_send()
    queue.add(automatic("b"))
    queue.created("vad", None)
    queue.rejected("a")
    queue.done("vad")

    assert next_waiters(queue) == ("a", "b")


def test_a_rejected_create_whose_response_was_created_is_not_sent_again() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()
    queue.add(automatic("b"))
    queue.rejected("a")

    assert queue.created("r1", "a") == automatic("a")

    queue.done("r1")
    assert next_waiters(queue) == ("b",)  # it was added after the create that began the response


def test_a_queued_request_can_be_withdrawn() -> None:
    queue = queue_with(manual("a"), manual("b"), manual("c"))

    assert queue.withdraw("b") == manual("b")
    assert queue.withdraw("b") is None

    assert queue.clear() == (manual("a"), manual("c"))


def test_an_outstanding_request_cannot_be_withdrawn() -> None:
    queue = queue_with(manual("a"))
    queue.next_to_send()

    assert queue.withdraw("a") is None
    assert queue.outstanding == manual("a")


def test_other_responses_postpone_the_deadline_of_a_create_only_a_few_times() -> None:
    timer = RequestTimer(10.0)
    queue = ResponseQueue(timer)
    queue.add(automatic("a"))
    queue.next_to_send()
    for number in range(10):
        timer.now = 5.0 * number
        queue.created(f"r{number}", "other client")
        queue.done(f"r{number}")
        assert timer.next_deadline == 5.0 * min(number, MAX_OTHER_RESPONSES - 1) + 10.0
    queue.created("last", "other client")
    expired = queue.expire()
    assert expired is not None
    assert expired.token == "a"
    assert (queue.state, timer.next_deadline) == (QueueState.RUNNING, math.inf)


# --- which request a response answers ------------------------------------------------------------


def test_a_response_without_token_is_not_attributed_if_the_server_echoes_metadata() -> None:
    queue = queue_with(automatic("a"), manual("b"))
    queue.next_to_send()
    queue.created("r1", "a")
    queue.done("r1")
    queue.next_to_send()

    assert queue.created("vad", None) is None
    assert queue.probable_owner is None
    assert queue.done("vad") is None

    assert queue.outstanding == manual("b")


def test_an_unknown_token_is_not_attributed() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()

    assert queue.created("r1", "other client") is None

    assert queue.outstanding == automatic("a")


def test_without_echo_the_end_of_the_response_attributes_it() -> None:
    queue = queue_with(automatic("a"), manual("b"))
    queue.next_to_send()

    assert queue.created("r1", None) is None
    assert queue.probable_owner == automatic("a")
    assert queue.done("r1") == automatic("a")

    assert next_waiters(queue) == ("b",)
    queue.created("r2", "b")  # now the server does echo
    assert queue.done("r2") is None
    assert queue.is_idle


def test_without_echo_the_end_of_the_winner_does_not_answer_a_rejected_create() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()
    queue.created("vad", None)

    queue.rejected("a")

    assert queue.probable_owner is None
    assert queue.done("vad") is None
    assert next_waiters(queue) == ("a",)


def test_a_spontaneous_response_is_not_attributed() -> None:
    queue = queue_with(automatic("a"))
    queue.next_to_send()

    queue.created("vad", None, spontaneous=True)

    assert queue.probable_owner is None
    assert queue.done("vad") is None
    assert queue.outstanding == automatic("a")


def test_a_response_that_runs_before_the_create_is_not_attributed() -> None:
    queue = ResponseQueue()
    queue.created("vad", None)
    queue.add(automatic("a"))

    assert queue.probable_owner is None
    assert queue.done("vad") is None
    assert next_waiters(queue) == ("a",)


# --- against a server that rejects creates while it is busy ---------------------------------------


class BusyServer(RuleBasedStateMachine):
    """A response queue and a server, connected by a delaying link in each direction.

    The server starts responses by itself, rejects creates while a response runs and, in half of the
    runs, does not echo metadata. The client expects each response that the server starts by itself,
    as it does after the end of the user's speech.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue = ResponseQueue()
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
        self.requested: list[str] = []

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    # --- the client

    @initialize(echoes=st.booleans())
    def choose_server(self, echoes: bool) -> None:
        self.echoes = echoes

    @rule(is_automatic=st.booleans())
    def request(self, is_automatic: bool) -> None:
        token = f"request_{self.number()}"
        self.waiting.append((token, is_automatic))
        self.kinds[token] = is_automatic
        self.requested.append(token)
        self.queue.add(automatic(token) if is_automatic else manual(token))
        self.send_next()

    def send_next(self) -> None:
        request = self.queue.next_to_send()
        if request is None:
            return
        assert self.in_flight == {}, "a second create is outstanding"
        assert self.queue.running is None
        assert request.waiters == self.expected_waiters()
        assert request.token == request.waiters[0]
        assert (request.params is None) == self.kinds[request.token]
        self.in_flight[request.token] = request.waiters
        self.to_server.append(request.token)

    def expected_waiters(self) -> tuple[str, ...]:
        """Return the waiters of the next create: one manual request, or the leading automatic ones."""
        waiter, is_automatic = self.waiting.popleft()
        waiters = [waiter]
        while is_automatic and self.waiting and self.waiting[0][1]:
            waiters.append(self.waiting.popleft()[0])
        return tuple(waiters)

    @precondition(lambda self: self.to_client)
    @rule()
    def receive(self) -> None:
        kind, name, token = self.to_client.popleft()
        match kind:
            case "created":
                spontaneous = self.token_of[name] is None
                attributed = self.queue.created(name, token, spontaneous=spontaneous)
                if self.echoes:
                    self.check_attribution(attributed, name)
            case "done":
                attributed = self.queue.done(name)
                if not self.echoes:
                    self.check_attribution(attributed, name)
            case _:
                assert self.queue.rejected(name) is True
                waiters = self.in_flight.pop(name)
                self.waiting.extendleft((w, self.kinds[w]) for w in reversed(waiters))
        self.send_next()

    def check_attribution(self, attributed: ResponseRequest | None, response_id: str) -> None:
        token = self.token_of[response_id]
        assert (attributed.token if attributed else None) == token
        if token is not None:
            self.in_flight.pop(token)

    # --- the server

    def begin_response(self, token: str | None) -> None:
        self.active = f"r{self.number()}"
        self.token_of[self.active] = token
        self.to_client.append(("created", self.active, token if self.echoes else None))

    @precondition(lambda self: self.active is None)
    @rule()
    def start_spontaneous_response(self) -> None:
        self.begin_response(None)

    @precondition(lambda self: self.to_server)
    @rule()
    def read_create(self) -> None:
        token = self.to_server.popleft()
        if self.active is not None:
            self.to_client.append(("rejected", token, None))
            return
        self.served.extend(self.in_flight[token])
        self.begin_response(token)

    @precondition(lambda self: self.active is not None)
    @rule()
    def finish_response(self) -> None:
        assert self.active is not None
        self.to_client.append(("done", self.active, None))
        self.active = None

    # --- invariants

    @invariant()
    def at_most_one_create_is_outstanding(self) -> None:
        assert len(self.in_flight) <= 1
        assert len(self.to_server) <= 1

    @invariant()
    def requests_are_served_once_and_in_order(self) -> None:
        assert self.served == self.requested[: len(self.served)]

    def teardown(self) -> None:
        for _ in range(20 * (len(self.requested) + 2)):
            if self.to_client:
                self.receive()
            elif self.to_server:
                self.read_create()
            elif self.active is not None:
                self.finish_response()
        assert self.served == self.requested, "a request was lost"
        assert self.queue.is_idle


TestBusyServer = BusyServer.TestCase
TestBusyServer.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


# --- the table of transitions -------------------------------------------------------------------


class RecordingQueue(ResponseQueue):
    """A queue that records its transitions."""

    def __init__(self) -> None:
        self.timer = RequestTimer(0.0)  # every deadline has passed
        super().__init__(self.timer)
        self.transitions: set[tuple[QueueState, Trigger]] = set()

    def _move(self, trigger: Trigger) -> None:
        self.transitions.add((self.state, trigger))
        super()._move(trigger)


OPERATIONS: dict[str, Callable[[ResponseQueue], object]] = {
    "add": lambda queue: queue.add(automatic("a")),
    "send": lambda queue: queue.next_to_send(),
    "created with token": lambda queue: queue.created("r1", "a"),
    "created without token": lambda queue: queue.created("r2", None),
    "created spontaneously": lambda queue: queue.created("r3", None, spontaneous=True),
    "first done": lambda queue: queue.done("r1"),
    "second done": lambda queue: queue.done("r2"),
    "third done": lambda queue: queue.done("r3"),
    "out-of-band done": lambda queue: queue.out_of_band_done(),
    "rejected": lambda queue: queue.rejected("a"),
    "rejected late": lambda queue: queue.rejected("a", winner_ended=True),
    "failed": lambda queue: queue.failed("a"),
    "expire": lambda queue: queue.expire(),
    "withdraw": lambda queue: queue.withdraw("a"),
    "clear": lambda queue: queue.clear(),
}


def test_sequences_of_operations_make_each_listed_transition_and_no_other() -> None:
    """A transition that is not listed raises KeyError."""
    made: dict[tuple[QueueState, Trigger], tuple[str, ...]] = {}
    for sequence in product(OPERATIONS, repeat=3):
        queue = RecordingQueue()
        for name in ("add", "send", *sequence):
            OPERATIONS[name](queue)
        made |= dict.fromkeys(queue.transitions - made.keys(), sequence)
    assert made.keys() == TRANSITIONS.keys()


SLOTS = {
    (False, False): {QueueState.FREE, QueueState.AWAITING_WINNER},
    (False, True): {QueueState.CREATE_SENT},
    (True, False): {QueueState.RUNNING},
    (True, True): {QueueState.CONTENDED},
}
TOKENS = st.sampled_from([f"t{n}" for n in range(6)])
RESPONSE_IDS = st.sampled_from([f"r{n}" for n in range(4)])


class AnyOrder(RuleBasedStateMachine):
    """All operations in any order, also in orders that no service causes.

    Every operation has a transition, and each request is queued, outstanding or removed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue = ResponseQueue()
        self.remaining: set[str] = set()  # waiters of requests that were not removed

    def remove(self, request: ResponseRequest | None) -> None:
        if request is not None:
            assert self.remaining.issuperset(request.waiters), "a request was removed twice"
            self.remaining.difference_update(request.waiters)

    @rule(token=TOKENS, is_automatic=st.booleans())
    def add(self, token: str, is_automatic: bool) -> None:
        if token not in self.remaining:
            self.remaining.add(token)
            self.queue.add(automatic(token) if is_automatic else manual(token))

    @rule(turns_awaited=st.booleans())
    def send(self, turns_awaited: bool) -> None:
        may_send = self.queue.state is QueueState.FREE
        request = self.queue.next_to_send(turns_awaited=turns_awaited)
        assert request is None or may_send
        assert request is self.queue.outstanding or request is None

    @rule(response_id=RESPONSE_IDS, token=st.none() | TOKENS, spontaneous=st.booleans())
    def created(self, response_id: str, token: str | None, spontaneous: bool) -> None:
        self.remove(self.queue.created(response_id, token, spontaneous=spontaneous))
        assert self.queue.running == response_id

    @rule(response_id=RESPONSE_IDS)
    def done(self, response_id: str) -> None:
        self.remove(self.queue.done(response_id))

    @rule()
    def out_of_band_done(self) -> None:
        self.queue.out_of_band_done()

    @rule(token=TOKENS, winner_ended=st.booleans())
    def rejected(self, token: str, winner_ended: bool) -> None:
        outstanding = self.queue.outstanding
        expected = outstanding is not None and outstanding.token == token
        assert self.queue.rejected(token, winner_ended=winner_ended) == expected

    @rule(token=TOKENS)
    def failed(self, token: str) -> None:
        self.remove(self.queue.failed(token))

    @rule(token=TOKENS)
    def withdraw(self, token: str) -> None:
        self.remove(self.queue.withdraw(token))

    @rule()
    def clear(self) -> None:
        for request in self.queue.clear():
            self.remove(request)
        assert not self.remaining, "clear does not return all requests"
        assert self.queue.is_idle

    @invariant()
    def the_state_matches_the_slot(self) -> None:
        running, outstanding = self.queue.running is not None, self.queue.outstanding is not None
        assert self.queue.state in SLOTS[running, outstanding]

    @invariant()
    def no_request_is_lost(self) -> None:
        outstanding = self.queue.outstanding
        requests = [*self.queue._requests, *([outstanding] if outstanding else [])]
        waiters = [waiter for request in requests for waiter in request.waiters]
        assert sorted(waiters) == sorted(self.remaining)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
