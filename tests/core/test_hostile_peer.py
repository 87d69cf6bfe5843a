"""A service that sends anything: the core never raises, and neither its state nor its work grows without end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from support.core import CoreScenario, effects_of
from support.hostile_core import HostileService, open_conversation
from support.hostile_frames import Frame, frames_of_each_kind, with_new_ids, with_new_index
from support.state_sizes import container_sizes
from trio_realtime.core import ConnectionLost, ConnectionRestored
from trio_realtime.wire import ClientEvent, UnknownItem
from trio_realtime.wire.dialects import DialectName

# --- what the mutations below have found once ----------------------------------------------------


def test_an_unknown_item_in_progress_survives_the_loss_of_its_connection() -> None:
    scenario = CoreScenario()
    raw = {"id": "item_1", "type": "hologram", "status": "in_progress"}
    scenario.receive("conversation.item.added", item=raw)
    scenario.core._feed(ConnectionLost())
    scenario.core._feed(ConnectionRestored(replay=scenario.core.replay()))
    assert scenario.core.history.snapshot() == (UnknownItem(raw=raw),)


def test_the_limits_of_settings_do_not_apply_to_what_a_service_reports() -> None:
    scenario = CoreScenario()
    for speed in (9.0, 0.01):
        audio = {"output": {"speed": speed}}
        scenario.receive("session.updated", session={"type": "realtime", "audio": audio})
        assert scenario.core.session is not None
        output: Any = scenario.core.session.audio
        assert output.output.speed == speed


@pytest.mark.parametrize("rate", [0, -1, 10**12, 2 * 10**308])
def test_an_impossible_rate_counts_as_the_usual_one(rate: int) -> None:
    scenario = CoreScenario()
    audio = {"output": {"format": {"type": "audio/pcm", "rate": rate}}}
    scenario.receive("session.updated", session={"type": "realtime", "audio": audio})
    assert scenario.core.playback.bytes_per_ms == 48


def test_nothing_is_sent_on_a_lost_connection() -> None:
    scenario = CoreScenario()
    scenario.message_create()
    scenario.interrupt()  # the response is cancelled when it is created
    scenario.audio("r1", "item_1")  # its beginning was lost
    effects = scenario.core._feed(ConnectionLost())
    assert effects_of(effects, ClientEvent) == []


# --- any frames ----------------------------------------------------------------------------------


@given(
    random=st.randoms(use_true_random=False),
    dialect=st.sampled_from(DialectName.__args__),  # type: ignore[attr-defined]
    debounce=st.sampled_from((None, 0, 20)),
    gated=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_hostile_frames_raise_nothing(
    random: Random, dialect: DialectName, debounce: int | None, gated: bool
) -> None:
    core = open_conversation(guardrail_debounce=debounce, audio_gate=gated)
    service = HostileService(core, random, dialect)
    for _ in range(25):
        service.receive_any()
        if not random.randrange(4):
            service.do_something()
        if not random.randrange(30):
            service.lose_connection()
    service.deliver_results()


# --- floods --------------------------------------------------------------------------------------

#: What the service says of the conversation, and what a response that runs has said so far.
CONTENT = {
    "History._nodes",
    "Chunk.changed",
    "Chunk.items",
    "Chunk.nodes",
    "Chunk.snapshot",
    "ItemOrder._chunks",
    "ItemOrder._snapshots",
    "MessageItem.content",
    "GuardedAudio._waiting",
    "PartText.pieces",
    "RunningResponse.arguments",
    "_ReplyText.pieces",
}
KINDS = frames_of_each_kind()
FLOODS: dict[str, Callable[[Frame, int], Frame]] = {"ids": with_new_ids, "parts": with_new_index}

#: Each of these responses has a call, so a response must follow it, and the service begins others too. All
#: their turns go on, and the following responses belong to all of them.
ENDLESS = pytest.mark.xfail(
    reason="no turn ends while each response has a call; only UsageLimits end that"
)

flooded = pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param(kind, way, marks=[ENDLESS] if (kind, way) == ("response.done", "ids") else [])
        for kind in KINDS
        for way in FLOODS
    ],
)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits, so that a small flood exceeds them."""
    monkeypatch.setattr("trio_realtime.core.calls.ledger.MAX_ANSWERED", 50)
    monkeypatch.setattr("trio_realtime.core.history.outgoing.MAX_UNACKNOWLEDGED", 50)
    monkeypatch.setattr("trio_realtime.core.audio.guardrail_gate.MAX_ENDS", 50)
    monkeypatch.setattr("trio_realtime.core.latency.MAX_VALUES", 50)
    monkeypatch.setattr("trio_realtime.core.latency.MAX_RESPONSES", 50)
    for module in ("history.items", "responses.running", "audio.retention"):
        monkeypatch.setattr(f"trio_realtime.core.{module}.MAX_PARTS", 50)


class Flood:
    """Frames of one kind without end, ten per second."""

    def __init__(self, kind: str, way: str) -> None:
        self.service = HostileService(open_conversation(), Random(1))
        self._frame = KINDS[kind]
        self._change = FLOODS[way]
        self._number = 0
        self._receive({"type": "session.created", "session": {"type": "realtime"}})
        if way == "parts":
            response_id = self._frame.get("response_id", "r")
            item = {"id": self._frame.get("item_id", "x"), "type": "message", "content": []}
            self._receive({"type": "response.created", "response": {"id": response_id}})
            item["role"] = "assistant"
            self._receive({"type": "conversation.item.added", "item": item})

    def _receive(self, frame: Frame) -> None:
        self.service.receive(json.dumps(frame))

    def go_on(self, count: int) -> None:
        """Receive more frames."""
        for _ in range(count):
            self._number += 1
            self.service.pass_time(0.1)
            self._receive(self._change(self._frame, self._number))
            if self._number % 20 == 0:
                self.service.deliver_results()
        self.service.deliver_results()


@flooded
@pytest.mark.slow
@pytest.mark.usefixtures("small_limits")
def test_state_other_than_the_conversation_does_not_grow(kind: str, way: str) -> None:
    flood = Flood(kind, way)
    flood.go_on(600)
    before = container_sizes(flood.service.core)
    flood.go_on(600)
    after = container_sizes(flood.service.core)
    grown = {name: size - before.get(name, 0) for name, size in after.items()}
    assert {name: size for name, size in grown.items() if size > 30 and name not in CONTENT} == {}


@pytest.mark.slow
def test_the_state_after_many_hostile_frames_is_bounded() -> None:
    service = HostileService(open_conversation(), Random(7))
    for number in range(10_000):
        service.receive_any()
        if number % 4 == 0:
            service.do_something()
    sizes = container_sizes(service.core)
    assert {name: size for name, size in sizes.items() if size > 5_000} == {}


def lines_run(act: Callable[[], None]) -> int:
    """Return how many lines of the core run."""
    lines = 0

    def count(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal lines
        lines += what == "line"
        return count

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        return count if "/core/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return lines


@flooded
@pytest.mark.slow
@pytest.mark.usefixtures("small_limits")
def test_a_frame_costs_the_same_after_many_others(kind: str, way: str) -> None:
    flood = Flood(kind, way)
    flood.go_on(300)  # the limits are reached
    few = lines_run(lambda: flood.go_on(100))
    flood.go_on(1_000)
    many = lines_run(lambda: flood.go_on(100))
    assert many <= 1.5 * few + 500
