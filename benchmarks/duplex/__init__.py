"""CPU time of many sessions at once that receive and send audio.

A server in its own process answers without a WebSocket library: its frames are built in advance. All
sessions of a client run in one process and one thread. A session opens, gets a response that does not end,
and exchanges audio in both directions:

* ``lock``   each delta of 20 or 100 ms is answered by one frame of the microphone, and the server answers
  that with the next delta. The work does not depend on how much of a core the client gets, so this is the
  mode to trust on a busy machine.
* ``paced``  the server sends a delta in each interval, and the microphone sends a frame in each interval, by
  deadlines. Deltas and microphones of all sessions are spread over one interval. The first eight bytes of the
  audio are the time at which the server wrote it, so the benchmark also prints how long the audio took to its
  consumer. The timers of the application are part of the cost.

All sessions are open before the clock starts, and garbage has been collected; in ``lock`` mode, they have
exchanged some frames too. CPU time is that of the whole process, kernel included, from then until the last
session has its last frame. None closes before that.

With ``--tls``, the connections are encrypted. With ``--freeze``, the open sessions are exempt from garbage
collections, as an application can do with ``gc.freeze``.

Clients:

* ``bare``             trio-websocket, msgspec and pybase64 and nothing else
* ``bare-fast``        ``connect_fast``, msgspec and pybase64 and nothing else
* ``bare-websockets``  ``websockets`` on trio, msgspec and pybase64 and nothing else
* ``asyncio``          ``websockets`` on asyncio, ``json`` and ``base64`` and nothing else
* ``session``          ``async for event in session`` and ``session.send_audio``
* ``fast``             the same with ``connect_fast``
* ``agents``           ``openai-agents``, if it is installed
* ``pydantic-ai``, ``pipecat-ai``, ``livekit-agents``  other projects, which ``benchmarks.peers`` describes

Each round runs every client once. The ratio to openai-agents is the median of the ratios within the
rounds.
"""

from __future__ import annotations
