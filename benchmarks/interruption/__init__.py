"""The time from a barge-in to the frames with which a client interrupts the agent.

A server in its own process sends audio of a response, waits for a moment, and sends
``input_audio_buffer.speech_started`` while that audio plays. A client answers with
``conversation.item.truncate``, which says how much was heard, and with ``response.cancel`` unless the
service cancels responses by itself. The latencies run from the server's write until it has read the first
of these frames, and the last of them. Then the server sends the next response, as after a turn of the user.

``--cancels`` says who cancels responses: ``client`` means ``interrupt_response: false``, so two frames are
expected, and ``service`` means ``interrupt_response: true``, so one is. The server reports the cancelled
response once it has the frames. The local playback is not measured: it is silent as soon as the application
has taken the ``AudioInterrupted`` event, which a client reports at about the time of its first frame.

One session is open and nothing else happens in the process, so the latency does not include waiting for
other sessions. ``unanswered`` counts the barge-ins after which a client sent no frame for a second.

A second table is of this library only, in one process without sockets: how long ``session.interrupt()`` takes
until the last of the running tools has ended, with the ``finally`` block of each. Each tool waits for
something that trio can cancel; a tool in a thread takes as long as it takes.
"""

from __future__ import annotations
