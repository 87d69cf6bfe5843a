"""Reading lines from pipes, files and a terminal."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
import trio
import trio.testing
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from trio_realtime.cli.line_input import End, StreamReader, TerminalReader

# --- pipes and files -----------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


async def test_lines_are_complete_however_the_bytes_are_split(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    reader = StreamReader(read_end)
    data = "grüße\r\n\nlast".encode()
    os.write(write_end, data[:3])  # splits a character
    lines: list[str | End] = []

    async def read() -> None:
        lines.append(await reader.read_line(""))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        os.write(write_end, data[3:])
    os.close(write_end)
    lines += [await reader.read_line("") for _ in range(3)]
    assert lines == ["grüße", "", "last", End.OF_INPUT]


async def test_a_cancelled_read_loses_nothing(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    reader = StreamReader(read_end)
    os.write(write_end, b"Hel")
    with trio.move_on_after(0.01) as scope:
        await reader.read_line("")
    assert scope.cancelled_caught
    os.write(write_end, b"lo\n")
    os.close(write_end)
    assert await reader.read_line("") == "Hello"


async def test_a_regular_file_and_the_null_device_have_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\n")
    for name, expected in ((str(path), ["one", "two"]), (os.devnull, [])):
        descriptor = os.open(name, os.O_RDONLY)
        try:
            reader = StreamReader(descriptor)
            assert [await reader.read_line("") for _ in expected] == expected
            assert await reader.read_line("") is End.OF_INPUT
        finally:
            os.close(descriptor)


# --- a terminal ----------------------------------------------------------------------------------

LEFT, UP, CTRL_A, CTRL_C, CTRL_D = "\x1b[D", "\x1b[A", "\x01", "\x03", "\x04"


class Typist:
    """Types on a keyboard that a reader reads."""

    def __init__(self, keyboard: PipeInput) -> None:
        self._keyboard = keyboard
        self.reader = TerminalReader(["/help", "/history"], keyboard=keyboard, screen=DummyOutput())

    def type(self, keys: str) -> None:
        self._keyboard.send_text(keys)

    async def line(self, keys: str) -> str | End:
        self.type(keys)
        with trio.fail_after(10):
            return await self.reader.read_line("you> ")


@pytest.fixture
def typist() -> Generator[Typist]:
    with create_pipe_input() as keyboard:
        yield Typist(keyboard)


async def test_a_line_is_edited_before_it_is_sent(typist: Typist) -> None:
    assert await typist.line(f"orld{CTRL_A}w\r") == "world"
    assert await typist.line(f"helo{LEFT}l\r") == "hello"
    assert await typist.line(f"{UP}{UP}\r") == "world"
    assert await typist.line("/he\t\r") == "/help"


async def test_keys_end_the_input(typist: Typist) -> None:
    assert await typist.line(CTRL_C) is End.INTERRUPTED
    assert await typist.line(CTRL_D) is End.OF_INPUT
    assert await typist.line("on\r") == "on"


async def test_a_cancelled_prompt_ends_its_thread_and_keeps_what_was_typed(typist: Typist) -> None:
    with trio.fail_after(10), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(typist.reader.read_line, "you> ")
            typist.type("half")
            while typist.reader.text != "half":
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert await typist.line(" done\r") == "half done"


async def test_a_prompt_that_is_cancelled_before_it_is_shown_ends_too(typist: Typist) -> None:
    with trio.fail_after(10), trio.CancelScope() as scope:
        scope.cancel()
        await typist.reader.read_line("you> ")
    assert scope.cancelled_caught
    assert await typist.line("x\r") == "x"


async def test_a_second_question_waits_for_the_first_line(typist: Typist) -> None:
    lines: list[str | End] = []

    async def read() -> None:
        lines.append(await typist.reader.read_line("you> "))

    typist.type("one\rtwo\r")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(read)
    assert lines == ["one", "two"]
