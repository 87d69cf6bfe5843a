"""Simulations of whole sessions: they find nothing, repeat exactly, and shrink."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import trio

from trio_realtime.local import Call, Fail, Incomplete, Pause, Say
from trio_realtime.testing.simulate import main
from trio_realtime.testing.simulation import (
    Action,
    Check,
    ConsumerPlan,
    Coverage,
    Decision,
    Plan,
    Result,
    Settings,
    TransportName,
    draw_plan,
    run_plan,
    run_seeded,
    scheduling_is_deterministic,
    shrink_plan,
)

ROOT = Path(__file__).resolve().parent.parent.parent
BATCHES = range(0, 300, 30)


@pytest.mark.slow
@pytest.mark.parametrize("first", BATCHES)
def test_sessions_keep_their_invariants(first: int) -> None:
    for seed in range(first, first + BATCHES.step):
        violation = run_plan(draw_plan(seed)).violation
        assert violation is None, f"seed {seed}: {violation}"


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["trio-websocket", "fast"])
def test_sessions_on_websockets_keep_their_invariants(transport: TransportName) -> None:
    for seed in range(60):
        violation = run_plan(draw_plan(seed), transport).violation
        assert violation is None, f"seed {seed}: {violation}"


def entries(result: Result) -> list[tuple[float, str, str]]:
    """Return what can be compared with another run: times, kinds and frames."""
    began = result.log.entries[0].time
    return [
        (round(entry.time - began, 6), entry.what, str(entry.about))
        for entry in result.log.entries
        if entry.what != "event"
    ]


@pytest.mark.parametrize("transport", get_args(TransportName))
@pytest.mark.parametrize("seed", [3, 11, 42])
def test_the_same_plan_gives_the_same_session(seed: int, transport: TransportName) -> None:
    first, second = (run_plan(draw_plan(seed), transport) for _ in range(2))
    assert entries(first) == entries(second)


@pytest.mark.slow
def test_a_session_is_the_same_in_a_process_with_other_hashes() -> None:
    program = (
        "from trio_realtime.testing.simulation import draw_plan, run_plan\n"
        "log = run_plan(draw_plan(42)).log\n"
        "print([e.about for e in log.entries if e.what in ('in', 'out')])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_the_order_of_tasks_depends_on_the_seed() -> None:
    assert scheduling_is_deterministic()

    async def order() -> list[int]:
        ran: list[int] = []

        async def run(number: int) -> None:
            await trio.lowlevel.checkpoint()
            ran.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(run, number)
        return ran

    assert run_seeded(1, order) == run_seeded(1, order)
    assert run_seeded(1, order) != run_seeded(2, order)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["sleep_forever", "lowlevel.checkpoint"])
def test_a_run_that_would_never_end_raises(step: str) -> None:
    """In a process of its own: the tasks are abandoned, and complain when they are collected."""
    program = (
        "import trio\n"
        "from trio_realtime.testing.simulation import Deadlock, run_seeded\n"
        "async def main():\n"
        "    with trio.CancelScope(shield=True):\n"
        f"        while True: await trio.{step}()\n"
        "try: run_seeded(1, main)\n"
        "except Deadlock: print('noticed')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"noticed\n"


def test_a_plan_is_the_expression_that_creates_it() -> None:
    kinds = (
        *(Action, Check, ConsumerPlan, Decision, Plan, Settings),
        *(Call, Fail, Incomplete, Pause, Say),
    )
    names = {"math": math, **{kind.__name__: kind for kind in kinds}}
    for seed in range(50):
        plan = draw_plan(seed)
        assert eval(plan.describe(), names) == plan


def test_a_plan_is_shrunk_to_what_fails() -> None:
    def fails(plan: Plan) -> bool:
        kinds = [action.kind for action in plan.actions]
        return "ask" in kinds and plan.settings.gated

    plan = next(plan for plan in map(draw_plan, range(1000)) if fails(plan))
    smallest = shrink_plan(plan, fails)
    assert [action.kind for action in smallest.actions] == ["ask"]
    assert smallest.size == 2
    assert smallest.settings == Settings(gated=True)


def test_the_coverage_counts_what_has_happened() -> None:
    plan = Plan(
        seed=1,
        actions=(Action(at=0.0, kind="ask", value="ask 1"), Action(at=5.0, kind="drop")),
        replies=((Call("work", {"seconds": 0.1}), Call("unknown")), (Say("It is forbidden."),)),
    )
    coverage = Coverage()
    coverage.add(run_plan(plan))
    coverage.merge(Coverage())
    assert coverage.counts["sessions"] == 1
    assert coverage.counts["trips"] == 1
    assert coverage.details["calls"] == {"completed": 1, "unknown": 1}
    assert coverage.details["faults"] == {"drop": 1}
    assert coverage.details["ends"] == {"network: connection_lost": 1}
    assert "calls by outcome: completed 1, unknown 1" in coverage.report()


def test_the_command_reports_what_it_covered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--seed", "20", "--steps", "4"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("3 sessions, ")
    assert "0 of 3 sessions broke an invariant" in printed


def test_the_command_prints_the_smallest_plan_that_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trio_realtime.session.consumers.channel import EventChannel

    monkeypatch.setattr(EventChannel, "discard_audio", lambda _channel, _response_id: None)
    plan_seed = next(seed for seed in range(100) if run_plan(draw_plan(seed)).violation is not None)
    assert main(["--seeds", "1", "--seed", str(plan_seed)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith(f"seed {plan_seed}: invariant 5: ")
    assert f"Plan(\n    seed={plan_seed}," in printed
    assert f"repeat with: python -m trio_realtime.testing.simulate --seed {plan_seed}" in printed
