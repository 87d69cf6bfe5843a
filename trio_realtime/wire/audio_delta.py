"""The fast path that decodes audio deltas, which are most of what a service sends.

It takes complete frames with values of the expected types, and skips the JSON object and the event. All other
frames, and everything that is unusual, go through :mod:`.codec`, which gives the same result for these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
import pybase64

from .server import ResponseOutputAudioDelta

AudioDelta: TypeAlias = tuple[str, str, int, bytes]
"""The response id, the item id, the content index and the audio of a delta."""


class _Frame(msgspec.Struct, gc=False):
    """The keys of a frame that are read. Its other keys are skipped."""

    type: str
    event_id: str
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


_decode: Final = msgspec.json.Decoder(_Frame).decode
_TYPE: Final = ResponseOutputAudioDelta.type
_QUOTED: Final = f'"{_TYPE}"'
_KEY: Final = '"delta"'


def read_audio_delta(frame: str | bytes, is_clean: Callable[[str], bool]) -> AudioDelta | None:
    """Return what a frame contains if it is an audio delta in the usual form, else ``None``.

    The audio is cut out before the rest is parsed, because a JSON parser looks at each character. It ends at the
    next quote, because base64 has no escapes.

    Args:
        frame: the frame.
        is_clean: returns whether the text of the frame without the audio has no credentials.
    """
    if type(frame) is not str or _QUOTED not in frame:
        return None
    begin = frame.find(_KEY) + len(_KEY)
    if frame.startswith(':"', begin):
        begin += 2
    elif frame.startswith(': "', begin):
        begin += 3
    else:
        return None
    end = frame.find('"', begin)
    rest = frame[:begin] + frame[end:]
    # Without escapes and other values, the key is the one of this object.
    if end < 0 or "{" in rest[1:] or "[" in rest or "\\" in rest or rest.count(_KEY) != 1:
        return None
    try:
        read = _decode(rest)
        # The codec decodes strictly first too.
        audio = pybase64.b64decode(frame[begin:end], validate=True)
    except ValueError:
        return None
    if read.type != _TYPE or not is_clean(rest):
        return None
    return read.response_id, read.item_id, read.content_index, audio
