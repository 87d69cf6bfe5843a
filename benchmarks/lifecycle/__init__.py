"""CPU time of a session that opens and closes.

A client opens one session after another, in two ways:

* ``open and close``: nothing happens in between.
* ``with an answer``: the user sends a text, and the client waits for the first delta of the answer.

A session of this library is open when the service has accepted its settings, and closed when the service
has answered the close frame. A session of openai-agents is open when its settings are sent, so the second
way compares more of the same work. The connections are not encrypted: the cost of a TLS handshake is that
of OpenSSL with every client. Looking up a host name and connecting to a distant host are not measured
either.
"""

from __future__ import annotations
