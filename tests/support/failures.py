"""Unusual exceptions that user code may raise. Each of them has caused a bug before."""

from __future__ import annotations

import asyncio  # noqa: TID251 - its CancelledError is what is raised here

from trio_realtime._nursery import leaves_of

__all__ = ["UNUSUAL_EXCEPTIONS", "Panic", "UnprintableError", "name_in_messages"]


class Panic(BaseException):
    """Not an ``Exception``, like the panics that bindings of other languages raise."""


class UnprintableError(Exception):
    """An exception whose ``str`` and ``repr`` raise."""

    def __str__(self) -> str:
        raise RuntimeError("no message")

    __repr__ = __str__


UNUSUAL_EXCEPTIONS: dict[str, BaseException] = {
    "BaseException": Panic("all is lost"),
    "asyncio cancellation": asyncio.CancelledError("gone"),
    "unprintable": UnprintableError(),
    "closed generator": GeneratorExit("closed"),
    "exception group": BaseExceptionGroup(
        "of a nursery", [Panic("all is lost"), ValueError("and more")]
    ),
}


def name_in_messages(failure: BaseException) -> str:
    """Return the class that a message about a failure begins with: of a group, its first exception's."""
    return type(next(leaves_of(failure))).__name__
