"""Instructions as Jinja2 templates, in a sandbox.

A template reads its variables, and nothing else. It has no loader, so it cannot include files. The
sandbox refuses attributes that lead to the interpreter.

What one rendering may do is limited, so that a mistake does not stop the program. The limits are no protection
from an author who wants to use up memory: text may grow before it is written.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from jinja2 import (
    ChainableUndefined,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    meta,
    nodes,
    pass_context,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from trio_realtime.errors import ConfigurationError

__all__ = ["MAX_INSTRUCTIONS", "InstructionsTemplate", "TemplateFailed", "VariableMissing"]

MAX_INSTRUCTIONS: Final = 100_000
"""Characters that instructions may have, before and after rendering."""

_MAX_ITERATIONS: Final = 100_000
_MAX_REPEATED: Final = 10_000
_MAX_EXPONENT: Final = 1_000
_FILE: Final = "<template>"
_AT_THE_END: Final = re.compile(r"(attribute|element|named) (.+)\Z", re.DOTALL)
"""The name that a message of Jinja2 quotes, which may be computed, as that of ``prices[customer]``."""
# Names that no template can write.
_LIMITS: Final = "limits of the rendering"
_COUNTED: Final = "with counted iterations"


class TemplateFailed(Exception):
    """A template failed while it was rendered. The message has no values of variables."""


class VariableMissing(ConfigurationError):
    """A variable of a template is undefined, and the spec has ``strict_variables``.

    The message has no values of variables.
    """


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with limits that Jinja2 leaves to the application."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply or raise to a power, unless the result would be huge."""
        if operator == "**" and not (
            isinstance(left, int | float) and abs(left) <= _MAX_REPEATED and right <= _MAX_EXPONENT
        ):
            raise SecurityError("the result of ** is too large")
        for factor, times in ((left, right), (right, left)):
            if isinstance(factor, str | list | tuple) and isinstance(times, int):
                size = len(factor) * times  # pyright: ignore[reportUnknownArgumentType]
                if size > _MAX_REPEATED:
                    raise SecurityError("the result of * is too long")
        return super().call_binop(context, operator, left, right)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuse the attribute at once, instead of when its value is used."""
        raise SecurityError(f"unsafe access to {type(obj).__name__!r}: attribute {attribute!r}")

    def is_safe_callable(self, obj: Any) -> bool:
        """Refuse an unsafe function here: Jinja2 would quote the object of a method."""
        if not super().is_safe_callable(obj):
            name = getattr(obj, "__name__", type(obj).__name__)
            raise SecurityError(f"{name} is not safely callable")
        return True


@pass_context
def _finalize(_context: Any, value: Any) -> Any:
    """Return the value. Jinja2 does not evaluate constants early if this needs the context."""
    return value


def _environment(*, strict: bool) -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined if strict else ChainableUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the text is for a model, not for a browser
        # So that nothing is evaluated before a template is rendered:
        optimized=False,
        finalize=_finalize,
    )
    del environment.globals["lipsum"]
    filters: dict[str, Any] = environment.filters  # pyright: ignore[reportAssignmentType]
    filters[_COUNTED] = _counted
    return environment


def _count_iterations(template: nodes.Template) -> None:
    """Change a template so that it counts the iterations of its loops."""
    for loop in template.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
        if loop.recursive:  # ``loop(...)`` iterates without the filter
            once = nodes.Const((None,), lineno=loop.lineno)
            once_counted = nodes.Filter(once, _COUNTED, [], [], None, None, lineno=loop.lineno)
            listed = nodes.Filter(once_counted, "list", [], [], None, None, lineno=loop.lineno)
            loop.body.insert(0, nodes.ExprStmt(listed, lineno=loop.lineno))


@pass_context
def _counted(context: Context, values: Any) -> Iterator[Any]:
    """Yield the values, until the loops of the rendering have run too often."""
    limits: _Limits = context.parent[_LIMITS]
    for value in values:
        limits.count_iteration()
        yield value


class _Limits:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self._remaining = _MAX_ITERATIONS
        self._remaining_iterations = _MAX_ITERATIONS

    def count_iteration(self) -> None:
        """Count an iteration of a loop.

        Raises:
            SecurityError: all loops together have run too often.
        """
        self._remaining_iterations -= 1
        if self._remaining_iterations < 0:
            raise SecurityError(f"the loops run more than {_MAX_ITERATIONS} times in total")

    def range(self, *args: int) -> Sequence[int]:
        """Return a range.

        Raises:
            SecurityError: all ranges together are too long.
        """
        numbers = range(*args)
        # Not len(), which fails for a range that is longer than a list can be.
        self._remaining -= max(0, -(-(numbers.stop - numbers.start) // numbers.step))
        if self._remaining < 0:
            raise SecurityError(f"range() counts to more than {_MAX_ITERATIONS} in total")
        return numbers


_LENIENT: Final = _environment(strict=False)
_STRICT: Final = _environment(strict=True)


class InstructionsTemplate:
    """The template of instructions.

    Args:
        source: the text of the template.
        strict: whether an undefined variable is an error; by default, it is empty.

    Raises:
        ConfigurationError: the syntax is wrong, the text is too long, or it includes other templates.
    """

    def __init__(self, source: str, *, strict: bool = False) -> None:
        if len(source) > MAX_INSTRUCTIONS:
            raise ConfigurationError(f"longer than {MAX_INSTRUCTIONS} characters")
        self._source = source
        environment = _STRICT if strict else _LENIENT
        try:
            parsed = environment.parse(source)
            if any(True for _ in meta.find_referenced_templates(parsed)):
                raise ConfigurationError("a template cannot include, import or extend another one")
            _count_iterations(parsed)
            self._template = environment.from_string(parsed)
        except TemplateSyntaxError as exc:
            raise ConfigurationError(f"line {exc.lineno}: {exc.message}") from None
        except RecursionError:
            raise ConfigurationError("the template is nested too deeply") from None

    def render(self, variables: Mapping[str, Any]) -> str:
        """Return the text for these variables.

        Raises:
            VariableMissing: a variable is undefined, and the template is strict.
            TemplateFailed: the template, or an object that it uses, raised, or the text is too long.
        """
        limits = _Limits()
        values = {"range": limits.range, **variables, _LIMITS: limits}
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate(values):
                size += len(part)
                if size > MAX_INSTRUCTIONS:
                    break
                parts.append(part)
        except Exception as exc:
            raise self._failure(exc) from exc
        if size > MAX_INSTRUCTIONS:
            raise TemplateFailed(f"the text is longer than {MAX_INSTRUCTIONS} characters")
        return "".join(parts)

    def _failure(self, exc: Exception) -> Exception:
        where = _line_of(exc.__traceback__)
        if isinstance(exc, UndefinedError) and self._template.environment is _STRICT:
            return VariableMissing(f"{where}{self._without_values(exc)}")
        if isinstance(exc, TemplateError):
            return TemplateFailed(f"{where}{self._without_values(exc)}")
        # The text of other exceptions comes from the objects of the application.
        return TemplateFailed(f"{where}{type(exc).__name__}")

    def _without_values(self, exc: TemplateError) -> str:
        """Return the message. A name that the template does not have is the value of a variable."""

        def mask(match: re.Match[str]) -> str:
            is_written = match[2].strip("'\".") in self._source
            return match[0] if is_written else f"{match[1]} ..."

        return _AT_THE_END.sub(mask, exc.message or type(exc).__name__)


def _line_of(tb: TracebackType | None) -> str:
    """Return the last line of the template in a traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(tb) if frame.filename == _FILE]
    return f"line {lines[-1]}: " if lines else ""
