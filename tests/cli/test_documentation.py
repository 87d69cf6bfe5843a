"""The command, its guide and the README name the same commands, options and pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trio_realtime.cli.app import app
from trio_realtime.cli.chat_commands import COMMANDS

NAMES = [name for name in app.resolved_commands() if not name.startswith("-")]


@pytest.fixture
def guide(repository: Path) -> str:
    return (repository / "docs" / "guides" / "command-line.md").read_text()


def test_the_guide_and_the_readme_list_the_same_commands(guide: str, repository: Path) -> None:
    readme = (repository / "README.md").read_text().partition("## Command line")[2]
    assert re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE) == NAMES
    assert re.findall(r"^\| \[`(\w+)`\]", guide, re.MULTILINE) == NAMES
    assert [
        name for name in re.findall(r"^## (\w+)$", guide, re.MULTILINE) if name in NAMES
    ] == NAMES


def test_the_guide_lists_the_commands_of_the_chat(guide: str) -> None:
    assert tuple(re.findall(r"^\| `(/\w+)` \|", guide, re.MULTILINE)) == COMMANDS


def test_the_guide_describes_the_options_that_commands_share(guide: str) -> None:
    shared = [
        argument.name for argument in app["doctor"].assemble_argument_collection() if argument.show
    ]
    assert "--ca-file" in shared
    assert [name for name in shared if f"`{name}`" not in guide] == []


def test_pages_that_the_command_names_exist(repository: Path) -> None:
    sources = (repository / "trio_realtime" / "cli").rglob("*.py")
    pages = {page for path in sources for page in re.findall(r"docs/[\w/-]+\.md", path.read_text())}
    assert pages
    assert [page for page in sorted(pages) if not (repository / page).is_file()] == []
