"""Whether client events may be sent, and on which connection."""

from __future__ import annotations

from trio_realtime.core.link import Link


def test_each_loss_begins_another_connection() -> None:
    link = Link()
    assert (link.number, link.is_open) == (1, True)
    link.close(5.0)
    assert (link.number, link.is_open, link.lost_at) == (2, False, 5.0)
    link.close(7.0)
    assert (link.number, link.lost_at) == (3, 5.0)
    link.open()
    assert (link.number, link.is_open) == (3, True)
