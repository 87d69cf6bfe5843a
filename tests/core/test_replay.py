"""The replay of a conversation on a new connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from trio_realtime.core.replay import MAX_OTHERS, WINDOW, Replay
from trio_realtime.errors import SettingsRejected
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    InputText,
    MessageItem,
    RateLimitsUpdated,
    Session,
    SessionUpdate,
    structure_server_event,
)

SETTINGS = Session(type="realtime", instructions="Be brief.")
OTHER_SETTINGS = Session(type="realtime", instructions="Sing.")


def create(item_id: str, text: str = "Hello") -> ConversationItemCreate:
    item = MessageItem(id=item_id, role="user", content=(InputText(text=text),))
    return ConversationItemCreate(item=item)


def event_of(kind: str, **fields: Any) -> Any:
    return structure_server_event({"type": kind, "event_id": "event", **fields})


def added(item_id: str, kind: str = "added") -> Any:
    item = {"id": item_id, "type": "message", "role": "user", "content": []}
    return event_of(f"conversation.item.{kind}", item=item)


def updated(**session: Any) -> Any:
    return event_of("session.updated", session={"type": "realtime", **session})


def error(message: str = "no", **fields: Any) -> Any:
    return event_of("error", error={"message": message, **fields})


def creates(events: Sequence[ClientEvent]) -> list[str | None]:
    return [event.item.id for event in events if isinstance(event, ConversationItemCreate)]


def deletions(events: Sequence[ClientEvent]) -> list[str]:
    return [event.item_id for event in events if isinstance(event, ConversationItemDelete)]


def begun(*items: ConversationItemCreate) -> tuple[Replay, Sequence[ClientEvent]]:
    """Return a replay whose settings are accepted, and the first items that it sends."""
    replay = Replay(SETTINGS, items)
    replay.begin()
    return replay, replay.handle(updated())


def complete(*items: ConversationItemCreate) -> Replay:
    replay, events = begun(*items)
    run(replay, events)
    assert replay.is_complete
    return replay


def run(replay: Replay, events: Sequence[ClientEvent]) -> list[str]:
    """Answer every event, and return what the service was told."""
    told: list[str] = []
    waiting = [*events]
    while waiting:
        event: Any = waiting.pop(0)
        match event:
            case SessionUpdate():
                told.append("settings")
                waiting += replay.handle(updated())
            case ConversationItemDelete(item_id=item_id):
                told.append(f"-{item_id}")
                waiting += replay.handle(event_of("conversation.item.deleted", item_id=item_id))
            case _:
                told.append(f"+{event.item.id}")
                waiting += replay.handle(added(event.item.id))
    return told


def test_settings_come_first() -> None:
    replay = Replay(SETTINGS, [create("a")], "replay_1")
    assert replay.begin() == [SessionUpdate(event_id="replay_1", session=SETTINGS)]
    assert replay.handle(event_of("session.created", session={"type": "realtime"})) == ()
    assert replay.session is not None
    assert not replay.is_complete
    assert creates(replay.handle(updated())) == ["a"]
    assert not replay.is_complete
    assert replay.handle(added("a")) == []
    assert replay.is_complete
    assert replay.acknowledged == ["a"]
    assert replay.answers == 3


def test_without_settings_the_items_come_first() -> None:
    replay = Replay(None, [create("a")])
    assert creates(replay.begin()) == ["a"]
    assert Replay(None, []).begin() == []


def test_few_items_are_unacknowledged_at_a_time() -> None:
    items = [create(f"item_{number}") for number in range(WINDOW + 2)]
    replay, events = begun(*items)
    assert len(events) == WINDOW
    assert len({event.event_id for event in events}) == WINDOW
    assert creates(replay.handle(added("item_0"))) == [f"item_{WINDOW}"]
    assert creates(replay.handle(added("item_1"))) == [f"item_{WINDOW + 1}"]
    assert creates(replay.handle(added("item_2"))) == []


def test_a_service_may_only_report_the_end_of_an_item() -> None:
    replay, _ = begun(create("a"))
    replay.handle(added("a", "done"))
    assert replay.acknowledged == ["a"]


def test_the_end_of_a_known_item_is_no_news() -> None:
    replay = complete(create("a"))
    assert replay.handle(added("a", "done")) == ()
    assert replay.others == []


def test_other_events_are_for_the_conversation() -> None:
    replay, _ = begun(create("a"))
    limits = event_of("rate_limits.updated", rate_limits=[])
    assert isinstance(limits, RateLimitsUpdated)
    unknown = added("b")
    for event in (limits, unknown, updated(), error(event_id="other")):
        assert replay.handle(event) == ()
    assert replay.others[:2] == [limits, unknown]
    assert len(replay.others) == 4


def test_a_rejected_item_is_left_out() -> None:
    replay, (first, _second) = begun(create("a"), create("b"))
    replay.handle(error(event_id=first.event_id))
    replay.handle(added("b"))
    assert replay.is_complete
    assert (replay.rejected, replay.acknowledged) == (["a"], ["b"])
    assert str(replay.last_error) == "no"
    assert replay.update(SETTINGS, [create("a"), create("b")]) == []


def test_a_rejection_without_an_id_is_that_of_the_oldest_item() -> None:
    replay, _ = begun(create("a"), create("b"))
    replay.handle(error("Invalid value: the item is too long"))
    assert replay.rejected == ["a"]
    replay.handle(error("Something else"))
    assert replay.rejected == ["a"]
    assert len(replay.others) == 1


@pytest.mark.parametrize(
    "rejection",
    [
        error(event_id="replay"),
        error("session.update failed"),
        error(param="session.voice"),
    ],
)
def test_rejected_settings_end_the_replay(rejection: Any) -> None:
    replay = Replay(SETTINGS, [])
    replay.begin()
    with pytest.raises(SettingsRejected):
        replay.handle(rejection)


def test_a_later_error_about_settings_is_none_of_the_replay() -> None:
    replay, _ = begun(create("a"))
    replay.handle(error("session.update failed"))
    assert len(replay.others) == 1


def test_the_end_of_the_connection_is_remembered() -> None:
    replay = Replay(SETTINGS, [])
    replay.begin()
    assert replay.expires_at is None
    replay.handle(event_of("session.created", session={"type": "realtime", "expires_at": 1000}))
    replay.handle(updated())
    assert replay.expires_at == 1000


# --- a conversation that has gone on -------------------------------------------------------------


def test_nothing_is_sent_if_nothing_has_changed() -> None:
    replay = complete(create("a"), create("b"))
    assert replay.update(SETTINGS, [create("a"), create("b")]) == []
    assert replay.is_complete


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ("abcd", ["+d"]),
        ("ab", ["-c"]),
        ("ac", ["-b", "-c", "+c"]),
        ("aBc", ["-b", "-c", "+b", "+c"]),
        ("xabc", ["-a", "-b", "-c", "+x", "+a", "+b", "+c"]),
        ("", ["-a", "-b", "-c"]),
    ],
)
def test_items_are_created_again_from_the_first_difference_on(items: str, told: list[str]) -> None:
    replay = complete(create("a"), create("b"), create("c"))
    # A capital letter is another text.
    wanted = [create(mark.lower(), "Hello" if mark.islower() else "Changed") for mark in items]
    assert run(replay, replay.update(SETTINGS, wanted)) == told
    assert replay.is_complete
    assert replay.acknowledged == [mark.lower() for mark in items]
    assert replay.update(SETTINGS, wanted) == []


def test_settings_are_updated_before_the_items() -> None:
    replay = complete(create("a"))
    assert run(replay, replay.update(OTHER_SETTINGS, [create("b")])) == ["settings", "-a", "+b"]
    assert replay.update(None, [create("b")]) == []


def test_the_late_end_of_a_deleted_item_is_not_that_of_its_successor() -> None:
    replay = complete(create("a"))
    deletion, _creation = replay.update(SETTINGS, [create("a", "Changed")])
    assert isinstance(deletion, ConversationItemDelete)
    replay.handle(event_of("conversation.item.deleted", item_id="a"))
    replay.handle(added("a", "done"))
    assert not replay.is_complete
    replay.handle(added("a"))
    assert replay.is_complete


def test_an_item_that_cannot_be_deleted_is_gone() -> None:
    replay = complete(create("a"))
    (deletion,) = replay.update(SETTINGS, [])
    replay.handle(error("no such item", event_id=deletion.event_id))
    assert replay.is_complete
    assert (replay.acknowledged, replay.rejected) == ([], [])


def test_the_deletion_of_another_item_is_for_the_conversation() -> None:
    replay = complete(create("a"))
    replay.update(SETTINGS, [])
    replay.handle(event_of("conversation.item.deleted", item_id="b"))
    assert len(replay.others) == 1
    assert not replay.is_complete


def test_updates_use_event_ids_of_their_own() -> None:
    replay = complete(create("a"))
    events = replay.update(SETTINGS, [create("b")])
    ids = [attrs.asdict(event)["event_id"] for event in events]
    assert ids == ["replay_2", "replay_3"]


def test_an_item_that_cannot_be_sent_is_left_out_and_the_next_one_is_sent() -> None:
    replay, events = begun(*[create(f"item_{number}") for number in range(WINDOW + 1)])
    (following,) = replay.leave_out(events[0])
    assert creates([following]) == [f"item_{WINDOW}"]
    run(replay, [*events[1:], following])
    assert replay.is_complete
    assert replay.rejected == ["item_0"]
    assert "item_0" not in replay.acknowledged


def test_the_events_that_wait_for_the_connection_to_be_used_are_limited() -> None:
    replay = complete()
    for _ in range(MAX_OTHERS + 5):
        replay.handle(event_of("rate_limits.updated", rate_limits=[]))
    assert len(replay.others) == MAX_OTHERS
