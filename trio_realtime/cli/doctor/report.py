"""What the doctor found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from .connection import TITLES, Attempt, Step
from .environment import Extra
from .settings import Setting

_MARKS: Final = {"ok": ("✓", "bold green"), "failed": ("✗", "bold red"), "skipped": ("-", "dim")}


@attrs.frozen(kw_only=True)
class DoctorReport:
    """What the doctor found.

    Args:
        versions: versions by name.
        extras: the extras of the library.
        devices: the audio devices, or why they are not known.
        settings: the settings of the endpoint, without secrets; empty if they are invalid.
        is_local: whether no service is configured, so that the local server was tested.
        attempt: the attempt to open a session; ``None`` if there was none.
    """

    versions: Mapping[str, str]
    extras: tuple[Extra, ...]
    devices: tuple[str, ...] | str
    settings: tuple[Setting, ...]
    is_local: bool
    attempt: Attempt | None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return self.attempt is None or self.attempt.problem is None

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        attempt = self.attempt
        problem = None if attempt is None else attempt.problem
        return {
            "ok": self.ok,
            "versions": dict(self.versions),
            "extras": [
                attrs.asdict(extra) | {"installed": extra.installed} for extra in self.extras
            ],
            "audio_devices": self.devices if isinstance(self.devices, str) else list(self.devices),
            "settings": [attrs.asdict(setting) for setting in self.settings],
            "connection": None if attempt is None else [attrs.asdict(s) for s in attempt.steps],
            "problem": None if problem is None else attrs.asdict(problem),
        }

    def print(self, console: Console) -> None:
        """Print the report."""
        _print_section(console, "Versions", self.versions.items())
        console.print("\nExtras", style="bold")
        console.print(_grid(_extra_row(extra) for extra in self.extras))
        console.print("\nAudio devices", style="bold")
        lines = (self.devices,) if isinstance(self.devices, str) else self.devices
        console.print(_grid(("", Text(line)) for line in lines))
        settings = ((setting.name, _with_source(setting)) for setting in self.settings)
        if self.settings:
            _print_section(console, "Service", settings)
        self._print_connection(console)

    def _print_connection(self, console: Console) -> None:
        console.print("\nConnection", style="bold")
        if self.attempt is None:
            console.print("not tested, because of --offline")
            return
        console.print(_grid(_step_row(step) for step in self.attempt.steps))
        problem = self.attempt.problem
        if problem is None:
            tested = "local server" if self.is_local else "service"
            console.print(f"\nThe {tested} works.", style="bold green")
            if self.is_local:
                console.print("To test a service, set OPENAI_API_KEY, or name its URL with --url.")
            return
        console.print(f"\nThe step that failed: {TITLES[problem.step]}", style="bold red")
        console.print(problem.message)
        console.print(f"What to do: {problem.advice}.")


def _print_section(
    console: Console, title: str, rows: Iterable[tuple[str, str | RenderableType]]
) -> None:
    console.print(f"{'' if title == 'Versions' else chr(10)}{title}", style="bold")
    console.print(_grid(rows))


def _grid(rows: Iterable[tuple[RenderableType, RenderableType]]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", min_width=1, max_width=18)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


def _with_source(setting: Setting) -> Text:
    return Text.assemble(setting.value, (f"\n({setting.source})", "dim"))


def _mark(status: str) -> Text:
    return Text(*_MARKS[status])


def _extra_row(extra: Extra) -> tuple[Text, Text]:
    if extra.installed:
        return _mark("ok"), Text(f"{extra.name}: {extra.feature}")
    command = f"pip install 'trio-realtime[{extra.name}]'"
    return _mark("skipped"), Text(f"{extra.name}: {extra.feature}; not installed: {command}")


def _step_row(step: Step) -> tuple[Text, Text]:
    title, milliseconds = TITLES[step.name], f"{step.seconds * 1000:.0f} ms"
    match step.status:
        case "ok":
            return _mark("ok"), Text(f"{title}: {milliseconds}")
        case "failed":
            return _mark("failed"), Text(f"{title}: failed after {milliseconds}")
        case "skipped":
            return _mark("skipped"), Text(f"{title}: not reached", "dim")
