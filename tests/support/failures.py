"""Failures that code of the user's may come up with, each of which has ended something once."""

from __future__ import annotations

import asyncio  # noqa: TID251 - its CancelledError is what is raised here

__all__ = ["STRANGE_FAILURES", "Panic", "Speechless"]


class Panic(BaseException):
    """No ``Exception``: as bindings of other languages raise it."""


class Speechless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


STRANGE_FAILURES: dict[str, BaseException] = {
    "no Exception": Panic("all is lost"),
    "asyncio's cancellation": asyncio.CancelledError("gone"),
    "no words": Speechless(),
    "a group": BaseExceptionGroup("of a nursery", [Panic("all is lost"), ValueError("and more")]),
}
