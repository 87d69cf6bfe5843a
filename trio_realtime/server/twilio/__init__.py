"""Phone lines with Twilio Media Streams.

:func:`run_media_stream` connects a call with a session, :func:`twilio_voice` answers the webhook of a phone
number. Every WebSocket server that runs on trio can be used.
"""

from __future__ import annotations

from .call import (
    OnDtmf as OnDtmf,
    OnSession as OnSession,
    OpenSession as OpenSession,
    run_media_stream as run_media_stream,
)
from .settings import (
    CallEnd as CallEnd,
    CallEndReason as CallEndReason,
    CallStatistics as CallStatistics,
    StreamSettings as StreamSettings,
)
from .stream import StreamStart as StreamStart
from .voice import (
    TOKEN_PARAMETER as TOKEN_PARAMETER,
    InvalidSignature as InvalidSignature,
    StreamTokens as StreamTokens,
    sign as sign,
    twilio_voice as twilio_voice,
    twiml as twiml,
    validate_signature as validate_signature,
)
from .websocket import (
    MediaWebSocket as MediaWebSocket,
    StarletteWebSocket as StarletteWebSocket,
    TrioWebSocket as TrioWebSocket,
    adapt_websocket as adapt_websocket,
)
