"""The programs on the pages of the documentation.

A fenced block ``python`` whose first line is an import or a docstring starts a program. Other ``python`` blocks
continue the program before them on the same page. A ``text`` block that is the next block of its section shows what
the program prints; if several blocks of a program have one, the program prints their texts one after the other.
``...`` in such a text stands for anything, as in doctests. Other blocks, such as ``py``, are not programs.

To check the types of all programs, write them into a folder, together with a configuration of pyright::

    python tests/support/page_programs.py build/page_programs
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DOCS = REPOSITORY / "docs"

FENCE = re.compile(r" *(?P<fence>`{3,}|~{3,}) *(?P<language>[^`]*?) *$")
HEADING = re.compile(r"#{1,6} ")
START = re.compile(r"""import |from |[rR]?(\"\"\"|\'\'\')""")


@attrs.frozen
class Block:
    """A fenced block of a page.

    Attributes:
        language: what follows the fence: ``python``, ``text``, ``{toctree}``, or nothing.
        line: the number of its first line after the fence. The first line of a page is line 1.
        code: its lines, without common indentation.
        section: the number of headings before it, to tell whether two blocks are in the same section.
    """

    language: str
    line: int
    code: str
    section: int

    @property
    def starts_program(self) -> bool:
        """Whether the first line is an import or a docstring."""
        return START.match(self.code) is not None


@attrs.frozen
class Program:
    """A program on a page.

    Attributes:
        page: the path of the page, relative to the repository.
        blocks: its blocks, in order.
        output: what it prints; ``None`` if the page does not show it.
    """

    page: Path
    blocks: tuple[Block, ...]
    output: str | None = None

    @property
    def line(self) -> int:
        """The line of the page where the program starts."""
        return self.blocks[0].line

    @property
    def name(self) -> str:
        """The page and the line: ``docs/guides/tools.md:8``."""
        return f"{self.page.as_posix()}:{self.line}"

    @property
    def filename(self) -> str:
        """A file name that is unique among all programs, and a valid module name."""
        return re.sub(r"\W", "_", f"{self.page.with_suffix('')}_{self.line}") + ".py"

    @property
    def source(self) -> str:
        """The program, with empty lines before its blocks: line numbers are those of the page."""
        lines: list[str] = []
        for block in self.blocks:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.code.splitlines()
        return "\n".join([*lines, ""])


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page.

    Raises:
        ValueError: the last block has no end.
    """
    section = 0
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if HEADING.match(line):
            section += 1
        if opening := FENCE.match(line):
            end = re.compile(rf" *{opening['fence']}{opening['fence'][0]}* *$")
            code: list[str] = []
            for _, inner in lines:
                if end.match(inner):
                    break
                code.append(inner)
            else:
                raise ValueError(f"the block at line {number} has no end")
            yield Block(opening["language"], number + 1, textwrap.dedent("\n".join(code)), section)


def programs_of(page: Path, text: str) -> list[Program]:
    """Return the programs of a page.

    Raises:
        ValueError: a block continues a program, but none has started.
    """
    programs: list[Program] = []
    previous = ("", 0)
    for block in blocks(text):
        if block.language == "python":
            if block.starts_program:
                programs.append(Program(page, (block,)))
            elif programs:
                last = programs[-1]
                programs[-1] = attrs.evolve(last, blocks=(*last.blocks, block))
            else:
                raise ValueError(
                    f"{page}:{block.line}: begin the first program with an import or a docstring"
                )
        elif block.language == "text" and previous == ("python", block.section):
            last = programs[-1]
            programs[-1] = attrs.evolve(last, output=f"{last.output or ''}{block.code}\n")
        previous = (block.language, block.section)
    return programs


def pages() -> list[Path]:
    """Return the README and all pages of the documentation."""
    return [
        REPOSITORY / "README.md",
        *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
    ]


def has_doctests(text: str) -> bool:
    """Whether a page still has blocks for the doctest builder of Sphinx, which then runs its code."""
    return any(block.language in ("{testcode}", "{doctest}") for block in blocks(text))


def all_programs() -> list[Program]:
    """Return the programs of all pages, except those with blocks for the doctest builder."""
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    return [
        program
        for page, text in texts.items()
        if not has_doctests(text)
        for program in programs_of(page.relative_to(REPOSITORY), text)
    ]


def write_programs(folder: Path, programs: Iterable[Program]) -> list[Path]:
    """Write each program to a file, and return the files. Delete other programs in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    files: list[Path] = []
    for program in programs:
        files.append(folder / program.filename)
        files[-1].write_text(program.source, encoding="utf-8")
    return files


def main(arguments: Sequence[str]) -> None:
    """Write all programs, and a configuration for pyright, to the folder that is the argument."""
    folder = Path(arguments[0])
    write_programs(folder, all_programs())
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "venvPath": str(REPOSITORY),
        "venv": ".venv",
        "extraPaths": [str(REPOSITORY)],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
