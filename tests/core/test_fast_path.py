"""The fast paths of audio have the same effects as the general path, for any traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, final

import pybase64
import pytest
from hypothesis import given, settings, strategies as st

from support.core import CoreScenario
from support.hostile_core import HostileService, open_conversation
from trio_realtime.core import AppendAudio, Conversation, Effect, Input
from trio_realtime.core.limits import LimitSettings
from trio_realtime.events import Audio

ITEMS = ("item_1", "item_2")


@final
class RecordingService(HostileService):
    """A service whose conversation takes audio by the fast path where it can, if that is wanted.

    Args:
        core: the conversation.
        seed: chooses what happens.
        is_fast: whether to take the fast paths.
    """

    def __init__(self, core: Conversation, seed: int, *, is_fast: bool) -> None:
        super().__init__(core, Random(seed))
        self._is_fast = is_fast
        self.effects: list[str] = []
        self.fast_paths = 0
        self._responses = ["resp_0"]

    def receive(self, frame: str | bytes) -> None:
        delta = self._decoder.read_audio(frame, lambda _text: True)
        if self._is_fast and self.core.can_play and delta is not None:
            audio = self.core.play(delta, self.now)
            if audio is not None:
                self.fast_paths += 1
                self._carry_out(audio, None)  # type: ignore[arg-type]
                return
        super().receive(frame)

    def feed(self, event: Input) -> None:
        if self._is_fast and isinstance(event, AppendAudio) and self.core.can_append:
            self.fast_paths += 1
            if self.core.append_audio(event.event.audio, self.now):
                self._carry_out(event.event, event)
            return
        super().feed(event)

    def _carry_out(self, effect: Effect, cause: Input) -> None:
        self.effects.append(repr(effect))
        if isinstance(effect, Audio):
            self.effects.append(repr(effect.data))
        super()._carry_out(effect, cause)

    def state(self) -> Any:
        """Return what the conversation knows."""
        playback = self.core.playback
        return (
            self.core.history.snapshot(),
            self.core.next_deadline,
            self.core.usage,
            self.core.is_quiet,
            self.core.is_between_turns(self.now),
            playback.current(self.now),
            playback.finishes_at(self.now),
            [playback.played_ms(item, 0, self.now) for item in ITEMS],
            self.core._user_audio.size,
        )

    def talk(self) -> None:
        """Take a frame of a service that keeps to the protocol, more or less."""
        random = self._random
        response_id = random.choice(self._responses[-2:])
        ids = {"response_id": response_id, "item_id": random.choice(ITEMS)}
        match random.randrange(16):
            case 0:
                ids["response_id"] = f"resp_{len(self._responses)}"
                self._responses.append(ids["response_id"])
                response = {"id": ids["response_id"], "status": "in_progress"}
                frame: dict[str, Any] = {"type": "response.created", "response": response}
            case 1:
                ended = {"id": ids["response_id"], "status": "completed", "output": []}
                frame = {"type": "response.done", "response": ended}
            case 2:
                frame = {"type": "input_audio_buffer.speech_started", "item_id": "item_9"}
            case _:
                audio = bytes([random.randrange(256)]) * random.choice((0, 96, 960, 48_000))
                frame = {
                    "type": "response.output_audio.delta",
                    **ids,
                    "output_index": 0,
                    "content_index": random.choice((0, 0, 0, 1)),
                    "delta": pybase64.b64encode_as_string(audio),
                }
        self.receive(json.dumps({**frame, "event_id": "event"}))

    def go_on(self) -> None:
        """Let anything happen."""
        for _ in range(8):
            self.talk()
        if not self._random.randrange(8):
            self.receive_any()
        if not self._random.randrange(3):
            self.do_something()
        if not self._random.randrange(40):
            self.lose_connection()


def both_paths(make: Callable[[], Conversation], seed: int) -> tuple[RecordingService, ...]:
    return tuple(RecordingService(make(), seed, is_fast=is_fast) for is_fast in (True, False))


def talk_on_both_paths(seed: int, debounce: int | None) -> tuple[RecordingService, ...]:
    fast, general = both_paths(
        lambda: open_conversation(
            guardrail_debounce=debounce, audio_gate=False, max_history_audio=0
        ),
        seed,
    )
    for _ in range(40):
        fast.go_on()
        general.go_on()
        assert fast.effects == general.effects
        assert fast.state() == general.state()
        fast.effects.clear()
        general.effects.clear()
    return fast, general


@given(seed=st.integers(0, 2**32), debounce=st.sampled_from((None, 20)))
@settings(deadline=None, max_examples=60)
def test_both_paths_have_the_same_effects(seed: int, debounce: int | None) -> None:
    _, general = talk_on_both_paths(seed, debounce)
    assert general.fast_paths == 0


def test_random_traffic_takes_the_fast_paths() -> None:
    # Not in each case: the first random event may end everything.
    taken = [talk_on_both_paths(seed, None)[0].fast_paths for seed in range(10)]
    assert sum(taken) > 200


@pytest.mark.parametrize(
    ("options", "can_play", "can_append"),
    [
        ({}, True, True),
        ({"guardrail_debounce": 20}, True, True),
        ({"audio_gate": True}, True, True),  # nothing is checked
        ({"guardrail_debounce": 20, "audio_gate": True}, False, True),
        ({"max_history_audio": 1}, False, True),
        ({"limits": LimitSettings(idle_timeout=9)}, True, False),
    ],
)
def test_audio_takes_the_fast_paths_unless_something_else_wants_it(
    options: dict[str, Any], can_play: bool, can_append: bool
) -> None:
    core = Conversation("agent", **options)
    assert (core.can_play, core.can_append) == (can_play, can_append)


def test_the_first_audio_of_an_item_and_that_of_no_response_take_the_general_path() -> None:
    scenario = CoreScenario()
    scenario.response_created("r")
    delta = ("r", "item", 0, bytes(480))
    assert scenario.core.play(delta, 0.0) is None
    scenario.audio("r", "item")
    played = scenario.core.play(delta, 0.0)
    event = Audio(data=bytes(480), response_id="r", item_id="item", content_index=0)
    assert played == event
    assert (hash(played), repr(played)) == (hash(event), repr(event))
    assert scenario.core.play(("other", *delta[1:]), 0.0) is None
    scenario.interrupt()
    assert scenario.core.play(delta, 0.0) is None
