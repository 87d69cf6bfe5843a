/** The stream of a session: one WebSocket after the other, until the call ends. */

import { finalClose, retryDelay } from "./backoff.js";
import { FrameError, parseEvent, parseFrame } from "./frames.js";

const PROTOCOL = 1;
const PING_MS = 10_000;
const SILENCE_MS = 25_000;
const CONNECT_MS = 15_000;
const LOST_AFTER_GRACE_MS = 30_000;
const ANSWER_MS = 15_000;
/** A connection that lasts as long is good: the next loss is a new one. */
const STABLE_MS = 5_000;
const NORMAL_CLOSE = 1000;
const CLOSE_BY_PAGE = 4000;
const NOT_ADMITTED = 4401;

/**
 * @typedef {import("./frames.js").RpcEvent} RpcEvent
 * @typedef {import("./audio-format.js").AudioFormat} AudioFormat
 *
 * @typedef {object} Welcome
 * @property {string} session_id
 * @property {string} run_id
 * @property {string} role
 * @property {string | null} [resume_token]
 * @property {number} last_seq
 * @property {AudioFormat} input_format
 * @property {AudioFormat} output_format
 * @property {number} grace
 *
 * @typedef {object} Handlers
 * @property {(welcome: Welcome, isFirst: boolean) => void} onWelcome
 * @property {(event: RpcEvent, audio: Uint8Array | null) => void} onEvent
 * @property {(missed: {first: number, last: number}) => void} onMissed
 * @property {(lost: {attempt: number, delayMs: number}) => void} onLost
 * @property {(end: {code: number | null, message: string}) => void} onEnd
 * @property {(error: {code: string, message: string}) => void} onError
 *
 * @typedef {object} Environment what the browser provides; tests replace it
 * @property {(url: string) => WebSocket} open
 * @property {(run: () => void, ms: number) => any} setTimer
 * @property {(timer: any) => void} clearTimer
 * @property {() => number} now milliseconds
 * @property {() => number} random
 */

/** A message was not carried out. */
export class RequestError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Sends and receives, connects again after a loss, and delivers each event once. */
export class Connection {
  /**
   * @param {{url: string, token: string, role: "owner" | "observer", audio: "binary" | "none"}} call
   * @param {Handlers} handlers
   * @param {Environment} [environment]
   */
  constructor(call, handlers, environment = browser()) {
    this._call = call;
    this._handlers = handlers;
    this._environment = environment;
    this._token = call.token;
    this._resumable = false;
    this._lastSeq = 0;
    this._attempt = 0;
    this._graceMs = 0;
    this._welcomeAt = Infinity;
    /** @type {number | null} */
    this._lostAt = null;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._isWelcome = false;
    this._isEnded = false;
    this._lastReceived = 0;
    this._timer = /** @type {any} */ (null);
    this._nextId = 1;
    /** @type {Map<string, {resolve: () => void, reject: (error: Error) => void, timer: any}>} */
    this._requests = new Map();
    this.reconnects = 0;
  }

  /** The number of the last event that was delivered. */
  get lastSeq() {
    return this._lastSeq;
  }

  /** Whether messages can be sent now. */
  get isOpen() {
    return this._isWelcome;
  }

  /** Bytes that wait to be sent. */
  get bufferedAmount() {
    return this._socket?.bufferedAmount ?? 0;
  }

  /** Open the stream. */
  connect() {
    if (this._isEnded || this._socket !== null) return;
    this._cancelTimer();
    const socket = this._environment.open(this._call.url);
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    this._lastReceived = this._environment.now();
    socket.onopen = () => socket.send(JSON.stringify(this._hello()));
    socket.onmessage = ({ data }) => this._receive(socket, data);
    socket.onclose = ({ code, reason }) => this._closed(socket, code, reason);
    this._setTimer(() => socket === this._socket && this._drop(socket), CONNECT_MS);
  }

  /** Connect now instead of waiting longer, for example because the network is back. */
  retryNow() {
    if (this._lostAt !== null && this._socket === null) this.connect();
  }

  /**
   * Send a message that needs no answer.
   *
   * @param {Record<string, unknown>} message
   * @returns {boolean} whether there is a connection
   */
  send(message) {
    if (!this._isWelcome || this._socket === null) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Send audio of the user.
   *
   * @param {ArrayBuffer} data
   * @returns {boolean} whether there is a connection
   */
  sendAudio(data) {
    if (!this._isWelcome || this._socket === null) return false;
    this._socket.send(data);
    return true;
  }

  /**
   * Send a message, and wait until it was carried out.
   *
   * @param {Record<string, unknown>} message
   * @returns {Promise<void>} rejected with a RequestError if it was not
   */
  request(message) {
    const id = `page_${this._nextId++}`;
    return new Promise((resolve, reject) => {
      if (!this.send({ ...message, id })) {
        reject(new RequestError("not_connected", "There is no connection to the server."));
        return;
      }
      const timer = this._environment.setTimer(() => {
        this._requests.delete(id);
        reject(new RequestError("no_answer", "The server did not answer."));
      }, ANSWER_MS);
      this._requests.set(id, { resolve, reject, timer });
    });
  }

  /**
   * End the use of the stream.
   *
   * @param {string} message why
   */
  close(message) {
    if (this._isEnded) return;
    const socket = this._socket;
    this._end(null, message);
    socket?.close(NORMAL_CLOSE);
  }

  _hello() {
    return {
      type: "hello",
      protocol: PROTOCOL,
      token: this._token,
      role: this._call.role,
      audio: this._call.audio,
      last_seq: this._lastSeq,
    };
  }

  /**
   * @param {WebSocket} socket
   * @param {string | ArrayBuffer} data
   */
  _receive(socket, data) {
    if (socket !== this._socket) return;
    this._lastReceived = this._environment.now();
    try {
      if (typeof data === "string") {
        this._dispatch(parseEvent(data), null);
      } else {
        const { event, audio } = parseFrame(data);
        this._dispatch(event, audio);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this._handlers.onError({ code: "invalid_frame", message: error.message });
    }
  }

  /**
   * @param {any} message
   * @param {Uint8Array | null} audio
   */
  _dispatch(message, audio) {
    switch (message.type) {
      case "welcome":
        this._welcome(message);
        break;
      case "ack":
      case "error":
        this._answer(message);
        break;
      case "pong":
        break;
      case "events_missed":
        this._lastSeq = Math.max(this._lastSeq, message.last);
        this._handlers.onMissed(message);
        break;
      default:
        if (!(message.seq > this._lastSeq)) return; // sent again after a loss
        this._lastSeq = message.seq;
        this._handlers.onEvent(message, audio);
    }
  }

  /** @param {Welcome} welcome */
  _welcome(welcome) {
    const isFirst = !this._resumable;
    if (welcome.resume_token) this._token = welcome.resume_token;
    this._resumable = true;
    this._isWelcome = true;
    this._graceMs = 1000 * welcome.grace;
    this._welcomeAt = this._environment.now();
    this._lostAt = null;
    if (!isFirst) this.reconnects += 1;
    this._keepAlive();
    this._handlers.onWelcome(welcome, isFirst);
  }

  /** @param {{type: string, id?: string, code?: string, message?: string}} answer */
  _answer(answer) {
    const request = answer.id === undefined ? undefined : this._requests.get(answer.id);
    const { code = "error", message = "The server reports an error." } = answer;
    if (request === undefined) {
      if (answer.type === "error") this._handlers.onError({ code, message });
      return;
    }
    this._requests.delete(/** @type {string} */ (answer.id));
    this._environment.clearTimer(request.timer);
    if (answer.type === "ack") request.resolve();
    else request.reject(new RequestError(code, message));
  }

  _keepAlive() {
    this._setTimer(() => {
      const socket = this._socket;
      if (socket === null) return;
      if (this._environment.now() - this._lastReceived > SILENCE_MS) {
        this._drop(socket);
        return;
      }
      this.send({ type: "ping" });
      this._keepAlive();
    }, PING_MS);
  }

  /** @param {WebSocket} socket one that no longer answers */
  _drop(socket) {
    socket.close(CLOSE_BY_PAGE);
    this._closed(socket, 1006, ""); // the event of the close may take a minute
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  _closed(socket, code, reason) {
    if (socket !== this._socket || this._isEnded) return;
    this._socket = null;
    this._isWelcome = false;
    this._rejectRequests();
    const message = finalClose(code, reason);
    if (message !== null) {
      const hasEnded = code === NOT_ADMITTED && this._resumable;
      this._end(code, hasEnded ? "The call ended while the connection was lost." : message);
      return;
    }
    const now = this._environment.now();
    if (now - this._welcomeAt > STABLE_MS) this._attempt = 0;
    this._welcomeAt = Infinity;
    this._lostAt ??= now;
    if (now - this._lostAt > this._graceMs + LOST_AFTER_GRACE_MS) {
      this._end(code, "The connection to the server is lost.");
      return;
    }
    this._attempt += 1;
    const delayMs = retryDelay(this._attempt, this._environment.random);
    this._setTimer(() => this.connect(), delayMs);
    this._handlers.onLost({ attempt: this._attempt, delayMs });
  }

  /**
   * @param {number | null} code
   * @param {string} message
   */
  _end(code, message) {
    this._isEnded = true;
    this._isWelcome = false;
    this._socket = null;
    this._cancelTimer();
    this._rejectRequests();
    this._handlers.onEnd({ code, message });
  }

  _rejectRequests() {
    const error = new RequestError("not_connected", "The connection was lost before the answer.");
    for (const { reject, timer } of this._requests.values()) {
      this._environment.clearTimer(timer);
      reject(error);
    }
    this._requests.clear();
  }

  /**
   * @param {() => void} run
   * @param {number} ms
   */
  _setTimer(run, ms) {
    this._cancelTimer();
    this._timer = this._environment.setTimer(run, ms);
  }

  _cancelTimer() {
    this._environment.clearTimer(this._timer);
    this._timer = null;
  }
}

/** @returns {Environment} */
function browser() {
  return {
    open: (url) => new WebSocket(url),
    setTimer: (run, ms) => setTimeout(run, ms),
    clearTimer: (timer) => clearTimeout(timer),
    now: () => performance.now(),
    random: Math.random,
  };
}
