"""MCP servers that the session runs: their declarations, and the names of their tools.

Nothing here imports the MCP SDK, so agents can be declared without it. ``session.mcp`` runs the
servers.
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

from .contexts import check_condition
from .tools import MAX_NAME, Approval, FunctionTool, InterruptPolicy

ToolNames: TypeAlias = tuple[str, ...]

_SERVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_POLICIES: tuple[InterruptPolicy, ...] = ("cancel", "finish", "background")

# ``Bearer x``, ``--token=x``, ``KEY=x``, ``Authorization: Bearer x``
_LABELLED = re.compile(r"(?:-{0,2}[\w.-]+(?:=|:\s*))?(?:[A-Za-z]+\s+)?(\S+)")
_MIN_SECRET_LENGTH = 4
"""The shortest value after a label that is masked alone: shorter ones occur inside of words."""


# --- validation --------------------------------------------------------------------------------


def _error(server: McpServer, attribute: Any, problem: str) -> ConfigurationError:
    return ConfigurationError(f"MCP server {server.name!r}: {attribute.name} {problem}")


def _check_name(_server: Any, _attribute: Any, name: Any) -> None:
    if not (isinstance(name, str) and _SERVER_NAME.fullmatch(name) and name.strip("_-")):
        raise ConfigurationError(
            f"invalid MCP server name {name!r}: use up to 32 ASCII letters, digits, '_' and '-'"
        )


def _check_seconds(server: McpServer, attribute: Any, seconds: Any) -> None:
    if not (is_number(seconds) and seconds > 0):
        raise _error(server, attribute, "must be a positive number of seconds")


def _check_approval(server: McpServer, attribute: Any, approval: Any) -> None:
    if not (isinstance(approval, bool) or callable(approval)):
        raise _error(server, attribute, "must be a bool or a function")
    check_condition(
        approval, f"needs_approval of MCP server {server.name!r}", "context", "arguments"
    )


def _check_policy(server: McpServer, attribute: Any, policy: InterruptPolicy) -> None:
    if policy not in _POLICIES:
        raise _error(server, attribute, f"must be one of {', '.join(_POLICIES)}")


def _check_callable(server: McpServer, attribute: Any, given: Any) -> None:
    if not callable(given):
        raise _error(server, attribute, "must be a function")


def _check_url(server: McpServerHttp, attribute: Any, url: Any) -> None:
    is_url = isinstance(url, str) and url.startswith(("http://", "https://"))
    if not is_url or redact_url(url) == MASK:
        raise _error(server, attribute, "must be an http or https URL")


def _is_process_string(text: Any) -> bool:
    """Return whether a value can be an argument or environment variable of a process."""
    return isinstance(text, str) and "\0" not in text


def _check_text(server: McpServer, attribute: Any, text: Any) -> None:
    if not (_is_process_string(text) and text):
        raise _error(server, attribute, "must be a non-empty string without NUL")


def _check_texts(server: McpServer, attribute: Any, texts: tuple[Any, ...]) -> None:
    if not all(map(_is_process_string, texts)):
        raise _error(server, attribute, "must be strings without NUL")


# The values may be secrets, so the error messages do not contain them.


def _check_env(server: McpServer, attribute: Any, values: Any) -> None:
    for name, value in _items(server, attribute, values):
        if not (_is_process_string(name) and name and "=" not in name):
            raise _error(server, attribute, "contains an invalid environment variable name")
        if not _is_process_string(value):
            raise _error(
                server, attribute, f"contains a value that is not a string without NUL: {name}"
            )


def _check_headers(server: McpServer, attribute: Any, values: Any) -> None:
    for name, value in _items(server, attribute, values):
        if not (isinstance(name, str) and HEADER_NAME.fullmatch(name)):
            raise _error(server, attribute, "contains an invalid header name")
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            problem = "must be printable ASCII without line breaks or surrounding spaces"
            raise _error(server, attribute, f"contains an invalid value: {name} {problem}")


def _items(server: McpServer, attribute: Any, values: Any) -> Iterable[tuple[Any, Any]]:
    if not _is_mapping(values):
        raise _error(server, attribute, "must be a dict")
    return values.items()


def _is_mapping(given: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(given, Mapping)


def _is_iterable(given: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(given, Iterable) and not isinstance(given, str | bytes)


def _is_path(given: object) -> TypeGuard[os.PathLike[str]]:
    return isinstance(given, os.PathLike)


# --- conversion and repr -----------------------------------------------------------------------


def _fspath(value: Any) -> Any:
    return os.fspath(value) if _is_path(value) else value


def _as_strings(values: Any) -> tuple[Any, ...]:
    """Convert paths to strings. Reject a single string, which would be split into its characters."""
    if not _is_iterable(values):
        raise ConfigurationError("MCP server: args and allowed_tools must be lists of strings")
    return tuple(map(_fspath, values))


def _copy_mapping(values: Any) -> Any:
    """Copy a mapping. Leave any other value to the validator."""
    if values is None:
        return dict[str, str]()
    return dict(values) if _is_mapping(values) else values


def _repr_masked(values: Mapping[str, str]) -> str:
    return "<" + ", ".join(f"{name}: {MASK}" for name in values) + ">"


def _repr_url(url: str) -> str:
    return repr(redact_url(url))


def _repr_length(values: Collection[str]) -> str:
    return f"<{len(values)}>"  # the values may contain a token


@attrs.frozen(kw_only=True, eq=False)
class McpServer:
    """An MCP server whose tools an agent may call. The base class: use one of its subclasses.

    Agents that share a declaration share the server. The session starts it when the first of these
    agents becomes current, and stops it when the session ends.

    Args:
        name: the server's name in events and logs: up to 32 ASCII letters, digits, ``_`` and ``-``. It
            is also the prefix of the names of its tools where these would be ambiguous.
        connect_timeout: seconds to start the server, connect to it and list its tools; also how long a
            call waits for a server that is being restarted.
        call_timeout: seconds after which a call is cancelled and the model is informed; ``None`` for no
            limit.
        needs_approval: whether calls wait for approval, for all tools of the server; as for
            :class:`FunctionTool`.
        allowed_tools: the names, as the server lists them, of the tools that the model may call;
            ``None`` for all.
        on_interrupt: what an interruption does to a call, for all tools of the server; as for
            :class:`FunctionTool`.
        required: whether a session or handoff fails if the server does not start. If ``False``, the
            agent goes on without the server's tools, an ``events.Error`` is emitted, and the session
            tries again to start the server.

    Raises:
        ConfigurationError: if an argument is invalid.
    """

    name: str = attrs.field(validator=_check_name)
    connect_timeout: float = attrs.field(default=10.0, validator=_check_seconds)
    call_timeout: float | None = attrs.field(
        default=None, validator=validators.optional(_check_seconds)
    )
    needs_approval: Approval = attrs.field(default=False, validator=_check_approval)
    allowed_tools: ToolNames | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(_as_strings),
        validator=validators.optional(_check_texts),
    )
    on_interrupt: InterruptPolicy = attrs.field(default="cancel", validator=_check_policy)
    required: bool = True

    def secrets(self) -> tuple[str, ...]:
        """Return the strings to mask in every text about the server. Subclasses extend this."""
        return ()

    def without_secrets(self, text: str) -> str:
        """Return ``text`` with the server's secrets masked, also where they are escaped."""
        found = {form for secret in self.secrets() for form in _forms(secret)}
        for form in sorted(found, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text


def _forms(secret: str) -> tuple[str, ...]:
    """Return a secret as it is, and as ``repr``, ``ascii`` and JSON write it."""
    return (secret, repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1])


def _with_unlabelled(values: Iterable[str]) -> Iterator[str]:
    """Yield each value, and the rest of each labelled value: of ``Bearer x`` also ``x``."""
    for value in filter(None, values):
        yield value
        labelled = _LABELLED.fullmatch(value)
        if labelled is not None and len(labelled[1]) >= _MIN_SECRET_LENGTH:
            yield labelled[1]


@attrs.frozen(kw_only=True, eq=False)
class McpServerStdio(McpServer):
    """An MCP server that runs as a child process and communicates over stdin and stdout.

    The session starts the process and stops it. To stop it, the session closes its stdin, and if the
    process does not exit, kills it and all processes that it has started (on Windows, only the process
    itself). Its stderr is that of this process.

    The values of ``env`` and ``args`` never appear in a repr, log, event or exception.

    Args:
        command: the program, looked up on the ``PATH``.
        args: its command-line arguments.
        env: additional environment variables. Of this process's environment, the program inherits only
            what every program needs, such as ``PATH`` and ``HOME``.
        cwd: its working directory; ``None`` for that of this process.

    The other arguments are those of :class:`McpServer`.
    """

    command: str = attrs.field(converter=_fspath, validator=_check_text)
    args: tuple[str, ...] = attrs.field(
        default=(), converter=_as_strings, validator=_check_texts, repr=_repr_length
    )
    env: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=_copy_mapping, validator=_check_env, repr=_repr_masked
    )
    cwd: str | None = attrs.field(
        default=None, converter=_fspath, validator=validators.optional(_check_text)
    )

    def secrets(self) -> tuple[str, ...]:
        """Return the values of the environment variables, and the arguments."""
        return tuple(_with_unlabelled((*self.env.values(), *self.args)))


@attrs.frozen(kw_only=True, eq=False)
class McpServerHttp(McpServer):
    """An MCP server on the network that speaks Streamable HTTP.

    The values of ``headers`` and the secret parts of ``url`` never appear in a repr, log, event or
    exception.

    Args:
        url: the http or https URL of the server.
        headers: HTTP headers to send with each request, such as ``Authorization``. Values must be
            printable ASCII without line breaks.

    The other arguments are those of :class:`McpServer`.
    """

    url: str = attrs.field(validator=_check_url, repr=_repr_url)
    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=_copy_mapping, validator=_check_headers, repr=_repr_masked
    )

    def secrets(self) -> tuple[str, ...]:
        """Return the values of the headers, and the secret parts of the URL."""
        return (*_with_unlabelled(self.headers.values()), *secret_values(self.url))

    def shown_url(self, url: str) -> str:
        """Return the URL of a request to the server with its secret parts masked."""
        return redact_url(url)


@attrs.frozen(kw_only=True, eq=False)
class McpServerCustom(McpServer):
    """An MCP server with a custom transport, or in the same process.

    Args:
        connect: a function without parameters, called for each connection. It returns whatever the
            SDK's ``mcp.Client`` accepts: a server object of the SDK, or a transport, which is an async
            context manager of a read stream and a write stream.

    The other arguments are those of :class:`McpServer`.
    """

    connect: Callable[[], Any] = attrs.field(repr=False, validator=_check_callable)


def as_mcp_servers(values: Iterable[Any]) -> tuple[McpServer, ...]:
    """Return MCP servers as a tuple without duplicates.

    Raises:
        ConfigurationError: if there is anything else among them, or if two have the same name.
    """
    servers = tuple(dict.fromkeys(values))
    for server in servers:
        if not isinstance(server, McpServer) or type(server) is McpServer:
            raise ConfigurationError(
                f"mcp_servers: expected an MCP server such as McpServerStdio or McpServerHttp, "
                f"got {server!r}"
            )
    names = Counter(server.name for server in servers)
    duplicates = [name for name, count in names.items() if count > 1]
    if duplicates:
        raise ConfigurationError(
            f"more than one MCP server named {', '.join(duplicates)}: rename one"
        )
    return servers


# --- names of tools ----------------------------------------------------------------------------


def tool_name(name: str) -> str:
    """Return a name that the realtime service accepts, as close as possible to ``name``."""
    valid = _NOT_IN_NAMES.sub("_", name)[:MAX_NAME]
    return valid if valid.strip("_-") else "tool"


def disambiguate_names(
    taken: Collection[str], offers: Mapping[McpServer, Mapping[str, FunctionTool]]
) -> tuple[FunctionTool, ...]:
    """Return the tools of all servers under names that are distinct and not taken.

    A tool with a unique name keeps it. Any other tool gets the name of its server as a prefix, and
    some digits as a suffix if that is not enough. The digits are a hash of the server's own name for
    the tool, so a name does not depend on the order in which tools are listed.

    Args:
        taken: names that are already in use.
        offers: the tools of each server, by the server's own names for them.
    """
    entries = [
        (server, own_name, tool)
        for server, tools in offers.items()
        for own_name, tool in tools.items()
    ]
    counts = Counter([*taken, *(tool.name for _, _, tool in entries)])
    unique = {name for name, count in counts.items() if count == 1}
    prefixed = Counter([*taken, *unique])
    prefixed.update(
        _prefixed(server, tool) for server, _, tool in entries if tool.name not in unique
    )
    used = {*taken, *unique, *prefixed}

    def rename(server: McpServer, own_name: str, tool: FunctionTool) -> FunctionTool:
        if tool.name in unique:
            return tool
        name = _prefixed(server, tool)
        if prefixed[name] > 1:
            name = next(name for name in _suffixed(name, own_name) if name not in used)
            used.add(name)
        return attrs.evolve(tool, name=name)

    return tuple(rename(*entry) for entry in entries)


def _prefixed(server: McpServer, tool: FunctionTool) -> str:
    return f"{server.name}_{tool.name}"[:MAX_NAME]


def _suffixed(name: str, own_name: str) -> Iterator[str]:
    """Yield candidates: the name with digits that depend on ``own_name``."""
    for number in itertools.count():
        seed = f"{own_name}\0{number}" if number else own_name
        digits = hashlib.sha256(seed.encode(errors="replace")).hexdigest()[:6]
        yield f"{name[: MAX_NAME - len(digits) - 1]}_{digits}"
