"""The architecture of the package: imports, module length, names, docstrings and public names."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

PACKAGE = "trio_realtime"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 700

PUBLIC_MODULES = {
    "config",
    "errors",
    "events",
    "items",
    "endpoints",
    "models",
    "session_end",
    "usage",
}

# The packages that a package may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "_nursery": set(),
    "_redaction": set(),
    "_proxies": {"errors", "_redaction", "_validation"},
    "_declarations": {"errors"},
    "_validation": set(),
    "models": set(),
    "wire": set(),
    "audio": {"wire", "errors"},
    "transports": {"_nursery", "_redaction", "_validation"},
    "endpoints": {"errors", "wire", "_proxies", "_redaction", "_validation"},
    "realtime_model": {"wire", "transports", "endpoints", "errors", "_redaction"},
    "latency": set(),
    "usage": {"wire"},
    "prices": {"errors", "usage", "wire"},
    "session_end": set(),
    "items": {"wire", "errors"},
    "events": {"wire", "errors", "items", "latency", "session_end", "usage", "_event_json"},
    "_event_json": {"wire"},
    "config": {"wire", "errors", "_declarations", "_validation"},
    "core": {
        *("wire", "errors", "items", "events", "config", "latency", "session_end", "usage"),
    },
    "agents": {
        *("wire", "errors", "items", "events", "config", "usage"),
        *("_declarations", "_redaction", "_validation"),
    },
    "testing": {
        *("", "wire", "transports", "_nursery", "errors", "endpoints"),
        *("events", "items", "usage", "local"),
    },
    # These run whole sessions with the local server.
    "testing.scenarios": {
        *("", "testing", "local", "endpoints", "errors", "events", "items"),
    },
    "testing.simulation": {
        *("", "testing", "wire", "transports", "_nursery", "config", "errors", "events", "items"),
        "local",
    },
    "testing.simulate": {"testing.simulation"},
    "testing.fault_matrix": {
        *("", "testing", "wire", "errors", "events", "items", "local", "realtime_model", "session"),
    },
    "local": {"wire", "transports", "_nursery", "errors", "endpoints", "models", "audio"},
    "session": {
        *("wire", "transports", "_nursery", "realtime_model", "audio"),
        *("errors", "items", "events", "config", "latency", "usage", "core", "agents"),
        "session_end",
    },
    "devices": {"_nursery", "audio", "errors", "events", "session", "wire"},
    "_end_dates": {"config", "endpoints", "models"},
    # It chooses the endpoint and the transport, so it imports nearly everything.
    "_open_session": {
        *("agents", "config", "endpoints", "errors", "items", "local", "realtime_model", "session"),
        *("transports", "_end_dates"),
    },
    "sip": {
        *("wire", "endpoints", "errors", "config", "agents", "session"),
        *("_end_dates", "_redaction", "_validation"),
    },
    "server": set(),
    "server.spec": {
        *("", "agents", "audio", "config", "errors", "session", "wire"),
        *("_declarations", "_redaction", "_validation", "server"),
    },
    "server.service": {"", "config", "endpoints", "errors", "wire", "_redaction", "_validation"},
    "server.rpc": {"", "_event_json", "errors", "events", "wire"},
    "server.recording": {"", "audio", "errors", "wire", "_validation"},
    "server.objects": {"errors", "_redaction"},
    "server.store": {
        *("", "errors", "prices", "usage", "wire", "server", "server.rpc"),
        *("_nursery", "_redaction", "_validation"),
    },
    "server.managed": {
        *("", "agents", "config", "endpoints", "errors", "events", "items", "local", "session"),
        *(
            "prices",
            "session_end",
            "transports",
            "usage",
            "wire",
            "_nursery",
            "_redaction",
            "_validation",
        ),
        *("server.spec", "server.service", "server.rpc"),
        *("server.recording", "server.objects", "server.store"),
    },
    "server.gateway": {
        *("", "core", "endpoints", "errors", "events", "local", "session", "wire"),
        *("_nursery", "_redaction", "_validation"),
        *("server.managed", "server.rpc", "server.service", "server.spec"),
        *("server.recording", "server.objects", "server.store", "server.twilio", "server.web"),
        *("latency", "prices", "transports", "server"),
    },
    "server.web": set(),
    "server.twilio": {
        *("", "audio", "config", "errors", "events", "session", "session_end", "wire"),
        "_redaction",
    },
    "server.asyncio_bridge": {
        *("", "agents", "config", "endpoints", "errors", "events", "items", "session"),
        *("transports", "usage", "wire"),
    },
    "cli": {
        *("", *PUBLIC_MODULES, "wire", "transports", "local", "testing", "testing.scenarios"),
        *("audio", "devices"),
        *("_proxies", "_redaction"),  # the doctor explains settings
        *("_nursery", "server.gateway", "server.spec"),
    },
}

# Modules that need an extra. They are imported only when they are used.
OPTIONAL = {f"{PACKAGE}.session.mcp.{name}": ("mcp",) for name in ("sdk", "http", "stdio")}


def extras_of(module: str) -> tuple[str, ...]:
    """Return the extras whose packages a module may import when it is imported."""
    layer = layer_of(module).partition(".")[0]
    return (layer,) if layer in ("cli", "server") else OPTIONAL.get(module, ())


def layer_of(module: str) -> str:
    """Return ``wire`` for ``trio_realtime.wire.codec``, and ``""`` for the package itself.

    A part of a package that may import more than the package is a layer of its own.
    """
    names = module.split(".")[1:]
    part = ".".join(names[:2])
    return part if part in MAY_IMPORT else ".".join(names[:1])


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    """Return the package that relative imports in this file start from."""
    return ".".join(path.relative_to(ROOT.parent).parent.parts)


def is_type_checking(node: ast.If) -> bool:
    return ast.unparse(node.test).endswith("TYPE_CHECKING")


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those under ``if TYPE_CHECKING``."""
    yield node
    hidden = node.body if isinstance(node, ast.If) and is_type_checking(node) else []
    for child in ast.iter_child_nodes(node):
        if child not in hidden:
            yield from run_time_nodes(child)


def base_of(node: ast.ImportFrom, package: str) -> str:
    """Return the absolute name of the module after ``from``."""
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


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
    modules = {
        module
        for module in imported_modules(path.read_text(encoding="utf-8"), package_of(path))
        if module.partition(".")[0] == PACKAGE
    }
    return {layer_of(module) for module in modules} - {layer_of(name_of(path))}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_packages_below_it(path: Path) -> None:
    layer = layer_of(name_of(path))
    if layer == "":  # the package itself re-exports public names from any module
        return
    assert imported_layers(path) <= MAY_IMPORT[layer]


def test_the_table_lists_exactly_the_packages() -> None:
    assert MAY_IMPORT.keys() == {layer_of(name_of(path)) for path in MODULES} - {""}


def test_the_allowed_imports_have_no_cycles() -> None:
    allowed: set[str] = {""}
    remaining = dict(MAY_IMPORT)
    while ready := {layer for layer, below in remaining.items() if below <= allowed}:
        allowed |= ready
        remaining = {layer: below for layer, below in remaining.items() if layer not in ready}
    assert not remaining


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
def test_imports_of_every_form_are_found(source: str, expected: set[str]) -> None:
    assert imported_modules(source, f"{PACKAGE}.core") == expected


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_core_and_wire_do_no_io(path: Path) -> None:
    if layer_of(name_of(path)) in ("core", "wire"):
        modules = imported_modules(path.read_text(encoding="utf-8"), package_of(path))
        roots = {module.partition(".")[0] for module in modules}
        assert not roots & {"trio", "trio_websocket", "asyncio", "socket", "ssl", "time"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_LINES


def declared_packages(*extras: str) -> set[str]:
    """Return the dependencies in pyproject.toml, as import names."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines}


def module_level_packages(path: Path) -> set[str]:
    """Return the third-party packages that the module imports outside of functions."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Try):
            found |= imported_modules(ast.unparse(node), package_of(path))
    return {name.partition(".")[0] for name in found} - {PACKAGE} - sys.stdlib_module_names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imported_packages_are_dependencies(path: Path) -> None:
    assert module_level_packages(path) <= declared_packages(*extras_of(name_of(path)))


def test_optional_packages_are_not_imported_with_the_library() -> None:
    child = (
        "import sys\n"
        f"import {PACKAGE}.local, {PACKAGE}.session, {PACKAGE}.agents, {PACKAGE}.sip, {PACKAGE}.devices\n"
        f"import {PACKAGE}.server.twilio, {PACKAGE}.server.asyncio_bridge\n"
        f"[getattr({PACKAGE}, name) for name in {PACKAGE}.__all__]\n"
        "print(*sorted({'mcp', 'pydantic', 'anyio', 'httpx2', 'python_socks', 'numpy', 'soxr', 'sounddevice', 'alembic', 'hypercorn', 'jinja2', 'sqlalchemy', 'starlette'} & sys.modules.keys()))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr, result.stdout.split()) == (0, "", [])


def test_trio_websocket_is_not_imported_before_a_connection_is_opened() -> None:
    """It takes a tenth of the time that importing the library takes."""
    child = f"import sys, {PACKAGE}\nprint(*sorted({{'trio_websocket', 'wsproto'}} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr, result.stdout.split()) == (0, "", [])


# --- cycles -------------------------------------------------------------------------------------

# Imports that close a cycle, for type checkers only: events name their agents and tools, hooks receive
# events and name their agents, and an agent has hooks.
TYPE_ONLY = {("events", "agents"), ("agents.hooks", "agents.agent")}


def dependencies(source: str, package: str, *, type_checking: bool) -> set[str]:
    """Return the modules of the package that a module imports anywhere, also in functions."""
    tree = ast.parse(source)
    found: set[str] = set()
    for node in ast.walk(tree) if type_checking else run_time_nodes(tree):
        match node:
            case ast.Import(names=names):
                found.update(alias.name for alias in names)
            case ast.ImportFrom(names=names):
                base = base_of(node, package)
                members = [f"{base}.{alias.name}" for alias in names]
                found.update(member if is_module(member) else base for member in members)
            case _:
                pass
    return {name for name in found if name.partition(".")[0] == PACKAGE}


def import_graph(*, type_checking: bool) -> dict[str, set[str]]:
    """Return the modules that each module imports, without the prefix of the package."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        source, name = path.read_text(encoding="utf-8"), name_of(path)
        imported = dependencies(source, package_of(path), type_checking=type_checking) - {name}
        graph[name.partition(".")[2]] = {other.partition(".")[2] for other in imported}
    return graph


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return one cycle of the graph, empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as exc:
        return list(exc.args[1])
    return []


def test_modules_have_no_import_cycles_at_run_time() -> None:
    assert cycle_in(import_graph(type_checking=False)) == []


def test_modules_have_no_import_cycles_in_annotations() -> None:
    graph = import_graph(type_checking=True)
    run_time = import_graph(type_checking=False)
    for name, other in TYPE_ONLY:
        assert other in graph[name] - run_time[name], f"{name} does not import {other} for types"
        graph[name].remove(other)
    assert cycle_in(graph) == []
    for name, other in TYPE_ONLY:
        assert cycle_in(graph | {name: graph[name] | {other}}), f"{name} may import {other}"


def test_cycles_are_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ..wire import Item", {"trio_realtime.wire"}),
        (
            "from . import inputs as i, effects",
            {"trio_realtime.core.inputs", "trio_realtime.core.effects"},
        ),
        ("from .effects import Effect", {"trio_realtime.core.effects"}),
        ("def f():\n    import trio_realtime.session", {"trio_realtime.session"}),
        ("if TYPE_CHECKING:\n    from ..agents import Tool", {"trio_realtime.agents"}),
        ("import trio", set()),
    ],
)
def test_dependencies_of_every_form_are_found(source: str, expected: set[str]) -> None:
    assert dependencies(source, f"{PACKAGE}.core", type_checking=True) == expected


# --- names --------------------------------------------------------------------------------------

# Metaphors that earlier versions used. The standard terms say more.
FORBIDDEN_WORDS = frozenset(
    "desk wish wishes doom doomed kept held told beside ears brain front room rooms house mend anew "
    "whoever stirred".split()
)
# Names that an external protocol fixes, each with its reason.
FIXED_NAMES: dict[str, str] = {}


def words_of(identifier: str) -> set[str]:
    """Split a name in snake_case or CamelCase into its words, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", identifier)}


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that the code defines or uses, with its line.

    Names of classes, functions, parameters, attributes, local variables and keyword arguments.
    """
    for node in ast.walk(tree):
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.Name(id=name)
                | ast.Attribute(attr=name)
                | ast.arg(arg=name)
                | ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                yield name, node.lineno
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)) | ast.alias(name=name):
                yield name, node.lineno
            case ast.MatchClass(kwd_attrs=names) | ast.Global(names=names):
                yield from ((name, node.lineno) for name in names)
            case ast.Nonlocal(names=names):
                yield from ((name, node.lineno) for name in names)
            case _:
                pass


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_are_standard_terms(path: Path) -> None:
    assert not words_of(name_of(path)) & FORBIDDEN_WORDS
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        f"line {line}: {name}"
        for name, line in identifiers(tree)
        if words_of(name) & FORBIDDEN_WORDS and name not in FIXED_NAMES
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class CallDesk: ...", "CallDesk"),
        ("class HTTPDesk: ...", "HTTPDesk"),
        ("def wait_room(): ...", "wait_room"),
        ("async def _keep(*, was_told): ...", "was_told"),
        ("self._held: int = 0", "_held"),
        ("with a() as kept: ...", "kept"),
        ("[wish for wish in wishes]", "wish"),
        ("try: ...\nexcept E as doomed: ...", "doomed"),
        ("match x:\n    case {'a': a, **house}: ...", "house"),
        ("match x:\n    case A(b=B() as room): ...", "room"),
        ("from a import b as brain", "brain"),
        ("f(ears=1)", "ears"),
        ("(mend := 1)", "mend"),
    ],
)
def test_forbidden_words_are_found_in_every_kind_of_name(source: str, name: str) -> None:
    found = [name for name, _ in identifiers(ast.parse(source)) if words_of(name) & FORBIDDEN_WORDS]
    assert name in found


def test_words_inside_of_other_words_are_allowed() -> None:
    assert words_of("retold_mushroomMending") == {"retold", "mushroom", "mending"}
    assert words_of("SIPHeldCall2") == {"sip", "held", "call", "2"}


# --- docstrings ---------------------------------------------------------------------------------

Documented: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(node: Documented, name: str, *, public: bool) -> Iterator[tuple[str, Documented]]:
    """Yield all classes, and the public functions and methods, with their names.

    Overloads, setters and functions inside of functions need no docstring.
    """
    for child in node.body:
        match child:
            case ast.ClassDef(name=own):
                yield f"{name}.{own}", child
                nested = definitions(child, f"{name}.{own}", public=public and own[0] != "_")
                yield from nested
            case ast.FunctionDef(name=own) | ast.AsyncFunctionDef(name=own):
                decorators = {ast.unparse(decorator) for decorator in child.decorator_list}
                if public and own[0] != "_" and not decorators & {"overload", f"{own}.setter"}:
                    yield f"{name}.{own}", child
            case _:
                pass


def undocumented(tree: ast.Module, name: str) -> list[str]:
    """Return what lacks a docstring of its own."""
    nodes = [(name, tree), *definitions(tree, name, public=True)]
    texts = {name: ast.get_docstring(node) or "" for name, node in nodes}
    return [name for name, text in texts.items() if not text or text.startswith("See the module")]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_classes_and_public_functions_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert undocumented(tree, name_of(path)) == []


def test_missing_docstrings_are_found() -> None:
    source = """
class A:
    def method(self): ...
    def _private(self): ...
    @property
    def p(self): "A property."
    @p.setter
    def p(self, value): ...
class _B:
    "See the module."
    def method(self): ...
async def function():
    def inner(): ...
@overload
def overloaded(): ...
"""
    assert undocumented(ast.parse(source), "m") == ["m", "m.A", "m.A.method", "m._B", "m.function"]


# --- public names -------------------------------------------------------------------------------


def re_exports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the name and the alias of each relative import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from ((alias.name, alias.asname) for alias in node.names)


def test_public_names_are_re_exported_as_themselves() -> None:
    pairs = [pair for pair in re_exports(ROOT / "__init__.py") if pair[1] != "function"]
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


def test_all_lists_exactly_the_public_names() -> None:
    package = importlib.import_module(PACKAGE)
    exported = {name for name, _ in re_exports(ROOT / "__init__.py")}
    assert sorted(getattr(package, "__all__", ())) == sorted(exported)
    assert all(hasattr(package, name) for name in exported)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.__getattr__("nonsense")


def test_the_local_server_is_imported_on_first_use() -> None:
    child = (
        "import sys\n"
        f"import {PACKAGE}\n"
        f"print('{PACKAGE}.local' in sys.modules)\n"
        f"{PACKAGE}.serve_local\n"
        f"print('{PACKAGE}.local' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr, result.stdout.split()) == (0, "", ["False", "True"])
