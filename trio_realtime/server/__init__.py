"""Sessions on a server: agent specs, managed sessions, stores and a gateway.

Import from the packages: :mod:`.spec`, :mod:`.service`, :mod:`.managed`, :mod:`.rpc`, :mod:`.store`,
:mod:`.recording`, :mod:`.objects` and :mod:`.gateway` need the extra ``server``
(``pip install 'trio-realtime[server]'``). :mod:`.twilio` and :mod:`.asyncio_bridge` need no extra.
"""

from __future__ import annotations
