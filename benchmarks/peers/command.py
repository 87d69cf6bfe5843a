"""``python -m benchmarks peers``: install the clients of other projects."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import trio

from benchmarks.install import install
from benchmarks.peers.pins import PEERS, Peer
from benchmarks.processes import CommandFailed
from benchmarks.reports import Table, TabularReport

SUMMARY = "install the clients of other projects, each in an environment of its own"


@attrs.frozen
class PeersReport(TabularReport):
    """What came of the installation.

    Attributes:
        versions: the versions of the pinned distributions of each peer.
        missing: why others cannot run.
    """

    versions: Mapping[str, Mapping[str, str | None]]
    missing: Mapping[str, str]

    @property
    def exit_status(self) -> int:
        """1 if a peer is missing."""
        return 1 if self.missing else 0

    def to_json(self) -> dict[str, Any]:
        """Return the versions, and the reasons."""
        return attrs.asdict(self)

    def title(self) -> str:
        return "the clients of other projects"

    def tables(self) -> Sequence[Table]:
        rows = [
            [name, ", ".join(f"{one} {version}" for one, version in versions.items())]
            for name, versions in self.versions.items()
        ]
        return [Table(["client", "versions"], rows)] if rows else []

    def notes(self) -> Sequence[str]:
        return [f"{name}: {reason}" for name, reason in self.missing.items()]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--only",
        action="append",
        choices=[*PEERS],
        help="install only this peer (can be given several times)",
    )


def run(options: argparse.Namespace) -> PeersReport:
    """Install the peers."""
    return trio.run(install_peers, [PEERS[name] for name in options.only or PEERS])


async def install_peers(peers: Iterable[Peer]) -> PeersReport:
    """Install the peers that lack a pinned version, one after the other."""
    versions: dict[str, Mapping[str, str | None]] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        await _install_one(peer)
        reason = peer.why_missing()
        if reason is None:
            versions[peer.name] = peer.versions
        else:
            missing[peer.name] = reason
    return PeersReport(versions, missing)


async def _install_one(peer: Peer) -> None:
    if peer.why_missing() is None:
        return
    peer.failure.unlink(missing_ok=True)
    try:
        await install(peer.environment, *(pin.requirement for pin in peer.pins))
    except CommandFailed as exc:
        peer.failure.write_text(f"{exc}\n", encoding="utf-8")
