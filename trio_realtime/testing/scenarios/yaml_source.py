"""YAML as plain values, with the line of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any, Final, TypeAlias

import attrs

from trio_realtime.errors import ConfigurationError

__all__ = ["KeyPath", "Source", "parse_yaml"]

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

# Aliases may make a small file expand to many values, or contain itself.
_MAX_VALUES: Final = 100_000
_MAX_DEPTH: Final = 50


@attrs.frozen
class Source:
    """The values of a YAML file.

    Attributes:
        name: the name of the file, for messages.
        value: mappings, lists, texts, numbers, booleans and ``None``.
    """

    name: str
    value: Any
    _lines: Mapping[KeyPath, int] = attrs.field(repr=False)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a value, or of the nearest value around it. The first line is 1."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def item_lines(self, path: KeyPath) -> tuple[int, ...]:
        """Return the line of each item of a list."""
        indexes = takewhile(lambda index: (*path, index) in self._lines, count())
        return tuple(self._lines[*path, index] for index in indexes)

    def error(self, path: KeyPath, message: str) -> ConfigurationError:
        """Return the exception for a value, with the file, the line and the key."""
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        place = f"{self.name}:{self.line_of(path)}"
        return ConfigurationError(f"{place}: {key.removeprefix('.') or 'the file'}: {message}")


def parse_yaml(text: str, name: str) -> Source:
    """Parse YAML 1.2, so that ``yes``, ``no``, ``on`` and ``off`` are texts.

    Raises:
        ConfigurationError: the text is no YAML, or a mapping has a key twice or one that is no text; or
            the package ``ruamel.yaml`` is missing.
    """
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            "scenario files need the package ruamel.yaml: pip install 'trio-realtime[testing]'"
        ) from exc
    yaml: Any = YAML(typ="safe", pure=True)
    try:
        node: Any = yaml.compose(text)
        reader = _Reader(name, yaml.constructor)
        value = None if node is None else reader.read(node, ())
    except MarkedYAMLError as exc:
        error: Any = exc
        mark: Any = error.problem_mark or error.context_mark
        line: int = 1 if mark is None else mark.line + 1
        problem: str = error.problem or error.context
        raise ConfigurationError(f"{name}:{line}: not valid YAML: {problem}") from exc
    except YAMLError as exc:
        raise ConfigurationError(f"{name}: not valid YAML: {' '.join(str(exc).split())}") from exc
    return Source(name, value, reader.lines)


class _Reader:
    """Makes plain values of YAML nodes, and notes their lines.

    Args:
        name: the name of the file.
        constructor: makes the values of scalars.
    """

    def __init__(self, name: str, constructor: Any) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._name = name
        self._constructor = constructor

    def read(self, node: Any, path: KeyPath) -> Any:
        """Return the value of a node."""
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(self.lines) > _MAX_VALUES or len(path) > _MAX_DEPTH:
            raise ConfigurationError(f"{self._name}:{line}: too many values, or too deep")
        match node.id:
            case "mapping":
                return self._read_mapping(node, path)
            case "sequence":
                items: Sequence[Any] = node.value
                return [self.read(item, (*path, index)) for index, item in enumerate(items)]
            case _:
                return self._constructor.construct_object(node)

    def _read_mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._constructor.construct_object(key_node) if key_node.id == "scalar" else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigurationError(f"{self._name}:{line}: a key must be a text; quote it")
            if key in values:
                raise ConfigurationError(f"{self._name}:{line}: the key {key!r} is given twice")
            self.lines[*path, key] = line
            values[key] = self.read(value_node, (*path, key))
        return values
