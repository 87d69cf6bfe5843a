"""The rules for which blocks of a page are a program, and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.page_programs import Program, blocks, programs_of, write_programs

PAGE = Path("docs/guides/x.md")


def programs(*lines: str) -> list[Program]:
    return programs_of(PAGE, "\n".join(lines))


@pytest.mark.parametrize(
    "first", ["import a", "from a import b", '"""About."""', "'''About.'''", 'r"""About."""']
)
def test_import_or_docstring_starts_a_program(first: str) -> None:
    found = programs("```python", "import x", "```", "```python", first, "```")
    assert [program.line for program in found] == [2, 5]


@pytest.mark.parametrize("first", ["important = 1", "print()", "# import a", "fromage = 'brie'"])
def test_other_block_continues_the_program_with_the_line_numbers_of_the_page(first: str) -> None:
    before = ("# Title", "", "```python", "import x", "```", "and")
    (program,) = programs(*before, "```python", first, "```")
    assert program.source.splitlines() == ["", "", "", "import x", "", "", "", first]
    assert program.name == "docs/guides/x.md:4"
    assert program.filename == "docs_guides_x_4.py"


def test_block_that_continues_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"docs/guides/x\.md:2: begin the first program with"):
        programs("```python", "print()", "```")


def test_block_without_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="the block at line 2 has no end"):
        programs("text", "```python", "import x")


def test_blocks_of_other_languages_are_no_programs() -> None:
    assert (
        programs("```py", "import x", "```", "```", "import x", "```", "```sh", "ls", "```") == []
    )


def test_fence_inside_a_longer_fence_is_code() -> None:
    (block,) = blocks("````md\n```python\nimport x\n```\n````")
    assert (block.language, block.code) == ("md", "```python\nimport x\n```")
    assert programs("````md", "```python", "import x", "```", "````") == []


def test_block_in_a_list_loses_its_indentation() -> None:
    (program,) = programs("- so:", "  ```python", "  import x", "  if x:", "      y", "  ```")
    assert program.source == "\n\nimport x\nif x:\n    y\n"


def test_next_text_block_is_the_output() -> None:
    (program,) = programs(
        "```python", "import x", "```", "It prints:", "", "```text", "a", "", "b", "```"
    )
    assert program.output == "a\n\nb\n"


def test_texts_of_one_program_are_joined() -> None:
    (program,) = programs(
        *("```python", "import x", "```", "```text", "a", "```"),
        *("```python", "y", "```"),
        *("```python", "z", "```", "```text", "b", "```"),
    )
    assert program.output == "a\nb\n"


@pytest.mark.parametrize(
    "between", [["# Other section"], ["```sh", "ls", "```"], ["```text", "a", "```"]]
)
def test_text_block_further_on_is_no_output(between: list[str]) -> None:
    (program,) = programs("```python", "import x", "```", *between, "```text", "b", "```")
    assert program.output == ("a\n" if "a" in between else None)


def test_each_program_is_written_to_a_file_and_old_ones_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "old.py").touch()
    found = programs("```python", "import x", "```", "```python", "import y", "```")
    assert write_programs(tmp_path, found) == sorted(tmp_path.iterdir())
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "docs_guides_x_2.py",
        "docs_guides_x_5.py",
    ]
