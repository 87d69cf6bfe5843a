"""Run the turns with each client, print the results, and write them to ``docs/explanation/interop.md``."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import trio
import trustme

from benchmarks.processes import CommandFailed, client_environment, run

from .peers import ENVIRONMENTS, GATEWAY_CONFIG, PEERS, ROOT, Peer
from .processes import RunningServer, run_server
from .report import PeerResult, make_table, replace_table
from .turns import TURNS, find_mistake

_PAGE = ROOT / "docs" / "explanation" / "interop.md"
_TURN_TIMEOUT = 90.0


async def _test(peer: Peer, certificate: Certificate) -> PeerResult:
    """Install one client and run its turns, each on a server that was just started."""
    _print(f"{peer.title}: installing")
    try:
        installed = await peer.install()
    except CommandFailed as exc:
        return PeerResult(peer.title, "", dict.fromkeys(TURNS, f"cannot be installed: {exc}"))
    failures: dict[str, str] = {}
    for turn in TURNS:
        try:
            await _run_turn(peer, turn, certificate)
        except* CommandFailed as group:
            failures[turn] = str(_first_leaf(group))
        _print(f"{peer.title} {installed}: {TURNS[turn]}: {failures.get(turn, 'pass')}")
    return PeerResult(peer.title, installed, failures)


def _first_leaf(group: BaseExceptionGroup[CommandFailed]) -> BaseException:
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first


async def _run_turn(peer: Peer, turn: str, certificate: Certificate) -> None:
    """Run one turn.

    Raises:
        CommandFailed: the turn failed.
    """
    program = str(Path(sys.executable).with_name("trio-realtime"))
    env = None
    if peer.through_gateway:
        command = [program, "gateway", "--config", str(GATEWAY_CONFIG), "--port", "0"]
        env = client_environment(INTEROP_KEY="local", PYTHONPATH=str(ROOT / "tests"))
    else:
        command = [program, "serve", "--port", "0", *peer.serve_options]
    if peer.needs_tls:
        command += ["--certfile", str(certificate.chain), "--keyfile", str(certificate.key)]
    async with (
        run_server(command, r"^((?:ws|http)s?://\S+)$", cwd=ROOT, env=env) as server,
        peer.reach(server.ready) as url,
    ):
        printed = await run(
            [*peer.command(), url, turn],
            cwd=peer.environment,
            timeout=_TURN_TIMEOUT,
            env=client_environment(NODE_EXTRA_CA_CERTS=str(certificate.authority)),
        )
    report = json.loads(printed)
    if report["errors"]:
        raise CommandFailed(report["errors"][0])
    tool_on_server = peer.through_gateway
    mistake = find_mistake(turn, report["result"], tool_on_server=tool_on_server)
    mistake = mistake or _find_crash(server)
    if mistake is not None:
        raise CommandFailed(mistake)


def _find_crash(server: RunningServer) -> str | None:
    """Return the last line that the server printed if it printed a traceback."""
    if any(line.strip().startswith("Traceback") for line in server.output):
        return f"the server logged an exception: {server.output[-1]}"
    return None


class Certificate:
    """A certificate for the local server, from an authority of its own, as files.

    Args:
        directory: where to write the files.
    """

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        self.authority = directory / "authority.pem"
        self.chain = directory / "chain.pem"
        self.key = directory / "key.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        certificate.private_key_pem.write_to_path(str(self.key))
        for part in certificate.cert_chain_pems:
            part.write_to_path(str(self.chain), append=True)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _made_with() -> str:
    try:
        node = (await run(["node", "--version"], cwd=ROOT, timeout=60)).strip()
    except CommandFailed:
        node = "no Node.js"
    date = dt.datetime.now(dt.UTC).date()
    return (
        f"Made on {date} with trio_realtime {version('trio-realtime')}, "
        f"Python {platform.python_version()} and Node.js {node.removeprefix('v')}."
    )


async def _main(names: Sequence[str]) -> int:
    ENVIRONMENTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        certificate = Certificate(Path(directory))
        results = [await _test(PEERS[name], certificate) for name in names or PEERS]
    table = make_table(results, await _made_with())
    _print(f"\n{table}")
    if not names:
        replace_table(_PAGE, table)
        _print(f"\nwrote {_PAGE.relative_to(ROOT)}")
    return 0 if all(result.ok for result in results) else 1


def main() -> None:
    """Parse the command line and run the clients."""
    parser = argparse.ArgumentParser(prog="interop", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="CLIENT",
        help=f"run only these clients, and write no page: {', '.join(PEERS)}",
    )
    names: list[str] = parser.parse_args().names
    if unknown := set(names) - PEERS.keys():
        parser.error(f"unknown client {min(unknown)!r}; choose from {', '.join(PEERS)}")
    sys.exit(trio.run(_main, names))


if __name__ == "__main__":
    main()
