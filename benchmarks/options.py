"""The options that several benchmarks have."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from benchmarks.clients import CLIENTS


def positive(text: str) -> int:
    """Return the value of an option that must be 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def positives(text: str) -> list[int]:
    """Return the value of an option that is a list of numbers, in ascending order."""
    return sorted(positive(number) for number in text.split(","))


def add_number(
    parser: argparse.ArgumentParser, name: str, default: int, text: str, more: str = ""
) -> None:
    """Add an option that is a number of 1 or more.

    Args:
        parser: gets the option.
        name: the name of the option.
        default: its default, which the help text names.
        text: the help text.
        more: what the help text says of the default.
    """
    help_text = f"{text} (default: {default}{more})"
    parser.add_argument(name, type=positive, metavar="N", default=default, help=help_text)


def add_numbers(parser: argparse.ArgumentParser, name: str, default: list[int], text: str) -> None:
    """Add an option that is a list of such numbers; see :func:`add_number`."""
    help_text = f"{text} (default: {','.join(map(str, default))})"
    parser.add_argument(name, type=positives, metavar="N,N...", default=default, help=help_text)


def add_round_options(
    parser: argparse.ArgumentParser, clients: Iterable[str] = CLIENTS, *, repeat: int = 3
) -> None:
    """Add the options of every benchmark that compares clients."""
    add_number(parser, "--repeat", repeat, "number of rounds; each client runs once per round")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*clients],
        metavar="CLIENT",
        help=f"measure only this client ({', '.join(clients)}); may be given several times",
    )


def add_freeze_option(parser: argparse.ArgumentParser) -> None:
    """Add the option to exempt sessions from garbage collections."""
    parser.add_argument(
        "--freeze",
        action="store_true",
        help="call gc.freeze() in every client once all sessions are open",
    )
