"""G.711: the codes of the standard, and round trips."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import given, strategies as st

from trio_realtime.audio import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from trio_realtime.audio.samples import samples

Coder: TypeAlias = Callable[[bytes], bytes]

LAWS = pytest.mark.parametrize(
    ("encode", "decode"),
    [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)],
    ids=["ulaw", "alaw"],
)

# Codes of the standard for a few samples of 16 bits.
KNOWN_ULAW = {0: 0xFF, 32635: 0x80, -32635: 0x00, 1000: 0xCE, -1000: 0x4E, 8: 0xFE, -8: 0x7E}
KNOWN_ALAW = {0: 0xD5, 32767: 0xAA, -32768: 0x2A, 1000: 0xFA, -1000: 0x7A, 8: 0xD5, -8: 0x55}


@pytest.mark.parametrize(
    ("encode", "known"), [(encode_ulaw, KNOWN_ULAW), (encode_alaw, KNOWN_ALAW)]
)
def test_codes_match_the_standard(encode: Coder, known: dict[int, int]) -> None:
    assert encode(struct.pack(f"<{len(known)}h", *known)) == bytes(known.values())


def test_codes_decode_to_the_values_of_the_standard() -> None:
    ulaw = decode_ulaw(bytes([0x00, 0x7F, 0x80, 0xFF, 0xCE]))
    assert list(samples(ulaw)) == [-32124, 0, 32124, 0, 988]
    alaw = decode_alaw(bytes([0x2A, 0xAA, 0xD5, 0x55, 0xFA]))
    assert list(samples(alaw)) == [-32256, 32256, 8, -8, 1008]


def test_every_code_survives_a_round_trip() -> None:
    codes = bytes(range(256))
    assert encode_alaw(decode_alaw(codes)) == codes
    # Negative zero of µ-law is encoded as positive zero.
    assert encode_ulaw(decode_ulaw(codes)) == codes.replace(b"\x7f", b"\xff")


@LAWS
@given(numbers=st.lists(st.integers(-32768, 32767), max_size=50))
def test_a_round_trip_changes_a_sample_by_less_than_its_quantization_step(
    encode: Coder, decode: Coder, numbers: list[int]
) -> None:
    pcm = struct.pack(f"<{len(numbers)}h", *numbers)
    again = samples(decode(encode(pcm)))
    assert len(again) == len(numbers)
    for number, decoded in zip(numbers, again, strict=True):
        # The step grows with the amplitude: 4 bits of mantissa, and 8 for the smallest samples.
        assert abs(number - decoded) <= max(abs(number) / 16, 8)


@LAWS
@given(pcm=st.binary(max_size=100))
def test_encoding_twice_changes_nothing(encode: Coder, decode: Coder, pcm: bytes) -> None:
    once = decode(encode(pcm))
    assert decode(encode(once)) == once
