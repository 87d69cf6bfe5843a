"""``python -m benchmarks.plots``: draw the raw figures of ``benchmarks/results`` for the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"

SCENARIOS: Final[Mapping[str, str]] = {
    "burst": "burst: one session receives 20,000 frames",
    "lock": "lock: 30 sessions, each 20 ms answered by a frame",
    "lock-tls": "lock over TLS",
    "lock-100-ms": "lock, frames of 100 ms",
    "paced": "paced: 100 sessions, 20 ms both ways by deadlines",
}
"""The title of each file of figures."""

NAMES: Final[Mapping[str, str]] = {
    "agents": "openai-agents",
    "livekit-agents": "livekit-agents",
    "pydantic-ai": "pydantic-ai",
    "pipecat-ai": "pipecat-ai",
    "fast": "session, connect_fast",
    "session": "session, default transport",
    "bare-fast": "connect_fast alone",
    "bare": "trio-websocket alone",
    "bare-websockets": "websockets on trio alone",
    "asyncio": "websockets on asyncio alone",
}
"""The label of each client that is drawn."""

LIBRARY: Final = ("session", "fast")

BAR: Final = 0.2
"""The height of a bar, in inches."""

AROUND: Final = 0.85
"""The height of the title and the scale of a scenario, in inches."""


def figures_of(report: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the microseconds of CPU time of each client, one figure per round."""
    if report["benchmark"] == "burst":
        clients: Mapping[str, Any] = report["clients"]
        return {name: one["cpu_us_per_frame"]["all"] for name, one in clients.items()}
    settings, rounds = report["settings"], report["rounds"]
    pairs = settings["sessions"] * settings["frames"]
    return {name: [one["cpu"] * 1e6 / pairs for one in all_] for name, all_ in rounds.items()}


def drawn(figures: Mapping[str, list[float]]) -> list[str]:
    """Return the clients that are drawn, in order: those that were measured and have a label."""
    return [name for name in NAMES if name in figures]


def draw_scenario(axes: Axes, title: str, figures: Mapping[str, list[float]]) -> None:
    """Draw the median of each client as a bar, and its best and worst round as a line."""
    names = drawn(figures)[::-1]
    medians = [median(figures[name]) for name in names]
    errors = [
        [middle - min(figures[name]) for name, middle in zip(names, medians, strict=True)],
        [max(figures[name]) - middle for name, middle in zip(names, medians, strict=True)],
    ]
    colors = ["#2a6f97" if name in LIBRARY else "#b8b8b8" for name in names]
    labels = [NAMES[name] for name in names]
    axes.barh(labels, medians, xerr=errors, color=colors, error_kw={"lw": 1})
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("µs of CPU time", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write ``docs/images/performance.svg`` and ``.png``."""
    mpl.rcParams["svg.hashsalt"] = "performance"  # the same file for the same figures
    reports = [
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in SCENARIOS
    ]
    scenarios = [figures_of(report) for report in reports]
    heights = [AROUND + BAR * len(drawn(figures)) for figures in scenarios]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    all_axes = figure.subplots(len(SCENARIOS), height_ratios=heights)
    for axes, title, figures in zip(all_axes, SCENARIOS.values(), scenarios, strict=True):
        draw_scenario(axes, title, figures)
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "performance.svg", metadata={"Date": None})
    figure.savefig(IMAGES / "performance.png", dpi=110)


if __name__ == "__main__":
    main()
