"""``trio-realtime migrate``: says what the names in a program of an agents SDK become."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from .exit import OK, UserFacingError
from .migration import FileReport, analyze
from .migration.findings import summary
from .migration.mapping import Language

WITHOUT_COUNTERPART = 1
"""Exit status if a program uses names that have no counterpart, or that the tables do not list."""

LANGUAGES: dict[str, Language] = {
    ".py": "python",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "javascript",
    ".tsx": "javascript",
    ".mts": "javascript",
    ".cts": "javascript",
}


def migrate(files: Sequence[Path], *, as_json: bool) -> int:
    """Print what the names of an agents SDK in these programs become, and return the exit status.

    Args:
        files: programs in Python, JavaScript or TypeScript, distinguished by their suffixes.
        as_json: print one JSON object instead of text.

    Raises:
        UserFacingError: a file cannot be read or parsed, or its suffix is unknown.
    """
    reports = [_analyze_file(path) for path in files]
    if as_json:
        print(json.dumps({"files": [report.as_json() for report in reports]}, indent=2))
    else:
        width = min(shutil.get_terminal_size((100, 24)).columns, 120)
        print("\n\n".join(report.text(width) for report in reports), end="\n\n")
        print(summary(reports))
    lacking = sum(report.count("none", "unknown") for report in reports)
    return WITHOUT_COUNTERPART if lacking else OK


def _analyze_file(path: Path) -> FileReport:
    language = LANGUAGES.get(path.suffix)
    if language is None:
        raise UserFacingError(f"{path}: expected one of the suffixes {', '.join(LANGUAGES)}")
    try:
        return analyze(str(path), path.read_text(encoding="utf-8"), language)
    except OSError as exc:
        raise UserFacingError(f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UserFacingError(f"cannot read {path}: it is not UTF-8") from exc
    except (SyntaxError, ValueError) as exc:
        message = exc.msg if isinstance(exc, SyntaxError) else str(exc)
        line = f" in line {exc.lineno}" if isinstance(exc, SyntaxError) else ""
        raise UserFacingError(f"{path} is not valid Python{line}: {message}") from exc
