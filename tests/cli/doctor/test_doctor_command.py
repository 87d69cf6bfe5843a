"""The output of the doctor contains no secret, wherever the user has put it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trio_realtime.cli.app import run

#: Nothing listens there.
NOWHERE = {"OPENAI_BASE_URL": "ws://127.0.0.1:9"}
SECRET_PLACES: list[tuple[list[str], dict[str, str]]] = [
    ([], NOWHERE | {"OPENAI_API_KEY": "sk-SECRET-1"}),
    ([], NOWHERE | {"OPENAI_API_KEY": "sk-SECRET-1", "OPENAI_REALTIME_API_KEY_IN_QUERY": "1"}),
    ([], NOWHERE | {"OPENAI_API_KEY": "sk-SECRET-1", "OPENAI_REALTIME_FORCE_API_KEY_HEADER": "1"}),
    ([], NOWHERE | {"OPENAI_API_KEY": "sk-SECRET-1\n"}),
    ([], {"OPENAI_REALTIME_URL": "ws://user:SECRET-2@127.0.0.1:9/?key=SECRET-3"}),
    ([], {"OPENAI_BASE_URL": "ws://127.0.0.1:9/?SECRET-4"}),
    ([], {"OPENAI_BASE_URL": "ws://127.0.0.1:9", "OPENAI_ORG_ID": "SECRET-5"}),
    (["--url", "ws://127.0.0.1:9"], {"TRIO_REALTIME_API_KEY": "SECRET-6"}),
    (["--url", "ws://127.0.0.1:9", "--api-key", "SECRET-7"], {}),
    (["--url", "ws://u:SECRET-8@127.0.0.1:9?token=SECRET-9"], {}),
    (["--url", "ws://h.test"], {"HTTP_PROXY": "http://u:SECRET-10@127.0.0.1:9"}),
    (["--url", "ws://h.test"], {"HTTP_PROXY": "http://u:SECRET-10@"}),
    (["--url", "ws://h.test", "--proxy", "http://u:SECRET-11@127.0.0.1:9"], {}),
    (["--url", "ws://h.test", "--proxy", "ftp://u:SECRET-11@127.0.0.1:9"], {}),
    (["--url", "ws://u:SECRET/12@h.test"], {}),
]


@pytest.mark.parametrize(("arguments", "variables"), SECRET_PLACES, ids=str)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_no_secret_is_shown(
    arguments: Sequence[str],
    variables: dict[str, str],
    form: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run(["doctor", *arguments, *form]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "problem" in printed.out or "What to do" in printed.out
    assert "SECRET" not in printed.out
