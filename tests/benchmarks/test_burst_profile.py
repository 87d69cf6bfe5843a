"""The components that a profile distinguishes."""

from __future__ import annotations

import pytest

from benchmarks.burst.profile import component_of


@pytest.mark.parametrize(
    ("file", "name", "component"),
    [
        ("/home/trio_realtime/lib/site-packages/trio/_core/_run.py", "unrolled_run", "trio"),
        ("<attrs generated methods outcome._impl.Value>", "__init__", "trio"),
        ("<attrs generated methods trio_realtime.events.Audio>", "__init__", "events"),
        ("/home/me/trio_realtime/core/playback.py", "receive", "core"),
        ("/usr/lib/python3.11/enum.py", "__contains__", None),
        ("~", "<built-in method builtins.len>", None),
        ("~", "<built-in method msgspec._core.json_decode>", "json"),
        ("~", "<method 'poll' of 'select.epoll' objects>", "kernel"),
    ],
)
def test_a_function_belongs_to_its_component(file: str, name: str, component: str | None) -> None:
    assert component_of((file, 1, name)) == component
