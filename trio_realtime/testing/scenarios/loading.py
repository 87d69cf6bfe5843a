"""Read scenario files. Every error names the file, the line and the key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from trio_realtime.errors import ConfigurationError

from .model import Scenario
from .structure import Invalid, structure
from .yaml_source import parse_yaml

__all__ = ["SUFFIX", "find_scenarios", "load_scenario"]

SUFFIX: Final = ".scenario.yaml"
"""How the names of scenario files end."""


def find_scenarios(paths: Iterable[Path]) -> Sequence[Path]:
    """Return the scenario files: each given file, and those in the given folders, sorted.

    Raises:
        ConfigurationError: a path does not exist, or a folder has no scenario files.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{SUFFIX}"))
            if not inside:
                raise ConfigurationError(f"{path} has no files whose names end in {SUFFIX}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ConfigurationError(f"there is no file {path}")
    return found


def load_scenario(path: str | Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ConfigurationError: the file cannot be read, or its content is invalid. The message has one line
            for each mistake, with the file, the line and the key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"cannot read {path}: {exc}") from exc
    source = parse_yaml(text, str(path))
    known = {"path": path, "step_lines": source.item_lines(("steps",))}
    defaults = {"name": path.name.removesuffix(SUFFIX)}
    try:
        return structure(source.value, Scenario, defaults=defaults, known=known)
    except Invalid as exc:
        by_line = sorted(exc.mistakes, key=lambda mistake: source.line_of(mistake[0]))
        mistakes = [source.error(place, message) for place, message in by_line]
        raise ConfigurationError("\n".join(map(str, mistakes))) from exc
