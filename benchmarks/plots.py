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
    "lock": "lock-step: 30 sessions, each delta of 20 ms answered by a frame",
    "lock-tls": "lock-step over TLS",
    "lock-100-ms": "lock-step, frames of 100 ms",
    "paced": "paced: 100 sessions, a frame of 20 ms in each direction every 20 ms",
}
"""The title of each file of figures."""

NAMES: Final[Mapping[str, str]] = {
    "agents": "openai-agents",
    "livekit-agents": "livekit-agents",
    "pydantic-ai": "pydantic-ai",
    "pipecat-ai": "pipecat-ai",
    "fast": "session, connect_fast",
    "session": "session, default transport",
    "bare-fast": "connect_fast, no session",
    "bare": "trio-websocket, no session",
    "bare-websockets": "websockets on trio",
    "asyncio": "websockets on asyncio",
}
"""The label of each client that is drawn."""

LIBRARY: Final = ("session", "fast")

COLORS: Final[Mapping[str, str]] = {"session": "#2a6f97", "fast": "#61a5c2", "agents": "#9a9a9a"}
"""The color of each client in the plot of the capacity."""

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


def draw_scenario(axes: Axes, title: str, figures: Mapping[str, list[float]], unit: str) -> None:
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
    axes.set_xlabel(f"µs of CPU time per {unit}", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_capacity(axes: Axes, report: Mapping[str, Any]) -> None:
    """Draw the latency at the 99th percentile against the number of sessions."""
    for name, numbers in report["rounds"].items():
        sessions = [int(number) for number in numbers]
        p99 = [median(one["p99"] for one in rounds) * 1000 for rounds in numbers.values()]
        axes.plot(sessions, p99, marker="o", label=NAMES[name], color=COLORS[name])
    limit = report["settings"]["limit"] * 1000
    axes.axhline(limit, color="#888888", linewidth=0.8, linestyle="--")
    axes.annotate(f"limit of {limit:.0f} ms", (sessions[0], limit * 1.1), fontsize=8)
    axes.set_yscale("log")
    axes.set_yticks((1, 2, 5, 10, 20, 50), ("1", "2", "5", "10", "20", "50"))
    axes.minorticks_off()
    axes.set_xlabel("sessions on one core, 20 ms of audio in each direction", fontsize=8)
    axes.set_ylabel("p99 of the latency, ms", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write ``performance`` and ``capacity`` in ``docs/images``, as SVG and as PNG."""
    mpl.rcParams["svg.hashsalt"] = "performance"  # the same file for the same figures
    IMAGES.mkdir(exist_ok=True)
    _save(_draw_scenarios(), "performance")
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    draw_capacity(figure.subplots(), _read("capacity"))
    _save(figure, "capacity")


def _draw_scenarios() -> Figure:
    reports = [_read(name) for name in SCENARIOS]
    scenarios = [figures_of(report) for report in reports]
    heights = [AROUND + BAR * len(drawn(figures)) for figures in scenarios]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    all_axes = figure.subplots(len(SCENARIOS), height_ratios=heights)
    for axes, (name, title), figures in zip(all_axes, SCENARIOS.items(), scenarios, strict=True):
        unit = "frame" if name == "burst" else "pair of frames"
        draw_scenario(axes, title, figures, unit)
    return figure


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _save(figure: Figure, name: str) -> None:
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
    figure.savefig(IMAGES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
