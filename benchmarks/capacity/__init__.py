"""How many sessions one core holds: latency against the number of sessions.

The exchange is that of ``duplex --mode paced``: in each session, the server sends 20 ms of audio every 20 ms,
and the user's audio is sent at the same pace. All sessions of a client run in one process and one thread, on
one core; the server has another core. The latency runs from the server's write until the consumer has the
decoded audio.

The benchmark tries a list of numbers of sessions in ascending order, in each round with every client that
still holds them. A client holds a number of sessions if the median of p99 over the rounds is below the
limit, by default 20 ms: then nearly every frame has arrived before the next one is due. After two numbers in a
row that a client does not hold, it is not tried any further.

``core`` is the CPU time as a share of the wall-clock time. ``server late`` is how late the server's deltas
were: if it comes near the limit, the server or other programs of the machine were too slow, and the latency
says little about the client.

Python's garbage collector stops a process for tens of milliseconds when it collects the oldest generation
of a hundred sessions, which shows in p99 and p99.9. ``--freeze`` exempts the open sessions of every client
from collections, as an application can do with ``gc.freeze``. Sessions that start and end meanwhile, tools and
TLS are not measured.
"""

from __future__ import annotations
