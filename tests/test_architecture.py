"""The shape of the package: who may import whom, how long a module may be, what is public."""

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

# What a package may import besides itself. Every package is listed.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "_nursery": set(),
    "_redaction": set(),
    "_validation": set(),
    "wire": set(),
    "transports": {"_nursery", "_redaction", "_validation"},
    "endpoints": {"errors", "_redaction", "_validation"},
    "usage": {"wire"},
    "items": {"wire", "errors"},
    "events": {"wire", "errors", "items", "usage"},
    "config": {"wire", "errors", "_validation"},
    "core": {"wire", "errors", "items", "events", "config", "usage"},
    "agents": {
        *("wire", "errors", "items", "events", "config", "usage"),
        *("_redaction", "_validation"),
    },
    "testing": {"wire", "transports", "_nursery", "errors", "endpoints"},
    "local": {"wire", "transports", "_nursery", "errors", "endpoints"},
    "session": {
        *("wire", "transports", "_nursery", "endpoints"),
        *("errors", "items", "events", "config", "usage", "core", "agents"),
    },
    # It chooses the endpoint and the transport, so it imports nearly everything.
    "_open_session": {"agents", "config", "endpoints", "errors", "local", "session", "transports"},
    "server": {"", *PUBLIC_MODULES, "_nursery", "transports", "wire", "session", "agents"},
    "cli": {"", *PUBLIC_MODULES, "wire", "transports", "local", "testing", "server"},
}


# Modules of the library that are imported only when somebody asks for what an extra brings.
OPTIONAL = {f"{PACKAGE}.session.mcp.{name}": ("mcp",) for name in ("sdk", "http", "stdio")}


def layer_of(module: str) -> str:
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


def imported_layers(path: Path) -> set[str]:
    own = {
        module
        for module in imported_modules(path.read_text(encoding="utf-8"), package_of(path))
        if module.partition(".")[0] == PACKAGE
    }
    return {layer_of(module) for module in own} - {layer_of(name_of(path))}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_packages_below_it(path: Path) -> None:
    layer = layer_of(name_of(path))
    if layer == "":  # the public names may come from everywhere
        return
    assert layer in MAY_IMPORT, f"{layer!r} is not listed in MAY_IMPORT"
    assert imported_layers(path) <= MAY_IMPORT[layer]


def test_the_layers_have_no_cycles() -> None:
    done: set[str] = {""}
    waiting = dict(MAY_IMPORT)
    while ready := {layer for layer, below in waiting.items() if below <= done}:
        done |= ready
        waiting = {layer: below for layer, below in waiting.items() if layer not in ready}
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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_core_and_wire_do_no_io(path: Path) -> None:
    if layer_of(name_of(path)) in ("core", "wire"):
        modules = imported_modules(path.read_text(encoding="utf-8"), package_of(path))
        roots = {module.partition(".")[0] for module in modules}
        assert not roots & {"trio", "trio_websocket", "asyncio", "socket", "ssl", "time"}


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
    extras = ("cli",) if layer_of(name_of(path)) == "cli" else OPTIONAL.get(name_of(path), ())
    assert imported_at_once(path) <= declared(*extras)


def test_what_is_optional_is_not_imported_with_the_rest() -> None:
    child = (
        "import sys\n"
        f"import {PACKAGE}.local, {PACKAGE}.session, {PACKAGE}.agents\n"
        f"[getattr({PACKAGE}, name) for name in {PACKAGE}.__all__]\n"
        "print(*sorted({'mcp', 'pydantic', 'anyio', 'httpx2'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", [])


def re_exports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every name that the package imports from its own modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from ((alias.name, alias.asname) for alias in node.names)


def test_public_names_are_re_exported_as_themselves() -> None:
    pairs = [pair for pair in re_exports(ROOT / "__init__.py") if pair[1] != "function"]
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


def test_all_lists_exactly_the_public_names() -> None:
    package = importlib.import_module(PACKAGE)
    named = {name for name, _ in re_exports(ROOT / "__init__.py")}
    assert sorted(getattr(package, "__all__", ())) == sorted(named)
    assert all(hasattr(package, name) for name in named)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.__getattr__("nonsense")


def test_the_local_server_is_imported_on_first_use_only() -> None:
    child = (
        "import sys\n"
        f"import {PACKAGE}\n"
        f"print('{PACKAGE}.local' in sys.modules)\n"
        f"{PACKAGE}.serve_local\n"
        f"print('{PACKAGE}.local' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", ["False", "True"])
