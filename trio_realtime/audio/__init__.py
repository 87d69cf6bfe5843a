"""Audio outside of a session: WAV files, sample rates, G.711, frames and levels.

A session takes and delivers audio as bytes in one :class:`~trio_realtime.wire.AudioFormat`. This package
converts other audio to and from them. It does no I/O except in :func:`read_wav` and :func:`write_wav`,
and does not depend on trio. Converting between sample rates needs the extra ``audio``.
"""

from __future__ import annotations

from .formats import (
    duration_ms as duration_ms,
    frame_size as frame_size,
    frames as frames,
    sample_rate as sample_rate,
    silence as silence,
)
from .g711 import (
    decode_alaw as decode_alaw,
    decode_ulaw as decode_ulaw,
    encode_alaw as encode_alaw,
    encode_ulaw as encode_ulaw,
)
from .levels import peak_dbfs as peak_dbfs, rms_dbfs as rms_dbfs
from .pcm import PcmAudio as PcmAudio
from .wav import WavSource as WavSource, read_wav as read_wav, write_wav as write_wav
