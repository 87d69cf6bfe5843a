"""The client of the package ``openai``."""

from __future__ import annotations

from common import main
from openai.types.realtime import RealtimeServerEvent
from openai_turns import Dialect, make_turns

ga = Dialect(
    resource="realtime",
    event=RealtimeServerEvent,
    session={"type": "realtime"},
    output="response.output_",
)
main(make_turns(ga))
