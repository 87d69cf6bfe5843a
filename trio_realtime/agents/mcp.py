"""MCP servers as agents declare them, and how their tools are named beside others.

Declarations only: nothing here imports the MCP SDK, so agents can be declared without it. What runs
the servers is ``session.mcp``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

import attrs
from attrs import validators

from trio_realtime._redaction import MASK, redact_url, secret_values
from trio_realtime._validation import HEADER_NAME, is_number
from trio_realtime.errors import ConfigurationError

from .tools import MAX_NAME, Approval, FunctionTool, InterruptPolicy

ToolNames: TypeAlias = tuple[str, ...]

_SERVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_POLICIES: tuple[InterruptPolicy, ...] = ("cancel", "finish", "background")

# ``Bearer x``, ``--token=x``, ``KEY=x``, ``Authorization: Bearer x``
_LABELLED = re.compile(r"(?:-{0,2}[\w.-]+(?:=|:\s*))?(?:[A-Za-z]+\s+)?(\S+)")
_SHORTEST_SECRET = 4
"""Of what stands behind a label: a shorter piece would be found in the middle of words."""


# --- what can work -----------------------------------------------------------------------------


def _wrong(server: McpServer, attribute: Any, what: str) -> ConfigurationError:
    return ConfigurationError(f"MCP server {server.name!r}: {attribute.name} {what}")


def _check_name(_server: Any, _attribute: Any, name: Any) -> None:
    if not (isinstance(name, str) and _SERVER_NAME.fullmatch(name) and name.strip("_-")):
        raise ConfigurationError(
            f"MCP server name {name!r}: use up to 32 letters, digits, '_' and '-'"
        )


def _check_seconds(server: McpServer, attribute: Any, seconds: Any) -> None:
    if not (is_number(seconds) and seconds > 0):
        raise _wrong(server, attribute, "must be positive seconds")


def _check_approval(server: McpServer, attribute: Any, approval: Any) -> None:
    if not (isinstance(approval, bool) or callable(approval)):
        raise _wrong(server, attribute, "must be True, False or a function")


def _check_policy(server: McpServer, attribute: Any, policy: InterruptPolicy) -> None:
    if policy not in _POLICIES:
        raise _wrong(server, attribute, f"must be one of {', '.join(_POLICIES)}")


def _check_callable(server: McpServer, attribute: Any, given: Any) -> None:
    if not callable(given):
        raise _wrong(server, attribute, "must be a function")


def _check_url(server: McpServerHttp, attribute: Any, url: Any) -> None:
    is_url = isinstance(url, str) and url.startswith(("http://", "https://"))
    if not is_url or redact_url(url) == MASK:
        raise _wrong(server, attribute, "is not a URL of http or https")


def _is_handed_down(text: Any) -> bool:
    """Whether a program can be given it."""
    return isinstance(text, str) and "\0" not in text


def _check_text(server: McpServer, attribute: Any, text: Any) -> None:
    if not (_is_handed_down(text) and text):
        raise _wrong(server, attribute, "must be a string, and not an empty one")


def _check_texts(server: McpServer, attribute: Any, texts: tuple[Any, ...]) -> None:
    if not all(map(_is_handed_down, texts)):
        raise _wrong(server, attribute, "must be strings")


# The values are secrets: the messages do without them.


def _check_env(server: McpServer, attribute: Any, values: Any) -> None:
    for name, value in _items(server, attribute, values):
        if not (_is_handed_down(name) and name and "=" not in name):
            raise _wrong(server, attribute, "has a name that is none of a variable")
        if not _is_handed_down(value):
            raise _wrong(server, attribute, f"must have strings as values; {name} has none")


def _check_headers(server: McpServer, attribute: Any, values: Any) -> None:
    for name, value in _items(server, attribute, values):
        if not (isinstance(name, str) and HEADER_NAME.fullmatch(name)):
            raise _wrong(server, attribute, "has a name that is none of a header")
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            what = "must be printable ASCII, without a line break or spaces around it"
            raise _wrong(server, attribute, f"has a value that no header can have: {name} {what}")


def _items(server: McpServer, attribute: Any, values: Any) -> Iterable[tuple[Any, Any]]:
    if not _is_mapping(values):
        raise _wrong(server, attribute, "must be a dict")
    return values.items()


def _is_mapping(given: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(given, Mapping)


def _is_iterable(given: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(given, Iterable) and not isinstance(given, str | bytes)


def _is_path(given: object) -> TypeGuard[os.PathLike[str]]:
    return isinstance(given, os.PathLike)


# --- what is kept of it, and shown -------------------------------------------------------------


def _path(value: Any) -> Any:
    return os.fspath(value) if _is_path(value) else value


def _strings(values: Any) -> tuple[Any, ...]:
    """Paths may be among them. One string alone would be taken for its letters."""
    if not _is_iterable(values):
        raise ConfigurationError("of an MCP server, args and allowed_tools are lists of strings")
    return tuple(map(_path, values))


def _copied(values: Any) -> Any:
    """The validator says what is wrong with something else."""
    if values is None:
        return dict[str, str]()
    return dict(values) if _is_mapping(values) else values


def _masked(values: Mapping[str, str]) -> str:
    return "<" + ", ".join(f"{name}: {MASK}" for name in values) + ">"


def _shown_url(url: str) -> str:
    return repr(redact_url(url))


def _counted(values: Collection[str]) -> str:
    return f"<{len(values)}>"  # a token may be among them


@attrs.frozen(kw_only=True, eq=False)
class McpServer:
    """An MCP server whose tools an agent has. Use one of its subclasses.

    One that is given to several agents is one server: it is started for the first of them that
    speaks, and stays to the end of the session.

    Args:
        name: letters, digits, ``_`` and ``-``, 32 at most; stands before the names of its tools
            where they would be ambiguous, and in events and logs.
        connect_timeout: seconds to start, connect and list its tools; also how long a call waits
            for a server that is being restarted.
        call_timeout: seconds after which a call is cancelled and answered so; ``None`` for no limit.
        needs_approval: as of a :class:`FunctionTool`, for all its tools.
        allowed_tools: names, as the server has them, of the tools to offer; ``None`` for all.
        on_interrupt: as of a :class:`FunctionTool`, for all its tools.
        required: whether a session, or a handoff, fails where the server does not start. Otherwise
            the agent goes without its tools, an ``error`` event tells, and it is tried again.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    name: str = attrs.field(validator=_check_name)
    connect_timeout: float = attrs.field(default=10.0, validator=_check_seconds)
    call_timeout: float | None = attrs.field(
        default=None, validator=validators.optional(_check_seconds)
    )
    needs_approval: Approval = attrs.field(default=False, validator=_check_approval)
    allowed_tools: ToolNames | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(_strings),
        validator=validators.optional(_check_texts),
    )
    on_interrupt: InterruptPolicy = attrs.field(default="cancel", validator=_check_policy)
    required: bool = True

    def secrets(self) -> tuple[str, ...]:
        """What may stand in no text about it."""
        return ()

    def without_secrets(self, text: str) -> str:
        """What somebody else wrote about it, fit to be shown."""
        found = {form for secret in self.secrets() for form in _forms(secret)}
        for form in sorted(found, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text


def _forms(secret: str) -> tuple[str, ...]:
    """As it is, and as ``repr`` and JSON write it."""
    return (secret, repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1])


def _with_pieces(values: Iterable[str]) -> Iterator[str]:
    """Values, and of those with a label before it, such as ``Bearer x``, also the rest alone."""
    for value in filter(None, values):
        yield value
        labelled = _LABELLED.fullmatch(value)
        if labelled is not None and len(labelled[1]) >= _SHORTEST_SECRET:
            yield labelled[1]


@attrs.frozen(kw_only=True, eq=False)
class McpServerStdio(McpServer):
    """An MCP server that is a program, spoken to by its standard input and output.

    It is started by the session and ended with it: its input is closed, and if it does not end by
    that, it is killed, with all programs that it has started (on Windows, it alone). What it writes
    to its standard error goes to that of this process.

    Args:
        command: the program; looked for on the ``PATH``.
        args: its arguments.
        env: environment variables for it. Of this process's own only what every program needs is
            handed down (``PATH``, ``HOME`` and the like).
        cwd: its working directory; this process's by default.

    The other arguments are those of :class:`McpServer`. Values of ``env`` and ``args`` are never
    shown.
    """

    command: str = attrs.field(converter=_path, validator=_check_text)
    args: tuple[str, ...] = attrs.field(
        default=(), converter=_strings, validator=_check_texts, repr=_counted
    )
    env: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=_copied, validator=_check_env, repr=_masked
    )
    cwd: str | None = attrs.field(
        default=None, converter=_path, validator=validators.optional(_check_text)
    )

    def secrets(self) -> tuple[str, ...]:
        """The values of its environment, and its arguments."""
        return tuple(_with_pieces((*self.env.values(), *self.args)))


@attrs.frozen(kw_only=True, eq=False)
class McpServerHttp(McpServer):
    """An MCP server on the network, by the protocol's streamable HTTP.

    Args:
        url: where it is.
        headers: HTTP headers of each request, such as ``Authorization``; printable ASCII, without a
            line break. Their values are never shown.

    The other arguments are those of :class:`McpServer`.
    """

    url: str = attrs.field(validator=_check_url, repr=_shown_url)
    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=_copied, validator=_check_headers, repr=_masked
    )

    def secrets(self) -> tuple[str, ...]:
        """The values of its headers, and what a URL hides."""
        return (*_with_pieces(self.headers.values()), *secret_values(self.url))

    def shown_url(self, url: str) -> str:
        """A URL as the server is asked by, fit to be shown."""
        return redact_url(url)


@attrs.frozen(kw_only=True, eq=False)
class McpServerCustom(McpServer):
    """An MCP server that is reached in another way, or that lives in this process.

    Args:
        connect: called for each connection; returns what the SDK's ``mcp.Client`` takes: a server
            object of the SDK, or a transport, which is an async context manager of a stream to read
            and one to write.

    The other arguments are those of :class:`McpServer`.
    """

    connect: Callable[[], Any] = attrs.field(repr=False, validator=_check_callable)


def servers_of(given: Iterable[Any]) -> tuple[McpServer, ...]:
    """MCP servers, each once.

    Raises:
        ConfigurationError: something else is among them, or two have the same name.
    """
    servers = tuple(dict.fromkeys(given))
    for server in servers:
        if not isinstance(server, McpServer) or type(server) is McpServer:
            raise ConfigurationError(f"{server!r} is no MCP server: use McpServerStdio or -Http")
    twice = [name for name, times in Counter(s.name for s in servers).items() if times > 1]
    if twice:
        raise ConfigurationError(f"more than one MCP server named {', '.join(twice)}; rename one")
    return servers


# --- names -------------------------------------------------------------------------------------


def tool_name(name: str) -> str:
    """The nearest name that the realtime service allows."""
    plain = _NOT_IN_NAMES.sub("_", name)[:MAX_NAME]
    return plain if plain.strip("_-") else "tool"


def disambiguate_names(
    taken: Collection[str], offers: Mapping[McpServer, Mapping[str, FunctionTool]]
) -> tuple[FunctionTool, ...]:
    """The tools of all servers, under names that differ from ``taken`` and from each other.

    A tool keeps its name where nothing else has it; all others have the server's before theirs, and
    if that is not enough, a few digits after it. These come of the server's own name for the tool,
    so that a name means the same in whatever order the tools are listed.

    Args:
        taken: names that nothing else may have.
        offers: the tools of each server, by its own names for them.
    """
    as_tuple = [
        (server, own, tool) for server, tools in offers.items() for own, tool in tools.items()
    ]
    plain = Counter([*taken, *(tool.name for _, _, tool in as_tuple)])
    alone = {name for name, count in plain.items() if count == 1}
    full = Counter([*taken, *alone])
    full.update(_full(server, tool) for server, _, tool in as_tuple if tool.name not in alone)
    used = {*taken, *alone, *full}

    def renamed(server: McpServer, own: str, tool: FunctionTool) -> FunctionTool:
        if tool.name in alone:
            return tool
        name = _full(server, tool)
        return attrs.evolve(tool, name=name if full[name] == 1 else _marked(name, own, used))

    return tuple(renamed(*entry) for entry in as_tuple)


def _full(server: McpServer, tool: FunctionTool) -> str:
    return f"{server.name}_{tool.name}"[:MAX_NAME]


def _marked(name: str, own: str, used: set[str]) -> str:
    """The name with digits that come of ``own``. Takes it."""
    found = next(marked for marked in _candidates(name, own) if marked not in used)
    used.add(found)
    return found


def _candidates(name: str, own: str) -> Iterator[str]:
    for number in itertools.count():
        seed = f"{own}\0{number}" if number else own
        digits = hashlib.sha256(seed.encode(errors="replace")).hexdigest()[:6]
        yield f"{name[: MAX_NAME - len(digits) - 1]}_{digits}"
