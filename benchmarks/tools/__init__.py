"""The round trip of a tool call: from the call of the model to its output at the service.

A server in its own process answers each ``response.create`` with a response that calls a function, in one
write from ``response.created`` to ``response.done``. The latency runs from that write until the server has
read the ``conversation.item.create`` with the output. The tool is asynchronous and returns at once. So the
latency is that of decoding the response, validating the arguments, running the tool and encoding the
output, and of the connection in both directions.

CPU time is that of the client's process for one round trip, which includes the ``response.create`` after
the output. One call runs at a time. Calls at the same time are not measured, nor is a tool in a thread.
"""

from __future__ import annotations
