"""Sphinx: MyST pages, furo, autodoc of the public modules. Nitpicky, and warnings are errors."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from importlib.metadata import version as version_of
from importlib.util import find_spec
from itertools import dropwhile
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from docutils.nodes import Element, Text, TextElement, document
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

project = "trio_realtime"
author = "trio_realtime contributors"
copyright = f"2026, {author}"
version = release = version_of("trio-realtime")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build"]

# --- pages -------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"trio_realtime {version}"
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Examples are run by `make docs`, so a page cannot promise what the code does not keep.
doctest_global_setup = "import trio"
doctest_test_doctest_blocks = ""

# --- autodoc -----------------------------------------------------------------------------------

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# --- references --------------------------------------------------------------------------------

nitpicky = True
# A build must not depend on the network: other projects' pages are linked only where documentation
# is published, and names of theirs are not missed elsewhere.
if os.environ.get("READTHEDOCS"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
        "attrs": ("https://www.attrs.org/en/stable", None),
    }
nitpick_ignore_regex = [
    # modules of others: trio.Nursery, collections.abc.Mapping
    (r"py:.*", r"(?!trio_realtime\b)[a-z_]+(\..+)?"),
    (
        r"py:.*",
        r"(Any|Awaitable|AsyncIterator|Callable|ClassVar|Iterator|Literal|Mapping|Sequence)",
    ),
    (r"py:.*", r"([A-Z]\w*(Error|Exception|Group|Exit|Interrupt)|Exception|Ellipsis|None)"),
]

# The modules that users import from. References find a name in the first that documents it.
PUBLIC_MODULES = ["trio_realtime"] + [
    f"trio_realtime.{name}"
    for name in (
        "events",
        "items",
        "config",
        "endpoints",
        "errors",
        "usage",
        "wire",
        "transports",
        "agents",
        "session",
        "core",
        "local",
        "testing",
    )
    if find_spec(f"trio_realtime.{name}")
]


# Names that annotations use only while types are checked.
ALIASES = {"AnyAgent": "RealtimeAgent", "AnyTool": "FunctionTool"}


# These have a module of their own that is their page; there, the tree of errors stays together.
AT_HOME = {"RealtimeError"}
# Only the library makes them, so how it does so is nobody's business.
MADE_BY_THE_LIBRARY = {
    "RealtimeSession",
    "Response",
    "EventChannel",
    "PacedAudio",
    "PlaybackTracker",
    "LocalConnector",
    "LocalServer",
    "MemoryTransport",
}
# Methods that the library's own parts call on each other.
INSIDE = {
    "AgentHandoff.begin",
    "AgentHandoff.spec",
    "Connection.of",
    "EventChannel.finish",
    "EventChannel.put",
    "EventChannel.silence",
    "FunctionTool.spec",
    "LocalServer.run",
    "LocalServer.stop",
    "RealtimeAgent.find_tool",
    "RealtimeError.again",
    "SessionConfig.session_settings",
    "Usage.plus",
    "settings_of",
}


def adopt(module: ModuleType) -> None:
    """Show what a package exports under the package's name, the one that users import."""
    names = getattr(module, "__all__", None) if module.__name__ == "trio_realtime" else None
    for name in names or list(vars(module)):
        value = getattr(module, name)
        if (
            isinstance(value, type | FunctionType)
            and value.__module__.startswith(f"{module.__name__}.")
            and name not in AT_HOME
        ):
            lend_source(value.__module__, module.__name__)
            value.__module__ = module.__name__


def lend_source(origin: str, owner: str) -> None:
    """Let autodoc find there in which order members stand, and what is written beside them."""
    theirs, ours = ModuleAnalyzer.for_module(origin), ModuleAnalyzer.for_module(owner)
    theirs.analyze()
    ours.analyze()
    last = max(ours.tagorder.values(), default=0)
    for tag, place in theirs.tagorder.items():
        ours.tagorder.setdefault(tag, last + 1 + place)
    ours.attr_docs.update(theirs.attr_docs)


for public in PUBLIC_MODULES:
    adopt(import_module(public))


def resolve_public(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: TextElement
) -> Element | None:
    """Point a reference to where a class is defined to the page where it is documented."""
    if node.get("refdomain") != "py":
        return None
    name = public_name(node.get("reftarget", ""))
    domain = env.domains["py"]
    for module in PUBLIC_MODULES:
        if f"{module}.{name}" in domain.data["objects"]:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{module}.{name}", node, contnode
            )
    return contnode if is_known(name) else None


def public_name(target: str) -> str:
    """What follows the module: ``trio_realtime.wire.base.Unset`` -> ``Unset``."""
    parts = target.split(".")
    if is_ours(target):
        parts = list(dropwhile(str.islower, parts)) or parts[-1:]
    return ALIASES.get(target, ".".join(parts))


def is_known(name: str) -> bool:
    """Whether it is a name of ours without an entry: a type alias, a type variable, a plain field."""
    first, _, rest = name.partition(".")
    found = [getattr(module, first) for module in our_modules() if hasattr(module, first)]
    return any(not rest or hasattr(value, rest) for value in found)


def our_modules() -> list[ModuleType]:
    """All modules of the package that autodoc has loaded."""
    return [module for name, module in sys.modules.items() if is_ours(name)]


def is_ours(module: str) -> bool:
    """Whether it is a module of the package."""
    return module.partition(".")[0] == "trio_realtime"


def unlink_builtins(app: Sphinx, doctree: document) -> None:
    """Keep ``type`` and ``object`` of annotations from linking to attributes of these names."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("reftarget") in {"object", "type"}:
            node.replace_self(Text(node["reftarget"]))


def hide_making(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Leave out the arguments of what only the library makes."""
    return ("", returns) if name.rpartition(".")[2] in MADE_BY_THE_LIBRARY else None


def hide_inside(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: object
) -> bool | None:
    """Leave out what the library's own parts call on each other."""
    function = getattr(obj, "__func__", obj)  # of a class method
    return True if getattr(function, "__qualname__", None) in INSIDE else None


def keep_first_line(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from taking the words before a colon for the type of a property."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # an empty comment: a first line without a colon


# Several attributes with one description, and the lines that go on with it.
SHARED = re.compile(r"^( {4})(\w+(?:, \w+)+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def split_shared(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Give each attribute its own entry; napoleon does so for arguments only."""
    text = "\n".join(lines)
    before, heading, attributes = text.partition("Attributes:\n")
    if heading:
        lines[:] = (before + heading + SHARED.sub(_one_each, attributes)).split("\n")


def _one_each(match: re.Match[str]) -> str:
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", resolve_public)
    app.connect("doctree-read", unlink_builtins)
    app.connect("autodoc-process-signature", hide_making)
    app.connect("autodoc-skip-member", hide_inside)
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)
    app.connect("autodoc-process-docstring", split_shared, priority=400)
