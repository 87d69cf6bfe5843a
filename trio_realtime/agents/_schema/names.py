"""Resolve annotations: strings, names local to a function, and names that only type checkers have."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, ForwardRef, TypeAlias

Function: TypeAlias = Callable[..., Any]


def signature_of(function: Function) -> inspect.Signature:
    """Return a signature without evaluating names that exist only for type checkers.

    Raises:
        TypeError, ValueError: Python does not know the signature.
    """
    if sys.version_info >= (3, 14):  # annotations are evaluated when they are read
        import annotationlib

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def resolve_annotation(annotation: Any, function: Function) -> Any:
    """Return an annotation of a parameter without strings.

    Raises:
        Exception: evaluating the annotation failed, for example with a NameError.
    """
    declared = _declared_function(function)
    namespace = types.SimpleNamespace(
        __annotations__={"annotation": annotation},
        __globals__=getattr(declared, "__globals__", {}),
        __type_params__=getattr(declared, "__type_params__", ()),
    )
    names = _enclosing_names(declared, namespace.__globals__) | _closure(declared)
    hints = typing.get_type_hints(namespace, localns=names, include_extras=True)
    return hints["annotation"]


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations of a class and its bases without strings.

    Raises:
        Exception: evaluating an annotation failed, for example with a NameError.
    """
    module = sys.modules.get(cls.__module__)
    names = _enclosing_names(cls, vars(module) if module else {})
    return typing.get_type_hints(cls, localns={**vars(cls), **names}, include_extras=True)


def _declared_function(function: Any) -> Any:
    """Return the function that was declared: a class's ``__init__``, or ``__call__``, unwrapped."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func  # pyright: ignore[reportUnknownMemberType]
        elif inspect.isclass(function):
            function = function.__init__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isroutine(function):
            return function
        else:
            function = type(function).__call__


def _closure(function: Any) -> dict[str, Any]:
    """Return the variables of enclosing functions that the function uses."""
    code = getattr(function, "__code__", None)
    names: dict[str, Any] = {}
    for name, cell in zip(
        code.co_freevars if code else (), function.__closure__ or (), strict=False
    ):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def _enclosing_names(declared: Any, module_names: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of the functions and classes around a declaration that are running.

    A decorator is called by the function that contains the declaration, so its variables can be read.
    """
    around = getattr(declared, "__qualname__", "").rpartition(".")[0]
    names: dict[str, Any] = {}
    frame: types.FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to read the callers
    while frame is not None and around:
        if frame.f_globals is module_names and _encloses(frame.f_code.co_qualname, around):
            names = frame.f_locals | names  # the innermost function is found first
        frame = frame.f_back
    return names


def _encloses(qualname: str, around: str) -> bool:
    return f"{around}.".startswith((f"{qualname}.<locals>.", f"{qualname}."))


def is_alias(annotation: Any) -> bool:
    """Return whether an annotation was made by ``type Name = ...``."""
    return hasattr(annotation, "__value__") and hasattr(annotation, "__type_params__")


def refers_to(annotation: Any, cls: type[Any]) -> bool:
    """Return whether an annotation is a class, possibly optional, generic, ``Annotated`` or an alias.

    An annotation that cannot be resolved is a string. It is compared by the name of the class.
    """
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return _text_refers_to(annotation, cls.__name__)
    if is_alias(annotation):
        return refers_to(annotation.__value__, cls)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return refers_to(arguments[0], cls)
    if origin in (typing.Union, types.UnionType):
        return any(refers_to(argument, cls) for argument in arguments)
    return annotation is cls or origin is cls


def _text_refers_to(text: str, name: str) -> bool:
    try:
        return _node_refers_to(ast.parse(text.strip(), mode="eval").body, name)
    except SyntaxError:
        return False


def _node_refers_to(node: ast.expr, name: str) -> bool:
    match node:
        case ast.Name(id=last) | ast.Attribute(attr=last):
            return last == name
        case ast.Constant(value=str(text)):
            return _text_refers_to(text, name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _node_refers_to(left, name) or _node_refers_to(right, name)
        case ast.Subscript(value=value, slice=inner):
            if _node_refers_to(value, name):
                return True
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if any(_node_refers_to(value, wrapper) for wrapper in ("Optional", "Union")):
                return any(_node_refers_to(part, name) for part in parts)
            return _node_refers_to(value, "Annotated") and _node_refers_to(parts[0], name)
        case _:
            return False
