"""``python -m trio_realtime.testing.simulate``: run simulated sessions, and report what they covered."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import get_args

from .simulation import (
    DEFAULT_STEPS,
    Coverage,
    Result,
    TransportName,
    draw_plan,
    run_plan,
    scheduling_is_deterministic,
    shrink_plan,
)

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 1 if a session has broken an invariant.

    Args:
        arguments: The arguments of the command line, without the program; by default, those of the
            process.
    """
    options = _parser().parse_args(arguments)
    if not scheduling_is_deterministic():
        _print("This version of trio cannot run tasks in a seeded order: a failure may not repeat.")
    coverage = Coverage()
    failures = 0
    began = time.perf_counter()
    for seed in range(options.seed, options.seed + options.seeds):
        result = run_plan(draw_plan(seed, steps=options.steps), options.transport)
        coverage.add(result)
        if result.violation is not None:
            failures += 1
            _report(result, options)
    _print(coverage.report())
    verdict = f"{failures} of {options.seeds} sessions broke an invariant"
    _print(f"{verdict} ({time.perf_counter() - began:.1f} s)")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trio_realtime.testing.simulate",
        description="Simulate whole sessions under seeded schedules, and check all invariants.",
    )
    parser.add_argument("--seeds", type=int, default=100, help="number of sessions (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=DEFAULT_STEPS, help="actions of each session (%(default)s)"
    )
    parser.add_argument(
        "--transport",
        choices=get_args(TransportName),
        default="memory",
        help="what sessions connect with: messages in memory, or a WebSocket over simulated sockets "
        "(%(default)s)",
    )
    parser.add_argument(
        "--shrink",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="print the smallest plan that fails instead of the whole plan",
    )
    return parser


def _report(result: Result, options: argparse.Namespace) -> None:
    seed = result.plan.seed
    _print(f"seed {seed}: {result.violation}")
    plan = result.plan
    if options.shrink:
        plan = shrink_plan(plan, transport=options.transport)
    _print(plan.describe())
    _print(
        f"repeat with: python -m trio_realtime.testing.simulate --seed {seed} --seeds 1 "
        f"--steps {options.steps} --transport {options.transport}"
    )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
