"""CPU time of a session as its conversation grows.

One session of this library runs in this process, without sockets. Its conversation is filled with messages
of the user, up to 100,000. At several sizes, the benchmark measures the CPU time of

* one delta of audio (20 ms),
* one delta of a transcript,
* one item that is added,
* one look at ``session.history`` after a delta has changed an item: the tuple or sequence itself, and its last
  item.

The delta belongs to a response that began before the filling. The times of events include decoding the
frame, and delivering the event to one consumer. They are medians over batches; ``x`` is the ratio to the
time at the smallest size.

A second table has the time of a delta of a transcript, and of a look at the history after it, when an item
has already grown by many deltas.

Memory is not measured, and neither are updates, deletions and replays of long conversations.
"""

from __future__ import annotations
