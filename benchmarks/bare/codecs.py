"""How the loops read and write messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import attrs
import msgspec
import pybase64


@attrs.frozen
class Codec:
    """Functions that read and write messages.

    Attributes:
        parse: reads a message.
        decode: reads the audio in a message.
        append: writes a message with a frame of the microphone.
    """

    parse: Callable[[str | bytes], Any]
    decode: Callable[[str], bytes]
    append: Callable[[bytes], str]


def _append_stdlib(audio: bytes) -> str:
    text = base64.b64encode(audio).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": text})


def _append_fast(audio: bytes) -> str:
    text = pybase64.b64encode(audio).decode()
    return '{"type":"input_audio_buffer.append","audio":"' + text + '"}'


STDLIB: Final = Codec(json.loads, base64.b64decode, _append_stdlib)
"""The standard library."""

FAST: Final = Codec(msgspec.json.decode, pybase64.b64decode, _append_fast)
"""msgspec and pybase64, as in the library."""
