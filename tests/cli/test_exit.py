"""How a command ends: signals, exit statuses and error messages."""

from __future__ import annotations

import signal
import warnings

import pytest
import trio

from trio_realtime import ModelEndDateWarning, errors
from trio_realtime.cli.exit import (
    CLOSED_PIPE,
    FAILED,
    INTERRUPTED,
    OK,
    USER_ERROR,
    UserFacingError,
    main_cause,
    print_message,
    report_error,
    run_until_signal,
    warnings_on_stderr,
)


async def test_a_signal_ends_a_command_through_its_finally_blocks() -> None:
    cleaned_up = False

    async def command() -> int:
        nonlocal cleaned_up
        try:
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()
        finally:
            cleaned_up = True

    assert await run_until_signal(command) == 128 + signal.SIGTERM
    assert cleaned_up
    assert await run_until_signal(command, on_signal=OK) == OK


def group(*inner: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("several", [BaseExceptionGroup("more", list(inner))])


FIXABLE = UserFacingError("fix it")
BUG = KeyError("bug")
EXIT = KeyboardInterrupt()
PIPE = BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (FIXABLE, FIXABLE),
        (group(FIXABLE), FIXABLE),
        (group(FIXABLE, BUG), BUG),
        (group(FIXABLE, BUG, EXIT), EXIT),
        (group(PIPE, BUG), BUG),
        (group(PIPE), PIPE),
    ],
)
def test_the_main_cause_is_the_most_severe_of_a_group(
    error: BaseException, cause: BaseException
) -> None:
    assert main_cause(error) is cause


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserFacingError("fix\nit"), USER_ERROR, "trio-realtime: fix it\n"),
        (errors.ModelNotAvailable("no such model"), USER_ERROR, "trio-realtime: no such model\n"),
        (
            errors.ResponseFailed("it failed", status="failed"),
            FAILED,
            "trio-realtime: it failed\n",
        ),
        (EXIT, INTERRUPTED, ""),
        (PIPE, CLOSED_PIPE, ""),
    ],
)
def test_errors_become_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_error(group(error), debug=False) == status
    assert capsys.readouterr().err == line


def test_the_notes_of_an_error_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.SettingsRejected("Unknown parameter.")
    error.add_note("the server speaks the beta dialect")
    report_error(error, debug=False)
    line = "trio-realtime: Unknown parameter; the server speaks the beta dialect\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("bug", [BUG, errors.InternalError("a bug")])
def test_a_bug_is_raised_again(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        report_error(bug, debug=False)


def test_a_message_is_wrapped_for_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    print_message("many words, more than fit")
    assert capsys.readouterr().err == "trio-realtime: many words, more than fit\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    print_message("many words, more than fit")
    assert capsys.readouterr().err == "trio-realtime: many words,\nmore than fit\n"


def test_a_warning_about_a_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_on_stderr():
        warnings.warn("the model m ends soon", ModelEndDateWarning, stacklevel=1)
    assert capsys.readouterr().err == "trio-realtime: warning: the model m ends soon\n"
