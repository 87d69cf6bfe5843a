"""``python -m trio_realtime.testing.fault_matrix``: run the cases and print a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import CASES, markdown_table, run_cases, text_table

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 1 if a case failed.

    Args:
        arguments: The arguments of the command line, without the program; by default, those of the
            process.
    """
    options = _parser().parse_args(arguments)
    names: list[str] = options.case or [case.name for case in CASES]
    results = run_cases(case for case in CASES if case.name in names)
    table = markdown_table(results) if options.markdown else text_table(results) + "\n"
    sys.stdout.write(table)
    return 0 if all(result.passed for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trio_realtime.testing.fault_matrix",
        description="Run the fault matrix with a plain agent on the local server, in virtual time.",
    )
    parser.add_argument(
        "--case", action="append", choices=[*map(str, CASES)], help="a case to run; all by default"
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="print Markdown, with what other libraries did",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
