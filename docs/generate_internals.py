"""Write the generated parts of docs/internals: the state diagrams and the dispatch table.

Run it after a change of a state machine or of the dispatch table::

    python docs/generate_internals.py

The states, the arrows and their labels come from the code. Only the positions are chosen here, so a
new state or a new pair of connected states needs a position, and the script says which.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args
from xml.sax.saxutils import escape

import attrs

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from svg import HEAD

from trio_realtime.core import Conversation
from trio_realtime.core.calls import ledger
from trio_realtime.core.dispatch import dispatch_table
from trio_realtime.core.inputs import Command, Result
from trio_realtime.core.responses import queue
from trio_realtime.wire import UnknownEvent
from trio_realtime.wire.server import OTHER_SERVER_EVENTS, SERVER_EVENTS

INTERNALS = DOCS / "internals"

# --- state diagrams ------------------------------------------------------------------------------

Point = tuple[float, float]
Transitions = Mapping[tuple[Any, Any], Any]

TITLE_LINE = 20
SMALL_LINE = 15
PADDING = 12
BOX_WIDTH = 240

STYLE = """\
  .background { fill: #ffffff; stroke: #d0d7de; }
  .box { fill: #eef4fb; stroke: #3b6ea5; stroke-width: 1.5; }
  .final { stroke-width: 3; }
  .arrow { fill: none; stroke: #57606a; stroke-width: 1.5; }
  .dashed { stroke-dasharray: 5 4; }
  .tip { fill: #57606a; }
  text { font-family: "DejaVu Sans", Verdana, sans-serif; fill: #1f2328; }
  .name { font-size: 15px; font-weight: bold; text-anchor: middle; }
  .small { font-size: 12px; }
  .stays { font-size: 11px; text-anchor: middle; fill: #57606a; }
  @media (prefers-color-scheme: dark) {
    .background { fill: #161b22; stroke: #30363d; }
    .box { fill: #1c2b3d; stroke: #6ea8e0; }
    .arrow { stroke: #9da7b3; }
    .tip { fill: #9da7b3; }
    text { fill: #e6edf3; }
    .stays { fill: #9da7b3; }
  }
"""


@attrs.frozen(kw_only=True)
class Route:
    """The way of an arrow.

    Attributes:
        points: the corners, from the edge of one box to the edge of the other.
        label: the position of the text: the baseline of its first line.
        anchor: how the text is aligned there.
    """

    points: Sequence[Point]
    label: Point
    anchor: str = "middle"


@attrs.frozen(kw_only=True)
class Diagram:
    """A state machine, and where its parts are drawn.

    Attributes:
        title: the description for readers that cannot see the picture.
        transitions: the state machine.
        size: width and height.
        boxes: the centers of the states. The first state is the initial one.
        routes: the arrow of each pair of connected states.
        start: the corners of the arrow to the initial state.
        from_any: the arrow of the triggers that lead from every state to the initial one.
    """

    title: str
    transitions: Transitions
    size: tuple[int, int]
    boxes: Mapping[Any, Point]
    routes: Mapping[tuple[Any, Any], Route]
    start: Sequence[Point]
    from_any: Route | None = None


_Q, _C = queue.QueueState, ledger.CallState

RESPONSE_QUEUE = Diagram(
    title="The states of the response queue",
    transitions=queue.TRANSITIONS,
    size=(1240, 760),
    boxes={
        _Q.FREE: (200, 600),
        _Q.CREATE_SENT: (620, 280),
        _Q.RUNNING: (1040, 600),
        _Q.CONTENDED: (620, 80),
        _Q.AWAITING_WINNER: (620, 450),
    },
    routes={
        (_Q.FREE, _Q.CREATE_SENT): Route(
            points=[(160, 565), (160, 262), (500, 262)], label=(330, 253)
        ),
        (_Q.FREE, _Q.RUNNING): Route(points=[(320, 587), (920, 587)], label=(620, 578)),
        (_Q.CREATE_SENT, _Q.RUNNING): Route(
            points=[(740, 280), (1030, 280), (1030, 565)], label=(885, 271)
        ),
        (_Q.CREATE_SENT, _Q.CONTENDED): Route(
            points=[(570, 245), (570, 115)], label=(558, 184), anchor="end"
        ),
        (_Q.CREATE_SENT, _Q.AWAITING_WINNER): Route(
            points=[(620, 315), (620, 430)], label=(632, 378), anchor="start"
        ),
        (_Q.CREATE_SENT, _Q.FREE): Route(
            points=[(500, 300), (220, 300), (220, 565)], label=(232, 318), anchor="start"
        ),
        (_Q.RUNNING, _Q.FREE): Route(points=[(920, 613), (320, 613)], label=(620, 631)),
        (_Q.CONTENDED, _Q.RUNNING): Route(
            points=[(740, 80), (1100, 80), (1100, 565)], label=(756, 100), anchor="start"
        ),
        (_Q.CONTENDED, _Q.CREATE_SENT): Route(
            points=[(670, 115), (670, 245)], label=(682, 184), anchor="start"
        ),
        (_Q.CONTENDED, _Q.FREE): Route(points=[(500, 80), (110, 80), (110, 565)], label=(305, 71)),
        (_Q.AWAITING_WINNER, _Q.RUNNING): Route(
            points=[(740, 450), (970, 450), (970, 565)], label=(855, 441)
        ),
        (_Q.AWAITING_WINNER, _Q.FREE): Route(
            points=[(500, 450), (280, 450), (280, 565)], label=(390, 468)
        ),
    },
    start=[(30, 600), (80, 600)],
    from_any=Route(points=[(200, 710), (200, 635)], label=(212, 690), anchor="start"),
)

FUNCTION_CALL = Diagram(
    title="The states of a function call",
    transitions=ledger.TRANSITIONS,
    size=(1020, 300),
    boxes={
        _C.RUNNING: (180, 150),
        _C.PROTECTED: (510, 60),
        _C.CANCELLING: (510, 240),
        _C.ANSWERED: (860, 150),
    },
    routes={
        (_C.RUNNING, _C.PROTECTED): Route(
            points=[(180, 130), (180, 60), (390, 60)], label=(285, 51)
        ),
        (_C.RUNNING, _C.CANCELLING): Route(
            points=[(180, 170), (180, 240), (390, 240)], label=(285, 231)
        ),
        (_C.RUNNING, _C.ANSWERED): Route(points=[(300, 150), (740, 150)], label=(510, 141)),
        (_C.PROTECTED, _C.ANSWERED): Route(
            points=[(630, 60), (860, 60), (860, 130)], label=(745, 51)
        ),
        (_C.CANCELLING, _C.ANSWERED): Route(
            points=[(630, 240), (860, 240), (860, 170)], label=(745, 231)
        ),
    },
    start=[(20, 150), (60, 150)],
)

DIAGRAMS: Mapping[str, Diagram] = {
    "response-queue.svg": RESPONSE_QUEUE,
    "function-call.svg": FUNCTION_CALL,
}


def render(diagram: Diagram) -> str:
    """Return the SVG of a diagram.

    Raises:
        ValueError: a state or a pair of connected states has no position, or a position has none of
            these.
    """
    initial = next(iter(diagram.boxes))
    always = _resetting_triggers(diagram.transitions, initial)
    arrows: dict[tuple[Any, Any], list[str]] = {}
    stays: dict[Any, list[str]] = {state: [] for state in type(initial)}
    for (source, trigger), target in diagram.transitions.items():
        if trigger in always:
            continue
        labels = stays[source] if source is target else arrows.setdefault((source, target), [])
        labels.append(trigger.value)
    _require_equal("the positions of the states", diagram.boxes, stays)
    _require_equal("the routes", diagram.routes, arrows)
    width, height = diagram.size
    lines = [
        HEAD.format(width=width, height=height, title=escape(diagram.title), style=STYLE),
        '<circle class="tip" cx="{}" cy="{}" r="6"/>'.format(*diagram.start[0]),
        _arrow(diagram.start),
    ]
    for pair, labels in arrows.items():
        route = diagram.routes[pair]
        lines += [_arrow(route.points), *_texts(labels, route.label, route.anchor)]
    if always:
        assert diagram.from_any is not None
        lines += _from_any(diagram.from_any, [trigger.value for trigger in always])
    final = {state for state in stays if all(source is not state for source, _ in arrows)}
    for state, center in diagram.boxes.items():
        lines += _box(state.value, stays[state], center, is_final=state in final)
    return "\n".join([*lines, "</svg>", ""])


def _resetting_triggers(transitions: Transitions, initial: Any) -> list[Any]:
    """Return the triggers that lead from every state to the initial one."""
    triggers = dict.fromkeys(trigger for _, trigger in transitions)
    return [
        trigger
        for trigger in triggers
        if all(transitions.get((state, trigger)) is initial for state in type(initial))
    ]


def _require_equal(what: str, drawn: Iterable[Any], real: Iterable[Any]) -> None:
    missing, extra = {*real} - {*drawn}, {*drawn} - {*real}
    if missing or extra:
        raise ValueError(f"{what} differ from the code: missing {missing}, not needed {extra}")


def _arrow(points: Sequence[Point], style: str = "arrow") -> str:
    path = " L".join(f"{x},{y}" for x, y in points)
    return f'<path class="{style}" d="M{path}" marker-end="url(#tip)"/>'


def _texts(labels: Sequence[str], start: Point, anchor: str, style: str = "small") -> list[str]:
    x, y = start
    return [
        f'<text class="{style}" x="{x}" y="{y + number * SMALL_LINE}" text-anchor="{anchor}">'
        f"{escape(label)}</text>"
        for number, label in enumerate(labels)
    ]


def _from_any(route: Route, labels: Sequence[str]) -> list[str]:
    x, y = route.points[0]
    return [
        _arrow(route.points, "arrow dashed"),
        *_texts(["any state"], (x, y + 18), "middle"),
        *_texts(labels, route.label, route.anchor),
    ]


def _box(name: str, stays: Sequence[str], center: Point, *, is_final: bool) -> list[str]:
    x, y = center
    lines = f"stays on: {', '.join(stays)}".replace(", ", ",\n").split("\n") if stays else []
    height = TITLE_LINE + SMALL_LINE * len(lines) + 2 * PADDING - 4
    top = y - height / 2
    baseline = top + PADDING + 14
    style, left = "box final" if is_final else "box", x - BOX_WIDTH / 2
    size = f'width="{BOX_WIDTH}" height="{height}"'
    return [
        f'<rect class="{style}" x="{left}" y="{top}" {size} rx="8"/>',
        f'<text class="name" x="{x}" y="{baseline}">{escape(name)}</text>',
        *_texts(lines, (x, baseline + SMALL_LINE + 2), "middle", "stays"),
    ]


# --- the dispatch table --------------------------------------------------------------------------

DISPATCH_PAGE = INTERNALS / "dispatch.md"
BEGIN = "<!-- generated by docs/generate_internals.py -->\n"
END = "<!-- end of the generated part -->\n"


def dispatch_text() -> str:
    """Return the dispatch table as Markdown: one table for each kind of input."""
    conversation = Conversation("agent", max_history_audio=1)
    handlers = dispatch_table(conversation._components)
    known = (*SERVER_EVENTS, *OTHER_SERVER_EVENTS)
    events = [event for event in known if event in handlers]
    ignored = [event for event in known if event not in handlers]
    rows = {kind: [_name(handler) for handler in handlers[kind]] for kind in handlers}
    names = ", ".join(f"`{event.type}`" for event in ignored)
    unknown = f"every event of an unknown type (`{UnknownEvent.__name__}`)"
    return "\n".join(
        [
            "## Server events",
            "",
            *_table("event", {f"`{event.type}`": rows[event] for event in events}),
            "",
            f"These events have no handler: {names}, and {unknown}.",
            "",
            "## Commands",
            "",
            *_table("command", {f"`{kind.__name__}`": rows[kind] for kind in get_args(Command)}),
            "",
            "## Results",
            "",
            *_table("result", {f"`{kind.__name__}`": rows[kind] for kind in get_args(Result)}),
            "",
        ]
    )


def _table(heading: str, rows: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"| {heading} | handlers, in order |",
        "|---|---|",
        *(
            f"| {name} | {', '.join(f'`{handler}`' for handler in found)} |"
            for name, found in rows.items()
        ),
    ]


def _name(handler: Any) -> str:
    """Return ``HistoryUpdater.on_item_added`` for a method, ``forwarded_events.dtmf_received`` otherwise."""
    if hasattr(handler, "__self__"):
        return f"{type(handler.__self__).__name__}.{handler.__name__}"
    module: str = handler.__module__
    return f"{module.rpartition('.')[2]}.{handler.__name__}"


def with_dispatch_text(page: str) -> str:
    """Return the page with its generated part replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DISPATCH_PAGE} must contain the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n{dispatch_text()}\n{end}{after}"


# --- files ---------------------------------------------------------------------------------------


def generated_files() -> dict[Path, str]:
    """Return the content that each generated file must have."""
    files = {INTERNALS / name: render(diagram) for name, diagram in DIAGRAMS.items()}
    page = DISPATCH_PAGE.read_text(encoding="utf-8")
    return {**files, DISPATCH_PAGE: with_dispatch_text(page)}


if __name__ == "__main__":
    for path, content in generated_files().items():
        path.write_text(content, encoding="utf-8")
