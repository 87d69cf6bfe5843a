"""Generated ids."""

from __future__ import annotations

from trio_realtime.local.harness import ProtocolHarness


def test_ids_start_with_the_age_of_the_session() -> None:
    harness = ProtocolHarness()
    first = harness.say("a")["id"]
    harness.run(100.0)
    assert first[:11] < harness.say("b")["id"][:11]
