"""CPU of a client that takes in audio as fast as it comes.

A server in a process of its own sends spoken answers in a burst: of five frames, four carry 4,800
bytes of PCM (100 ms) and one a piece of the transcript. Each contestant runs in a process of its own,
consumes the same stream, and checks that all of it arrived. Compared is CPU time per frame, kernel
included; how long it took by the clock says more about the server and the machine.

Contestants:

* ``bare``         trio-websocket with ``receive_buffer_size=None``, msgspec and pybase64: what it costs
  to have the bytes, with nothing done about them
* ``bare_stdlib``  the same with ``json`` and ``base64``
* ``session``      ``async for event in session``
* ``subscribe``    ``session.subscribe(Audio, AgentEnd)``, nobody reading the main channel
* ``agents``       ``openai-agents`` on asyncio, if it is installed

They take turns, one after the other, several rounds, each time in a new process. A ratio comes in two
kinds: ``best`` (the best of all rounds of each) and ``median`` (of the ratios within each round). On a
machine with other work to do, the first is the steadier one.
"""

from __future__ import annotations
