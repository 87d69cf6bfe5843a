"""Texts, transcripts, arguments and calls are delivered once, whichever events contain them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from support.core import CoreScenario, effects_of, started_calls
from trio_realtime import events as ev
from trio_realtime.core import (
    CheckReply,
    Conversation,
    Effect,
    ResolveRequest,
    ResponseOutcome,
    StartCall,
)
from trio_realtime.items import FunctionCallItem, item_text
from trio_realtime.wire import (
    MessageItem,
    OutputAudio,
    OutputText,
    ResponseParams,
    structure_server_event,
)

IN_PART = {"response_id": "r1", "item_id": "m1", "output_index": 0, "content_index": 0}
TEXT = "Hello, world"


def message(text: str | None, kind: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": f"output_{kind}", "text" if kind == "text" else "transcript": text}
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [] if text is None else [part],
    }


def delta_event(kind: str, delta: str) -> dict[str, Any]:
    tag = "output_text" if kind == "text" else "output_audio_transcript"
    return {"type": f"response.{tag}.delta", "delta": delta, **IN_PART}


def final_events(kind: str, text: str) -> dict[str, dict[str, Any]]:
    """The events that contain a complete text, by name."""
    tag, key = (
        ("output_text", "text") if kind == "text" else ("output_audio_transcript", "transcript")
    )
    return {
        "text done": {"type": f"response.{tag}.done", key: text, **IN_PART},
        "part done": {
            "type": "response.content_part.done",
            "part": {"type": kind, key: text},
            **IN_PART,
        },
        "item done": {
            "type": "response.output_item.done",
            "response_id": "r1",
            "item": message(text, kind),
        },
    }


def words(effects: Iterable[Effect]) -> str:
    return "".join(e.delta for e in effects if isinstance(e, ev.TextDelta | ev.TranscriptDelta))


def run(scenario: CoreScenario, frames: Sequence[dict[str, Any]], output: Any) -> list[Effect]:
    """Run a response of a request that waits, with these frames between its beginning and its end."""
    _, create = scenario.request()
    effects = scenario.response_created("r1", create)
    for frame in frames:
        effects += scenario.core.receive(structure_server_event(dict(frame)), scenario.now)
    return [*effects, *scenario.response_done("r1", create, output=output)]


NAMES = ("text done", "part done", "item done", "response done")
SUBSETS = [names for size in range(1, 5) for names in combinations(NAMES, size)]


@pytest.mark.parametrize("kind", ["text", "audio"])
@pytest.mark.parametrize("deltas", [(), ("Hello",), ("Hello", ", world")])
@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_a_text_is_delivered_once_whichever_events_contain_it(
    names: tuple[str, ...], deltas: tuple[str, ...], kind: str
) -> None:
    scenario = CoreScenario()
    finals = final_events(kind, TEXT)
    frames = [delta_event(kind, delta) for delta in deltas]
    frames += [finals[name] for name in names if name in finals]

    effects = run(scenario, frames, [message(TEXT, kind)] if "response done" in names else [])

    assert words(effects) == TEXT
    assert {type(e) for e in effects if isinstance(e, ev.TextDelta | ev.TranscriptDelta)} == {
        ev.TextDelta if kind == "text" else ev.TranscriptDelta
    }
    (resolved,) = effects_of(effects, ResolveRequest)
    assert isinstance(resolved.outcome, ResponseOutcome)
    assert resolved.outcome.text == TEXT
    (item,) = scenario.core.history.snapshot()
    part = OutputText(text=TEXT) if kind == "text" else OutputAudio(transcript=TEXT)
    assert item == MessageItem(id="m1", role="assistant", status="completed", content=(part,))
    (end,) = effects_of(effects, ev.ResponseEnd)
    assert effects.index(end) > max(
        effects.index(e) for e in effects if isinstance(e, ev.TextDelta | ev.TranscriptDelta)
    )


def test_a_complete_text_that_contradicts_the_deltas_is_in_the_history_only() -> None:
    scenario = CoreScenario()
    frames = [delta_event("text", " hello "), *final_events("text", "hello").values()]
    effects = run(scenario, frames, [message("hello", "text")])
    assert words(effects) == " hello "
    (item,) = scenario.core.history.snapshot()
    assert item_text(item) == "hello"


def test_deltas_that_count_the_parts_otherwise_are_not_repeated() -> None:
    """xAI has the index 0 for every part; others count a part of another type before it."""
    scenario = CoreScenario()
    item = message(TEXT, "audio")
    item["content"].insert(0, {"type": "reasoning"})
    frames = [delta_event("audio", TEXT)]
    effects = run(scenario, frames, [item])
    assert words(effects) == TEXT


def test_the_missing_rest_of_an_item_is_spread_over_its_parts() -> None:
    scenario = CoreScenario()
    item = message("one", "text")
    item["content"].append({"type": "output_text", "text": "two"})
    effects = run(scenario, [delta_event("text", "o")], [item])
    deltas = [(e.content_index, e.delta) for e in effects_of(effects, ev.TextDelta)]
    assert deltas == [(0, "o"), (0, "ne"), (1, "two")]


def test_a_part_without_deltas_is_delivered_although_a_later_part_has_some() -> None:
    scenario = CoreScenario()
    item = message("one", "text")
    item["content"].append({"type": "output_text", "text": "two"})
    later = {**delta_event("text", "t"), "content_index": 1}
    effects = run(scenario, [later], [item])
    deltas = [(e.content_index, e.delta) for e in effects_of(effects, ev.TextDelta)]
    assert deltas == [(1, "t"), (0, "one"), (1, "wo")]


def test_parts_that_are_complete_in_another_order_are_in_order_in_the_history() -> None:
    scenario = CoreScenario()
    second = {**final_events("text", "two")["text done"], "content_index": 1}
    run(scenario, [second, final_events("text", "one")["text done"]], [])
    (item,) = scenario.core.history.snapshot()
    assert isinstance(item, MessageItem)
    assert item.content == (OutputText(text="one"), OutputText(text="two"))


def test_an_out_of_band_text_is_only_in_the_outcome() -> None:
    scenario = CoreScenario()
    _, create = scenario.request(ResponseParams(conversation="none"))
    scenario.response_created("r1", create, conversation_id=None)
    effects: list[Effect] = []
    for frame in final_events("text", TEXT).values():
        effects += scenario.core.receive(structure_server_event(frame), 0.0)
    effects += scenario.response_done("r1", create, conversation_id=None)
    assert words(effects) == ""
    (resolved,) = effects_of(effects, ResolveRequest)
    assert isinstance(resolved.outcome, ResponseOutcome)
    assert resolved.outcome.text == TEXT
    assert scenario.core.history.snapshot() == ()


def test_a_guardrail_checks_a_text_without_deltas() -> None:
    core = Conversation("agent", guardrail_debounce=5)
    effects: list[Effect] = []
    for frame in (
        {"type": "response.created", "response": {"id": "r1"}},
        final_events("text", TEXT)["text done"],
        {"type": "response.done", "response": {"id": "r1", "status": "completed"}},
    ):
        effects += core.handle(structure_server_event(frame), 0.0)
    assert [check.text for check in effects_of(effects, CheckReply)] == [TEXT]


def test_an_item_that_was_deleted_does_not_return() -> None:
    scenario = CoreScenario()
    deleted = {"type": "conversation.item.deleted", "item_id": "m1"}
    added = {"type": "conversation.item.added", "item": message(None, "text", "in_progress")}
    run(scenario, [added, delta_event("text", "Hello"), deleted], [message(TEXT, "text")])
    assert scenario.core.history.snapshot() == ()


@given(
    pieces=st.lists(st.text(st.sampled_from("ab"), max_size=3), max_size=5),
    names=st.lists(st.sampled_from(NAMES[:3]), max_size=4),
    text=st.text(st.sampled_from("ab"), max_size=8),
)
@settings(deadline=None)
def test_no_word_is_delivered_twice(pieces: list[str], names: list[str], text: str) -> None:
    """What was delivered is the deltas, or the complete text if it continues them."""
    scenario = CoreScenario()
    frames = [delta_event("text", piece) for piece in pieces]
    frames += [final_events("text", text)[name] for name in names]
    delivered = words(run(scenario, frames, [message(text, "text")]))
    sent = "".join(pieces)
    assert delivered == (text if text.startswith(sent) else sent)


# --- function calls -------------------------------------------------------------------------------

ARGUMENTS = '{"city": "Oslo"}'


def call_item(arguments: str = ARGUMENTS, status: str | None = "completed") -> dict[str, Any]:
    return {
        "id": "f1",
        "type": "function_call",
        "status": status,
        "name": "look_up",
        "call_id": "call_1",
        "arguments": arguments,
    }


def item_added(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "response_id": "r1", "item": item}


def item_done(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "response_id": "r1", "item": item}


ARGUMENTS_DONE = {
    "type": "response.function_call_arguments.done",
    "response_id": "r1",
    "item_id": "f1",
    "call_id": "call_1",
    "name": "look_up",
    "arguments": ARGUMENTS,
}
WITHOUT_NAME = {key: value for key, value in ARGUMENTS_DONE.items() if key != "name"}
ARGUMENTS_DELTA = {
    "type": "response.function_call_arguments.delta",
    "response_id": "r1",
    "item_id": "f1",
    "call_id": "call_1",
    "delta": ARGUMENTS,
}


@pytest.mark.parametrize(
    ("frames", "output"),
    [
        ([item_done(call_item())], []),
        ([], [call_item()]),
        ([item_done(call_item())], [call_item()]),
        ([ARGUMENTS_DONE], []),
        ([item_added(call_item("", status="in_progress")), WITHOUT_NAME], []),
        ([ARGUMENTS_DONE], [call_item()]),
        ([ARGUMENTS_DONE, item_done(call_item())], [call_item()]),
        ([ARGUMENTS_DONE, item_done(call_item(""))], []),
        ([ARGUMENTS_DELTA, item_done(call_item(""))], []),
        ([item_done(call_item(""))], [call_item()]),
        ([item_done(call_item(status="in_progress"))], []),
        ([item_done(call_item(status="finished"))], [call_item(status="finished")]),
        ([item_done(call_item(status=None))], [call_item()]),
        ([], [call_item(status="in_progress")]),
    ],
)
def test_a_call_runs_once_with_its_arguments(
    frames: list[dict[str, Any]], output: list[dict[str, Any]]
) -> None:
    scenario = CoreScenario()
    effects = run(scenario, frames, output)
    assert started_calls(effects) == ["call_1"]
    (end,) = effects_of(effects, ev.ResponseEnd)
    assert end.tool_calls == 1
    assert effects_of(effects, ev.Error) == []
    (item,) = scenario.core.history.snapshot()
    assert isinstance(item, FunctionCallItem)
    assert (item.name, item.arguments) == ("look_up", ARGUMENTS)


@pytest.mark.parametrize("deltas", [[], [ARGUMENTS_DELTA]])
def test_arguments_are_delivered_once(deltas: list[dict[str, Any]]) -> None:
    effects = run(CoreScenario(), [*deltas, ARGUMENTS_DONE], [call_item()])
    assert [e.delta for e in effects_of(effects, ev.ToolArgumentsDelta)] == [ARGUMENTS]


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_a_call_of_a_response_that_did_not_complete_runs_only_if_it_is_complete(
    status: str,
) -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.core.receive(structure_server_event(ARGUMENTS_DONE), 0.0)
    done = scenario.response_done(
        "r1", status=status, output=[call_item('{"ci', status="incomplete")]
    )
    assert started_calls(done) == []


def test_a_call_whose_arguments_never_arrive_runs_at_the_end_of_the_response() -> None:
    effects = run(CoreScenario(), [item_done(call_item(""))], [])
    assert started_calls(effects) == ["call_1"]


NAMELESS = {key: value for key, value in ARGUMENTS_DONE.items() if key != "name"}
"""The event as older versions of the service send it: only the item has the name."""


@pytest.mark.parametrize("output", [[], [call_item()]])
@pytest.mark.parametrize("item_id", ["f1", ""])
@pytest.mark.parametrize(
    "frames",
    [
        (NAMELESS, item_done(call_item())),
        (item_done(call_item()), NAMELESS),
        (NAMELESS, item_done(call_item(""))),
        (item_done(call_item("")), NAMELESS),
    ],
)
def test_arguments_without_a_name_are_no_second_call(
    frames: Sequence[dict[str, Any]], item_id: str, output: list[dict[str, Any]]
) -> None:
    scenario = CoreScenario()
    frames = [frame if "item" in frame else {**frame, "item_id": item_id} for frame in frames]
    effects = run(scenario, frames, output)
    (start,) = effects_of(effects, StartCall)
    assert (start.call.name, start.call.arguments) == ("look_up", ARGUMENTS)
    assert effects_of(effects, ev.Error) == []
    (item,) = scenario.core.history.snapshot()
    assert isinstance(item, FunctionCallItem)
    assert item.name == "look_up"


@pytest.mark.parametrize("arguments", ["", ARGUMENTS])
def test_calls_whose_items_have_no_ids_all_run(arguments: str) -> None:
    calls = [{**call_item(arguments), "id": None, "call_id": f"call_{n}"} for n in range(3)]
    effects = run(CoreScenario(), [item_done(call) for call in calls], [])
    assert started_calls(effects) == ["call_0", "call_1", "call_2"]


def test_arguments_of_calls_whose_items_have_no_ids_stay_apart() -> None:
    calls = [{**call_item(""), "id": None, "call_id": f"call_{n}"} for n in range(2)]
    frames = [
        {**ARGUMENTS_DELTA, "item_id": "", "call_id": call["call_id"], "delta": f"[{n}]"}
        for n, call in enumerate(calls)
    ]
    effects = run(CoreScenario(), frames, calls)
    assert [s.call.arguments for s in effects_of(effects, StartCall)] == ["[0]", "[1]"]
