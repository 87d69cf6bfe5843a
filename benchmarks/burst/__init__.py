"""CPU time of a client that receives audio as fast as it arrives.

A server in its own process sends spoken responses in a burst: of every five frames, four carry 4,800
bytes of PCM (100 ms) and one carries a transcript delta. Each client runs in its own process, consumes
the same stream, and checks that all of it arrived. The benchmark compares CPU time per frame, including
time in the kernel; wall-clock time says more about the server and the machine than about the client.

Clients:

* ``bare``             trio-websocket with ``receive_buffer_size=None``, msgspec and pybase64: the cost of
  decoding the stream without using it
* ``bare_stdlib``      the same with ``json`` and ``base64``
* ``bare-fast``        ``connect_fast``, msgspec and pybase64
* ``bare-websockets``  ``websockets`` on trio, msgspec and pybase64
* ``asyncio``          ``websockets`` on asyncio, ``json`` and ``base64``
* ``session``          ``async for event in session``
* ``fast``             the same with ``connect_fast``
* ``subscribe``        ``session.subscribe(Audio, TranscriptDelta, AgentEnd)``; nothing reads the main
  channel
* ``agents``           ``openai-agents`` on asyncio, if it is installed
* ``pydantic-ai``, ``pipecat-ai``, ``livekit-agents``  other projects, which ``benchmarks.peers`` describes

In each of several rounds, every client runs once, one after the other, each time in a new process.
The ratio to openai-agents is the median of the ratios within the rounds.
"""

from __future__ import annotations
