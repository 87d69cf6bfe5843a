/** Audio of the microphone as frames of the input format, without I/O. */

import { encodeAudio, meterLevel, sampleRate } from "./audio-format.js";
import { Resampler } from "./resampler.js";

/** Silence that is sent after the microphone was muted, so that the turn detection ends the turn. */
export const MUTED_TAIL_MS = 1200;

/**
 * Converts blocks of samples to frames of one length.
 *
 * @typedef {import("./audio-format.js").AudioFormat} AudioFormat
 * @typedef {{data: ArrayBuffer, level: number}} CapturedFrame
 */
export class CaptureEncoder {
  /**
   * @param {number} contextRate samples per second of the blocks
   * @param {AudioFormat} format
   * @param {number} frameMs
   */
  constructor(contextRate, format, frameMs = 40) {
    const rate = sampleRate(format);
    this._format = format;
    this._resampler = new Resampler(contextRate, rate);
    this._frame = new Float32Array(Math.round((rate * frameMs) / 1000));
    this._filled = 0;
    this._tailFrames = Math.ceil(MUTED_TAIL_MS / frameMs);
    this._isMuted = false;
    this._remaining = 0;
  }

  /**
   * Mute, or go on. Silence follows when it is muted, and then nothing.
   *
   * @param {boolean} muted
   */
  setMuted(muted) {
    if (muted === this._isMuted) return;
    this._isMuted = muted;
    this._remaining = muted ? this._tailFrames : 0;
  }

  /** Whether the microphone is muted, and the silence after it is complete. */
  get isSilent() {
    return this._isMuted && this._remaining === 0;
  }

  /**
   * Convert the next block.
   *
   * @param {readonly Float32Array[]} channels
   * @returns {CapturedFrame[]} the frames that are complete
   */
  push(channels) {
    if (channels.length === 0) return [];
    /** @type {CapturedFrame[]} */
    const frames = [];
    for (const sample of this._resampler.process(mix(channels))) {
      this._frame[this._filled++] = this._isMuted ? 0 : sample;
      if (this._filled < this._frame.length) continue;
      this._filled = 0;
      if (this.isSilent) continue;
      if (this._isMuted) this._remaining -= 1;
      frames.push({ data: encodeAudio(this._frame, this._format), level: meterLevel(this._frame) });
    }
    return frames;
  }
}

/**
 * @param {readonly Float32Array[]} channels
 * @returns {Float32Array} one channel
 */
function mix(channels) {
  if (channels.length === 1) return channels[0];
  const mono = new Float32Array(channels[0].length);
  for (const channel of channels) {
    for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / channels.length;
  }
  return mono;
}
