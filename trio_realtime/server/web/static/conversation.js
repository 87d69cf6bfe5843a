/** The conversation as a list of entries, made from the events of the session. No I/O. */

import { cutText } from "./cut-text.js";
import { noticeOf } from "./notices.js";

const MAX_ENTRIES = 1000;

/**
 * @typedef {import("./frames.js").RpcEvent} RpcEvent
 *
 * @typedef {object} MessageEntry what somebody said or wrote
 * @property {"message"} kind
 * @property {string} key
 * @property {string} itemId
 * @property {"user" | "assistant" | "system"} role
 * @property {string} speaker
 * @property {"listening" | "growing" | "done" | "interrupted"} state
 * @property {string} text
 * @property {string} unheard the end of the text that the user did not hear
 * @property {boolean} isAudio whether it was spoken
 * @property {string} remark
 *
 * @typedef {"writing" | "waiting" | "deciding" | "running" | "done" | "failed" | "rejected" | "cancelled"} ToolState
 *
 * @typedef {object} ToolEntry a call of a tool
 * @property {"tool"} kind
 * @property {string} key
 * @property {string} callId
 * @property {string} name
 * @property {string} server the label of the MCP server, or ""
 * @property {string} arguments
 * @property {string} output
 * @property {ToolState} state
 * @property {number | null} duration seconds
 *
 * @typedef {object} NoticeEntry
 * @property {"notice"} kind
 * @property {string} key
 * @property {"info" | "warning" | "error"} level
 * @property {string} text
 *
 * @typedef {MessageEntry | ToolEntry | NoticeEntry} Entry
 */

/** Applies events, and says which entries changed. */
export class Conversation {
  /**
   * @param {string} [agent] the agent that the call begins with, if it is known
   * @param {string} [user] what the user is called
   */
  constructor(agent = "", user = "You") {
    /** @type {Entry[]} */
    this.entries = [];
    /** The current agent. */
    this.agent = agent;
    /** What the user is called. */
    this.user = user;
    /** @type {Map<string, Entry>} */
    this._byKey = new Map();
    /** @type {Map<string, {deltas: string, text: string, receivedMs: number, playedMs: number | null}>} */
    this._messages = new Map();
    this._notices = 0;
    /** Handoffs whose calls have not ended yet. */
    this._handoffs = 0;
    /** @type {Set<string>} */
    this._changed = new Set();
  }

  /**
   * Apply an event.
   *
   * @param {RpcEvent} event
   * @returns {Set<string>} the keys of the entries that are new, changed or gone
   */
  apply(event) {
    const handler = HANDLERS.get(event.type);
    if (handler !== undefined) handler(this, event.data ?? {});
    const notice = noticeOf(event);
    if (notice !== null) this._notice(notice.level, notice.text, notice.replaces);
    return this._take();
  }

  /**
   * Add a notice of the page.
   *
   * @param {"info" | "warning" | "error"} level
   * @param {string} text
   * @param {string} [replaces] notices with the same value replace each other
   * @returns {Set<string>}
   */
  addNotice(level, text, replaces) {
    this._notice(level, text, replaces);
    return this._take();
  }

  /**
   * Note how much of an interrupted item was heard.
   *
   * @param {string} itemId
   * @param {number} playedMs
   * @returns {Set<string>}
   */
  interrupted(itemId, playedMs) {
    this._cut(itemId, playedMs);
    return this._take();
  }

  /**
   * Note that the user has decided about a call, or that the decision could not be sent.
   *
   * @param {string} callId
   * @param {boolean} isDeciding
   * @returns {Set<string>}
   */
  deciding(callId, isDeciding) {
    const from = isDeciding ? "waiting" : "deciding";
    const entry = this._byKey.get(toolKey(callId));
    if (entry?.kind === "tool" && entry.state === from) {
      entry.state = isDeciding ? "deciding" : "waiting";
      this._changed.add(entry.key);
    }
    return this._take();
  }

  /**
   * @param {string} key
   * @returns {Entry | undefined}
   */
  get(key) {
    return this._byKey.get(key);
  }

  _take() {
    while (this.entries.length > MAX_ENTRIES) this._remove(this.entries[0].key);
    const changed = this._changed;
    this._changed = new Set();
    return changed;
  }

  /**
   * @param {"info" | "warning" | "error"} level
   * @param {string} text
   * @param {string} [replaces]
   */
  _notice(level, text, replaces) {
    const key = replaces === undefined ? `notice:${++this._notices}` : `notice:${replaces}`;
    if (replaces !== undefined) this._remove(key);
    this._add({ kind: "notice", key, level, text });
  }

  /**
   * @param {Entry} entry
   * @param {string | null} [afterItem] the item that it follows
   */
  _add(entry, afterItem = null) {
    const index = afterItem === null ? -1 : this._indexOfItem(afterItem);
    if (index < 0) this.entries.push(entry);
    else this.entries.splice(index + 1, 0, entry);
    this._byKey.set(entry.key, entry);
    this._changed.add(entry.key);
  }

  /** @param {string} key */
  _remove(key) {
    const entry = this._byKey.get(key);
    if (entry === undefined) return;
    this.entries.splice(this.entries.indexOf(entry), 1);
    this._byKey.delete(key);
    this._messages.delete(key);
    this._changed.add(key);
  }

  /** @param {string} itemId */
  _indexOfItem(itemId) {
    return this.entries.findIndex((entry) => entry.key === messageKey(itemId));
  }

  /**
   * @param {string} itemId
   * @param {"user" | "assistant" | "system"} role
   * @returns {MessageEntry}
   */
  _message(itemId, role) {
    const key = messageKey(itemId);
    const known = this._byKey.get(key);
    if (known?.kind === "message") return known;
    const speaker = role === "assistant" ? this.agent || "Agent" : role === "user" ? this.user : "System";
    /** @type {MessageEntry} */
    const entry = {
      kind: "message",
      key,
      itemId,
      role,
      speaker,
      state: "growing",
      text: "",
      unheard: "",
      isAudio: false,
      remark: "",
    };
    this._messages.set(key, { deltas: "", text: "", receivedMs: 0, playedMs: null });
    this._add(entry);
    return entry;
  }

  /**
   * @param {MessageEntry} entry
   * @returns {{deltas: string, text: string, receivedMs: number, playedMs: number | null}}
   */
  _parts(entry) {
    return /** @type {any} */ (this._messages.get(entry.key));
  }

  /**
   * Show the text that is known best. The text of the history may be newer than the deltas, or older.
   *
   * @param {MessageEntry} entry
   */
  _show(entry) {
    const { deltas, text, receivedMs, playedMs } = this._parts(entry);
    entry.text = text.length >= deltas.length ? text : deltas;
    entry.unheard = playedMs === null ? "" : cutText(entry.text, playedMs, receivedMs);
    this._changed.add(entry.key);
  }

  /**
   * @param {string} itemId
   * @param {"user" | "assistant"} role
   * @param {string} delta
   * @param {boolean} isAudio
   */
  _grow(itemId, role, delta, isAudio) {
    const entry = this._message(itemId, role);
    this._parts(entry).deltas += delta;
    entry.isAudio ||= isAudio;
    if (entry.state === "listening") entry.state = "growing";
    this._show(entry);
  }

  /**
   * @param {string} itemId
   * @param {number} playedMs
   */
  _cut(itemId, playedMs) {
    const entry = this._byKey.get(messageKey(itemId));
    if (entry?.kind !== "message" || entry.role !== "assistant") return;
    this._parts(entry).playedMs = playedMs;
    entry.state = "interrupted";
    this._show(entry);
  }

  /**
   * @param {any} item
   * @param {string | null} previous
   */
  _item(item, previous) {
    if (item.type === "message" && item.id) this._historyMessage(item, previous);
    else if (item.type === "function_call") this._historyCall(item);
    else if (item.type === "function_call_output") this._historyOutput(item);
    else if (item.type === "mcp_call") this._hostedCall(item);
  }

  /**
   * @param {any} item
   * @param {string | null} previous
   */
  _historyMessage(item, previous) {
    const entry = this._message(item.id, item.role);
    const content = /** @type {any[]} */ (item.content ?? []);
    const parts = this._parts(entry);
    entry.isAudio ||= content.some((part) => /audio/.test(part.type));
    const text = content.map((part) => part.text ?? part.transcript ?? "").join("");
    if (text !== "") parts.text = text;
    const heard = content.find((part) => typeof part.heard_ms === "number");
    if (heard !== undefined && parts.playedMs === null) parts.playedMs = heard.heard_ms;
    if (item.status === "incomplete" || parts.playedMs !== null) entry.state = "interrupted";
    else if (item.status !== "in_progress" && entry.state !== "interrupted") entry.state = "done";
    this._moveAfter(entry, previous);
    this._show(entry);
  }

  /**
   * @param {Entry} entry
   * @param {string | null} previous
   */
  _moveAfter(entry, previous) {
    const target = previous === null ? -1 : this._indexOfItem(previous);
    const index = this.entries.indexOf(entry);
    if (target < index) return;
    this.entries.splice(index, 1);
    this.entries.splice(target, 0, entry);
  }

  /**
   * @param {string} callId
   * @param {string} name
   * @returns {ToolEntry}
   */
  _tool(callId, name) {
    const key = toolKey(callId);
    const known = this._byKey.get(key);
    if (known?.kind === "tool") {
      this._changed.add(key);
      return known;
    }
    /** @type {ToolEntry} */
    const entry = {
      kind: "tool",
      key,
      callId,
      name,
      server: "",
      arguments: "",
      output: "",
      state: "writing",
      duration: null,
    };
    this._add(entry);
    return entry;
  }

  /** @param {any} item */
  _historyCall(item) {
    const entry = this._tool(item.call_id, item.name);
    if (item.arguments) entry.arguments = item.arguments;
  }

  /** @param {any} item */
  _historyOutput(item) {
    const entry = this._byKey.get(toolKey(item.call_id));
    if (entry?.kind !== "tool") return;
    if (entry.output === "") entry.output = asText(item.output);
    this._changed.add(entry.key);
    if (entry.state === "writing") entry.state = "done"; // a call of an earlier run
  }

  /** @param {any} item a call that the service makes itself */
  _hostedCall(item) {
    const entry = this._tool(item.approval_request_id ?? item.id, item.name);
    entry.server = item.server_label ?? entry.server;
    if (item.arguments) entry.arguments = item.arguments;
    if (item.error) {
      entry.state = "failed";
      entry.output = asText(item.error.message ?? item.error);
    } else if (typeof item.output === "string") {
      entry.state = "done";
      entry.output = item.output;
    } else if (entry.state !== "waiting" && entry.state !== "deciding") {
      entry.state = "running";
    }
  }
}

/** @param {string} itemId */
function messageKey(itemId) {
  return `message:${itemId}`;
}

/** @param {string} callId */
export function toolKey(callId) {
  return `tool:${callId}`;
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function asText(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** @type {Record<string, ToolState>} */
const OUTCOMES = { completed: "done", rejected: "rejected" };

/** @type {Map<string, (conversation: Conversation, data: any) => void>} */
const HANDLERS = new Map(
  Object.entries({
    run_started: (c, data) => {
      c.agent ||= data.agent;
    },
    realtime_agent_start: (c, data) => {
      c.agent = data.agent;
    },
    realtime_response_start: (c, data) => {
      c.agent = data.agent;
    },
    realtime_handoff: (c, data) => {
      c.agent = data.to_agent;
      c._handoffs += 1;
    },
    realtime_text_delta: (c, data) => c._grow(data.item_id, "assistant", data.delta, false),
    realtime_transcript_delta: (c, data) => c._grow(data.item_id, "assistant", data.delta, true),
    realtime_audio: (c, data) => {
      const entry = c._message(data.item_id, "assistant");
      entry.isAudio = true;
      c._parts(entry).receivedMs += data.delta_ms ?? 0;
    },
    realtime_audio_interrupted: (c, data) => c._cut(data.item_id, data.played_ms),
    realtime_speech_started: (c, data) => {
      const entry = c._message(data.item_id, "user");
      entry.isAudio = true;
      if (entry.text === "") entry.state = "listening";
      c._changed.add(entry.key);
    },
    realtime_speech_stopped: (c, data) => {
      const entry = c._message(data.item_id, "user");
      if (entry.state === "listening") entry.state = "growing";
      c._changed.add(entry.key);
    },
    realtime_speech_ignored: (c, data) => {
      const entry = c._message(data.item_id, "user");
      entry.state = "done";
      entry.remark = "Not treated as an interruption";
      c._changed.add(entry.key);
    },
    realtime_user_transcript_delta: (c, data) => c._grow(data.item_id, "user", data.delta, true),
    realtime_user_transcript: (c, data) => {
      const entry = c._message(data.item_id, "user");
      Object.assign(c._parts(entry), { text: data.transcript, deltas: "" });
      entry.isAudio = true;
      entry.state = "done";
      c._show(entry);
    },
    realtime_user_transcript_failed: (c, data) => {
      const entry = c._message(data.item_id, "user");
      entry.state = "done";
      entry.remark = "Could not be transcribed";
      c._changed.add(entry.key);
    },
    realtime_history_added: (c, data) => c._item(data.item, data.previous_item_id ?? null),
    realtime_history_updated: (c, data) => {
      for (const item of data.history ?? []) c._item(item, null);
      if (data.item) c._item(data.item, null);
      if (data.deleted_item_id) c._remove(messageKey(data.deleted_item_id));
    },
    realtime_response_end: (c, data) => {
      if (data.status === "completed") return;
      // The model did not finish writing these calls, so they never begin.
      for (const entry of c.entries) {
        if (entry.kind === "tool" && entry.state === "writing") {
          entry.state = "cancelled";
          c._changed.add(entry.key);
        }
      }
    },
    realtime_tool_arguments_delta: (c, data) => {
      c._tool(data.call_id, data.tool_name).arguments += data.delta;
    },
    realtime_tool_approval_required: (c, data) => {
      const entry = c._tool(data.call_id, data.tool_name);
      entry.arguments = data.arguments;
      entry.server = data.server_label ?? "";
      entry.state = "waiting";
    },
    realtime_tool_start: (c, data) => {
      const entry = c._tool(data.call_id, data.tool);
      entry.arguments = data.arguments;
      entry.state = "running";
    },
    realtime_tool_answered_early: (c, data) => {
      c._tool(data.call_id, data.tool).output = data.output_text;
    },
    realtime_tool_end: (c, data) => {
      if (data.tool === null && data.outcome === "completed" && c._handoffs > 0) {
        c._handoffs -= 1;
        c._remove(toolKey(data.call_id)); // a notice tells of the handoff
        return;
      }
      const entry = c._tool(data.call_id, data.tool_name);
      entry.arguments = data.arguments || entry.arguments;
      entry.output = data.output_text || asText(data.output);
      entry.state = OUTCOMES[data.outcome] ?? "failed";
      entry.duration = data.duration ?? null;
    },
    realtime_tool_cancelled: (c, data) => {
      const entry = c._tool(data.call_id, data.tool_name);
      entry.state = "cancelled";
      entry.output = data.output_text || entry.output;
    },
    realtime_mcp_tool_call_completed: (c, data) => c._hostedCall(data.item),
  }),
);
