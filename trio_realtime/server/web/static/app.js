/** The page: connects its elements with the call. */

import { Call } from "./call.js";
import { requestMicrophone, stopTracks } from "./microphone.js";
import {
  createSession,
  listAgents,
  readInvitation,
  recallCall,
  rememberCall,
  ServerRefusal,
} from "./server-api.js";
import { seconds, TranscriptView } from "./transcript-view.js";

const METER_STEPS = 100;

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
function element(id) {
  return /** @type {T} */ (document.getElementById(id));
}

const page = {
  title: element("title"),
  facts: element("facts"),
  duration: element("duration"),
  latencyFact: element("latency-fact"),
  latency: element("latency"),
  connection: element("connection"),
  connectionText: element("connection-text"),
  alertText: element("alert-text"),
  alertClose: element("alert-close"),
  start: element("start"),
  startForm: /** @type {HTMLFormElement} */ (element("start-form")),
  startTitle: element("start-title"),
  startText: element("start-text"),
  startButton: /** @type {HTMLButtonElement} */ (element("start-button")),
  agentField: element("agent-field"),
  agent: /** @type {HTMLSelectElement} */ (element("agent")),
  agentDescription: element("agent-description"),
  keyField: element("key-field"),
  key: /** @type {HTMLInputElement} */ (element("key")),
  microphoneField: element("microphone-field"),
  useMicrophone: /** @type {HTMLInputElement} */ (element("use-microphone")),
  call: element("call"),
  scroller: element("scroller"),
  empty: element("empty"),
  entries: element("entries"),
  messageForm: /** @type {HTMLFormElement} */ (element("message-form")),
  message: /** @type {HTMLInputElement} */ (element("message")),
  send: /** @type {HTMLButtonElement} */ (element("send")),
  controls: element("controls"),
  mute: /** @type {HTMLButtonElement} */ (element("mute")),
  muteText: element("mute-text"),
  microphoneRow: element("microphone-row"),
  microphoneMeter: element("microphone-meter"),
  speakerMeter: element("speaker-meter"),
  interrupt: /** @type {HTMLButtonElement} */ (element("interrupt")),
  end: /** @type {HTMLButtonElement} */ (element("end")),
  ended: element("ended"),
  endedText: element("ended-text"),
  again: element("again"),
};

/** @type {import("./call.js").Counters} */
const counters = makeCounters();
Object.assign(window, { trioRealtime: counters });

const transcript = new TranscriptView(page.entries, page.scroller, (callId, isApproved) => {
  void call?.decide(callId, isApproved);
});

/** @type {Call | null} */
let call = null;
/** @type {AudioContext | null} */
let context = null;
/** @type {import("./server-api.js").Invitation | null} */
let invitation = null;
/** @type {import("./server-api.js").Agent[]} */
let agents = [];
/** Whether the call was running before the page was reloaded. */
let isRejoining = false;
/** @type {{release: () => Promise<void>} | null} */
let wakeLock = null;

// --- the start of a call

page.startForm.addEventListener("submit", (event) => {
  event.preventDefault();
  void startCall();
});
page.agent.addEventListener("change", describeAgent);
page.key.addEventListener("change", () => void loadAgents());
page.again.addEventListener("click", () => {
  showStart();
  page.startButton.focus();
});
window.addEventListener("hashchange", takeInvitation);

/**
 * Read the session that a host application has created, and remove its token from the address. While a call is
 * running, the invitation waits for its end.
 */
function takeInvitation() {
  const found = readInvitation(location.hash);
  if (found === null) return;
  invitation = found;
  isRejoining = false;
  history.replaceState(null, "", location.pathname + location.search);
  if (!isRunning()) showStart();
}

function showStart() {
  const isObserver = invitation?.role === "observer";
  page.startTitle.textContent = isObserver ? "Listen to a call" : "Talk to an agent";
  page.startText.textContent = isRejoining
    ? "The page was reloaded. The call still runs for a moment."
    : isObserver
      ? "You hear and read the call, and take no part in it."
      : "Speak or write. The agent answers aloud.";
  const join = isRejoining ? "Rejoin call" : "Join call";
  page.startButton.textContent = isObserver ? "Listen" : invitation ? join : "Start call";
  page.agentField.hidden = invitation !== null || agents.length === 0;
  page.microphoneField.hidden = isObserver;
  page.start.hidden = false;
  page.call.hidden = true;
  page.facts.hidden = true;
  page.connection.hidden = true;
  page.title.textContent = "Voice agent";
  showProblem("");
  if (invitation === null) void loadAgents();
}

async function loadAgents() {
  try {
    const found = await listAgents(page.key.value.trim());
    agents = found.agents;
    const options = agents.map(({ name }) => new Option(name, name, false, name === found.default));
    page.agent.replaceChildren(...options);
    page.agentField.hidden = invitation !== null || agents.length === 0;
    describeAgent();
    showProblem("");
  } catch (error) {
    showRefusal(error);
  }
}

function describeAgent() {
  const chosen = agents.find(({ name }) => name === page.agent.value);
  page.agentDescription.textContent = chosen?.description ?? "";
}

async function startCall() {
  page.startButton.disabled = true;
  counters.state = "starting";
  showProblem("");
  const isObserver = invitation?.role === "observer";
  const opening = openContext(); // in the user's gesture, so that the browser allows sound
  const asksForMicrophone = !isObserver && page.useMicrophone.checked;
  const microphone = asksForMicrophone ? askForMicrophone() : { stream: null, problem: "" };
  try {
    const [opened, { stream, problem }] = await Promise.all([opening, microphone]);
    context = opened;
    await beginCall(stream);
    const silent = opened === null ? "This browser or page can play no sound: use https." : "";
    showProblem([problem && `${problem} You can write meanwhile.`, silent].filter(Boolean).join(" "));
  } catch (error) {
    counters.state = "idle";
    showRefusal(error);
  } finally {
    page.startButton.disabled = false;
  }
}

/** @param {MediaStream | null} stream */
async function beginCall(stream) {
  /** @type {import("./server-api.js").Invitation} */
  let accepted;
  try {
    accepted = invitation ?? (await createSession(page.agent.value, page.key.value.trim()));
  } catch (error) {
    if (stream !== null) stopTracks(stream);
    throw error;
  }
  invitation = null; // its token is valid once
  isRejoining = false;
  rememberCall(null);
  Object.assign(counters, makeCounters());
  transcript.clear(accepted.role === "owner");
  page.empty.hidden = false;
  const handlers = {
    onWelcome: (/** @type {import("./connection.js").Welcome} */ { resume_token: token }) =>
      rememberCall(token ? { ...accepted, token } : null),
    onState: showCall,
    onEntries: showEntries,
    onMicrophoneLevel: (/** @type {number} */ level) => showLevel(page.microphoneMeter, level),
    onSpeakerLevel: (/** @type {number} */ level) => showLevel(page.speakerMeter, level),
    onProblem: showProblem,
  };
  const audio = { context, stream };
  call = new Call(accepted, audio, handlers, counters);
  page.start.hidden = true;
  page.call.hidden = false;
  page.facts.hidden = false;
  page.connection.hidden = false;
  call.connect();
  showCall();
  void keepAwake();
  (call.isOwner ? page.message : page.scroller).focus();
}

/** @returns {Promise<{stream: MediaStream | null, problem: string}>} */
async function askForMicrophone() {
  try {
    return { stream: await requestMicrophone(), problem: "" };
  } catch (error) {
    return { stream: null, problem: /** @type {Error} */ (error).message };
  }
}

/** @returns {Promise<AudioContext | null>} null if the browser cannot play audio here */
async function openContext() {
  if (!window.isSecureContext || typeof AudioWorkletNode === "undefined") return null;
  if (context !== null && context.state !== "closed") {
    void context.resume();
    return context;
  }
  /** @type {AudioContext} */
  let opened;
  try {
    opened = new AudioContext({ latencyHint: "interactive" });
  } catch {
    return null; // there are too many, or there is no device
  }
  void opened.resume();
  opened.addEventListener("statechange", showSuspension);
  const modules = ["playback-worklet.js", "capture-worklet.js"];
  try {
    await Promise.all(
      modules.map((name) => opened.audioWorklet.addModule(new URL(name, import.meta.url).href)),
    );
  } catch {
    void opened.close();
    return null;
  }
  return opened;
}

// --- a running call

for (const gesture of ["pointerdown", "keydown"]) {
  document.addEventListener(gesture, () => {
    if (context?.state !== "running" && isRunning()) void context?.resume();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || !isRunning() || !call?.isOwner) return;
  event.preventDefault();
  void call.interrupt();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && isRunning()) void keepAwake();
});
window.addEventListener("online", () => call?.retryNow());
page.messageForm.addEventListener("submit", (event) => {
  event.preventDefault();
  void sendMessage();
});
page.mute.addEventListener("click", () => call?.mute(!call.isMuted));
page.interrupt.addEventListener("click", () => void call?.interrupt());
page.end.addEventListener("click", () => call?.end());
page.alertClose.addEventListener("click", () => {
  showProblem("");
  (page.start.hidden ? page.message : page.startButton).focus();
});
setInterval(showDuration, 1000);

async function sendMessage() {
  const text = page.message.value.trim();
  if (text === "" || call === null) return;
  page.message.value = "";
  const isSent = await call.sendText(text);
  if (!isSent && page.message.value === "") page.message.value = text;
}

function isRunning() {
  return call !== null && call.state !== "ended";
}

/** A phone must not lock its screen in a call: the browser would stop the microphone. */
async function keepAwake() {
  try {
    wakeLock = (await navigator.wakeLock?.request("screen")) ?? null;
  } catch {
    wakeLock = null; // the battery is low, or the page is hidden
  }
}

// --- what is shown

/** @type {Record<string, string>} */
const STATES = {
  connecting: "Connecting…",
  connected: "Connecting to the agent…",
  live: "Connected",
  reconnecting: "Reconnecting…",
  ended: "Ended",
};

function showCall() {
  if (call === null) return;
  const { state, isOwner, isMuted } = call;
  const isOver = state === "ended";
  page.connection.dataset.state = state;
  setText(page.connectionText, stateText(call));
  setText(page.title, call.conversation.agent || "Voice agent");
  page.messageForm.hidden = !isOwner || isOver;
  page.controls.hidden = isOver;
  page.send.disabled = state !== "live";
  page.mute.hidden = !isOwner || !call.hasMicrophone;
  page.microphoneRow.hidden = page.mute.hidden;
  page.microphoneRow.dataset.speaking = String(call.isSpeaking && !isMuted);
  page.mute.setAttribute("aria-pressed", String(isMuted));
  setText(page.muteText, isMuted ? "Unmute" : "Mute");
  page.interrupt.hidden = !isOwner;
  page.interrupt.disabled = state !== "live" && state !== "reconnecting";
  setText(page.end, isOwner ? "End" : "Leave");
  showLatency(call);
  showDuration();
  if (isOver) page.empty.hidden = true;
  if (isOver && page.ended.hidden) showEnd(call);
  else page.ended.hidden = !isOver;
}

/** @param {Call} current */
function stateText(current) {
  if (current.state === "reconnecting" && current.attempt > 1) {
    return `Reconnecting (${current.attempt})…`;
  }
  if (current.state === "live" && !current.isOwner) return "Listening";
  return STATES[current.state];
}

/** @param {Call} current */
function showEnd(current) {
  setText(page.endedText, current.endMessage);
  page.ended.hidden = false;
  page.endedText.focus();
  transcript.endDecisions();
  rememberCall(null);
  void wakeLock?.release();
  void context?.suspend();
}

/** @param {Call} current */
function showLatency({ heardAfter, deliveredAfter }) {
  const shown = heardAfter ?? deliveredAfter;
  page.latencyFact.hidden = shown === null;
  if (shown === null) return;
  setText(page.latency, seconds(shown));
  const server = deliveredAfter === null ? "" : `Server: ${seconds(deliveredAfter)}. `;
  page.latencyFact.title = `${server}From the end of what you said to the first sound of the answer.`;
}

function showDuration() {
  if (!isRunning() || call === null || call.connectedAt === null) return;
  const total = Math.floor((performance.now() - call.connectedAt) / 1000);
  const rest = String(total % 60).padStart(2, "0");
  setText(page.duration, `${Math.floor(total / 60)}:${rest}`);
}

/** @param {Set<string>} changed */
function showEntries(changed) {
  if (call === null) return;
  page.empty.hidden = call.conversation.entries.length > 0;
  transcript.update(call.conversation, changed);
}

/**
 * @param {HTMLElement} meter
 * @param {number} level from 0 to 1
 */
function showLevel(meter, level) {
  const value = String(Math.round(level * METER_STEPS));
  if (meter.getAttribute("aria-valuenow") === value) return;
  meter.setAttribute("aria-valuenow", value);
  meter.style.setProperty("--level", String(level));
}

function showSuspension() {
  if (context === null || !isRunning()) return;
  const isSuspended = context.state !== "running";
  if (isSuspended) showProblem("The browser has paused the sound. Click or press a key to go on.");
  else if (page.alertText.textContent?.startsWith("The browser has paused")) showProblem("");
}

/** @param {unknown} error */
function showRefusal(error) {
  if (!(error instanceof ServerRefusal)) throw error;
  const needsKey = error.status === 401;
  if (needsKey) page.keyField.hidden = false;
  const isWrong = needsKey && page.key.value !== "";
  showProblem(isWrong ? "This access key is not valid." : error.message);
  if (needsKey) page.key.focus();
}

/** @param {string} text "" for none */
function showProblem(text) {
  setText(page.alertText, text);
  page.alertClose.hidden = text === "";
}

/**
 * @param {HTMLElement} target
 * @param {string} text
 */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** @returns {import("./call.js").Counters} */
function makeCounters() {
  return {
    state: "idle",
    last_seq: 0,
    reconnects: 0,
    played: {},
    interrupted: [],
    sent_frames: 0,
    dropped_frames: 0,
    events: 0,
  };
}

if (readInvitation(location.hash) === null) {
  invitation = recallCall();
  isRejoining = invitation !== null;
  showStart();
} else {
  takeInvitation();
}
