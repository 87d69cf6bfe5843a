"""Finds the names of @openai/agents that a JavaScript or TypeScript program uses.

The program is split into tokens, not parsed, so this finds less than the analysis of Python: imported names,
members of variables that are sessions, options in object literals, and the events that ``on`` takes.
A value that is passed through a function or stored in an object is followed only if its variable is called
a session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from .mapping import Mapping, Use

PACKAGES = re.compile(r"@openai/agents(-realtime|-extensions|-core)?(/.*)?")

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)
  | (?P<name>[A-Za-z_$][\w$]*)
  | (?P<mark>\?\.|=>|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
_BEFORE_REGEX = frozenset("(,=:[!&|?{};")
_OPEN = {"(": ")", "[": "]", "{": "}"}


@attrs.frozen
class Token:
    """A name, string or mark, with its line. ``value`` of a string has no quotes."""

    kind: str
    value: str
    line: int


def tokenize(source: str) -> list[Token]:
    """Split a program into tokens, without white space, comments and regular expressions."""
    tokens: list[Token] = []
    position, line = 0, 1
    while position < len(source):
        may_be_regex = not tokens or (
            tokens[-1].kind == "mark" and tokens[-1].value in _BEFORE_REGEX
        )
        match = _TOKEN.match(source, position)
        if (
            may_be_regex
            and source[position] == "/"
            and source[position + 1 : position + 2] not in "/*"
        ):
            match = _REGEX.match(source, position) or match
        if match is None:  # pragma: no cover - the last alternative matches any character
            break
        kind = match.lastgroup or "skip"
        if kind != "skip":
            text = match.group()
            tokens.append(Token(kind, text[1:-1] if kind == "string" else text, line))
        line += match.group().count("\n")
        position = match.end()
    return tokens


def find_uses(source: str, mapping: Mapping) -> list[Use]:
    """Return the uses of the SDK in a program, in the order of its lines."""
    events = frozenset(
        name
        for table in mapping.tables
        if table.title == "Events"
        for row in table.rows
        for name in row.sdk
    )
    program = _Program(tokenize(source), events)
    if not program.imported:
        return []
    return [use for use in program.uses() if mapping.find(*use.names) or use.shown]


@attrs.define
class _Bracket:
    """An open bracket. ``owner`` is what it belongs to: a called name, or a path of keys in a call."""

    mark: str
    owner: str
    path: tuple[str, ...] = ()
    argument: int = 0
    key: str = ""


class _Program:
    """The tokens of a program, and what is known about its names."""

    def __init__(self, tokens: Sequence[Token], events: frozenset[str]) -> None:
        self._tokens = tokens
        self._events = events
        self.imported = dict(self._imports())
        self._variables = dict(self._declared())

    def _value(self, index: int) -> str:
        return self._tokens[index].value if 0 <= index < len(self._tokens) else ""

    # --- declarations --------------------------------------------------------------------------

    def _imports(self) -> Iterator[tuple[str, str]]:
        """Yield local names with the imported ones; a namespace is ``*``."""
        for index, token in enumerate(self._tokens):
            if token.kind != "string" or not PACKAGES.fullmatch(token.value):
                continue
            start = index
            while start > 0 and not self._begins_import(start):
                start -= 1
            yield from _import_clause([token.value for token in self._tokens[start + 1 : index]])

    def _begins_import(self, index: int) -> bool:
        word = self._value(index)
        return word in {"const", "let", "var"} or (
            word == "import" and self._value(index + 1) != "("
        )

    def _declared(self) -> Iterator[tuple[str, str]]:
        """Yield variables with the class they are declared with: ``x = new C``, ``x: C``, ``x = f<C``."""
        for index, token in enumerate(self._tokens):
            imported = self.imported.get(token.value, "")
            if not imported[:1].isupper():
                continue
            before = index - 1
            while before > 0 and self._value(before) in {
                "new",
                "<",
                "(",
                "await",
                "useRef",
                "null",
                "|",
            }:
                before -= 1
            if self._value(before) in {"=", ":"}:
                before -= self._value(before - 1) == "?"
                yield self._value(before - 1), imported

    def _kind(self, name: str) -> str:
        known = self._variables.get(name, "")
        if known in {"RealtimeSession", "RealtimeAgent"}:
            return known
        return "RealtimeSession" if re.search(r"[sS]ession(Ref)?$", name) else ""

    # --- uses ----------------------------------------------------------------------------------

    def uses(self) -> Iterator[Use]:
        """Yield the uses of the SDK."""
        open_brackets: list[_Bracket] = []
        for index, token in enumerate(self._tokens):
            if token.kind == "name":
                yield from self._name(index, token, open_brackets)
            elif token.kind == "string":
                yield from self._event(index, token)
            else:
                self._mark(index, token.value, open_brackets)

    def _mark(self, index: int, mark: str, brackets: list[_Bracket]) -> None:
        if mark in _OPEN:
            brackets.append(self._open(index, mark, brackets[-1] if brackets else None))
        elif brackets and mark == _OPEN[brackets[-1].mark]:
            brackets.pop()
        elif brackets and mark == ",":
            brackets[-1].argument += 1

    def _open(self, index: int, mark: str, outer: _Bracket | None) -> _Bracket:
        if mark == "(":
            return _Bracket(mark, self._callee(index))
        if mark == "{" and outer is not None and outer.mark == "(":
            return _Bracket(mark, outer.owner)
        if mark == "{" and outer is not None and outer.mark == "{" and outer.owner:
            return _Bracket(mark, outer.owner, (*outer.path, outer.key))
        return _Bracket(mark, "")

    def _callee(self, index: int) -> str:
        """Return the name of the SDK that is called with the bracket at ``index``."""
        name = self._value(index - 1)
        if self._value(index - 2) in {".", "?."}:
            return name if self._owner(index - 1) == "RealtimeSession" else ""
        return self.imported.get(name, "")

    def _owner(self, index: int) -> str:
        """Return what the member at ``index`` belongs to: a class, ``transport``, or nothing known."""
        before = index - 2
        while before > 0 and self._value(before) in {"!", "current"}:
            before -= 1 if self._value(before) == "!" else 2
        name = self._value(before)
        if name == "transport" and self._value(before - 1) in {".", "?."}:
            return "transport" if self._owner(before) == "RealtimeSession" else ""
        return self._kind(name) or ("*" if self.imported.get(name) == "*" else "")

    def _name(self, index: int, token: Token, brackets: list[_Bracket]) -> Iterator[Use]:
        if self._value(index - 1) in {".", "?."}:
            match self._owner(index):
                case "RealtimeSession" | "*":
                    yield Use((token.value,), token.line)
                case "transport":
                    yield Use((f"transport.{token.value}",), token.line)
                case _:
                    pass
        elif brackets and brackets[-1].owner and self._is_key(index):
            brackets[-1].key = token.value
            yield from self._option(token, brackets[-1])
        elif token.value in self.imported and self.imported[token.value] != "*":
            name = self.imported[token.value]
            yield Use((name,), token.line, name)

    def _is_key(self, index: int) -> bool:
        """Return whether a name in an object literal is a key, also of the short form ``{ key }``."""
        return self._value(index - 1) in {"{", ","} and self._value(index + 1) in {
            ":",
            ",",
            "}",
            "(",
        }

    def _option(self, token: Token, bracket: _Bracket) -> Iterator[Use]:
        if bracket.mark != "{" or not bracket.owner:
            return
        if bracket.owner == "RealtimeSession" and not bracket.path:
            yield Use((f"options.{token.value}",), token.line)
        elif bracket.owner == "RealtimeSession":
            key = ".".join((*bracket.path[1:], token.value))
            if key not in self._events:  # the key `audio` is not the event
                yield Use((key,), token.line)
        elif bracket.owner == "RealtimeAgent":
            yield Use((f"RealtimeAgent.{token.value}",), token.line)
        elif not bracket.path:
            yield Use((f"{bracket.owner}({{{token.value}}})",), token.line)

    def _event(self, index: int, token: Token) -> Iterator[Use]:
        """Yield the event in ``session.on('audio', ...)``."""
        if self._value(index - 1) != "(" or self._value(index - 2) not in {"on", "once", "off"}:
            return
        match self._owner(index - 2):
            case "RealtimeSession":
                yield Use((token.value,), token.line, f"on('{token.value}')")
            case "RealtimeAgent":
                yield Use((f"agent.on('{token.value}')",), token.line)
            case "transport":
                yield Use((f"transport.on('{token.value}')", token.value), token.line)
            case _:
                pass


def _import_clause(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield local and imported names of ``{ A, B as C, D: E }`` or ``* as F``."""
    names = [
        word
        for word in words
        if word not in {"type", "from", "=", "require", "import", "(", "await"}
    ]
    clause = " ".join(name for name in names if name not in {"{", "}"})
    for part in clause.split(","):
        imported, *local = re.split(r" as | : ", part.strip())
        if imported:
            yield (local[0] if local else imported), imported
