/** Shows the entries of a conversation. Text of the server is only ever set as text. */

/**
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {import("./conversation.js").Entry} Entry
 * @typedef {import("./conversation.js").MessageEntry} MessageEntry
 * @typedef {import("./conversation.js").ToolEntry} ToolEntry
 * @typedef {import("./conversation.js").NoticeEntry} NoticeEntry
 */

const NEAR_END_PX = 80;
/** Characters of JSON that are shown in one line. */
const ONE_LINE = 64;

/** @type {Record<import("./conversation.js").ToolState, string>} */
const TOOL_STATES = {
  writing: "Preparing",
  waiting: "Waiting for approval",
  deciding: "Sending your decision",
  running: "Running",
  done: "Done",
  failed: "Failed",
  rejected: "Rejected",
  cancelled: "Cancelled",
};

/** A list in which each entry has one element. */
export class TranscriptView {
  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} scroller the element that scrolls
   * @param {(callId: string, isApproved: boolean) => void} onDecision
   */
  constructor(list, scroller, onDecision) {
    this._list = list;
    this._scroller = scroller;
    this._onDecision = onDecision;
    this._canDecide = true;
    this._isAtEnd = true;
    scroller.addEventListener("scroll", () => {
      this._isAtEnd = this._isNearEnd();
    });
    new ResizeObserver(() => this._follow()).observe(scroller);
    /** @type {Map<string, HTMLElement>} */
    this._elements = new Map();
  }

  /**
   * Remove everything.
   *
   * @param {boolean} canDecide whether the user may approve calls
   */
  clear(canDecide) {
    this._canDecide = canDecide;
    this._isAtEnd = true;
    this._elements.clear();
    this._list.replaceChildren();
  }

  /** Offer no decisions any more. */
  endDecisions() {
    this._canDecide = false;
    for (const element of this._elements.values()) show(element, ".tool-decision", false);
  }

  /**
   * Show what changed.
   *
   * @param {Conversation} conversation
   * @param {Set<string>} changed
   */
  update(conversation, changed) {
    if (changed.size === 0) return;
    for (const key of changed) {
      const entry = conversation.get(key);
      if (entry === undefined) this._remove(key);
      else this._show(conversation, entry);
    }
    this._follow();
  }

  /** Show the newest entry, unless the user reads older ones. */
  _follow() {
    if (this._isAtEnd) this._scroller.scrollTop = this._scroller.scrollHeight;
  }

  _isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this._scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  /** @param {string} key */
  _remove(key) {
    this._elements.get(key)?.remove();
    this._elements.delete(key);
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry} entry
   */
  _show(conversation, entry) {
    const known = this._elements.get(entry.key);
    const element = known ?? make("li");
    if (entry.kind === "message") showMessage(element, entry);
    else if (entry.kind === "tool") this._showTool(element, entry);
    else showNotice(element, entry);
    this._elements.set(entry.key, element);
    this._place(conversation, entry, element);
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry} entry
   * @param {HTMLElement} element
   */
  _place(conversation, entry, element) {
    const next = conversation.entries[conversation.entries.indexOf(entry) + 1];
    const following = next === undefined ? null : (this._elements.get(next.key) ?? null);
    const isPlaced = element.parentNode === this._list && element.nextSibling === following;
    if (!isPlaced) this._list.insertBefore(element, following);
  }

  /**
   * @param {HTMLElement} element
   * @param {ToolEntry} entry
   */
  _showTool(element, entry) {
    if (element.childElementCount === 0) this._makeTool(element, entry);
    element.dataset.state = entry.state;
    element.setAttribute("aria-busy", String(entry.state === "writing"));
    setText(element, ".tool-name", entry.server ? `${entry.server} · ${entry.name}` : entry.name);
    const duration = (entry.duration ?? 0) < 0.001 ? "" : ` · ${seconds(entry.duration ?? 0)}`;
    setText(element, ".tool-state", TOOL_STATES[entry.state] + duration);
    setText(element, ".tool-arguments", pretty(entry.arguments));
    setText(element, ".tool-output", pretty(entry.output));
    show(element, ".tool-arguments-part", !isEmptyJson(entry.arguments));
    show(element, ".tool-output-part", entry.output !== "");
    const isWaiting = entry.state === "waiting" || entry.state === "deciding";
    show(element, ".tool-decision", isWaiting && this._canDecide);
    for (const button of element.querySelectorAll("button")) {
      button.disabled = entry.state === "deciding";
    }
  }

  /**
   * @param {HTMLElement} element
   * @param {ToolEntry} entry
   */
  _makeTool(element, entry) {
    element.className = "entry tool";
    element.dataset.callId = entry.callId;
    const head = make("p", "tool-head");
    head.append(
      make("span", "visually-hidden", "Tool call: "),
      make("span", "tool-name"),
      make("span", "tool-state"),
    );
    const decision = make("div", "tool-decision");
    decision.append(
      this._decisionButton(entry, true, "Approve"),
      this._decisionButton(entry, false, "Reject"),
    );
    element.append(
      head,
      labelled("tool-arguments", "Arguments"),
      decision,
      labelled("tool-output", "Output"),
    );
  }

  /**
   * @param {ToolEntry} entry
   * @param {boolean} isApproved
   * @param {string} label
   */
  _decisionButton(entry, isApproved, label) {
    const button = make("button", isApproved ? "button primary small" : "button small", label);
    button.append(make("span", "visually-hidden", ` the call of ${entry.name}`));
    button.setAttribute("type", "button");
    button.addEventListener("click", () => this._onDecision(entry.callId, isApproved));
    return button;
  }
}

/**
 * @param {HTMLElement} element
 * @param {MessageEntry} entry
 */
function showMessage(element, entry) {
  if (element.childElementCount === 0) {
    const head = make("p", "message-head");
    head.append(make("span", "speaker"), make("span", "remark"));
    const body = make("p", "message-body");
    body.setAttribute("dir", "auto");
    body.append(make("span", "heard"), make("span", "unheard-label visually-hidden"), make("span", "unheard"));
    element.append(head, body);
  }
  element.className = `entry message ${entry.role}`;
  element.dataset.state = entry.state;
  element.dataset.itemId = entry.itemId;
  const isGrowing = entry.state === "growing" || entry.state === "listening";
  element.setAttribute("aria-busy", String(isGrowing));
  setText(element, ".speaker", entry.speaker);
  setText(element, ".remark", remarkOf(entry));
  const heard = entry.text.slice(0, entry.text.length - entry.unheard.length);
  setText(element, ".heard", entry.text === "" ? placeholderOf(entry) : heard);
  setText(element, ".unheard-label", entry.unheard === "" ? "" : " Not heard: ");
  setText(element, ".unheard", entry.unheard);
  element.classList.toggle("placeholder", entry.text === "");
}

/**
 * @param {MessageEntry} entry
 * @returns {string}
 */
function remarkOf(entry) {
  if (entry.remark !== "") return entry.remark;
  return entry.state === "interrupted" && entry.role === "assistant" ? "Interrupted" : "";
}

/**
 * @param {MessageEntry} entry
 * @returns {string}
 */
function placeholderOf(entry) {
  if (entry.state === "listening") return "Listening…";
  if (entry.state === "growing") return "…";
  return entry.isAudio ? "Spoken, without a transcript" : "No text";
}

/**
 * @param {HTMLElement} element
 * @param {NoticeEntry} entry
 */
function showNotice(element, entry) {
  element.className = `entry notice ${entry.level}`;
  const label = entry.level === "warning" ? "Warning: " : "";
  const text = make("p", "notice-text");
  if (entry.level === "error") text.setAttribute("role", "alert");
  text.append(make("span", "visually-hidden", label), make("span", "", entry.text));
  element.replaceChildren(text);
}

/**
 * @param {string} name
 * @param {string} label
 */
function labelled(name, label) {
  const part = make("div", `${name}-part`);
  part.append(make("p", "tool-label", label), make("pre", name));
  return part;
}

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 */
function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} selector
 * @param {string} text
 */
function setText(element, selector, text) {
  const part = element.querySelector(selector);
  if (part !== null && part.textContent !== text) part.textContent = text;
}

/**
 * @param {HTMLElement} element
 * @param {string} selector
 * @param {boolean} isShown
 */
function show(element, selector, isShown) {
  const part = /** @type {HTMLElement | null} */ (element.querySelector(selector));
  if (part !== null) part.hidden = !isShown;
}

/**
 * @param {string} json
 * @returns {boolean}
 */
function isEmptyJson(json) {
  return /^\s*(\{\s*\})?\s*$/.test(json);
}

/**
 * Return JSON text in a readable form; text that is no JSON object stays as it is.
 *
 * @param {string} json
 * @returns {string}
 */
function pretty(json) {
  if (!/^\s*[[{]/.test(json)) return json;
  try {
    const lines = JSON.stringify(JSON.parse(json), null, 2);
    const line = lines.replace(/\n\s*/g, " ");
    return line.length <= ONE_LINE ? line : lines;
  } catch {
    return json;
  }
}

/**
 * @param {number} value
 * @returns {string}
 */
export function seconds(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}
