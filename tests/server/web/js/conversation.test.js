import assert from "node:assert/strict";
import test from "node:test";

import { Conversation } from "../static/conversation.js";
import { cutText } from "../static/cut-text.js";
import { endReason, noticeOf } from "../static/notices.js";

/** @returns {Conversation} */
function conversation(...events) {
  const result = new Conversation("Support");
  for (const [type, data] of events) result.apply({ type, data });
  return result;
}

const ITEM = { item_id: "a", content_index: 0 };
const CALL = { call_id: "c", tool_name: "book", tool: "book", arguments: '{"n":1}' };

function message(id, role, content, status = "completed") {
  return { type: "message", id, role, status, content };
}

test("deltas are appended, and an equal text of the history changes nothing", () => {
  const { entries } = conversation(
    ["realtime_history_added", { item: message("a", "assistant", [], "in_progress") }],
    ["realtime_transcript_delta", { ...ITEM, delta: "You" }],
    ["realtime_history_updated", { item: message("a", "assistant", [{ type: "output_audio", transcript: "You said" }], "in_progress") }],
    ["realtime_transcript_delta", { ...ITEM, delta: " said" }],
    ["realtime_transcript_delta", { ...ITEM, delta: " hi" }],
  );
  assert.equal(entries.length, 1);
  assert.equal(entries[0].text, "You said hi");
  assert.equal(entries[0].speaker, "Support");
  assert.equal(entries[0].state, "growing");
});

test("a call that the model did not finish writing is cancelled", () => {
  const c = conversation(["realtime_tool_arguments_delta", { ...CALL, delta: '{"n"' }]);
  c.apply({ type: "realtime_response_end", data: { status: "completed" } });
  assert.equal(c.entries[0].state, "writing");
  c.apply({ type: "realtime_response_end", data: { status: "cancelled" } });
  assert.equal(c.entries[0].state, "cancelled");
});

test("a complete item is done", () => {
  const { entries } = conversation(
    ["realtime_text_delta", { ...ITEM, delta: "He" }],
    ["realtime_history_updated", { item: message("a", "assistant", [{ type: "output_text", text: "Hello" }]) }],
  );
  assert.deepEqual([entries[0].text, entries[0].state], ["Hello", "done"]);
});

test("speech is shown at once, and gets its transcript when it arrives", () => {
  const c = conversation(["realtime_speech_started", { item_id: "u", audio_start_ms: 0 }]);
  assert.equal(c.entries[0].state, "listening");
  c.apply({ type: "realtime_speech_stopped", data: { item_id: "u" } });
  c.apply({ type: "realtime_history_added", data: { item: message("a", "assistant", [], "in_progress"), previous_item_id: "u" } });
  c.apply({ type: "realtime_user_transcript_delta", data: { item_id: "u", content_index: 0, delta: "Hel" } });
  assert.equal(c.entries[0].text, "Hel");
  c.apply({ type: "realtime_user_transcript", data: { item_id: "u", content_index: 0, transcript: "Hello" } });
  assert.deepEqual(c.entries.map(({ itemId, text }) => [itemId, text]), [["u", "Hello"], ["a", ""]]);
  assert.equal(c.entries[0].state, "done");
});

test("items have the order of the history", () => {
  const { entries } = conversation(
    ["realtime_transcript_delta", { ...ITEM, delta: "Answer" }],
    ["realtime_history_added", { item: message("u", "user", [{ type: "input_text", text: "Question" }]) }],
    ["realtime_history_added", { item: message("a", "assistant", [], "in_progress"), previous_item_id: "u" }],
  );
  assert.deepEqual(entries.map(({ itemId }) => itemId), ["u", "a"]);
});

test("what was not heard of an interrupted item is marked", () => {
  const c = conversation(
    ["realtime_transcript_delta", { ...ITEM, delta: "one two three four" }],
    ["realtime_audio", { ...ITEM, delta_ms: 1000 }],
    ["realtime_audio_interrupted", { ...ITEM, played_ms: 500 }],
  );
  assert.equal(c.entries[0].unheard, "three four");
  assert.equal(c.entries[0].state, "interrupted");
  c.interrupted("a", 800); // the position of the loudspeaker is exact
  assert.equal(c.entries[0].unheard, "four");
  c.apply({ type: "realtime_history_updated", data: { item: message("a", "assistant", [{ type: "output_audio", transcript: "one two three four", heard_ms: 500 }], "incomplete") } });
  assert.equal(c.entries[0].unheard, "four");
});

test("a cut is at a word, and nothing is cut that was heard completely", () => {
  assert.equal(cutText("one two three", 0, 1000), "one two three");
  assert.equal(cutText("one two three", 400, 1000), "two three");
  assert.equal(cutText("one two three", 990, 1000), "");
  assert.equal(cutText("one two three", 1500, 1000), "");
  assert.equal(cutText("one two three", 700, 0), "");
});

test("a call of a tool goes through its states", () => {
  const c = conversation(
    ["realtime_history_added", { item: { type: "function_call", id: "i", call_id: "c", name: "book", arguments: "" } }],
    ["realtime_tool_arguments_delta", { ...CALL, delta: '{"n"' }],
  );
  const [entry] = c.entries;
  assert.deepEqual([entry.state, entry.arguments], ["writing", '{"n"']);
  c.apply({ type: "realtime_tool_approval_required", data: CALL });
  assert.deepEqual([entry.state, entry.arguments], ["waiting", '{"n":1}']);
  c.deciding("c", true);
  assert.equal(entry.state, "deciding");
  c.deciding("c", false);
  assert.equal(entry.state, "waiting");
  c.apply({ type: "realtime_tool_start", data: CALL });
  assert.equal(entry.state, "running");
  c.apply({ type: "realtime_tool_end", data: { ...CALL, outcome: "completed", output: "ok", output_text: "ok", duration: 0.5 } });
  assert.deepEqual([entry.state, entry.output, entry.duration], ["done", "ok", 0.5]);
  assert.equal(c.entries.length, 1);
});

test("calls fail, are rejected and are cancelled", () => {
  for (const [type, outcome, state] of [
    ["realtime_tool_end", "failed", "failed"],
    ["realtime_tool_end", "timed_out", "failed"],
    ["realtime_tool_end", "blocked", "failed"],
    ["realtime_tool_end", "unknown", "failed"],
    ["realtime_tool_end", "rejected", "rejected"],
    ["realtime_tool_cancelled", undefined, "cancelled"],
  ]) {
    const { entries } = conversation(
      ["realtime_tool_start", CALL],
      [type, { ...CALL, outcome, output: null, output_text: "why" }],
    );
    assert.deepEqual([entries[0].state, entries[0].output], [state, "why"]);
  }
});

test("a handoff is a notice and no call", () => {
  const { entries, agent } = conversation(
    ["realtime_history_added", { item: { type: "function_call", id: "i", call_id: "c", name: "transfer_to_billing", arguments: "{}" } }],
    ["realtime_handoff", { from_agent: "Support", to_agent: "Billing" }],
    ["realtime_tool_end", { ...CALL, tool: null, outcome: "completed", output: {}, output_text: "{}" }],
    ["realtime_history_added", { item: { type: "function_call_output", id: "o", call_id: "c", output: "{}" } }],
  );
  assert.deepEqual(entries.map(({ kind, text }) => [kind, text]), [["notice", "Billing takes over from Support."]]);
  assert.equal(agent, "Billing");
});

test("a call of the service is approved, and shows its output", () => {
  const { entries } = conversation(
    ["realtime_tool_approval_required", { call_id: "r", tool_name: "search", arguments: "{}", server_label: "docs" }],
    ["realtime_history_added", { item: { type: "mcp_call", id: "m", name: "search", server_label: "docs", approval_request_id: "r", arguments: "{}" } }],
    ["realtime_mcp_tool_call_completed", { item: { type: "mcp_call", id: "m", name: "search", server_label: "docs", approval_request_id: "r", arguments: "{}", output: "found" } }],
  );
  assert.equal(entries.length, 1);
  assert.deepEqual([entries[0].state, entries[0].output, entries[0].server], ["done", "found", "docs"]);
});

test("deleted items disappear, and the history of the beginning is shown", () => {
  const { entries } = conversation(
    ["realtime_history_updated", { item: null, deleted_item_id: null, history: [message("x", "user", [{ type: "input_text", text: "old" }]), message("y", "assistant", [{ type: "output_text", text: "older" }])] }],
    ["realtime_history_updated", { item: null, deleted_item_id: "x" }],
  );
  assert.deepEqual(entries.map(({ text }) => text), ["older"]);
});

test("the oldest entries are dropped", () => {
  const c = new Conversation();
  for (let i = 0; i < 1100; i++) c.addNotice("info", `${i}`);
  assert.equal(c.entries.length, 1000);
  assert.equal(c.entries[0].text, "100");
  assert.equal(c.get("notice:1"), undefined);
});

test("notices of one kind replace each other", () => {
  const { entries } = conversation(
    ["realtime_reconnecting", { attempt: 1, delay: 1, error: {} }],
    ["realtime_reconnecting", { attempt: 2, delay: 1, error: {} }],
    ["realtime_reconnected", { state_restored: true }],
  );
  assert.deepEqual(entries.map(({ text }) => text), ["The connection to the model is back."]);
});

test("events that the user should know of have notices", () => {
  const cases = [
    ["realtime_error", { error: { type: "X", message: "broken" } }, "error", /broken/],
    ["realtime_warning", { message: "odd" }, "warning", /odd/],
    ["run_warning", { code: "c", message: "no recording" }, "warning", /no recording/],
    ["realtime_guardrail_tripped", { guardrail_results: [{ name: "polite" }], response_id: "r" }, "warning", /answer: polite/],
    ["realtime_limit_reached", { limit: "max_duration", grace: 5.2 }, "warning", /max_duration.*5 s/],
    ["realtime_agent_end", { status: "failed", reason: "quota" }, "error", /quota/],
    ["client_attached", { role: "observer" }, "info", /joined/],
  ];
  for (const [type, data, level, text] of cases) {
    const notice = noticeOf({ type, data });
    assert.equal(notice?.level, level, type);
    assert.match(notice?.text ?? "", text);
  }
  for (const [type, data] of [["client_attached", { role: "owner" }], ["realtime_agent_end", { status: "completed" }], ["realtime_new_event", {}]]) {
    assert.equal(noticeOf({ type, data }), null);
  }
});

test("the end has a reason in words", () => {
  assert.equal(endReason({ by: "user", reason: "client_ended" }), "The call ended.");
  assert.equal(endReason({ by: "limit", reason: "max_duration" }), "The call ended: max duration.");
  assert.match(endReason({ reason: "failed", error: { type: "E", message: "boom" } }), /boom/);
});

test("events of unknown types and without data change nothing", () => {
  const c = conversation(["realtime_something_new", undefined], ["unknown", {}]);
  assert.deepEqual(c.entries, []);
});
