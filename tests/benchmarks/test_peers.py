"""Clients of other projects. Those that are not installed are skipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.burst import client as burst
from benchmarks.commands import main
from benchmarks.duplex import client as duplex
from benchmarks.duplex.load import DuplexLoad
from benchmarks.peers import command, pins
from benchmarks.peers.pins import Peer, Pin
from benchmarks.processes import CommandFailed

PEERS = [name for name, client in burst.CLIENTS.items() if client.peer is not None]


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setattr(pins, "ENVIRONMENTS", tmp_path)
    return Peer("example", (Pin("example", "1.2", extras="all"), Pin("other", "3")))


def put(peer: Peer, **versions: str) -> None:
    """Pretend that distributions are installed."""
    for name, version in versions.items():
        packages = peer.environment.directory / "lib" / "python3.11" / "site-packages"
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n", encoding="utf-8")


def test_a_peer_with_the_pinned_versions_can_run(peer: Peer) -> None:
    put(peer, example="1.2", other="3")
    assert peer.why_missing() is None
    assert peer.versions == {"example": "1.2", "other": "3"}


@pytest.mark.parametrize(
    ("versions", "missing"),
    [({}, "example[all]==1.2"), ({"example": "1.2", "other": "4"}, "other==3")],
)
def test_a_peer_without_the_pinned_versions_says_what_to_do(
    peer: Peer, versions: dict[str, str], missing: str
) -> None:
    put(peer, **versions)
    assert peer.why_missing() == f"{missing} is not installed; run python -m benchmarks peers"


async def test_a_peer_that_cannot_be_installed_says_why(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        peer.environment.directory.mkdir()
        raise CommandFailed("no such version")

    monkeypatch.setattr(command, "install", fail)
    report = await command.install_peers([peer])
    assert report.exit_status == 1
    assert report.notes() == ["example: example could not be installed: no such version"]
    assert peer.why_missing() == "example could not be installed: no such version"


async def test_a_later_installation_may_succeed(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def install(_: object, *requirements: str) -> None:
        asked.extend(requirements)
        put(peer, example="1.2", other="3")

    peer.failure.write_text("no such version\n", encoding="utf-8")
    monkeypatch.setattr(command, "install", install)
    for _ in range(2):
        report = await command.install_peers([peer])
    assert asked == ["example[all]==1.2", "other==3"]  # once
    assert report.exit_status == 0
    assert report.to_json() == {
        "versions": {"example": {"example": "1.2", "other": "3"}},
        "missing": {},
    }


def test_the_same_peers_are_in_both_benchmarks() -> None:
    assert [name for name, one in duplex.CLIENTS.items() if one.peer is not None] == PEERS
    assert {burst.CLIENTS[name].peer for name in PEERS} == set(pins.PEERS.values())


def test_a_client_that_collects_audio_cannot_answer_short_frames() -> None:
    livekit = duplex.CLIENTS["livekit-agents"]
    reason = livekit.why_not(DuplexLoad(mode="lock", frame_ms=20))
    assert reason == "it sends 100 ms of audio at a time, so nothing answers a frame of 20 ms"
    for load in (DuplexLoad(mode="lock", frame_ms=100), DuplexLoad(mode="paced", frame_ms=20)):
        assert livekit.why_not(load) == livekit.why_missing()


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["burst", "duplex"])
def test_a_missing_peer_is_in_the_report(
    benchmark: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pins, "ENVIRONMENTS", tmp_path)
    report = run(capsys, benchmark, "--only", "pydantic-ai", "--repeat", "1")
    assert report["ratios"] == {}
    assert "run python -m benchmarks peers" in report["missing"]["pydantic-ai"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(
    "options",
    [
        ["burst", "--frames", "50"],
        ["duplex", "--sessions", "2", "--frames", "5", "--frame-ms", "100"],
        ["duplex", "--sessions", "2", "--frames", "5", "--mode", "paced", "--tls"],
    ],
    ids=["burst", "lock", "paced"],
)
def test_an_installed_peer_receives_everything(
    name: str, options: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    reason = burst.CLIENTS[name].why_missing()
    if reason is not None:
        pytest.skip(reason)
    report = run(capsys, *options, "--only", name, "--repeat", "1")
    assert report["missing"] == {}
    peer = burst.CLIENTS[name].peer
    assert peer is not None
    assert report["settings"]["peers"] == {peer.name: peer.versions}


def run(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main([*options, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result
