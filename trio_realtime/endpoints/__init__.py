"""Where to connect, and with which credentials.

An :class:`Endpoint` is a value: it opens no connection. Its constructors read the variables that
configure a service, and :meth:`Endpoint.resolve` returns the URL, the headers and the proxy of one
connection. ``resolve`` calls a key function each time, so short-lived tokens work across
reconnects. No repr and no error message of this package contains a key.

::

    constructor            URL                                                    credentials
    openai()               wss://api.openai.com/v1/realtime?model=M               Authorization: Bearer
    azure()                wss://R/openai/v1/realtime?model=DEPLOYMENT            api-key, or Bearer for a token
    azure(api_version=)    wss://R/openai/realtime?api-version=V&deployment=D     the same
    ... in the path        wss://R/openai/deployments/D/realtime?api-version=V    the same
    voice_live()           wss://R/voice-live/realtime?api-version=V&model=M      the same
    compatible(url)        url + /realtime?model=M                                set by ``auth``
    any, .attach(id)       ...?call_id=ID, without a model                        unchanged
"""

from __future__ import annotations

from .credentials import Auth as Auth, Key as Key
from .endpoint import (
    DEFAULT_MODEL as DEFAULT_MODEL,
    Endpoint as Endpoint,
    ResolvedEndpoint as ResolvedEndpoint,
)
from .environment import SERVICE_VARIABLES as SERVICE_VARIABLES

__all__ = ["DEFAULT_MODEL", "SERVICE_VARIABLES", "Auth", "Endpoint", "Key", "ResolvedEndpoint"]
