/** The loudspeaker of the page. */

import { decodeAudio, sampleRate } from "./audio-format.js";

const INTERRUPT_MS = 100;

/**
 * @typedef {import("./audio-format.js").AudioFormat} AudioFormat
 * @typedef {import("./playback-queue.js").Position} Position
 *
 * @typedef {object} PlayerHandlers
 * @property {(type: "started" | "position" | "finished" | "interrupted", position: Position) => void} onPosition
 * @property {(level: number) => void} onLevel from 0 to 1
 * @property {(seconds: number) => void} onDropped audio that was dropped, because too much waits
 */

/** Plays the agent's audio in order, and reports what was played. */
export class Player {
  /**
   * @param {AudioContext} context
   * @param {AudioFormat} format
   * @param {PlayerHandlers} handlers
   */
  constructor(context, format, handlers) {
    this._format = format;
    this._handlers = handlers;
    /** @type {Map<number, () => void>} */
    this._waiting = new Map();
    this._nextId = 1;
    this._node = new AudioWorkletNode(context, "trio-realtime-playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { inputRate: sampleRate(format) },
    });
    this._node.port.onmessage = ({ data }) => this._receive(data);
    this._node.connect(context.destination);
  }

  /**
   * Add audio of an item.
   *
   * @param {string} itemId
   * @param {number} contentIndex
   * @param {Uint8Array} bytes
   */
  play(itemId, contentIndex, bytes) {
    const samples = decodeAudio(bytes, this._format);
    const message = { type: "audio", itemId, contentIndex, samples };
    this._node.port.postMessage(message, [samples.buffer]);
  }

  /**
   * No more audio of an item follows.
   *
   * @param {string} itemId
   * @param {number} contentIndex
   */
  end(itemId, contentIndex) {
    this._node.port.postMessage({ type: "end", itemId, contentIndex });
  }

  /**
   * Stop an item at once.
   *
   * @param {string} itemId
   * @param {number} contentIndex
   */
  interrupt(itemId, contentIndex) {
    this._node.port.postMessage({ type: "interrupt", itemId, contentIndex });
  }

  /**
   * Stop all items at once.
   *
   * @returns {Promise<void>} resolved when their positions were reported, or after 100 ms
   */
  interruptAll() {
    const id = this._nextId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this._resolve(id), INTERRUPT_MS);
      this._waiting.set(id, () => {
        clearTimeout(timer);
        resolve();
      });
      this._node.port.postMessage({ type: "interruptAll", id });
    });
  }

  /** Stop playing, and release the node. */
  close() {
    this._node.port.postMessage({ type: "stop" });
    this._node.disconnect();
    for (const id of [...this._waiting.keys()]) this._resolve(id);
  }

  /** @param {number} id */
  _resolve(id) {
    const resolve = this._waiting.get(id);
    this._waiting.delete(id);
    resolve?.();
  }

  /** @param {any} message */
  _receive(message) {
    switch (message.type) {
      case "started":
      case "position":
      case "finished":
      case "interrupted":
        this._handlers.onPosition(message.type, message);
        break;
      case "level":
        this._handlers.onLevel(message.level);
        break;
      case "dropped":
        this._handlers.onDropped(message.samples / sampleRate(this._format));
        break;
      case "allInterrupted":
        this._resolve(message.id);
        break;
    }
  }
}
