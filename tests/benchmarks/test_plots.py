"""The plots of the figures in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import plots


def test_the_figures_of_both_benchmarks_are_per_frame() -> None:
    burst = {"benchmark": "burst", "clients": {"fast": {"cpu_us_per_frame": {"all": [1.0, 2.0]}}}}
    duplex = {
        "benchmark": "duplex",
        "settings": {"sessions": 10, "frames": 100},
        "rounds": {"fast": [{"cpu": 0.001}, {"cpu": 0.003}]},
    }
    assert plots.figures_of(burst) == {"fast": [1.0, 2.0]}
    assert plots.figures_of(duplex) == {"fast": [1.0, 3.0]}


def test_peers_are_drawn_if_they_were_measured() -> None:
    figures = {name: [1.0] for name in ("pipecat-ai", "unknown", "agents")}
    assert plots.drawn(figures) == ["agents", "pipecat-ai"]


def test_the_committed_figures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "IMAGES", tmp_path / "images")
    plots.main()
    svg = (tmp_path / "images" / "performance.svg").read_text(encoding="utf-8")
    assert svg.count('id="axes_') == len(plots.SCENARIOS)
    for name in ("performance", "capacity"):
        assert (tmp_path / "images" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
