"""Levels in dBFS."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import peak_dbfs, rms_dbfs


def pcm_of(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}h", *numbers)


def test_known_levels() -> None:
    assert rms_dbfs(pcm_of(-32768, -32768)) == 0.0
    assert peak_dbfs(pcm_of(16384, -100)) == pytest.approx(-6.02, abs=0.01)
    sine = [round(32767 * math.sin(2 * math.pi * n / 480)) for n in range(480)]
    assert rms_dbfs(pcm_of(*sine)) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(pcm_of(*(number // 2 for number in sine))) == pytest.approx(-9.03, abs=0.01)


@pytest.mark.parametrize("pcm", [b"", bytes(100)], ids=["nothing", "silence"])
def test_silence_has_no_level(pcm: bytes) -> None:
    assert rms_dbfs(pcm) == peak_dbfs(pcm) == -math.inf


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_the_mean_is_between_silence_and_the_peak(numbers: list[int]) -> None:
    pcm = pcm_of(*numbers)
    assert -math.inf <= rms_dbfs(pcm) <= peak_dbfs(pcm) + 1e-9
    assert peak_dbfs(pcm) <= 0
