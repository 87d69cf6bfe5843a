/** One call: the stream, the microphone, the loudspeaker and the conversation. */

import { sampleRate, sampleSize } from "./audio-format.js";
import { Connection, RequestError } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Microphone, stopTracks } from "./microphone.js";
import { endReason } from "./notices.js";
import { keyOf } from "./playback-queue.js";
import { Player } from "./player.js";
import { streamUrl } from "./server-api.js";

/** Audio of the microphone that may wait for the network. What follows is dropped. */
const MAX_UPLINK_SECONDS = 2;
const END_MS = 3000;

/**
 * @typedef {import("./server-api.js").Invitation} Invitation
 * @typedef {import("./connection.js").Welcome} Welcome
 * @typedef {import("./frames.js").RpcEvent} RpcEvent
 * @typedef {import("./playback-queue.js").Position} Position
 * @typedef {"connecting" | "connected" | "live" | "reconnecting" | "ended"} CallState
 *
 * @typedef {object} CallHandlers
 * @property {(welcome: Welcome) => void} onWelcome the server has accepted this page
 * @property {() => void} onState the state, the agent, or what the user can do changed
 * @property {(changed: Set<string>) => void} onEntries
 * @property {(level: number) => void} onMicrophoneLevel
 * @property {(level: number) => void} onSpeakerLevel
 * @property {(text: string) => void} onProblem something that the user should know now
 *
 * @typedef {object} Counters what tests and host applications may read
 * @property {string} state
 * @property {number} last_seq
 * @property {number} reconnects
 * @property {Record<string, {samples: number, played_ms: number, finished: boolean}>} played by item
 * @property {string[]} interrupted items
 * @property {number} sent_frames
 * @property {number} dropped_frames
 * @property {number} events
 */

/** Connects everything, and knows the state of the call. */
export class Call {
  /**
   * @param {Invitation} invitation
   * @param {{context: AudioContext | null, stream: MediaStream | null}} audio
   * @param {CallHandlers} handlers
   * @param {Counters} counters
   */
  constructor(invitation, audio, handlers, counters) {
    this.role = invitation.role;
    this.conversation = new Conversation(invitation.agent, invitation.role === "observer" ? "User" : "You");
    /** @type {CallState} */
    this.state = "connecting";
    this.endMessage = "";
    this.attempt = 0;
    this.isMuted = false;
    this.isSpeaking = false;
    /** Seconds from the end of what the user said to the first sound of the answer. */
    this.heardAfter = /** @type {number | null} */ (null);
    /** The same, as measured by the server, up to the first audio that it delivered. */
    this.deliveredAfter = /** @type {number | null} */ (null);
    this.connectedAt = /** @type {number | null} */ (null);
    this._audio = audio;
    this._handlers = handlers;
    this._counters = counters;
    this._isLive = false;
    this._lastReason = "";
    this._turnEndedAt = /** @type {number | null} */ (null);
    this._replayUntil = 0;
    this._ownersSeen = 0;
    /** What to play of the events before the welcome. @type {(() => void)[]} */
    this._replayed = [];
    /** Positions that the server does not know yet, by part. @type {Map<string, Record<string, unknown>>} */
    this._unsentPositions = new Map();
    this._isInterruptDue = false;
    this._isOverflowing = false;
    /** @type {Player | null} */
    this._player = null;
    /** @type {Microphone | null} */
    this._microphone = null;
    this._uplinkBytes = Infinity;
    const { sessionId, token, role } = invitation;
    this._connection = new Connection(
      { url: streamUrl(sessionId), token, role, audio: audio.context === null ? "none" : "binary" },
      {
        onWelcome: (welcome, isFirst) => this._welcome(welcome, isFirst),
        onEvent: (event, bytes) => this._event(event, bytes),
        onMissed: ({ first, last }) => this._missed(first, last),
        onLost: ({ attempt }) => this._lost(attempt),
        onEnd: ({ message }) => this._end(message),
        onError: ({ message }) => this._problem(message),
      },
    );
  }

  /** Whether the user takes part in the conversation. */
  get isOwner() {
    return this.role === "owner";
  }

  /** Whether there is a microphone. */
  get hasMicrophone() {
    return this._audio.stream !== null;
  }

  /** Open the stream. */
  connect() {
    this._connection.connect();
  }

  /** Connect again now, if the connection is lost. */
  retryNow() {
    this._connection.retryNow();
  }

  /**
   * Send what the user wrote.
   *
   * @param {string} text
   * @returns {Promise<boolean>} whether it was sent
   */
  async sendText(text) {
    this._turnEndedAt = performance.now();
    return await this._request({ type: "text", text });
  }

  /** Stop the agent: what is played here at once, and the rest at the server. */
  async interrupt() {
    await this._player?.interruptAll(); // the server learns before how much was heard
    if (this._connection.isOpen) await this._request({ type: "interrupt" });
    else this._isInterruptDue = true;
  }

  /**
   * Approve or reject a call of a tool.
   *
   * @param {string} callId
   * @param {boolean} isApproved
   */
  async decide(callId, isApproved) {
    this._handlers.onEntries(this.conversation.deciding(callId, true));
    const type = isApproved ? "approve" : "reject";
    const isSent = await this._request({ type, call_id: callId });
    if (!isSent) this._handlers.onEntries(this.conversation.deciding(callId, false));
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.isMuted = muted;
    this._microphone?.mute(muted);
    if (!muted) this._connection.send({ type: "mute", muted: false });
    this._handlers.onState();
  }

  /** End the call. An observer only leaves it. */
  end() {
    if (this.state === "ended") return;
    const isSent = this.isOwner && this._connection.send({ type: "end" });
    if (!isSent) {
      this._connection.close(this.isOwner ? "The call ended." : "You left the call.");
      return;
    }
    this._stopAudio();
    setTimeout(() => this._connection.close("The call ended."), END_MS);
  }

  /**
   * @param {Record<string, unknown>} message
   * @returns {Promise<boolean>}
   */
  async _request(message) {
    try {
      await this._connection.request(message);
      return true;
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (this.state !== "ended") this._problem(error.message);
      return false;
    }
  }

  // --- the stream

  /**
   * @param {Welcome} welcome
   * @param {boolean} isFirst
   */
  _welcome(welcome, isFirst) {
    this._counters.reconnects = this._connection.reconnects;
    if (isFirst) {
      this._replayUntil = welcome.last_seq;
      this.connectedAt = performance.now();
      this._startAudio(welcome);
    } else {
      this._notice("info", "The connection to the server is back.", "connection");
      this._catchUp();
    }
    this._handlers.onWelcome(welcome);
    this.attempt = 0;
    this._setState(this._isLive ? "live" : "connected");
  }

  /** Tell the server what happened here without a connection. */
  _catchUp() {
    for (const report of this._unsentPositions.values()) this._connection.send(report);
    this._unsentPositions.clear();
    if (this.isMuted) this._connection.send({ type: "mute", muted: true });
    if (this._isInterruptDue) void this._request({ type: "interrupt" });
    this._isInterruptDue = false;
  }

  /** @param {number} attempt */
  _lost(attempt) {
    this.attempt = attempt;
    if (attempt === 1 && this.connectedAt !== null) {
      this._notice("warning", "The connection to the server was lost. Connecting again…", "connection");
    }
    this._setState(this.connectedAt === null ? "connecting" : "reconnecting");
  }

  /** @param {string} message */
  _end(message) {
    this.endMessage = this._lastReason || message;
    this._stopAudio();
    this._setState("ended");
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  _missed(first, last) {
    this._counters.last_seq = this._connection.lastSeq;
    const count = last - first + 1;
    this._notice("warning", `${count} ${count === 1 ? "event" : "events"} of the call are missing here.`);
  }

  /**
   * @param {RpcEvent} event
   * @param {Uint8Array | null} audio
   */
  _event(event, audio) {
    this._counters.last_seq = event.seq;
    this._counters.events += 1;
    const data = event.data ?? {};
    if (!this._isLive && (event.type === "run_connected" || event.type.startsWith("realtime_"))) {
      this._isLive = true;
      this._setState("live");
    }
    this._follow(event, data, audio);
    if (event.seq >= this._replayUntil) {
      for (const play of this._replayed.splice(0)) play();
    }
    const agent = this.conversation.agent;
    this._entries(this.conversation.apply(event));
    if (this.conversation.agent !== agent) this._handlers.onState();
  }

  /**
   * @param {RpcEvent} event
   * @param {any} data
   * @param {Uint8Array | null} audio
   */
  _follow(event, data, audio) {
    switch (event.type) {
      case "realtime_audio":
        if (audio !== null) {
          this._play(event, () => this._player?.play(data.item_id, data.content_index, audio));
        }
        break;
      case "realtime_audio_end":
        this._play(event, () => this._player?.end(data.item_id, data.content_index));
        break;
      case "realtime_audio_interrupted":
        this._play(event, () => this._player?.interrupt(data.item_id, data.content_index));
        this._markInterrupted(data.item_id);
        break;
      case "realtime_speech_started":
        this.isSpeaking = true;
        this._handlers.onState();
        break;
      case "realtime_speech_stopped":
        this.isSpeaking = false;
        this._turnEndedAt = performance.now();
        this._handlers.onState();
        break;
      case "realtime_agent_end":
        this.deliveredAfter =
          data.latency?.speech_to_audio ?? data.latency?.request_to_audio ?? this.deliveredAfter;
        this._handlers.onState();
        break;
      case "client_attached":
        this._forgetEarlierOwner(event);
        break;
      case "run_ended":
        this._lastReason = endReason(data);
        break;
    }
  }

  /**
   * Play what an event delivers. What was said before the welcome waits until it is known whether another page has
   * played it; observers only see it.
   *
   * @param {RpcEvent} event
   * @param {() => void} play
   */
  _play(event, play) {
    if (event.seq > this._replayUntil) play();
    else if (this.isOwner) this._replayed.push(play);
  }

  /**
   * If another page was the owner before, it has played the audio until now.
   *
   * @param {RpcEvent} event
   */
  _forgetEarlierOwner(event) {
    if (event.data.role !== "owner" || event.seq > this._replayUntil) return;
    this._ownersSeen += 1;
    if (this._ownersSeen > 1) this._replayed = [];
  }

  // --- audio

  /** @param {Welcome} welcome */
  _startAudio(welcome) {
    const { context, stream } = this._audio;
    if (context === null) return;
    this._player = new Player(context, welcome.output_format, {
      onPosition: (type, position) => this._position(type, position),
      onLevel: (level) => this._handlers.onSpeakerLevel(level),
      onDropped: () => this._overflow(),
    });
    if (stream === null || !this.isOwner) return;
    try {
      this._startMicrophone(context, stream, welcome.input_format);
    } catch (error) {
      // Firefox connects no microphone whose rate is not that of the loudspeaker.
      if (!(error instanceof DOMException)) throw error;
      stopTracks(stream);
      this._microphoneLost("The microphone does not fit the loudspeaker. Use both of one device.");
    }
  }

  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   * @param {import("./audio-format.js").AudioFormat} format
   */
  _startMicrophone(context, stream, format) {
    this._uplinkBytes = MAX_UPLINK_SECONDS * sampleRate(format) * sampleSize(format);
    this._microphone = new Microphone(context, stream, format, {
      onFrame: (data, level) => this._frame(data, level),
      onSilent: () => this._connection.send({ type: "mute", muted: true }),
      onLost: () => this._microphoneLost("The microphone is gone."),
    });
    if (this.isMuted) this._microphone.mute(true);
  }

  _stopAudio() {
    this._player?.close();
    this._microphone?.close();
    if (this._audio.stream !== null) stopTracks(this._audio.stream);
    this._player = null;
    this._microphone = null;
    this._handlers.onMicrophoneLevel(0);
    this._handlers.onSpeakerLevel(0);
  }

  /**
   * @param {ArrayBuffer} data
   * @param {number} level
   */
  _frame(data, level) {
    this._handlers.onMicrophoneLevel(this.isMuted ? 0 : level);
    if (!this._connection.isOpen) return;
    if (this._connection.bufferedAmount > this._uplinkBytes) {
      if (this._counters.dropped_frames === 0) {
        this._notice("warning", "The network is too slow for your voice. Parts of it are dropped.");
      }
      this._counters.dropped_frames += 1;
      return;
    }
    this._connection.sendAudio(data);
    this._counters.sent_frames += 1;
  }

  /** @param {string} reason */
  _microphoneLost(reason) {
    this._microphone?.close();
    this._microphone = null;
    this._audio.stream = null;
    this._handlers.onMicrophoneLevel(0);
    this._problem(`${reason} You can go on by writing.`);
    this._handlers.onState();
  }

  _overflow() {
    if (this._isOverflowing) return;
    this._isOverflowing = true;
    this._notice("warning", "The answer is too long to be played completely.");
  }

  /**
   * @param {"started" | "position" | "finished" | "interrupted"} type
   * @param {Position} position
   */
  _position(type, { itemId, contentIndex, playedMs, frames }) {
    this._counters.played[keyOf(itemId, contentIndex)] = {
      samples: frames,
      played_ms: playedMs,
      finished: type === "finished",
    };
    if (type === "started") {
      this._measure();
      return;
    }
    if (this.isOwner) {
      const part = { item_id: itemId, content_index: contentIndex };
      const report = { type: "playback", ...part, played_ms: playedMs };
      if (!this._connection.send(report)) {
        this._unsentPositions.set(keyOf(itemId, contentIndex), report);
      }
    }
    if (type !== "interrupted") return;
    this._markInterrupted(itemId);
    this._entries(this.conversation.interrupted(itemId, playedMs));
  }

  _measure() {
    if (this._turnEndedAt === null) return;
    const latency = this._audio.context?.outputLatency ?? 0; // not in all browsers
    this.heardAfter = (performance.now() - this._turnEndedAt) / 1000 + (latency || 0);
    this._turnEndedAt = null;
    this._handlers.onState();
  }

  /** @param {string} itemId */
  _markInterrupted(itemId) {
    if (!this._counters.interrupted.includes(itemId)) this._counters.interrupted.push(itemId);
  }

  // --- what the user sees

  /** @param {CallState} state */
  _setState(state) {
    this.state = state;
    this._counters.state = state;
    this._handlers.onState();
  }

  /** @param {string} text */
  _problem(text) {
    this._handlers.onProblem(text);
  }

  /**
   * @param {"info" | "warning" | "error"} level
   * @param {string} text
   * @param {string} [replaces]
   */
  _notice(level, text, replaces) {
    this._entries(this.conversation.addNotice(level, text, replaces));
  }

  /** @param {Set<string>} changed */
  _entries(changed) {
    if (changed.size > 0) this._handlers.onEntries(changed);
  }
}
