"""An interruption of audio that came over an earlier connection."""

from __future__ import annotations

import pytest

from support.core import ONE_SECOND, CoreScenario, effects_of
from trio_realtime import events as ev
from trio_realtime.core import ConnectionLost, ConnectionRestored
from trio_realtime.items import item_text
from trio_realtime.wire import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    MessageItem,
    OutputText,
    Session,
    SessionUpdated,
)


def scenario_with_playing_reply() -> CoreScenario:
    """Return a conversation whose complete reply of two seconds still plays."""
    scenario = CoreScenario()
    scenario.core.update_settings(Session(instructions="Be brief."))
    scenario.receive("session.updated", session={"instructions": "Be brief."})
    _, create = scenario.request()
    scenario.response_created("r1", create)
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": []}
    scenario.receive("conversation.item.added", previous_item_id=None, item=item)
    scenario.audio("r1", "item_1", 2 * ONE_SECOND)
    scenario.receive(
        "response.output_audio_transcript.delta",
        response_id="r1",
        item_id="item_1",
        output_index=0,
        content_index=0,
        delta="one two three four",
    )
    scenario.response_done("r1", create)
    return scenario


def reconnect(scenario: CoreScenario) -> None:
    core = scenario.core
    core.handle(ConnectionLost(), scenario.now)
    replay = core.replay()
    replay.begin()
    events = [*replay.handle(SessionUpdated(session=Session(instructions="Be brief.")))]
    for event in events:
        assert isinstance(event, ConversationItemCreate)
        replay.handle(ConversationItemAdded(item=event.item))
    assert replay.is_complete
    core.handle(ConnectionRestored(replay=replay), scenario.now)


def test_audio_of_a_complete_reply_goes_on_after_the_loss_of_its_connection() -> None:
    scenario = scenario_with_playing_reply()
    effects = scenario.core.handle(ConnectionLost(), scenario.now)
    assert not effects_of(effects, ev.AudioInterrupted)
    assert scenario.core.playback.finishes_at(scenario.now) == pytest.approx(scenario.now + 2)


def test_the_service_gets_the_text_that_was_heard_instead_of_a_truncation() -> None:
    scenario = scenario_with_playing_reply()
    reconnect(scenario)
    scenario.now += 1.0
    effects = scenario.core.interrupt(scenario.now)
    assert len(effects_of(effects, ev.AudioInterrupted)) == 1
    assert not effects_of(effects, ConversationItemTruncate)
    (deletion,) = effects_of(effects, ConversationItemDelete)
    (creation,) = effects_of(effects, ConversationItemCreate)
    assert deletion.item_id == creation.item.id == "item_1"
    assert isinstance(creation.item, MessageItem)
    assert creation.item.content == (OutputText(text="one two three"),)


def test_an_interruption_while_there_is_no_connection_changes_what_the_next_one_is_told() -> None:
    scenario = scenario_with_playing_reply()
    scenario.core.handle(ConnectionLost(), scenario.now)
    scenario.now += 1.0
    effects = scenario.core.interrupt(scenario.now)
    assert effects_of(effects, ConversationItemDelete) == []
    (create,) = scenario.core._items_to_replay()
    assert item_text(create.item) == "one two three"
