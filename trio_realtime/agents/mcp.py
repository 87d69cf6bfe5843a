"""MCP servers as agents declare them, and how their tools are named beside others.

Declarations only: nothing here imports the MCP SDK, so agents can be declared without it. What runs
the servers is ``session.mcp``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
from attrs import validators

from trio_realtime.errors import ConfigurationError
from trio_realtime.redaction import MASK, redact_url, secret_values

from .tools import MAX_NAME, Approval, FunctionTool, InterruptPolicy

ToolNames: TypeAlias = tuple[str, ...]

_SERVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def _check_name(_server: Any, _attribute: Any, name: str) -> None:
    if not _SERVER_NAME.fullmatch(name) or not name.strip("_-"):
        raise ConfigurationError(
            f"MCP server name {name!r}: use up to 32 letters, digits, '_' and '-'"
        )


def _check_seconds(server: McpServer, attribute: Any, seconds: float | None) -> None:
    if seconds is not None and not seconds > 0:
        raise ConfigurationError(
            f"MCP server {server.name!r}: {attribute.name} must be positive seconds"
        )


def _check_url(server: McpServerHttp, _attribute: Any, url: str) -> None:
    if redact_url(url) == MASK or not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"MCP server {server.name!r}: not a URL of http or https")


def _names(names: Iterable[str] | None) -> ToolNames | None:
    return None if names is None else tuple(names)


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _copied(values: Mapping[str, str] | None) -> Mapping[str, str]:
    return dict(values or {})


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
    call_timeout: float | None = attrs.field(default=None, validator=_check_seconds)
    needs_approval: Approval = False
    allowed_tools: ToolNames | None = attrs.field(default=None, converter=_names)
    on_interrupt: InterruptPolicy = attrs.field(
        default="cancel", validator=validators.in_(("cancel", "finish", "background"))
    )
    required: bool = True

    def secrets(self) -> tuple[str, ...]:
        """What may stand in no text about it."""
        return ()

    def without_secrets(self, text: str) -> str:
        """What somebody else wrote about it, fit to be shown."""
        for secret in sorted(self.secrets(), key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text


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

    command: str
    args: tuple[str, ...] = attrs.field(default=(), converter=_strings, repr=_counted)
    env: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_copied, repr=_masked)
    cwd: str | None = attrs.field(default=None, converter=attrs.converters.optional(str))

    def secrets(self) -> tuple[str, ...]:
        """The values of its environment, and its arguments."""
        return tuple(filter(None, (*self.env.values(), *self.args)))


@attrs.frozen(kw_only=True, eq=False)
class McpServerHttp(McpServer):
    """An MCP server on the network, by the protocol's streamable HTTP.

    Args:
        url: where it is.
        headers: HTTP headers of each request, such as ``Authorization``. Their values are never
            shown.

    The other arguments are those of :class:`McpServer`.
    """

    url: str = attrs.field(validator=_check_url, repr=_shown_url)
    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=_copied, repr=_masked
    )

    def secrets(self) -> tuple[str, ...]:
        """The values of its headers, and what a URL hides."""
        return tuple(filter(None, (*self.headers.values(), *secret_values(self.url))))


@attrs.frozen(kw_only=True, eq=False)
class McpServerCustom(McpServer):
    """An MCP server that is reached in another way, or that lives in this process.

    Args:
        connect: called for each connection; returns what the SDK's ``mcp.Client`` takes: a server
            object of the SDK, or a transport, which is an async context manager of a stream to read
            and one to write.

    The other arguments are those of :class:`McpServer`.
    """

    connect: Callable[[], Any] = attrs.field(repr=False)


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


def named_apart(
    taken: Collection[str], offers: Mapping[McpServer, tuple[FunctionTool, ...]]
) -> tuple[FunctionTool, ...]:
    """The tools of all servers, under names that differ from ``taken`` and from each other.

    A tool keeps its name where nothing else has it; all others have the server's before theirs. The
    same offers in the same order give the same names.
    """
    times = Counter(taken) + Counter(tool.name for tools in offers.values() for tool in tools)
    alone = {name for name, count in times.items() if count == 1}
    used = {*taken, *alone}
    return tuple(
        tool if tool.name in alone else attrs.evolve(tool, name=_free(server, tool.name, used))
        for server, tools in offers.items()
        for tool in tools
    )


def _free(server: McpServer, name: str, used: set[str]) -> str:
    """The server's name and the tool's, with a number if even that is taken. Takes it."""
    found = next(name for name in _candidates(f"{server.name}_{name}") if name not in used)
    used.add(found)
    return found


def _candidates(name: str) -> Iterator[str]:
    yield name[:MAX_NAME]
    for number in range(2, 1_000_000):
        ending = f"_{number}"
        yield name[: MAX_NAME - len(ending)] + ending
