"""Check declarations of the user where they are written, not when a session uses them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import FunctionType
from typing import Any, TypeVar, cast

from .errors import ConfigurationError

__all__ = ["check_callable", "check_overrides", "explains"]

DeclarationT = TypeVar("DeclarationT", bound=Callable[..., Any])


# --- functions


def check_callable(function: Any, what: str, *parameters: str) -> None:
    """Check that a function can be called with these positional arguments.

    A function whose signature Python does not know is accepted.

    Args:
        function: what the user passed.
        what: names the function in the error message.
        parameters: names of the arguments, for the error message.

    Raises:
        ConfigurationError: it is no function, or takes other arguments. The message says which ones.
    """
    if not callable(function):
        raise ConfigurationError(f"{what}: expected a function, got {function!r:.80}")
    _check_signature(function, what, parameters)


def _check_signature(function: Any, what: str, parameters: tuple[str, ...]) -> None:
    try:
        # The function that is called, not the one that a decorator has wrapped.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError, NameError):
        # Of a function in C, or with annotations that only type checkers have.
        return
    try:
        signature.bind(*parameters)
    except TypeError:
        called = ", ".join(parameters)
        raise ConfigurationError(
            f"{what} is called with ({called}), but is declared with {_bare(signature)}"
        ) from None


def _bare(signature: inspect.Signature) -> inspect.Signature:
    """Return the parameters without annotations and defaults."""
    empty = inspect.Parameter.empty
    return inspect.Signature(
        [one.replace(annotation=empty, default=empty) for one in signature.parameters.values()]
    )


# --- methods


def check_overrides(cls: type, bases: tuple[type, ...], prefix: str) -> None:
    """Check the methods that a class overrides.

    Only functions are checked. Other descriptors may take any arguments.

    Args:
        cls: a class of the user.
        bases: the classes of the library that define the methods.
        prefix: the beginning of the names of all these methods.

    Raises:
        ConfigurationError: a method has the prefix and no known name, or takes other arguments than the
            method that it overrides.
    """
    known = {name for base in bases for name in vars(base) if name.startswith(prefix)}
    others = {name for base in cls.__mro__[1:] if base not in bases for name in vars(base)}
    for name, member in vars(cls).items():
        if not name.startswith(prefix):
            continue
        if name in known:
            _check_method(cls, name, member, next(base for base in bases if name in vars(base)))
        elif name not in others and isinstance(member, FunctionType | staticmethod | classmethod):
            raise ConfigurationError(
                f"{cls.__name__}.{name} is never called: {_suggestion(name, prefix, known)}"
            )


def _suggestion(name: str, prefix: str, known: set[str]) -> str:
    """Name the method that was probably meant. Agents and sessions have hooks of similar names."""
    rest = name.removeprefix(prefix).removeprefix("agent_")
    similar = [one for one in (f"{prefix}{rest}", f"{prefix}agent_{rest}") if one in known]
    close = similar or get_close_matches(name, known, n=1, cutoff=0.85)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(sorted(known))}"


def _check_method(cls: type, name: str, method: Any, base: type) -> None:
    what = f"{cls.__name__}.{name}"
    parameters = tuple(inspect.signature(getattr(base, name)).parameters)
    if isinstance(method, FunctionType):
        _check_signature(method, what, parameters)
    elif isinstance(method, staticmethod | classmethod):
        _check_signature(getattr(cls, name), what, parameters[1:])  # without ``self``
    elif not callable(method) and not hasattr(method, "__get__"):
        raise ConfigurationError(f"{what}: expected a method, got {method!r:.80}")


# --- names of other libraries


def explains(names: Mapping[str, str]) -> Callable[[DeclarationT], DeclarationT]:
    """Return a decorator of a class or a function that explains arguments which it does not have.

    Args:
        names: the name of an argument of the agents SDK, and what to write instead.
    """

    def decorate(declaration: DeclarationT) -> DeclarationT:
        declared: Any = declaration
        if not isinstance(declared, type):
            return cast("DeclarationT", _refusing(declared, declaration.__name__, names))
        declared.__init__ = _refusing(declared.__init__, declared.__name__, names)  # type: ignore[misc]
        return declaration

    return decorate


def _refusing(
    function: Callable[..., Any], called: str, names: Mapping[str, str]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name in names:
                raise ConfigurationError(f"{called} has no argument {name}: {names[name]}")
        return function(*args, **kwargs)

    return call
