"""The house keeps its shape: who may import whom, how long a module gets, what is public."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "trio_realtime"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 700

PUBLIC_MODULES = {"config", "errors", "events", "items", "endpoints", "usage"}

# What a room may import besides itself. A room that is not listed may not exist.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "concurrency": set(),
    "redaction": set(),
    "wire": set(),
    "transports": {"concurrency", "redaction"},
    "endpoints": {"errors", "redaction"},
    "usage": {"wire"},
    "items": {"wire", "errors"},
    "events": {"wire", "errors", "items", "usage"},
    "config": {"wire", "errors"},
    "core": {"wire", "errors", "items", "events", "config", "usage"},
    "agents": {"wire", "errors", "items", "events", "config", "usage", "redaction"},
    "testing": {"wire", "transports", "concurrency", "errors", "endpoints"},
    "local": {"wire", "transports", "concurrency", "errors", "endpoints"},
    "session": {
        *("wire", "transports", "concurrency", "endpoints"),
        *("errors", "items", "events", "config", "usage", "core", "agents"),
    },
    # The front door knows them all: it decides what the user left open.
    "front": {"agents", "config", "endpoints", "errors", "local", "session", "transports"},
    "server": {"", *PUBLIC_MODULES, "concurrency", "transports", "wire", "session", "agents"},
    "cli": {"", *PUBLIC_MODULES, "wire", "transports", "local", "testing", "server"},
}


# Modules of the library that are imported only when somebody asks for what an extra brings.
OPTIONAL = {
    f"{PACKAGE}.session.{name}": ("mcp",) for name in ("mcp_client", "mcp_http", "mcp_process")
}


def room_of(module: str) -> str:
    """``trio_realtime.wire.codec`` -> ``wire``; the package itself is ``""``."""
    return module.partition(".")[2].partition(".")[0]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    """What a relative import in this file starts from."""
    return ".".join(path.relative_to(ROOT.parent).parent.parts)


def is_type_checking(node: ast.If) -> bool:
    return ast.unparse(node.test).endswith("TYPE_CHECKING")


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker sees."""
    yield node
    hidden = node.body if isinstance(node, ast.If) and is_type_checking(node) else []
    for child in ast.iter_child_nodes(node):
        if child not in hidden:
            yield from run_time_nodes(child)


def base_of(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that ``from ... import`` names."""
    if node.level == 0:
        return node.module or ""
    kept = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported_modules(source: str, package: str) -> set[str]:
    found: set[str] = set()
    for node in run_time_nodes(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found.update(alias.name for alias in names)
            case ast.ImportFrom(names=names):
                base = base_of(node, package)
                members = {f"{base}.{alias.name}" for alias in names}
                # `from . import events` imports a module, `from . import Agent` the package.
                modules = {name for name in members if is_module(name)}
                found.update(modules if modules == members else modules | {base})
            case _:
                pass
    return found


def imported_rooms(path: Path) -> set[str]:
    own = {
        module
        for module in imported_modules(path.read_text(encoding="utf-8"), package_of(path))
        if module.partition(".")[0] == PACKAGE
    }
    return {room_of(module) for module in own} - {room_of(name_of(path))}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    room = room_of(name_of(path))
    if room == "":  # the public names may come from everywhere
        return
    assert room in MAY_IMPORT, f"the room {room!r} is not in the plan of the house"
    assert imported_rooms(path) <= MAY_IMPORT[room]


def test_the_plan_of_the_house_has_no_circles() -> None:
    done: set[str] = {""}
    waiting = dict(MAY_IMPORT)
    while ready := {room for room, below in waiting.items() if below <= done}:
        done |= ready
        waiting = {room: below for room, below in waiting.items() if room not in ready}
    assert not waiting


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import trio", {"trio"}),
        ("from trio_realtime import errors", {"trio_realtime.errors"}),
        ("from ..wire import Item", {"trio_realtime.wire"}),
        ("from ..wire.codec import decode", {"trio_realtime.wire.codec"}),
        ("from .. import RealtimeAgent, events", {"trio_realtime", "trio_realtime.events"}),
        ("def f():\n    from ..session import x", {"trio_realtime.session"}),
        ("if TYPE_CHECKING:\n    from ..agents import Tool", set()),
        ("if typing.TYPE_CHECKING:\n    import a\nelse:\n    import b", {"b"}),
    ],
)
def test_imports_are_found_where_they_hide(source: str, expected: set[str]) -> None:
    assert imported_modules(source, f"{PACKAGE}.core") == expected


def test_core_and_wire_import_neither_trio_nor_a_network() -> None:
    # In a child: this process has trio already.
    child = (
        "import sys\n"
        f"import {PACKAGE}.wire, {PACKAGE}.core\n"
        "print(*sorted({'trio', 'trio_websocket', 'wsproto', 'asyncio', 'socket', 'ssl'}\n"
        "              & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", [])


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_LINES


def declared(*extras: str) -> set[str]:
    """What pyproject.toml installs, as import names."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines}


def imported_at_once(path: Path) -> set[str]:
    """Foreign packages that importing the module needs. An import in a function may be optional."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Try):
            found |= imported_modules(ast.unparse(node), package_of(path))
    return {name.partition(".")[0] for name in found} - {PACKAGE} - sys.stdlib_module_names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_imported_is_declared(path: Path) -> None:
    extras = ("cli",) if room_of(name_of(path)) == "cli" else OPTIONAL.get(name_of(path), ())
    assert imported_at_once(path) <= declared(*extras)


def test_what_is_optional_is_not_imported_with_the_rest() -> None:
    child = (
        "import sys\n"
        f"import {PACKAGE}.front, {PACKAGE}.session, {PACKAGE}.agents\n"
        f"[getattr({PACKAGE}, name) for name in {PACKAGE}.__all__]\n"
        "print(*sorted({'mcp', 'pydantic', 'anyio', 'httpx2'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", [])


def re_exports(path: Path) -> Iterator[tuple[str, str | None]]:
    """What the package shows to type checkers: at run time each name is imported when it is used."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                yield from ((alias.name, alias.asname) for alias in statement.names)


def test_public_names_are_re_exported_as_themselves() -> None:
    assert [pair for pair in re_exports(ROOT / "__init__.py") if pair[0] != pair[1]] == []


def test_all_lists_exactly_the_public_names() -> None:
    package = importlib.import_module(PACKAGE)
    named = {name for name, _ in re_exports(ROOT / "__init__.py")}
    assert sorted(getattr(package, "__all__", ())) == sorted(named)
    assert all(hasattr(package, name) for name in named)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.__getattr__("nonsense")


def test_each_public_name_is_looked_for_where_type_checkers_find_it() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    told: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is not None:
            told |= {alias.name: node.module for alias in node.names}
    package = importlib.import_module(PACKAGE)
    assert told == package._ROOMS
