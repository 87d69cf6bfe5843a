"""Hosted MCP at the local service: lists of tools, calls, consent to them, and what a brain sees."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support.harness import Frames, scripted, squeezed, the
from trio_realtime.local import (
    Call,
    HostedCall,
    HostedTool,
    Pause,
    Responder,
    RuleResponder,
    Say,
    ScriptedResponder,
    ServerConfig,
    Turn,
    TurnItem,
)
from trio_realtime.local.harness import ProtocolHarness, types_of

SERVERS: dict[str, Any] = {
    "docs": {
        "search": HostedTool(
            lambda given: f"found {given['q']}",
            description="Search the docs.",
            input_schema={"type": "object", "properties": {"q": {"type": "string"}}},
        ),
        "fetch": "a page",
    }
}
SEARCH = HostedCall("docs", "search", {"q": "trio"})
IMPORT = ["conversation.item.added", "mcp_list_tools.in_progress"]
CALLED = [
    "response.output_item.added",
    "conversation.item.added",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
    "response.mcp_call.completed",
    "conversation.item.done",
    "response.output_item.done",
]
ASKED = [
    "response.output_item.added",
    "conversation.item.added",
    "conversation.item.done",
    "response.output_item.done",
]
END = ["response.done", "rate_limits.updated"]


def docs(**declared: Any) -> dict[str, Any]:
    server = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com/mcp"}
    return {**server, **declared}


def opened(*answers: Any, approval: Any = "never", **settings: Any) -> ProtocolHarness:
    return harness_with_responder(ScriptedResponder(answers), approval, **settings)


def harness_with_responder(
    responder: Responder, approval: Any = "never", **settings: Any
) -> ProtocolHarness:
    settings = {"hosted_servers": SERVERS, **settings}
    harness = ProtocolHarness(responder=responder, **settings)
    harness.update(tools=[docs(require_approval=approval)], output_modalities=["text"])
    return harness


def decide(harness: ProtocolHarness, request_id: str, *, approve: bool, **more: Any) -> Frames:
    item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve}
    return harness.send("conversation.item.create", item={**item, **more})


def items_of(harness: ProtocolHarness, kind: str) -> Frames:
    done = harness.of_type("conversation.item.done")
    return [frame["item"] for frame in done if frame["item"]["type"] == kind]


# -- listing -------------------------------------------------------------------------------------


def test_the_tools_of_a_known_server_are_listed_and_the_item_has_them_at_the_end() -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    frames = harness.update(tools=[docs()])
    assert types_of(frames) == [
        *("session.updated", *IMPORT, "mcp_list_tools.completed", "conversation.item.done")
    ]
    assert frames[1]["item"]["tools"] == []
    item = frames[-1]["item"]
    assert item == {
        "id": frames[2]["item_id"],
        "type": "mcp_list_tools",
        "server_label": "docs",
        "tools": [
            {
                "name": "search",
                "description": "Search the docs.",
                "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
            },
            {"name": "fetch", "input_schema": {"type": "object", "properties": {}}},
        ],
    }
    (found,) = harness.send("conversation.item.retrieve", item_id=item["id"])
    assert found["item"] == item


@pytest.mark.parametrize("allowed", [["fetch", "none"], {"tool_names": ["fetch"]}])
def test_only_allowed_tools_are_listed(allowed: Any) -> None:
    frames = ProtocolHarness(hosted_servers=SERVERS).update(tools=[docs(allowed_tools=allowed)])
    assert [tool["name"] for tool in frames[-1]["item"]["tools"]] == ["fetch"]


def test_nothing_is_known_to_be_read_only() -> None:
    frames = ProtocolHarness(hosted_servers=SERVERS).update(
        tools=[docs(allowed_tools={"read_only": True})]
    )
    assert frames[-1]["item"]["tools"] == []


def test_a_server_that_cannot_be_reached_is_no_hindrance_to_the_others() -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    frames = harness.update(tools=[docs(server_label="elsewhere"), docs()])
    assert types_of(frames)[1:] == [
        *(*IMPORT, "mcp_list_tools.failed", "conversation.item.done"),
        *(*IMPORT, "mcp_list_tools.completed", "conversation.item.done"),
    ]


def test_tools_are_listed_again_only_when_the_declaration_changes() -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    harness.update(tools=[docs(authorization="s3cret")])
    assert types_of(harness.update(tools=[docs(authorization="other")])) == ["session.updated"]
    assert len(harness.update(tools=[docs(allowed_tools=["fetch"])])) == 5


def test_a_response_may_bring_a_server_of_its_own() -> None:
    harness = scripted(SEARCH, hosted_servers=SERVERS)
    frames = harness.respond(tools=[docs(require_approval="never")], output_modalities=["text"])
    assert types_of(frames)[:5] == [
        *(*IMPORT, "mcp_list_tools.completed", "conversation.item.done", "response.created")
    ]
    assert items_of(harness, "mcp_call")[0]["output"] == "found trio"


def test_a_refused_response_lists_nothing() -> None:
    harness = scripted(Pause(math.inf), hosted_servers=SERVERS)
    harness.respond()
    (error,) = harness.send("response.create", response={"tools": [docs()]})
    assert error["type"] == "error"
    assert items_of(harness, "mcp_list_tools") == []


def test_a_response_beside_the_conversation_calls_but_leaves_no_trace() -> None:
    harness = scripted(SEARCH, hosted_servers=SERVERS)
    tools = [docs(require_approval="never")]
    frames = harness.respond(conversation="none", tools=tools, output_modalities=["text"])
    assert not [kind for kind in types_of(frames) if kind.startswith("conversation.")]
    assert the(frames, "response.done")["response"]["output"][0]["output"] == "found trio"


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        ({"allowed_tools": 1}, "session.tools[0].allowed_tools"),
        ({"allowed_tools": {"names": []}}, "session.tools[0].allowed_tools.names"),
        ({"require_approval": "maybe"}, "session.tools[0].require_approval"),
        (
            {"require_approval": {"never": ["search"]}},
            "session.tools[0].require_approval.never",
        ),
    ],
)
def test_a_declaration_without_sense_is_refused(declared: dict[str, Any], path: str) -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    (frame,) = harness.update(tools=[docs(**declared)])
    assert frame["error"]["param"] == path


# -- calls ---------------------------------------------------------------------------------------


def test_a_call_streams_its_arguments_is_made_and_ends_with_the_output() -> None:
    harness = opened(SEARCH)
    frames = harness.respond()
    assert squeezed(frames) == ["response.created", *CALLED, *END]
    added, done = the(frames, "conversation.item.added"), the(frames, "conversation.item.done")
    arguments = '{"q":"trio"}'
    assert added["item"] == {
        "id": added["item"]["id"],
        "type": "mcp_call",
        "server_label": "docs",
        "name": "search",
        "arguments": "",
        "approval_request_id": None,
        "output": None,
        "error": None,
    }
    assert done["item"] == added["item"] | {"arguments": arguments, "output": "found trio"}
    assert the(frames, "response.mcp_call_arguments.done")["arguments"] == arguments
    assert the(frames, "response.done")["response"]["output"] == [done["item"]]
    assert "response_id" not in the(frames, "response.mcp_call.completed")


def test_nothing_follows_a_call_by_itself() -> None:
    harness = opened(SEARCH)
    harness.respond()
    assert harness.run(3000) == []


def test_a_call_may_stand_between_other_steps() -> None:
    harness = opened([Say("I look."), SEARCH, Call("shout"), Say("So.")])
    kinds = [item["type"] for item in the(harness.respond(), "response.done")["response"]["output"]]
    assert kinds == ["message", "mcp_call", "function_call", "message"]


def test_a_call_takes_as_long_as_its_tool_says() -> None:
    harness = opened(SEARCH, hosted_servers={"docs": {"search": HostedTool("found", seconds=3.0)}})
    harness.send("response.create")
    assert types_of(harness.run(2.9))[-1] == "response.mcp_call.in_progress"
    assert types_of(harness.run(0.2))[0] == "response.mcp_call.completed"


def raising(_given: dict[str, Any]) -> str:
    raise LookupError("no such page")


def silently_raising(_given: dict[str, Any]) -> str:
    raise LookupError


def numeric(_given: dict[str, Any]) -> Any:
    return 5


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raising, "no such page"),
        (silently_raising, "LookupError"),
        (numeric, "expected the tool to return a str, got int"),
    ],
)
def test_a_tool_that_raises_fails_its_call_and_nothing_else(answer: Any, message: str) -> None:
    harness = opened(SEARCH, hosted_servers={"docs": {"search": answer}})
    frames = harness.respond()
    assert "response.mcp_call.failed" in types_of(frames)
    assert "response.mcp_call.completed" not in types_of(frames)
    (item,) = items_of(harness, "mcp_call")
    assert item["error"] == {"type": "tool_execution_error", "message": message}
    assert item["output"] is None
    assert the(frames, "response.done")["response"]["status"] == "completed"


@pytest.mark.parametrize(
    "call",
    [
        HostedCall("elsewhere", "search"),
        HostedCall("docs", "destroy"),
        HostedCall("docs", "search", "no json"),
        HostedCall("docs", "search", "[1]"),
    ],
)
def test_what_cannot_be_called_is_a_protocol_error(call: HostedCall) -> None:
    harness = opened(call)
    harness.respond()
    (item,) = items_of(harness, "mcp_call")
    assert (item["error"]["type"], item["error"]["code"]) == ("protocol_error", -32602)


def test_a_tool_that_is_not_allowed_cannot_be_called() -> None:
    harness = opened(SEARCH)
    harness.update(tools=[docs(require_approval="never", allowed_tools=["fetch"])])
    harness.respond()
    assert items_of(harness, "mcp_call")[0]["error"]["type"] == "protocol_error"


@pytest.mark.parametrize("interleave", [False, True])
def test_a_call_that_is_cut_off_in_its_arguments_is_not_made(interleave: bool) -> None:
    made: list[Any] = []

    def search(given: dict[str, Any]) -> str:
        made.append(given)
        return "found"

    servers = {"docs": {"search": search}}
    harness = opened(SEARCH, hosted_servers=servers, pacing=1.0, interleave=interleave)
    harness.send("response.create")
    harness.run_until("response.mcp_call_arguments.delta")
    frames = harness.send("response.cancel")
    assert types_of(frames) == [
        *("response.mcp_call_arguments.done", "conversation.item.done"),
        *("response.output_item.done", "response.done"),
    ]
    (item,) = items_of(harness, "mcp_call")
    assert (item["output"], item["error"], made) == (None, None, [])


def test_a_call_that_is_cut_off_while_it_is_made_has_failed() -> None:
    servers = {"docs": {"search": HostedTool("found", seconds=math.inf)}}
    harness = opened(SEARCH, hosted_servers=servers)
    harness.send("response.create")
    harness.run(60)
    frames = harness.send("response.cancel")
    assert types_of(frames) == [
        *("response.mcp_call.failed", "conversation.item.done"),
        *("response.output_item.done", "response.done"),
    ]
    (item,) = items_of(harness, "mcp_call")
    assert item["error"]["type"] == "tool_execution_error"
    assert harness.run(600) == []


def test_a_call_counts_against_the_limit_of_tokens() -> None:
    harness = opened(HostedCall("docs", "search", {"q": "one two three four five"}))
    response = the(harness.respond(max_output_tokens=4), "response.done")["response"]
    assert response["status"] == "incomplete"
    assert items_of(harness, "mcp_call")[0]["output"] is None


# -- consent -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "name", "asks"),
    [
        ("always", "search", True),
        (None, "search", True),
        ("never", "search", False),
        ({"never": {"tool_names": ["search"]}}, "search", False),
        ({"never": {"tool_names": ["search"]}}, "fetch", True),
        ({"always": {"tool_names": ["search"]}}, "fetch", True),
        ({"always": {"tool_names": ["search"]}, "never": {}}, "search", True),
        ({"always": {"tool_names": ["search"]}, "never": {}}, "fetch", False),
        ({"never": {"read_only": True}}, "fetch", True),
        ("always", "destroy", False),
    ],
)
def test_who_is_asked_is_a_matter_of_the_declaration(policy: Any, name: str, asks: bool) -> None:
    harness = opened(HostedCall("docs", name, {"q": "trio"}), approval=policy)
    harness.respond()
    assert bool(items_of(harness, "mcp_approval_request")) == asks
    assert bool(items_of(harness, "mcp_call")) != asks


def test_a_call_that_needs_approval_is_asked_about_and_the_response_goes_on() -> None:
    harness = opened([SEARCH, Say("May I?")], approval="always")
    frames = harness.respond()
    assert squeezed(frames)[1:5] == ASKED
    (request,) = items_of(harness, "mcp_approval_request")
    assert request == {
        "id": request["id"],
        "type": "mcp_approval_request",
        "server_label": "docs",
        "name": "search",
        "arguments": '{"q":"trio"}',
    }
    kinds = [item["type"] for item in the(frames, "response.done")["response"]["output"]]
    assert kinds == ["mcp_approval_request", "message"]
    assert harness.run(600) == []


def test_the_next_response_makes_an_approved_call_and_the_one_after_speaks_of_it() -> None:
    responder = ScriptedResponder([SEARCH, Say("Found.")])
    harness = harness_with_responder(responder, "always")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    frames = decide(harness, request["id"], approve=True)
    assert types_of(frames) == ["conversation.item.added", "conversation.item.done"]
    assert squeezed(harness.respond()) == ["response.created", *CALLED, *END]
    (call,) = items_of(harness, "mcp_call")
    assert (call["approval_request_id"], call["output"]) == (request["id"], "found trio")
    assert responder.remaining == 1
    frames = harness.respond()
    assert the(frames, "response.output_text.done")["text"] == "Found."
    assert len(items_of(harness, "mcp_call")) == 1


def test_several_approved_calls_are_made_in_one_response() -> None:
    harness = opened([SEARCH, HostedCall("docs", "fetch")], approval="always")
    harness.respond()
    requests = items_of(harness, "mcp_approval_request")
    for request in reversed(requests):
        decide(harness, request["id"], approve=True)
    harness.respond()
    calls = items_of(harness, "mcp_call")
    assert [call["output"] for call in calls] == ["a page", "found trio"]


def test_a_rejected_call_is_not_made_and_the_brain_is_told() -> None:
    responder = ScriptedResponder([SEARCH, Say("As you like.")])
    harness = harness_with_responder(responder, "always")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    decide(harness, request["id"], approve=False, reason="Not today.")
    harness.respond()
    assert items_of(harness, "mcp_call") == []
    asked, decision = responder.turns[1].items[-2:]
    assert (asked.kind, asked.name, asked.server_label) == (
        *("mcp_approval_request", "search"),
        "docs",
    )
    assert (decision.kind, decision.approve, decision.text) == (
        *("mcp_approval_response", False),
        "Not today.",
    )
    assert decision.approval_request_id == asked.id


def refused_param(harness: ProtocolHarness, request_id: str) -> Any:
    (frame,) = decide(harness, request_id, approve=True)
    return frame["error"]["code"], frame["error"]["param"]


@pytest.mark.parametrize("approve", [True, False])
def test_a_request_is_decided_once(approve: bool) -> None:
    harness = opened(SEARCH, Say("Yes?"), Say("Yes?"), approval="always")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    decide(harness, request["id"], approve=approve)
    refusal = ("invalid_value", "item.approval_request_id")
    assert refused_param(harness, request["id"]) == refusal
    harness.respond()
    assert refused_param(harness, request["id"]) == refusal
    harness.respond()
    assert len(items_of(harness, "mcp_call")) == approve
    assert len(items_of(harness, "mcp_approval_response")) == 1


def test_what_nobody_asked_cannot_be_decided() -> None:
    harness = opened(Say("Hello"), SEARCH, approval="always")
    harness.respond()
    message = harness.of_type("conversation.item.done")[-1]["item"]["id"]
    for request_id in ("none", message):
        assert refused_param(harness, request_id) == ("invalid_value", "item.approval_request_id")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    harness.send("conversation.item.delete", item_id=request["id"])
    assert refused_param(harness, request["id"]) == ("invalid_value", "item.approval_request_id")


def test_a_request_beside_the_conversation_cannot_be_decided_in_it() -> None:
    harness = opened(SEARCH, approval="always")
    frames = harness.respond(conversation="none")
    (request,) = the(frames, "response.done")["response"]["output"]
    assert refused_param(harness, request["id"])[0] == "invalid_value"


def test_an_approved_call_waits_for_a_response_that_goes_on_with_the_conversation() -> None:
    harness = opened(SEARCH, Say("aside"), Say("other input"), approval="always")
    harness.respond()
    decide(harness, items_of(harness, "mcp_approval_request")[0]["id"], approve=True)
    harness.respond(conversation="none")
    harness.respond(input=[])
    assert items_of(harness, "mcp_call") == []
    harness.respond()
    assert len(items_of(harness, "mcp_call")) == 1


def test_a_response_cancelled_before_it_begins_an_approved_call_leaves_it_to_the_next() -> None:
    harness = opened(SEARCH, approval="always", latency=1.0)
    harness.send("response.create")
    harness.run(10)
    decide(harness, items_of(harness, "mcp_approval_request")[0]["id"], approve=True)
    harness.send("response.create")
    harness.send("response.cancel")
    assert items_of(harness, "mcp_call") == []
    harness.send("response.create")
    harness.run(10)
    assert items_of(harness, "mcp_call")[0]["output"] == "found trio"


# -- what a brain is told ------------------------------------------------------------------------


def test_a_brain_sees_the_tools_and_how_calls_ended() -> None:
    servers = {"docs": {"search": "found", "fetch": raising}}
    calls = [SEARCH, HostedCall("docs", "fetch"), HostedCall("docs", "search", "[]")]
    responder = ScriptedResponder([calls, Say("Well.")])
    harness = harness_with_responder(responder, hosted_servers=servers)
    harness.respond()
    harness.respond()
    turn = responder.turns[1]
    assert [(tool["server_label"], tool["name"]) for tool in turn.hosted_tools] == [
        *(("docs", "search"), ("docs", "fetch"))
    ]
    assert [(item.name, item.outcome, item.output) for item in turn.items[1:]] == [
        ("search", "completed", "found"),
        ("fetch", "failed", "no such page"),
        ("search", "failed", "The arguments are not a JSON object."),
    ]


def spoken(frames: Frames) -> str:
    text: str = the(frames, "response.output_text.done")["text"]
    return text


def test_the_rules_call_a_hosted_tool_that_is_named_and_read_out_what_came() -> None:
    harness = harness_with_responder(RuleResponder())
    harness.say("Please fetch it")
    harness.respond()
    assert items_of(harness, "mcp_call")[0]["name"] == "fetch"
    assert spoken(harness.respond()) == "a page"


def test_the_rules_speak_of_a_call_that_failed_and_of_an_empty_answer() -> None:
    harness = harness_with_responder(
        RuleResponder(), hosted_servers={"docs": {"fetch": raising, "wipe": ""}}
    )
    harness.say("Fetch it and wipe it")
    harness.respond()
    assert spoken(harness.respond()) == "no such page Done."


@pytest.mark.parametrize(
    ("reason", "answer"),
    [({}, "I may not call fetch."), ({"reason": "Ask me."}, "I may not call fetch: Ask me.")],
)
def test_the_rules_do_not_ask_again_for_what_was_rejected(
    reason: dict[str, str], answer: str
) -> None:
    harness = harness_with_responder(RuleResponder(), "always")
    harness.say("Please fetch it")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    decide(harness, request["id"], approve=False, **reason)
    assert spoken(harness.respond()) == answer


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "mcp", "server_label": "docs", "name": "fetch"}, "fetch"),
        ({"type": "mcp", "server_label": "docs"}, "search"),
        ("required", "search"),
    ],
)
def test_the_rules_keep_to_the_choice_of_a_hosted_tool(choice: Any, name: str) -> None:
    harness = harness_with_responder(RuleResponder())
    harness.say("Hello")
    harness.respond(tool_choice=choice)
    assert [call["name"] for call in items_of(harness, "mcp_call")] == [name]


def test_a_function_is_not_meant_by_the_name_of_a_hosted_tool_and_the_other_way_round() -> None:
    function = {"type": "function", "name": "fetch"}
    hosted: dict[str, Any] = {"server_label": "docs", "name": "fetch", "input_schema": {}}
    items = (TurnItem("1", "message", "user", "hi"),)
    for choice, step in [
        ({"type": "function", "name": "fetch"}, Call("fetch")),
        ({"type": "mcp", "server_label": "docs", "name": "fetch"}, HostedCall("docs", "fetch")),
    ]:
        turn = Turn(items, tools=(function,), tool_choice=choice, hosted_tools=(hosted,))
        assert list(RuleResponder().respond(turn)) == [step]


# -- the rest ------------------------------------------------------------------------------------


def test_a_plain_answer_is_a_tool() -> None:
    options = ServerConfig(hosted_servers={"docs": {"fetch": "a page"}})
    assert options.hosted_servers == {"docs": {"fetch": HostedTool("a page")}}


def test_every_event_fits_the_schema(data_dir: Path) -> None:
    path = data_dir / "realtime_events.wire.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    fetch = HostedCall("docs", "fetch")
    harness = opened(
        [SEARCH, fetch, fetch],
        Say("No?"),
        approval={"never": {"tool_names": ["search"]}},
        hosted_servers={"docs": {"search": raising, "fetch": "a page"}},
    )
    harness.update(tools=[*harness.session["tools"], docs(server_label="elsewhere")])
    harness.respond()
    first, second = items_of(harness, "mcp_approval_request")
    decide(harness, first["id"], approve=True)
    decide(harness, second["id"], approve=False, reason="Once is enough.")
    harness.respond()
    harness.respond()
    for frame in harness.frames:
        name = schema["x-event-index"]["server"][frame["type"]]
        validator: Any = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
        validator.validate(frame)
    of_mcp = {kind for kind in schema["x-event-index"]["server"] if "mcp" in kind}
    assert of_mcp <= set(types_of(harness.frames))
