"""Many sessions on real sockets for a long time, while connections fail continually.

Three processes take part. The local server is one. Another one starts it, kills it at times, and forwards
all connections through a TCP proxy that resets, cuts, freezes and slows them. This process has only the
sessions, so its memory, tasks and descriptors are theirs.

Each session asks one question after another. Some of them make the model call a tool. A session ends after
a number of questions, and another one takes its place. At the end, everything must add up:

* each question was answered or has failed with a reason,
* no call ran twice, and each one was answered, cancelled, or named as unanswered at the end of its session,
* no task and no descriptor is left,
* memory has not grown since the warm-up by more than the margin.
"""

from __future__ import annotations
