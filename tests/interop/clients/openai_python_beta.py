"""The client of the package ``openai`` for the beta dialect."""

from __future__ import annotations

from common import main
from openai.types.beta.realtime import RealtimeServerEvent
from openai_turns import Dialect, make_turns

beta = Dialect(
    resource="beta.realtime",
    event=RealtimeServerEvent,
    session={"modalities": ["text", "audio"], "input_audio_format": "pcm16"},
    output="response.",
)
main(make_turns(beta))
