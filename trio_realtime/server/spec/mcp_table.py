"""The entries of ``mcp_servers`` in a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from trio_realtime.agents import McpServer, McpServerHttp, McpServerStdio
from trio_realtime.errors import ConfigurationError

from .kinds import Choice, Field, Flag, Kind, ListOf, MapOf, Number, OrNone, Table, Text
from .paths import SpecError, describe, is_mapping, join

__all__ = ["MCP_SERVER", "McpServerSpec"]

_Kind: TypeAlias = Literal["stdio", "http"]
_FROM: Final = {"env_from": "env", "headers_from": "headers"}


@attrs.frozen(kw_only=True, repr=False)
class McpServerSpec:
    """An MCP server that is declared in a spec.

    Args:
        kind: ``stdio`` for a process, ``http`` for a server on the network.
        options: the arguments of :class:`McpServerStdio` or :class:`McpServerHttp`. In addition,
            ``env_from`` and ``headers_from`` map names to variables of the environment whose values are
            used, so that the file has no secrets.
    """

    kind: _Kind
    options: Mapping[str, Any]

    def variables(self) -> tuple[tuple[str, str], ...]:
        """Return the path of each value that comes from the environment, with its variable."""
        return tuple(
            (join(key, name), variable)
            for key in _FROM
            for name, variable in self.options.get(key, {}).items()
        )

    def build(self, environ: Mapping[str, str], path: str) -> McpServer:
        """Return the server, with the values of the environment.

        A session goes on without a server that does not start, unless the table has ``required = true``.

        Args:
            environ: the environment.
            path: the path of the entry, for error messages.

        Raises:
            SpecError: a variable is not set, one for a header is empty, or the server cannot work as
                declared.
        """
        for at, variable in self.variables():
            is_header = at.startswith("headers_from")
            if variable not in environ or (is_header and not environ[variable]):
                raise SpecError(f"{path}.{at}", f"set the environment variable {variable}")
        given = {key: value for key, value in self.options.items() if key not in _FROM}
        options: dict[str, Any] = {"required": False, **given}
        for source, target in _FROM.items():
            if source in self.options:
                taken = {name: environ[one] for name, one in self.options[source].items()}
                options[target] = _merge(options.get(target, {}), taken, target)
        cls = McpServerStdio if self.kind == "stdio" else McpServerHttp
        try:
            return cls(**options)
        except ConfigurationError as exc:
            raise SpecError(path, str(exc)) from None

    def __repr__(self) -> str:
        return f"McpServerSpec({self.kind}, {self.options['name']!r})"


def _merge(given: Mapping[str, str], taken: Mapping[str, str], target: str) -> dict[str, str]:
    """Return what is given, replaced by what was taken from the environment. Headers have any case."""
    names = {name.lower() for name in taken} if target == "headers" else set[str]()
    return {name: one for name, one in given.items() if name.lower() not in names} | dict(taken)


class _McpServer:
    """The kind of a table in ``mcp_servers``."""

    expected = "a table with command (a process) or url (HTTP)"

    def __init__(self) -> None:
        seconds = Number(above=0)
        name = Text(
            expected="up to 32 ASCII letters, digits, '_' and '-'", pattern="[A-Za-z0-9_-]{1,32}"
        )
        common: dict[str, Kind | Field] = {
            "name": Field(kind=name, is_required=True),
            "connect_timeout": seconds,
            "call_timeout": OrNone(seconds),
            "needs_approval": Flag(),
            "allowed_tools": ListOf(Text()),
            "on_interrupt": Choice(("cancel", "finish", "background")),
            "required": Flag(),
        }
        secrets, variables = MapOf(Text(is_secret=True)), MapOf(Text())
        url = Text(expected="an http or https URL", pattern="https?://.+", is_secret=True)
        stdio: dict[str, Kind | Field] = {
            "command": Field(kind=Text(is_secret=True), is_required=True),
            "args": ListOf(Text(is_secret=True)),
            "env": secrets,
            "env_from": variables,
            "cwd": Text(),
        }
        http: dict[str, Kind | Field] = {
            "url": Field(kind=url, is_required=True),
            "headers": secrets,
            "headers_from": variables,
        }
        self._tables: dict[_Kind, Table] = {
            "stdio": Table(fields={**common, **stdio}),
            "http": Table(fields={**common, **http}),
        }

    def accepts(self, value: Any) -> bool:
        """Return whether it is a table, or was read from one."""
        return is_mapping(value) or isinstance(value, McpServerSpec)

    def read(self, value: Any, path: str) -> McpServerSpec:
        """Return the declaration.

        Raises:
            SpecError: a key is unknown or missing, or a value is wrong.
        """
        if isinstance(value, McpServerSpec):
            return value
        if not is_mapping(value):
            raise SpecError(path, f"expected {self.expected}, got {describe(value)}")
        if ("command" in value) == ("url" in value):
            what = "not both" if "url" in value else "both are missing"
            raise SpecError(path, f"expected command (a process) or url (HTTP): {what}")
        kind: _Kind = "stdio" if "command" in value else "http"
        declared = McpServerSpec(kind=kind, options=self._tables[kind].read(value, path))
        # The values of the environment are not known yet, but everything else is.
        declared.build({variable: "x" for _, variable in declared.variables()}, path)
        return declared

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"anyOf": [table.schema() for table in self._tables.values()]}


MCP_SERVER: Final = _McpServer()
"""The kind of a table in ``mcp_servers``. It returns an :class:`McpServerSpec`."""
