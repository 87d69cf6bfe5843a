"""CPU time of consumers of one session's events, of a slow consumer, and of guardrails.

One session of this library runs in this process, without sockets, and receives deltas of audio (20 ms):

* ``consumers``  1 to 20 tasks each subscribe to the audio and read it. The CPU time is that of one delta,
  from decoding its frame until every consumer has it, and that of one delta and consumer.
* ``slow``       one consumer reads, and another one has subscribed and reads nothing until the end. The table
  says what the reader's deltas cost, whether it got all of them, how much was buffered for the slow consumer
  at most, and how its channel ended. The limits are the defaults.
* ``guardrails`` a response with four deltas of audio (100 ms) for each of a transcript, without guardrail, with
  a guardrail that looks at the reply as it grows, and with a gate that also holds the audio until the text
  that covers it was checked. The CPU time is that of one delta. The check takes no time.

Delays are not measured, and neither is a consumer that works for long between two events.
"""

from __future__ import annotations
