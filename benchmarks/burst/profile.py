"""Where the time of the session goes: by room of the library, and by function.

From cProfile, which charges every call of a Python function, so code with many small functions looks
dearer than it is, and one long call of C or into the kernel cheaper: the figures add up to several
times what a frame costs. Read it for what to look at, not for how much.
"""

from __future__ import annotations

import pstats
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import attrs

Function: TypeAlias = tuple[str, int, str]
"""File, line and name, as pstats has them."""

Callers: TypeAlias = Mapping[Function, tuple[int, int, float, float]]
Entry: TypeAlias = tuple[int, int, float, float, Callers]
"""Primitive calls, calls, seconds without and with what it called, and its callers."""

FUNCTIONS_SHOWN = 30

LEAST_SHOWN = 0.05
"""Microseconds per frame of a room; what only ran at the start has less."""

# A function of C has no file. These are work of their own.
_BUILTINS: tuple[tuple[str, str], ...] = (
    ("json", r"msgspec.*decode"),
    ("base64", r"b64decode"),
    ("kernel", r"'(recv|send|poll)' of"),
)
# The first that matches names the room. Generated methods of attrs carry their module in the name.
_LIBRARY = r"(-packages[/\\]|<attrs generated \w+ )"
_FILES: tuple[tuple[str, str], ...] = (
    ("trio_websocket", _LIBRARY + r"trio_websocket[/\\.]"),
    ("wsproto", _LIBRARY + r"(wsproto|h11)[/\\.]"),
    ("trio", _LIBRARY + r"(trio|outcome)[/\\.]"),
    ("benchmark", r"[/\\]benchmarks[/\\]"),
    (r"\1", r"trio_realtime[/\\.]([a-z_]+)"),
)
OTHER = "other"


@attrs.frozen(kw_only=True)
class FunctionTime:
    """One function: microseconds per frame in it, and with what it calls; calls per frame."""

    room: str
    function: str
    own_us: float
    total_us: float
    calls: float

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class ProfileTable:
    """Microseconds per frame under the profiler, dearest first."""

    rooms: Mapping[str, float]
    functions: Sequence[FunctionTime]

    def to_json(self) -> dict[str, Any]:
        return {
            "rooms_us_per_frame": dict(self.rooms),
            "functions": [function.to_json() for function in self.functions],
        }

    def to_text(self) -> str:
        whole = sum(self.rooms.values()) or 1.0
        rooms = [f"{name:16} {us:8.2f} {us / whole:6.1%}" for name, us in self.rooms.items()]
        rows = [
            f"{f.own_us:8.2f} {f.total_us:8.2f} {f.calls:7.2f}  {f.room:16} {f.function}"
            for f in self.functions
        ]
        return "\n".join(
            (
                "session under the profiler, microseconds per frame, by room",
                *rooms,
                "",
                f"{'own':>8} {'total':>8} {'calls':>7}  by function",
                *rows,
            )
        )


def read_profile(path: Path, frames: int) -> ProfileTable:
    """The tables from the statistics of one run that consumed so many frames."""
    # The stubs of pstats leave this out, its documentation and users do not.
    entries = cast("Mapping[Function, Entry]", pstats.Stats(str(path)).stats)  # type: ignore[attr-defined]
    unit = 1e6 / frames
    functions = sorted(
        (_function_time(function, entry, frames) for function, entry in entries.items()),
        key=lambda f: -f.own_us,
    )
    return ProfileTable(
        rooms={room: own * unit for room, own in _by_room(entries) if own * unit >= LEAST_SHOWN},
        functions=functions[:FUNCTIONS_SHOWN],
    )


def _by_room(entries: Mapping[Function, Entry]) -> list[tuple[str, float]]:
    rooms: dict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in entries.items():
        room = room_of(function)
        if room is not None or not callers:
            rooms[room or OTHER] += own
            continue
        for caller, (_, _, spent, _) in callers.items():
            rooms[room_of(caller) or OTHER] += spent
    return sorted(rooms.items(), key=lambda pair: -pair[1])


def room_of(function: Function) -> str | None:
    """The room that a function is charged to; ``None`` for what is part of its caller's work."""
    file, _, name = function
    patterns, text = (_BUILTINS, name) if file == "~" else (_FILES, file)
    for room, pattern in patterns:
        found = re.search(pattern, text)
        if found is not None:
            return found.expand(room)
    return None


def _function_time(function: Function, entry: Entry, frames: int) -> FunctionTime:
    file, line, name = function
    _, calls, own, total, _ = entry
    place = "" if file == "~" else f" ({Path(file).name}:{line})"
    return FunctionTime(
        room=room_of(function) or "Python",
        function=f"{name}{place}",
        own_us=own * 1e6 / frames,
        total_us=total * 1e6 / frames,
        calls=calls / frames,
    )
