"""``python -m trio_realtime.cli`` is the same as ``trio-realtime``."""

from __future__ import annotations

from trio_realtime.cli import main

main()
