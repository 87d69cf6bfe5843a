"""Hosted MCP servers: listings of tools, calls, approval, and what responders see."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support.harness import Frames, collapsed_types, only, scripted
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
LISTING = ["conversation.item.added", "mcp_list_tools.in_progress"]
CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
    "response.mcp_call.completed",
    "conversation.item.done",
    "response.output_item.done",
]
APPROVAL_REQUEST = [
    "response.output_item.added",
    "conversation.item.added",
    "conversation.item.done",
    "response.output_item.done",
]
END = ["response.done", "rate_limits.updated"]


def docs_server(**declared: Any) -> dict[str, Any]:
    server = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com/mcp"}
    return {**server, **declared}


def hosted_harness(*script: Any, approval: Any = "never", **settings: Any) -> ProtocolHarness:
    return harness_with_responder(ScriptedResponder(script), approval, **settings)


def harness_with_responder(
    responder: Responder, approval: Any = "never", **settings: Any
) -> ProtocolHarness:
    settings = {"hosted_servers": SERVERS, **settings}
    harness = ProtocolHarness(responder=responder, **settings)
    harness.update(tools=[docs_server(require_approval=approval)], output_modalities=["text"])
    return harness


def decide(harness: ProtocolHarness, request_id: str, *, approve: bool, **more: Any) -> Frames:
    item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve}
    return harness.send("conversation.item.create", item={**item, **more})


def items_of(harness: ProtocolHarness, kind: str) -> Frames:
    done = harness.of_type("conversation.item.done")
    return [frame["item"] for frame in done if frame["item"]["type"] == kind]


# -- listing -------------------------------------------------------------------------------------


def test_the_tools_of_a_reachable_server_are_listed() -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    frames = harness.update(tools=[docs_server()])
    assert types_of(frames) == [
        *("session.updated", *LISTING, "mcp_list_tools.completed", "conversation.item.done")
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
    frames = ProtocolHarness(hosted_servers=SERVERS).update(
        tools=[docs_server(allowed_tools=allowed)]
    )
    assert [tool["name"] for tool in frames[-1]["item"]["tools"]] == ["fetch"]


def test_no_tool_is_read_only() -> None:
    frames = ProtocolHarness(hosted_servers=SERVERS).update(
        tools=[docs_server(allowed_tools={"read_only": True})]
    )
    assert frames[-1]["item"]["tools"] == []


def test_an_unreachable_server_does_not_affect_the_others() -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    frames = harness.update(tools=[docs_server(server_label="elsewhere"), docs_server()])
    assert types_of(frames)[1:] == [
        *(*LISTING, "mcp_list_tools.failed", "conversation.item.done"),
        *(*LISTING, "mcp_list_tools.completed", "conversation.item.done"),
    ]


def test_tools_are_listed_again_only_when_the_declaration_changes() -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    harness.update(tools=[docs_server(authorization="s3cret")])
    assert types_of(harness.update(tools=[docs_server(authorization="other")])) == [
        "session.updated"
    ]
    assert len(harness.update(tools=[docs_server(allowed_tools=["fetch"])])) == 5


def test_a_response_can_declare_a_server() -> None:
    harness = scripted(SEARCH, hosted_servers=SERVERS)
    frames = harness.respond(
        tools=[docs_server(require_approval="never")], output_modalities=["text"]
    )
    assert types_of(frames)[:5] == [
        *(*LISTING, "mcp_list_tools.completed", "conversation.item.done", "response.created")
    ]
    assert items_of(harness, "mcp_call")[0]["output"] == "found trio"


def test_a_rejected_response_lists_no_tools() -> None:
    harness = scripted(Pause(math.inf), hosted_servers=SERVERS)
    harness.respond()
    (error,) = harness.send("response.create", response={"tools": [docs_server()]})
    assert error["type"] == "error"
    assert items_of(harness, "mcp_list_tools") == []


def test_an_out_of_band_response_calls_tools_outside_of_the_conversation() -> None:
    harness = scripted(SEARCH, hosted_servers=SERVERS)
    tools = [docs_server(require_approval="never")]
    frames = harness.respond(conversation="none", tools=tools, output_modalities=["text"])
    assert not [kind for kind in types_of(frames) if kind.startswith("conversation.")]
    assert only(frames, "response.done")["response"]["output"][0]["output"] == "found trio"


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
def test_an_invalid_declaration_is_rejected(declared: dict[str, Any], path: str) -> None:
    harness = ProtocolHarness(hosted_servers=SERVERS)
    (frame,) = harness.update(tools=[docs_server(**declared)])
    assert frame["error"]["param"] == path


# -- calls ---------------------------------------------------------------------------------------


def test_a_call_streams_its_arguments_and_ends_with_its_output() -> None:
    harness = hosted_harness(SEARCH)
    frames = harness.respond()
    assert collapsed_types(frames) == ["response.created", *CALL, *END]
    added, done = only(frames, "conversation.item.added"), only(frames, "conversation.item.done")
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
    assert only(frames, "response.mcp_call_arguments.done")["arguments"] == arguments
    assert only(frames, "response.done")["response"]["output"] == [done["item"]]
    assert "response_id" not in only(frames, "response.mcp_call.completed")


def test_no_response_follows_a_call_automatically() -> None:
    harness = hosted_harness(SEARCH)
    harness.respond()
    assert harness.run(3000) == []


def test_a_call_can_be_between_other_steps() -> None:
    harness = hosted_harness([Say("I look."), SEARCH, Call("shout"), Say("So.")])
    kinds = [
        item["type"] for item in only(harness.respond(), "response.done")["response"]["output"]
    ]
    assert kinds == ["message", "mcp_call", "function_call", "message"]


def test_a_call_lasts_as_long_as_its_tool_says() -> None:
    harness = hosted_harness(
        SEARCH, hosted_servers={"docs": {"search": HostedTool("found", seconds=3.0)}}
    )
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
    ("output", "message"),
    [
        (raising, "no such page"),
        (silently_raising, "LookupError"),
        (numeric, "expected the tool to return a str, got int"),
    ],
)
def test_an_exception_of_a_tool_fails_only_its_call(output: Any, message: str) -> None:
    harness = hosted_harness(SEARCH, hosted_servers={"docs": {"search": output}})
    frames = harness.respond()
    assert "response.mcp_call.failed" in types_of(frames)
    assert "response.mcp_call.completed" not in types_of(frames)
    (item,) = items_of(harness, "mcp_call")
    assert item["error"] == {"type": "tool_execution_error", "message": message}
    assert item["output"] is None
    assert only(frames, "response.done")["response"]["status"] == "completed"


@pytest.mark.parametrize(
    "call",
    [
        HostedCall("elsewhere", "search"),
        HostedCall("docs", "destroy"),
        HostedCall("docs", "search", "no json"),
        HostedCall("docs", "search", "[1]"),
    ],
)
def test_an_impossible_call_is_a_protocol_error(call: HostedCall) -> None:
    harness = hosted_harness(call)
    harness.respond()
    (item,) = items_of(harness, "mcp_call")
    assert (item["error"]["type"], item["error"]["code"]) == ("protocol_error", -32602)


def test_a_tool_that_is_not_allowed_cannot_be_called() -> None:
    harness = hosted_harness(SEARCH)
    harness.update(tools=[docs_server(require_approval="never", allowed_tools=["fetch"])])
    harness.respond()
    assert items_of(harness, "mcp_call")[0]["error"]["type"] == "protocol_error"


@pytest.mark.parametrize("interleave", [False, True])
def test_a_call_cancelled_in_its_arguments_is_not_made(interleave: bool) -> None:
    made: list[Any] = []

    def search(given: dict[str, Any]) -> str:
        made.append(given)
        return "found"

    servers = {"docs": {"search": search}}
    harness = hosted_harness(SEARCH, hosted_servers=servers, pacing=1.0, interleave=interleave)
    harness.send("response.create")
    harness.run_until("response.mcp_call_arguments.delta")
    frames = harness.send("response.cancel")
    assert types_of(frames) == [
        *("response.mcp_call_arguments.done", "conversation.item.done"),
        *("response.output_item.done", "response.done"),
    ]
    (item,) = items_of(harness, "mcp_call")
    assert (item["output"], item["error"], made) == (None, None, [])


def test_a_call_cancelled_while_it_runs_has_failed() -> None:
    servers = {"docs": {"search": HostedTool("found", seconds=math.inf)}}
    harness = hosted_harness(SEARCH, hosted_servers=servers)
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


def test_a_call_counts_against_the_token_limit() -> None:
    harness = hosted_harness(HostedCall("docs", "search", {"q": "one two three four five"}))
    response = only(harness.respond(max_output_tokens=4), "response.done")["response"]
    assert response["status"] == "incomplete"
    assert items_of(harness, "mcp_call")[0]["output"] is None


# -- approval -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "name", "needs_approval"),
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
def test_the_declaration_decides_which_calls_need_approval(
    policy: Any, name: str, needs_approval: bool
) -> None:
    harness = hosted_harness(HostedCall("docs", name, {"q": "trio"}), approval=policy)
    harness.respond()
    assert bool(items_of(harness, "mcp_approval_request")) == needs_approval
    assert bool(items_of(harness, "mcp_call")) != needs_approval


def test_a_call_that_needs_approval_requests_it_and_the_response_continues() -> None:
    harness = hosted_harness([SEARCH, Say("May I?")], approval="always")
    frames = harness.respond()
    assert collapsed_types(frames)[1:5] == APPROVAL_REQUEST
    (request,) = items_of(harness, "mcp_approval_request")
    assert request == {
        "id": request["id"],
        "type": "mcp_approval_request",
        "server_label": "docs",
        "name": "search",
        "arguments": '{"q":"trio"}',
    }
    kinds = [item["type"] for item in only(frames, "response.done")["response"]["output"]]
    assert kinds == ["mcp_approval_request", "message"]
    assert harness.run(600) == []


def test_the_next_response_makes_an_approved_call() -> None:
    responder = ScriptedResponder([SEARCH, Say("Found.")])
    harness = harness_with_responder(responder, "always")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    frames = decide(harness, request["id"], approve=True)
    assert types_of(frames) == ["conversation.item.added", "conversation.item.done"]
    assert collapsed_types(harness.respond()) == ["response.created", *CALL, *END]
    (call,) = items_of(harness, "mcp_call")
    assert (call["approval_request_id"], call["output"]) == (request["id"], "found trio")
    assert responder.remaining == 1
    frames = harness.respond()
    assert only(frames, "response.output_text.done")["text"] == "Found."
    assert len(items_of(harness, "mcp_call")) == 1


def test_several_approved_calls_are_made_in_one_response() -> None:
    harness = hosted_harness([SEARCH, HostedCall("docs", "fetch")], approval="always")
    harness.respond()
    requests = items_of(harness, "mcp_approval_request")
    for request in reversed(requests):
        decide(harness, request["id"], approve=True)
    harness.respond()
    calls = items_of(harness, "mcp_call")
    assert [call["output"] for call in calls] == ["a page", "found trio"]


def test_a_rejected_call_is_not_made_and_the_responder_sees_the_decision() -> None:
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


def rejection(harness: ProtocolHarness, request_id: str) -> Any:
    (frame,) = decide(harness, request_id, approve=True)
    return frame["error"]["code"], frame["error"]["param"]


@pytest.mark.parametrize("approve", [True, False])
def test_a_request_can_be_decided_once(approve: bool) -> None:
    harness = hosted_harness(SEARCH, Say("Yes?"), Say("Yes?"), approval="always")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    decide(harness, request["id"], approve=approve)
    expected = ("invalid_value", "item.approval_request_id")
    assert rejection(harness, request["id"]) == expected
    harness.respond()
    assert rejection(harness, request["id"]) == expected
    harness.respond()
    assert len(items_of(harness, "mcp_call")) == approve
    assert len(items_of(harness, "mcp_approval_response")) == 1


def test_only_pending_requests_can_be_decided() -> None:
    harness = hosted_harness(Say("Hello"), SEARCH, approval="always")
    harness.respond()
    message = harness.of_type("conversation.item.done")[-1]["item"]["id"]
    for request_id in ("none", message):
        assert rejection(harness, request_id) == ("invalid_value", "item.approval_request_id")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    harness.send("conversation.item.delete", item_id=request["id"])
    assert rejection(harness, request["id"]) == ("invalid_value", "item.approval_request_id")


def test_an_out_of_band_request_cannot_be_decided_in_the_conversation() -> None:
    harness = hosted_harness(SEARCH, approval="always")
    frames = harness.respond(conversation="none")
    (request,) = only(frames, "response.done")["response"]["output"]
    assert rejection(harness, request["id"])[0] == "invalid_value"


def test_an_approved_call_waits_for_a_response_that_continues_the_conversation() -> None:
    harness = hosted_harness(SEARCH, Say("aside"), Say("other input"), approval="always")
    harness.respond()
    decide(harness, items_of(harness, "mcp_approval_request")[0]["id"], approve=True)
    harness.respond(conversation="none")
    harness.respond(input=[])
    assert items_of(harness, "mcp_call") == []
    harness.respond()
    assert len(items_of(harness, "mcp_call")) == 1


def test_a_response_cancelled_before_an_approved_call_leaves_the_call_to_the_next() -> None:
    harness = hosted_harness(SEARCH, approval="always", latency=1.0)
    harness.send("response.create")
    harness.run(10)
    decide(harness, items_of(harness, "mcp_approval_request")[0]["id"], approve=True)
    harness.send("response.create")
    harness.send("response.cancel")
    assert items_of(harness, "mcp_call") == []
    harness.send("response.create")
    harness.run(10)
    assert items_of(harness, "mcp_call")[0]["output"] == "found trio"


# -- responders -----------------------------------------------------------------------------------


def test_the_responder_sees_the_tools_and_the_outcomes_of_calls() -> None:
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


def response_text(frames: Frames) -> str:
    text: str = only(frames, "response.output_text.done")["text"]
    return text


def test_the_rules_call_a_named_hosted_tool_and_read_out_its_output() -> None:
    harness = harness_with_responder(RuleResponder())
    harness.say("Please fetch it")
    harness.respond()
    assert items_of(harness, "mcp_call")[0]["name"] == "fetch"
    assert response_text(harness.respond()) == "a page"


def test_the_rules_read_out_failures_and_empty_outputs() -> None:
    harness = harness_with_responder(
        RuleResponder(), hosted_servers={"docs": {"fetch": raising, "wipe": ""}}
    )
    harness.say("Fetch it and wipe it")
    harness.respond()
    assert response_text(harness.respond()) == "no such page Done."


@pytest.mark.parametrize(
    ("reason", "text"),
    [({}, "I may not call fetch."), ({"reason": "Ask me."}, "I may not call fetch: Ask me.")],
)
def test_the_rules_do_not_repeat_a_rejected_call(reason: dict[str, str], text: str) -> None:
    harness = harness_with_responder(RuleResponder(), "always")
    harness.say("Please fetch it")
    harness.respond()
    (request,) = items_of(harness, "mcp_approval_request")
    decide(harness, request["id"], approve=False, **reason)
    assert response_text(harness.respond()) == text


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "mcp", "server_label": "docs", "name": "fetch"}, "fetch"),
        ({"type": "mcp", "server_label": "docs"}, "search"),
        ("required", "search"),
    ],
)
def test_the_rules_respect_the_choice_of_a_hosted_tool(choice: Any, name: str) -> None:
    harness = harness_with_responder(RuleResponder())
    harness.say("Hello")
    harness.respond(tool_choice=choice)
    assert [call["name"] for call in items_of(harness, "mcp_call")] == [name]


def test_tool_choice_distinguishes_functions_and_hosted_tools() -> None:
    function = {"type": "function", "name": "fetch"}
    hosted: dict[str, Any] = {"server_label": "docs", "name": "fetch", "input_schema": {}}
    items = (TurnItem("1", "message", "user", "hi"),)
    for choice, step in [
        ({"type": "function", "name": "fetch"}, Call("fetch")),
        ({"type": "mcp", "server_label": "docs", "name": "fetch"}, HostedCall("docs", "fetch")),
    ]:
        turn = Turn(items, tools=(function,), tool_choice=choice, hosted_tools=(hosted,))
        assert list(RuleResponder().respond(turn)) == [step]


# -- configuration and schema ---------------------------------------------------------------------


def test_a_plain_output_is_a_tool() -> None:
    options = ServerConfig(hosted_servers={"docs": {"fetch": "a page"}})
    assert options.hosted_servers == {"docs": {"fetch": HostedTool("a page")}}


def test_every_event_matches_the_schema(data_dir: Path) -> None:
    path = data_dir / "realtime_events.wire.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    fetch = HostedCall("docs", "fetch")
    harness = hosted_harness(
        [SEARCH, fetch, fetch],
        Say("No?"),
        approval={"never": {"tool_names": ["search"]}},
        hosted_servers={"docs": {"search": raising, "fetch": "a page"}},
    )
    harness.update(tools=[*harness.session["tools"], docs_server(server_label="elsewhere")])
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
