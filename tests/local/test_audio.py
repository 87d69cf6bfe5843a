"""Audio conversion: G.711, RMS levels, speed and duration."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from trio_realtime.local.audio import (
    FORMATS,
    change_speed,
    decode,
    encoding_table,
    fit_duration,
    loudness,
    split,
)

# -- G.711 ---------------------------------------------------------------------------------------


# Codes of the standard for a few samples of 16 bits.
KNOWN_ULAW = {0: 0xFF, 32635: 0x80, -32635: 0x00, 1000: 0xCE, -1000: 0x4E, 8: 0xFE, -8: 0x7E}


KNOWN_ALAW = {0: 0xD5, 32767: 0xAA, -32768: 0x2A, 1000: 0xFA, -1000: 0x7A, 8: 0xD5, -8: 0x55}


@pytest.mark.parametrize(
    ("name", "known"), [("audio/pcmu", KNOWN_ULAW), ("audio/pcma", KNOWN_ALAW)]
)
def test_g711_codes_match_the_standard(name: str, known: dict[int, int]) -> None:
    table = encoding_table(name)
    assert {sample: table[sample & 0xFFFF] for sample in known} == known


def test_g711_decodes_to_the_values_of_the_standard() -> None:
    ulaw = decode(bytes([0x00, 0x7F, 0x80, 0xFF, 0xCE]), FORMATS["audio/pcmu"])
    assert list(ulaw) == [-32124, 0, 32124, 0, 988]
    alaw = decode(bytes([0x2A, 0xAA, 0xD5, 0x55, 0xFA]), FORMATS["audio/pcma"])
    assert list(alaw) == [-32256, 32256, 8, -8, 1008]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_every_g711_code_survives_a_round_trip(name: str) -> None:
    codes = bytes(range(256))
    table = encoding_table(name)
    again = bytes(table[sample & 0xFFFF] for sample in decode(codes, FORMATS[name]))
    # Negative zero of mu-law is encoded as positive zero.
    expected = codes.replace(b"\x7f", b"\xff") if name == "audio/pcmu" else codes
    assert again == expected


# -- levels and duration -------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_loudness_is_between_silence_and_full_scale(data: bytes) -> None:
    for form in FORMATS.values():
        assert 0.0 <= loudness(data, form) <= 32768.0


PCM = FORMATS["audio/pcm"]


FRAME = 32


def tone(frames: int, level: int = 8192) -> bytes:
    return struct.pack("<h", level) * (24 * FRAME * frames)


def test_loudness_of_a_constant_is_its_amplitude() -> None:
    assert loudness(tone(1, 1234), PCM) == pytest.approx(1234)
    assert loudness(b"", PCM) == 0.0


@given(st.integers(0, 5000), st.floats(0.25, 1.5))
def test_speed_divides_the_duration(milliseconds: int, speed: float) -> None:
    pcm = bytes(48 * milliseconds)
    changed = b"".join(change_speed([pcm], speed))
    assert len(changed) == pytest.approx(len(pcm) / speed, abs=2 * 960)


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_split_joins_pieces_into_blocks_of_one_size(pieces: list[bytes], size: int) -> None:
    blocks = list(split(pieces, size))
    assert b"".join(blocks) == b"".join(pieces)
    assert {len(block) for block in blocks[:-1]} <= {size}


def endless_pieces() -> Iterator[bytes]:
    while True:
        yield bytes(960)


def test_audio_is_generated_as_it_is_taken() -> None:
    assert len(next(change_speed(endless_pieces(), 1.5))) == 960
    assert len(next(fit_duration(endless_pieces, 3_600_000))) == 960
    assert len(next(split(endless_pieces(), 100))) == 100


@given(st.binary(max_size=300), st.integers(0, 500))
def test_fit_duration_returns_exactly_this_duration(pcm: bytes, milliseconds: int) -> None:
    pieces = [pcm[:100], pcm[100:]]
    fitted = b"".join(fit_duration(lambda: pieces, milliseconds))
    assert len(fitted) == 48 * milliseconds
    assert fitted == (pcm * len(fitted) or bytes(len(fitted)))[: len(fitted)]
