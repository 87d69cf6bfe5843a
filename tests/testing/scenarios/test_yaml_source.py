"""YAML as plain values with lines."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from trio_realtime.errors import ConfigurationError
from trio_realtime.testing.scenarios.yaml_source import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: yes\nb: off\nc: true\nd: null\ne: 1\nf: 1.5\ng: '1'", None),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_values_are_plain(text: str, value: Any) -> None:
    parsed = parse_yaml(text, "file").value
    if value is None and text:
        value = {"a": "yes", "b": "off", "c": True, "d": None, "e": 1, "f": 1.5, "g": "1"}
    assert parsed == value


def test_every_value_has_a_line() -> None:
    source = parse_yaml("# comment\na:\n  - b\n  - c: 1\n    d: 2\n", "file")
    assert source.line_of(("a",)) == 2
    assert source.line_of(("a", 1, "d")) == 5
    assert source.line_of(("a", 1, "missing")) == 4, "the value around it"
    assert source.item_lines(("a",)) == (3, 4)
    assert source.item_lines(("nothing",)) == ()
    assert str(source.error(("a", 1, "d"), "wrong")) == "file:5: a[1].d: wrong"
    assert str(source.error((), "wrong")) == "file:2: the file: wrong"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"file:1: not valid YAML: .*"),
        ("a: 1\nb: 2\na: 3", "file:3: the key 'a' is given twice"),
        ("a:\n  1: 2", "file:2: a key must be a text; quote it"),
        ("? [a]\n: 1", "file:1: a key must be a text; quote it"),
        ("a: !python/object 1", "file:1: not valid YAML: .*tag.*"),
        ("a: &x [*x]", "file:1: too many values, or too deep"),
        ("a: \x07", r"file: not valid YAML: .*"),
        ("--- 1\n--- 2", r"file:2: not valid YAML: .*"),
    ],
)
def test_what_is_no_scenario_file_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        parse_yaml(text, "file")


def test_aliases_cannot_expand_without_limit() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigurationError, match="too many values"):
        parse_yaml("\n".join(lines), "file")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-realtime\[testing\]'"):
        parse_yaml("a: 1", "file")
