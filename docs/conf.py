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

from docutils.nodes import Element, Node, Text, TextElement, document, paragraph
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import TypeAliasForwardRef

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from signatures import AUTODOC_ALIASES, definition_of, tidy_signature

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
html_static_path = ["static"]
html_css_files = ["custom.css"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# `make docs` runs the examples, so that the pages stay true.
doctest_global_setup = "import trio"
doctest_test_doctest_blocks = ""

# --- autodoc -----------------------------------------------------------------------------------

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# A longer signature has one line for each argument.
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# --- references --------------------------------------------------------------------------------

nitpicky = True
# A build must not depend on the network, so it links to the documentation of other projects only on
# Read the Docs. Their names are exempt from the nitpicky check.
if os.environ.get("READTHEDOCS"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
        "attrs": ("https://www.attrs.org/en/stable", None),
    }
nitpick_ignore_regex = [
    # names of other packages: trio.Nursery, collections.abc.Mapping
    (r"py:.*", r"(?!trio_realtime\b)[a-z_0-9]+(\..+)?"),
    (
        r"py:.*",
        r"(Any|Awaitable|AsyncIterator|Callable|ClassVar|Iterator|Literal|Mapping|Sequence)",
    ),
    (r"py:.*", r"([A-Z]\w*(Error|Exception|Group|Exit|Interrupt)|Exception|Ellipsis|None)"),
]

# The modules that users import from. References resolve to the first one that documents the name.
PUBLIC_MODULES = ["trio_realtime"] + [
    f"trio_realtime.{name}"
    for name in (
        "events",
        "items",
        "config",
        "endpoints",
        "models",
        "errors",
        "usage",
        "prices",
        "latency",
        "session_end",
        "wire",
        "transports",
        "realtime_model",
        "agents",
        "session",
        "audio",
        "devices",
        "sip",
        "core",
        "local",
        "testing.faults",
        "testing.scenarios",
        "testing.simulation",
        "testing",
        "server",
        "server.spec",
        "server.service",
        "server.managed",
        "server.rpc",
        "server.recording",
        "server.store",
        "server.objects",
        "server.gateway",
        "server.twilio",
        "server.asyncio_bridge",
    )
    if find_spec(f"trio_realtime.{name}")
]


autodoc_type_aliases = AUTODOC_ALIASES
# Inside a union, Sphinx shows an alias as its repr. A tilde shows the last part of a name as a link to the name.
TypeAliasForwardRef.__repr__ = lambda alias: f"~{alias.name}"  # type: ignore[method-assign]


# Names that annotations use only under TYPE_CHECKING.
ALIASES = {"AnyAgent": "RealtimeAgent", "AnyTool": "FunctionTool"}


# Names that stay on the page of their module, although the package exports them. This keeps the
# exception tree in one place.
DOCUMENTED_IN_MODULE = {"RealtimeError"}
# Classes that users do not instantiate, so their signatures are left out.
CREATED_BY_LIBRARY = {
    "RealtimeSession",
    "Response",
    "EventChannel",
    "PacedAudio",
    "PlaybackTracker",
    "Connection",
    "HistoryUpdated",
    "Devices",
    "Microphone",
    "Speaker",
    "LocalConnector",
    "LocalServer",
    "Log",
    "Network",
    "WebSocketConnection",
    "MemoryTransport",
    "Dial",
    "FaultyConnector",
    "FaultyLink",
    "TcpFaultConnection",
    "TcpFaultProxy",
}
# Names that only the library itself uses.
INTERNAL = {
    "AgentHandoff.begin",
    "AgentHandoff.spec",
    "Connection.of",
    "Connection.serves",
    "Connection.serves_no_more",
    "DirectSender",
    "DirectSender.flush",
    "DirectSender.has_rest",
    "DirectSender.try_send",
    "Endpoint.max_duration",
    "EventChannel.discard_audio",
    "EventChannel.finish",
    "EventChannel.is_being_read",
    "EventChannel.put",
    "EventChannel.put_last",
    "EventChannel.wake",
    "FaultyLink.run",
    "FunctionTool.spec",
    "HistoryUpdated.shares_text",
    "HostedMcpTool.spec",
    "InterruptionPolicy.needs_transcript",
    "InterruptionPolicy.waits",
    "LocalServer.run",
    "LocalServer.stop",
    "McpServer.secrets",
    "McpServer.without_secrets",
    "McpServerHttp.secrets",
    "McpServerHttp.shown_url",
    "McpServerStdio.secrets",
    "Network.next_extra",
    "Network.received",
    "Network.sent",
    "Microphone.close",
    "Microphone.stopped",
    "Microphone.take",
    "SessionConfig.session_settings",
    "Speaker.close",
    "Speaker.fill",
    "Speaker.stopped",
    "Speaker.wait_progress",
    "TcpFaultConnection.run",
    "TcpFaultProxy.run",
    "Usage.plus",
    "WebSocketConnection.has_message",
    "WebSocketConnection.peek_audio",
    "WebSocketConnection.skip_audio",
    "WebSocketConnection.wait_message",
    "WebSocketModel.encode_audio",
    "WebSocketModel.has_custom_connector",
    "WebSocketModel.max_duration",
    "Usage.plus_transcription",
    "apply_interruption",
    "percentiles_of",
    "settings_of",
}


def document_as_exported(module: ModuleType, documented: list[str]) -> None:
    """Document the names that a package exports under the package, where users import them from.

    Names that belong to one of the modules that are ``documented`` already stay there.
    """
    names = getattr(module, "__all__", None) if module.__name__ == "trio_realtime" else None
    for name in names or list(vars(module)):
        value = getattr(module, name)
        if (
            isinstance(value, type | FunctionType)
            and value.__module__.startswith(f"{module.__name__}.")
            and value.__module__ not in documented
            and name not in DOCUMENTED_IN_MODULE
        ):
            copy_source_info(value.__module__, module.__name__)
            value.__module__ = module.__name__


def copy_source_info(origin: str, target: str) -> None:
    """Copy the order of members and the attribute comments, which autodoc looks up by module."""
    source, destination = ModuleAnalyzer.for_module(origin), ModuleAnalyzer.for_module(target)
    source.analyze()
    destination.analyze()
    last = max(destination.tagorder.values(), default=0)
    for tag, position in source.tagorder.items():
        destination.tagorder.setdefault(tag, last + 1 + position)
    destination.attr_docs.update(source.attr_docs)


for index, public in enumerate(PUBLIC_MODULES):
    document_as_exported(import_module(public), PUBLIC_MODULES[:index])


def resolve_public(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: TextElement
) -> Element | None:
    """Resolve a reference to the module that defines a name to the page that documents the name."""
    if node.get("refdomain") != "py":
        return None
    name = public_name(node.get("reftarget", ""))
    domain = env.domains["py"]
    if name in domain.data["objects"]:  # an alias on the page of types, which belongs to no module
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    for module in PUBLIC_MODULES:
        if f"{module}.{name}" in domain.data["objects"]:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{module}.{name}", node, contnode
            )
    return contnode if is_known(name) else None


def public_name(target: str) -> str:
    """Strip the module: ``trio_realtime.wire.base.Unset`` -> ``Unset``."""
    parts = target.split(".")
    if is_in_package(target):
        parts = list(dropwhile(str.islower, parts)) or parts[-1:]
    return ALIASES.get(target, ".".join(parts))


def is_known(name: str) -> bool:
    """Whether the package has this name: a type alias, type variable or field without an entry."""
    first, _, rest = name.partition(".")
    found = [getattr(module, first) for module in package_modules() if hasattr(module, first)]
    return any(not rest or hasattr(value, rest) for value in found)


def package_modules() -> list[ModuleType]:
    """Return all loaded modules of the package."""
    return [module for name, module in sys.modules.items() if is_in_package(name)]


def is_in_package(module: str) -> bool:
    """Whether a module belongs to the package."""
    return module.partition(".")[0] == "trio_realtime"


class TypeAlias(SphinxDirective):
    """Describe an alias: ``.. type-alias:: Condition``. What it stands for comes from the source."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[Node]:
        """Return the nodes of a ``py:type`` directive."""
        name = self.arguments[0]
        lines = [
            f".. py:type:: {name}",
            f"   :canonical: {definition_of(name)}",
            "",
            *(f"   {line}" for line in self.content),
        ]
        return self.parse_text_to_nodes(StringList(lines, name))


def remove_plain_bases(app: Sphinx, doctree: document) -> None:
    """Leave out ``Bases: object`` and the like, which say nothing about a class."""
    for node in list(doctree.findall(paragraph)):
        if re.match(r"Bases: (object|Generic\[\w+\]|Protocol)$", node.astext()):
            node.parent.remove(node)


def unlink_builtins(app: Sphinx, doctree: document) -> None:
    """Keep ``type`` and ``object`` in annotations from linking to attributes with these names."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("reftarget") in {"object", "type"}:
            node.replace_self(Text(node["reftarget"]))


def show_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Leave out the signature of classes that users do not instantiate, and shorten others."""
    if name.rpartition(".")[2] in CREATED_BY_LIBRARY or getattr(obj, "_is_protocol", False):
        return "", returns
    return (tidy_signature(name, signature), returns) if signature else None


def skip_internal(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: object
) -> bool | None:
    """Leave out names that only the library itself uses."""
    function = getattr(obj, "__func__", None) or getattr(obj, "fget", None) or obj
    return True if getattr(function, "__qualname__", None) in INTERNAL else None


def protect_first_line(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from parsing the words before a colon as the type of a property."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # an empty comment: a first line without a colon


# Several attributes with one description, including its continuation lines.
SHARED = re.compile(r"^( {4})(\w+(?:, \w+)+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def split_shared_attributes(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Give each attribute its own entry, as napoleon does for arguments."""
    text = "\n".join(lines)
    before, heading, attributes = text.partition("Attributes:\n")
    if heading:
        lines[:] = (before + heading + SHARED.sub(_expand, attributes)).split("\n")


def _expand(match: re.Match[str]) -> str:
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))


def setup(app: Sphinx) -> None:
    """Register the hooks and the directive with Sphinx."""
    app.add_directive("type-alias", TypeAlias)
    app.connect("missing-reference", resolve_public)
    app.connect("doctree-read", unlink_builtins)
    app.connect("doctree-read", remove_plain_bases)
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-skip-member", skip_internal)
    app.connect("autodoc-process-docstring", protect_first_line, priority=400)
    app.connect("autodoc-process-docstring", split_shared_attributes, priority=400)
