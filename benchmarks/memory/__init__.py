"""Bytes of memory of a session, idle and in a conversation.

A client opens and closes some sessions first, so what all sessions share does not count. Then it opens
many sessions and keeps them:

* ``idle`` is the growth of the resident memory per session, once all sessions are open.
* ``in conversation`` is that growth once each session has also sent a text and exchanged audio in both
  directions, frame by frame. Its response has not ended, and the client keeps no audio.

Memory of the kernel, such as the buffers of sockets, is not measured, and neither is memory that a process
needs for a moment and returns. With ``--tracemalloc``, bytes that Python has allocated are counted instead
of resident memory: they exclude the allocator's overhead and what libraries in C allocate by themselves.
"""

from __future__ import annotations
