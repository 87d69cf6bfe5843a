"""Clients of other projects, each in an environment of its own, in ``.bench``.

``python -m benchmarks peers`` installs them from the package index. :mod:`.pins` has their versions. Without
them, the benchmarks report them as missing.

There is a module for each, which runs in its environment and imports nothing that is missing there. It uses
the package as its documentation says:

* ``pydantic-ai``     a session of an agent: its view of the audio, or its events
* ``pipecat-ai``      a pipeline of the aggregators of the context, the service for OpenAI Realtime, and a
  processor in the place of the speaker
* ``livekit-agents``  the session of the realtime model of ``livekit-plugins-openai``, below the agent. It sends
  100 ms of the microphone at a time, so it cannot answer each delta of 20 ms.

None has tools, or uploads traces. Loops over a WebSocket library that this environment lacks are in
``benchmarks.bare``.
"""

from __future__ import annotations
