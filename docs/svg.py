"""Drawing of the pictures: SVG that is readable in light and dark theme, and whose text is not cut."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import attrs

Point = tuple[float, float]

FONT_SIZES = {"name": 14, "text": 12, "small": 11}
"""The font size of each class of text, in pixels."""
WIDTH_OF_CHARACTER = 0.62
"""The width of a character of the font, as a fraction of its size: a little more than the average."""

STYLE = """\
  .background { fill: #ffffff; stroke: #d0d7de; }
  .box { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1.2; }
  .nursery { fill: none; stroke: #8c959f; stroke-width: 1.2; stroke-dasharray: 5 4; }
  .user { fill: #ddf4ff; stroke: #0969da; stroke-width: 1.2; }
  .agent { fill: #dafbe1; stroke: #1a7f37; stroke-width: 1.2; }
  .tool { fill: #fff1cf; stroke: #9a6700; stroke-width: 1.2; }
  .service { fill: #f3eefc; stroke: #8250df; stroke-width: 1.2; }
  .dropped { fill: none; stroke: #8c959f; stroke-width: 1.2; stroke-dasharray: 3 3; }
  .lane { stroke: #d8dee4; stroke-width: 1; }
  .arrow { fill: none; stroke: #57606a; stroke-width: 1.5; }
  .tip { fill: #57606a; }
  .guide { fill: none; stroke: #afb8c1; stroke-width: 1; }
  .stop { fill: none; stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 5 3; }
  text { font-family: "DejaVu Sans", Verdana, sans-serif; fill: #1f2328; }
  .name { font-size: 14px; font-weight: bold; }
  .text { font-size: 12px; }
  .small { font-size: 11px; fill: #57606a; }
  .backdrop { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    .background { fill: #0d1117; stroke: #30363d; }
    .box { fill: #161b22; stroke: #8b949e; }
    .nursery { stroke: #8b949e; }
    .user { fill: #0c2d50; stroke: #58a6ff; }
    .agent { fill: #0f3320; stroke: #3fb950; }
    .tool { fill: #3d2e00; stroke: #d29922; }
    .service { fill: #2a1e4a; stroke: #a371f7; }
    .dropped { stroke: #8b949e; }
    .lane { stroke: #21262d; }
    .arrow { stroke: #9da7b3; }
    .tip { fill: #9da7b3; }
    .guide { stroke: #484f58; }
    .stop { stroke: #ff7b72; }
    text { fill: #e6edf3; }
    .small { fill: #9da7b3; }
    .backdrop { fill: #0d1117; }
  }
"""

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
  width="{width}" height="{height}" role="img">
<title>{title}</title>
<style>
{style}</style>
<defs>
  <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
    <path class="tip" d="M0,0 L10,5 L0,10 z"/>
  </marker>
</defs>
<rect class="background" width="{width}" height="{height}" rx="8"/>"""


def text_width(text: str, style: str) -> float:
    """Return an upper estimate of the width of a text, in pixels."""
    bold = 1.12 if style == "name" else 1
    return len(text) * FONT_SIZES[style] * WIDTH_OF_CHARACTER * bold


def number(value: float) -> str:
    """Format a coordinate, in tenths of a pixel."""
    return f"{round(value, 1):g}"


class Drawing:
    """A picture.

    Args:
        title: the description for readers that cannot see the picture.
        width, height: its size, in pixels.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._lines = [HEAD.format(width=width, height=height, title=escape(title), style=STYLE)]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        style: str = "text",
        anchor: str = "start",
        *,
        backdrop: bool = False,
    ) -> None:
        """Write one line.

        Args:
            x: its start, middle or end, as ``anchor`` says.
            y: its baseline.
            text: what it says.
            style: a class of text.
            anchor: ``start``, ``middle`` or ``end``.
            backdrop: whether to hide the lines behind it.

        Raises:
            ValueError: the text does not fit into the picture.
        """
        width = text_width(text, style)
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        inside = left >= 2 and left + width <= self.width - 2
        if not inside or not FONT_SIZES[style] <= y <= self.height - 3:
            raise ValueError(f"{text!r} at ({x:g}, {y:g}) does not fit into the picture")
        if backdrop:
            size = FONT_SIZES[style]
            self._rectangle(left, y - size, width, size + 4, "backdrop", 0)
        self._lines.append(
            f'<text class="{style}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, style: str, *lines: str) -> None:
        """Draw a rectangle with lines of text in its middle. The first line is bold if there are more.

        Raises:
            ValueError: the text does not fit into the rectangle.
        """
        self.rectangle(x, y, width, height, style)
        top = y + height / 2 - 8 * len(lines) + 12
        for index, line in enumerate(lines):
            kind = "name" if index == 0 and len(lines) > 1 else "text"
            if text_width(line, kind) > width - 4:
                raise ValueError(f"{line!r} does not fit into a rectangle of {width:g} pixels")
            self.text(x + width / 2, top + 16 * index, line, kind, "middle")

    def rectangle(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """Draw a rectangle."""
        self._rectangle(x, y, width, height, style, 4)

    def _rectangle(
        self, x: float, y: float, width: float, height: float, style: str, radius: int
    ) -> None:
        self._lines.append(
            f'<rect class="{style}" x="{number(x)}" y="{number(y)}" '
            f'width="{number(width)}" height="{number(height)}" rx="{radius}"/>'
        )

    def line(self, *points: Point, style: str = "arrow") -> None:
        """Draw a line through points. An arrow has a tip at the last one."""
        path = " L".join(f"{number(x)},{number(y)}" for x, y in points)
        tip = ' marker-end="url(#tip)"' if style == "arrow" else ""
        self._lines.append(f'<path class="{style}" d="M{path}"{tip}/>')

    def svg(self) -> str:
        """Return the picture as the text of an SVG file."""
        return "\n".join([*self._lines, "</svg>", ""])


@attrs.frozen
class Bar:
    """A span of time in a lane.

    Args:
        lane: the name of the lane.
        start, end: seconds.
        style: the class of the rectangle.
        label: text in the bar, or to its right if it does not fit.
    """

    lane: str
    start: float
    end: float
    style: str
    label: str = ""


@attrs.frozen
class Mark:
    """A moment: a vertical line through all lanes, with a label below them.

    Args:
        time: seconds.
        label: the text.
        style: the class of the line.
    """

    time: float
    label: str
    style: str = "guide"


LANE = 38
BAR = 24
ROW = 17


def draw_timeline(
    title: str,
    lanes: Sequence[str],
    bars: Sequence[Bar],
    marks: Sequence[Mark],
    *,
    seconds: float,
    width: int = 960,
    margin: float = 150,
    scale: bool = False,
) -> str:
    """Return a picture of spans and moments, with time from left to right.

    Args:
        title: the description for readers that cannot see the picture.
        lanes: the names of the lanes, from top to bottom.
        bars: the spans.
        marks: the moments. Labels that would overlap are written in further rows.
        seconds: the time at the right edge.
        width: the width of the picture, in pixels.
        margin: pixels at the left, for the names of the lanes.
        scale: whether to write the seconds above the lanes.
    """
    per_second = (width - margin - 20) / seconds
    top = 36.0 if scale else 14.0
    bottom = top + LANE * len(lanes)
    rows = _rows(marks, margin, per_second, width)
    drawing = Drawing(title, width, round(bottom + ROW * (max(rows, default=0) + 1) + 16))
    if scale:
        for second in range(int(seconds) + 1):
            drawing.text(margin + second * per_second, 22, f"{second} s", "small", "middle")
    for index in range(len(lanes)):
        y = top + LANE * (index + 0.5)
        drawing.line((margin, y), (width - 12, y), style="lane")
    for mark, row in zip(marks, rows, strict=True):
        x = margin + mark.time * per_second
        drawing.line((x, top), (x, bottom + ROW * row + 8), style=mark.style)
    for index, lane in enumerate(lanes):
        y = top + LANE * (index + 0.5)
        drawing.text(12, y + 4, lane)
        for bar in bars:
            if bar.lane == lane:
                _draw_bar(drawing, bar, margin, per_second, y)
    for mark, row in zip(marks, rows, strict=True):
        x, _ = _extent(mark, margin, per_second, width)
        drawing.text(x, bottom + ROW * row + 21, mark.label, "text", "middle", backdrop=True)
    return drawing.svg()


def _draw_bar(drawing: Drawing, bar: Bar, margin: float, per_second: float, y: float) -> None:
    x = margin + bar.start * per_second
    width = max((bar.end - bar.start) * per_second, 3)
    drawing.rectangle(x, y - BAR / 2, width, BAR, bar.style)
    if text_width(bar.label, "text") <= width - 4:
        drawing.text(x + width / 2, y + 4, bar.label, anchor="middle")
    elif bar.label:
        drawing.text(x + width + 5, y + 4, bar.label, backdrop=True)


def _extent(mark: Mark, margin: float, per_second: float, width: float) -> tuple[float, float]:
    """Return the center of a label, which is inside the picture, and half its width."""
    half = text_width(mark.label, "text") / 2
    return min(max(margin + mark.time * per_second, half + 4), width - half - 4), half


def _rows(marks: Sequence[Mark], margin: float, per_second: float, width: float) -> list[int]:
    """Return the row of each label: the first one in which no other label is in the way."""
    rows: list[int] = []
    ends: list[float] = []
    for mark in marks:
        center, half = _extent(mark, margin, per_second, width)
        row = next((r for r, end in enumerate(ends) if end + 8 <= center - half), len(ends))
        ends[row : row + 1] = [center + half]
        rows.append(row)
    return rows
