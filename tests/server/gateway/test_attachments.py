"""Who is attached to a session, and when it ends without its owner."""

from __future__ import annotations

from hypothesis import given, strategies as st

from trio_realtime.server.gateway.attachments import Attachments, Client


def attachments() -> Attachments:
    return Attachments(100.0, attach_timeout=60, grace=30)


def test_a_session_waits_for_its_owner() -> None:
    session = attachments()
    assert session.deadline == 160.0
    session.attach("observer")
    assert session.deadline == 160.0
    session.attach("owner")
    assert session.deadline is None


def test_a_session_goes_on_for_a_while_without_its_owner() -> None:
    session = attachments()
    owner, _ = session.attach("owner")
    session.attach("observer")
    assert session.detach(owner, 200.0)
    assert (session.owner, session.observers, session.deadline) == (None, 1, 230.0)
    session.attach("owner")
    assert session.deadline is None


def test_an_owner_replaces_another_one() -> None:
    session = attachments()
    first, _ = session.attach("owner")
    second, replaced = session.attach("owner")
    assert replaced is first
    assert session.owner is second
    assert not session.detach(first, 200.0)
    assert session.deadline is None
    assert session.detach(second, 201.0)
    assert session.deadline == 231.0


def test_a_client_is_detached_once() -> None:
    session = attachments()
    observer, _ = session.attach("observer")
    assert session.detach(observer, 0.0)
    assert not session.detach(observer, 0.0)
    assert session.observers == 0


@given(st.lists(st.sampled_from(["owner", "observer", "detach first", "detach last"]), max_size=40))
def test_a_session_has_a_deadline_exactly_without_an_owner(steps: list[str]) -> None:
    session = attachments()
    clients: list[Client] = []
    for step in steps:
        if step in {"owner", "observer"}:
            client, _ = session.attach("owner" if step == "owner" else "observer")
            clients.append(client)
        elif clients:
            session.detach(clients.pop(0 if step == "detach first" else -1), 0.0)
        assert (session.deadline is None) == (session.owner is not None)
        assert session.observers >= 0
