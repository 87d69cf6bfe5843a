"""A service that sends anything: the core never raises, and neither its state nor its work grows without end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from support.core import CoreScenario, effects_of
from support.hostile_core import HostileService, open_conversation
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
