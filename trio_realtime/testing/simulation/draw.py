"""Draw a plan from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from trio_realtime.local import Call, Fail, Incomplete, Pause, Say

from .plan import (
    FORBIDDEN,
    Action,
    ActionKind,
    Check,
    ConsumerPlan,
    Decision,
    Plan,
    Reply,
    Settings,
)

__all__ = ["DEFAULT_STEPS", "draw_plan"]

T = TypeVar("T")

DEFAULT_STEPS: Final = 12
"""The number of actions of a plan by default."""

_WEIGHTS: Final[Mapping[ActionKind, int]] = {
    "write": 12,
    "write quietly": 4,
    "write much": 2,
    "ask": 10,
    "speak": 12,
    "push to talk": 4,
    "noise": 2,
    "interrupt": 8,
    "change of mind": 4,
    "mute": 1,
    "unmute": 1,
    "create response": 4,
    "create and cancel": 2,
    "out of band": 4,
    "delete item": 3,
    "rewrite item": 2,
    "reorder": 2,
    "settings": 3,
    "refused settings": 2,
    "other agent": 3,
    "refused agent": 1,
    "raw event": 5,
    "clear audio": 1,
    "stall": 3,
    "unknown event": 3,
}
_ENDS: Final[Mapping[ActionKind, int]] = {
    "drop": 4,
    "server closes": 2,
    "leave": 2,
    "raise": 2,
    "cancel block": 3,
    "aclose": 2,
    "end call": 3,
}
_PAUSES: Final = (0.0, 0.0, 0.01, 0.1, 0.3, 1.0, 3.0)
_TOOLS: Final = (
    *("work", "work", "work", "failing", "too_slow", "finishing", "background"),
    *("early", "quiet", "paying", "guarded", "talking", "interrupting", "hanging_up", "unknown"),
    *("transfer_to_other", "transfer_to_refused", "transfer_to_broken", "last_words", "quick"),
)
_WORDS: Final = (
    "Yes.",
    "One moment, please.",
    "A long story that goes on and on, and then on again, until it ends.",
    "",
    f"It is {FORBIDDEN}.",
    f"Something is said first, then something {FORBIDDEN}, and then more.",
)
_RAW_EVENTS: Final = (
    *("create", "cancel", "cancel named", "retrieve", "delete", "answer", "session"),
    *("future", "message", "out of band", "truncate"),
)


class _Draw:
    """Draws the parts of a plan."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def one_of(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def weighted(self, weights: Mapping[T, int]) -> T:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def seconds(self, low: float, high: float) -> float:
        return round(self._random.uniform(low, high), 3)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    # --- the model

    def reply(self) -> Reply:
        if self.chance(0.3):
            return (self.say(),)
        steps: list[Any] = []
        for _ in range(self.number(1, 4)):
            kind = self.one_of(
                ("say", "say", "call", "call", "call", "call", "call", "pause", "end")
            )
            match kind:
                case "say":
                    steps.append(self.say())
                case "call":
                    steps.append(self.call())
                case "pause":
                    steps.append(Pause(self.one_of((0.1, 1.0, 4.0))))
                case _:
                    steps.append(
                        self.one_of((Fail(), Incomplete(), Incomplete("max_output_tokens")))
                    )
                    break
        return tuple(steps)

    def say(self) -> Say:
        return Say(self.one_of(_WORDS), audio_ms=float(self.one_of((200, 700, 1500, 4000))))

    def call(self) -> Call:
        name = self.one_of(_TOOLS)
        if self.chance(0.08):
            return Call(name, self.one_of(("{", "[]", '{"seconds": "long"}', '{"other": 1}')))
        call_id = f"call_again_{self.number(1, 2)}" if self.chance(0.03) else None
        if name.startswith("transfer"):
            return Call(name, call_id=call_id)
        arguments = {"seconds": self.one_of((0.0, 0.1, 0.5, 2.5))}
        if self.chance(0.4):
            arguments["clean_up"] = self.one_of((0.05, 0.2, 0.5))
        return Call(name, arguments, call_id)

    # --- guardrails and approvals

    def check(self) -> Check:
        seconds = self.one_of((0.0, 0.0, 0.0, 0.1, 0.1, 1.0, 3.0))
        if self.chance(0.03):
            seconds = math.inf
        return Check(seconds, fails=self.chance(0.06))

    def decision(self) -> Decision:
        seconds = self.one_of((0.0, 0.3, 2.0, 20.0))
        if self.chance(0.1):
            seconds = math.inf
        return Decision(seconds, approve=self.chance(0.6), always=self.chance(0.1))

    # --- consumers

    def consumer(self) -> ConsumerPlan:
        return ConsumerPlan(
            kind=self.one_of(("all", "all", "audio", "paced")),
            pause=self.one_of((0.0, 0.0, 0.01, 0.2)),
            stops_at=self.seconds(0, 8) if self.chance(0.2) else None,
            cancelled_at=self.seconds(0, 8) if self.chance(0.15) else None,
            overflow=self.one_of(("fail", "drop_oldest")),
        )

    # --- settings

    def settings(self) -> Settings:
        small = self.chance(0.25)
        congested = self.chance(0.15)
        reconnects = self.chance(0.5)
        return Settings(
            modality="text" if self.chance(0.15) else "audio",
            audio_format="pcm" if self.chance(0.1) else "pcmu",
            vad=self.chance(0.85),
            interrupt_response=self.chance(0.8),
            barge_in=self.chance(0.85),
            gated=self.chance(0.25),
            debounce=self.one_of((0, 10, 20, 100)),
            latency=self.one_of((0.0, 0.0, 0.02, 0.2)),
            pacing=self.one_of((10.0, 10.0, 2.0, math.inf)),
            interleave=self.chance(0.25),
            max_events=self.one_of((64, 300)) if small else 16_384,
            max_audio=self.one_of((8_000, 40_000)) if small else 32 * 1024 * 1024,
            max_outgoing=self.one_of((4_000, 8_000)) if congested else 1024 * 1024,
            send_buffer=4 if congested else 1000,
            extra_fields=self.chance(0.2),
            repeat=self.number(0, 99) if self.chance(0.2) else None,
            session_seconds=self.seconds(2, 20) if self.chance(0.06) and not reconnects else 3600.0,
            wrong_key=self.chance(0.02),
            reconnects=reconnects,
            transcribing=self.one_of((0.0, 0.0, 0.3, 2.0)),
        )

    # --- actions

    def actions(self, steps: int) -> list[Action]:
        actions: list[Action] = []
        now = 0.0
        for number in range(steps):
            kind = self.weighted(_WEIGHTS)
            cancel_after = self.number(0, 12) if self.chance(0.12) else None
            actions.append(Action(round(now, 3), kind, self.value(kind, number), cancel_after))
            now += self.one_of(_PAUSES)
        if self.chance(0.5):
            kind = self.weighted(_ENDS)
            at = self.seconds(now / 4, now + 2)
            end = Action(at, kind, self.number(0, 30) if kind == "cancel block" else None)
            actions.append(end)
        return sorted(actions, key=lambda action: action.at)

    def value(self, kind: ActionKind, number: int) -> Any:
        match kind:
            case "write" | "write quietly" | "ask" | "rewrite item" | "change of mind":
                bad = f" {FORBIDDEN}" if self.chance(0.05) else ""
                return f"{kind} {number}{bad}"
            case "write much":
                return self.one_of((3_000, 9_000))
            case "speak" | "push to talk":
                return self.one_of((200, 700, 1500))
            case "delete item" | "unknown event" | "other agent" | "reorder":
                return self.number(0, 9)
            case "settings":
                return self.one_of(("speed", "tokens", "no vad", "vad", "no interrupt", "text"))
            case "raw event":
                return self.one_of(_RAW_EVENTS)
            case "stall":
                return self.one_of((0.1, 0.5, 0.5, 2.0, 2.0, 18.0))
            case _:
                return None


def draw_plan(seed: int, *, steps: int = DEFAULT_STEPS) -> Plan:
    """Draw a plan. The same arguments give the same plan.

    Args:
        seed: The seed.
        steps: The number of actions.
    """
    draw = _Draw(seed)
    return Plan(
        seed=seed,
        actions=tuple(draw.actions(steps)),
        replies=tuple(draw.reply() for _ in range(draw.number(steps // 4, steps))),
        checks=tuple(draw.check() for _ in range(draw.number(0, steps))),
        decisions=tuple(draw.decision() for _ in range(draw.number(0, 3))),
        consumers=tuple(draw.consumer() for _ in range(draw.number(0, 3))),
        settings=draw.settings(),
    )
