/** The loudspeaker: plays the audio that the page sends, and reports what was played. */

import { meterLevel } from "./audio-format.js";
import { PlaybackQueue } from "./playback-queue.js";

const REPORT_SECONDS = 0.2;
const LEVEL_SECONDS = 0.05;

class PlaybackProcessor extends AudioWorkletProcessor {
  /** @param {{processorOptions: {inputRate: number}}} options */
  constructor(options) {
    super();
    const { inputRate } = options.processorOptions;
    this._queue = new PlaybackQueue({ outputRate: sampleRate, inputRate });
    this._isRunning = true;
    this._sinceReport = 0;
    this._sinceLevel = 0;
    this._reported = 0;
    this.port.onmessage = ({ data }) => this._receive(data);
  }

  /** @param {any} message */
  _receive(message) {
    const { type, itemId, contentIndex } = message;
    if (type === "audio") {
      const dropped = this._queue.push(itemId, contentIndex, message.samples);
      if (dropped > 0) this.port.postMessage({ type: "dropped", samples: dropped });
    } else if (type === "end") {
      this._queue.end(itemId, contentIndex);
    } else if (type === "interrupt") {
      const position = this._queue.interrupt(itemId, contentIndex);
      if (position !== null) this.port.postMessage({ type: "interrupted", ...position });
    } else if (type === "interruptAll") {
      const positions = this._queue.interruptAll();
      for (const position of positions) this.port.postMessage({ type: "interrupted", ...position });
      this.port.postMessage({ type: "allInterrupted", id: message.id });
    } else if (type === "stop") {
      this._isRunning = false;
    }
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const [first, ...others] = outputs[0];
    this._queue.render(first);
    for (const channel of others) channel.set(first);
    for (const event of this._queue.takeEvents()) this.port.postMessage(event);
    this._report(first);
    return this._isRunning;
  }

  /** @param {Float32Array} block */
  _report(block) {
    this._sinceReport += block.length;
    this._sinceLevel += block.length;
    if (this._sinceLevel >= LEVEL_SECONDS * sampleRate) {
      this._sinceLevel = 0;
      this.port.postMessage({ type: "level", level: meterLevel(block) });
    }
    if (this._sinceReport < REPORT_SECONDS * sampleRate) return;
    this._sinceReport = 0;
    const position = this._queue.current();
    if (position === null || position.frames === this._reported) return;
    this._reported = position.frames;
    this.port.postMessage({ type: "position", ...position });
  }
}

registerProcessor("trio-realtime-playback", PlaybackProcessor);
