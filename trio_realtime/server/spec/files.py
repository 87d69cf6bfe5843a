"""TOML files with agent specs."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trio_realtime.errors import ConfigurationError

from .agent_spec import AGENT, AgentSpec
from .paths import SpecError, describe, is_mapping, join, nearest
from .references import check_references

__all__ = ["check_handoffs", "find_spec", "load_specs", "read_toml", "specs_from_dict"]


def load_specs(
    path: str | os.PathLike[str], *, check_imports: bool = False
) -> Mapping[str, AgentSpec]:
    """Read the agent specs of a TOML file. Call it before the server starts: it blocks.

    A file has a table ``[agents.NAME]`` for each agent, or it is the table of one agent, whose name is
    by default that of the file.

    Args:
        path: the file.
        check_imports: import everything that the specs name, to find errors before the first session
            and to make it start faster. This runs code of the application.

    Returns:
        The specs by the keys of their tables, or the one spec by its name.

    Raises:
        ConfigurationError: the file cannot be read, it is not TOML, or a value cannot work. The message
            names the file and the path of the key.
    """
    file = Path(path)
    data = read_toml(file)
    specs = specs_from_dict(data, name=file.stem, source=f"{file.name}: ")
    if check_imports:
        for spec in specs.values():
            check_references(spec)
    return specs


def read_toml(file: Path) -> dict[str, Any]:
    """Return what a TOML file has.

    Raises:
        ConfigurationError: the file cannot be read, or it is not TOML. The message names the file.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{file}: cannot be read: {exc.strerror}") from exc
    except RecursionError:
        raise ConfigurationError(f"{file}: the tables or lists are nested too deeply") from None
    except ValueError as exc:  # also of bytes that are no UTF-8, and of an integer with many digits
        raise ConfigurationError(f"{file}: not a TOML file: {exc}") from None


def specs_from_dict(
    data: Mapping[str, Any], *, name: str | None = None, source: str = ""
) -> dict[str, AgentSpec]:
    """Return the specs of a file that has been parsed.

    Args:
        data: the file.
        name: the name of the agent, if there is only one and it has none.
        source: what precedes the paths of keys in error messages.

    Raises:
        ConfigurationError: a value cannot work. The message names the path of its key.
    """
    if "agents" not in data:
        if not data:
            raise ConfigurationError(f"{source}no agent: write a table [agents.NAME]")
        _check_table_names(data, source)
        spec = AgentSpec.from_dict(data, name=name, source=source)
        specs = {spec.name: spec}
    else:
        specs = _read_agents(data, source)
    check_handoffs(specs)
    return specs


def _check_table_names(data: Mapping[str, Any], source: str) -> None:
    """Find a misspelled ``agents`` in what would otherwise be the spec of one agent."""
    if "realtime_mode" in data:
        return
    for key, value in data.items():
        if is_mapping(value) and (key == "agent" or key not in AGENT.fields):
            raise SpecError(f"{source}{join('', key)}", "unknown table: write [agents.NAME]")


def _read_agents(data: Mapping[str, Any], source: str) -> dict[str, AgentSpec]:
    for key in data:
        if key != "agents":
            where = (
                "write it in a table [agents.NAME]" if key in AGENT.fields else "there is agents"
            )
            raise SpecError(f"{source}{join('', key)}", f"unknown key: {where}")
    agents = data["agents"]
    if not is_mapping(agents) or not agents:
        shown = "an empty table" if is_mapping(agents) else describe(agents)
        raise SpecError(f"{source}agents", f"expected a table for each agent, got {shown}")
    specs: dict[str, AgentSpec] = {}
    owners: dict[str, str] = {}
    for key, table in agents.items():
        path = f"{source}{join('agents', key)}"
        specs[key] = AgentSpec.from_dict(table, name=key, source=path)
        owner = owners.setdefault(specs[key].name, key)
        if owner != key:
            raise SpecError(f"{path}.name", f"agents.{owner} has the same name: rename one")
    return specs


def find_spec(specs: Mapping[str, AgentSpec], name: str) -> AgentSpec | None:
    """Return the spec with this key, or else with this name; ``None`` if there is none."""
    if name in specs:
        return specs[name]
    return next((spec for spec in specs.values() if spec.name == name), None)


def check_handoffs(specs: Mapping[str, AgentSpec]) -> None:
    """Check that the specs that handoffs name exist.

    Raises:
        ConfigurationError: one does not exist. The message names the path of the handoff.
    """
    for spec in specs.values():
        for index, handoff in enumerate(spec.handoffs):
            name = handoff.spec_name
            if name is not None and find_spec(specs, name) is None:
                raise unknown_handoff(spec, index, name, specs)


def unknown_handoff(
    spec: AgentSpec, index: int, name: str, specs: Mapping[str, AgentSpec]
) -> SpecError:
    """Return the error about a handoff to a spec that does not exist."""
    builder = '; a builder is written as "package.module:name"' if ":" in name else ""
    return SpecError(
        spec.path(f"handoffs[{index}]"),
        f"there is no agent {describe(name)}: {nearest(name, specs)}{builder}",
    )
