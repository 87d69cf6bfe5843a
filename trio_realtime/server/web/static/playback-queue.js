/** The agent's audio that waits to be played, and how much of each item was played. No I/O. */

import { Resampler } from "./resampler.js";

/** Audio that is converted at a time. */
const SLICE_MS = 10;
const FADE_FRAMES = 128;
const MAX_INTERRUPTED = 512;

/**
 * @typedef {object} Position how much of a part of an item was played
 * @property {string} itemId
 * @property {number} contentIndex
 * @property {number} playedMs
 * @property {number} frames the played samples, in the rate of the output
 *
 * @typedef {Position & {type: "started" | "finished" | "stalled"}} QueueEvent
 *
 * @typedef {object} QueueOptions
 * @property {number} outputRate samples per second of the blocks to render
 * @property {number} inputRate samples per second of the audio
 * @property {number} [maxSeconds] the most audio that waits; further audio is dropped
 * @property {number} [prebufferMs] audio that must wait before an item starts
 * @property {number} [maxWaitMs] time after which an item starts with less
 */

/** The items play one after the other, in the order of their first audio. */
export class PlaybackQueue {
  /** @param {QueueOptions} options */
  constructor({ outputRate, inputRate, maxSeconds = 600, prebufferMs = 60, maxWaitMs = 200 }) {
    this._outputRate = outputRate;
    this._inputRate = inputRate;
    this._maxQueued = maxSeconds * inputRate;
    this._prebuffer = (prebufferMs / 1000) * inputRate;
    this._maxWait = (maxWaitMs / 1000) * outputRate;
    this._slice = Math.max(1, Math.round((SLICE_MS / 1000) * inputRate));
    /** @type {QueuedItem[]} */
    this._items = [];
    /** @type {Set<string>} */
    this._interrupted = new Set();
    /** @type {QueueEvent[]} */
    this._events = [];
    this._queued = 0;
    this._lastSample = 0;
    this._fadeFrom = 0;
  }

  /** Seconds of audio that wait. */
  get queuedSeconds() {
    return this._queued / this._inputRate;
  }

  /** Whether nothing waits or plays. */
  get isEmpty() {
    return this._items.length === 0;
  }

  /**
   * Add audio of an item.
   *
   * @param {string} itemId
   * @param {number} contentIndex
   * @param {Int16Array} samples
   * @returns {number} samples that were dropped, because too much audio waits
   */
  push(itemId, contentIndex, samples) {
    if (this._interrupted.has(keyOf(itemId, contentIndex)) || samples.length === 0) return 0;
    const capacity = Math.max(0, Math.floor(this._maxQueued - this._queued));
    const accepted = samples.length <= capacity ? samples : samples.subarray(0, capacity);
    if (accepted.length > 0) {
      this._item(itemId, contentIndex).push(accepted);
      this._queued += accepted.length;
    }
    return samples.length - accepted.length;
  }

  /**
   * No more audio of an item follows.
   *
   * @param {string} itemId
   * @param {number} contentIndex
   */
  end(itemId, contentIndex) {
    const item = this._find(itemId, contentIndex);
    if (item !== undefined) item.isEnded = true;
  }

  /**
   * Stop an item, and drop what has not been played of it, now and later.
   *
   * @param {string} itemId
   * @param {number} contentIndex
   * @returns {Position | null} where it stopped; null if it was not in the queue
   */
  interrupt(itemId, contentIndex) {
    this._interrupted.add(keyOf(itemId, contentIndex));
    if (this._interrupted.size > MAX_INTERRUPTED) {
      this._interrupted.delete(/** @type {string} */ (this._interrupted.values().next().value));
    }
    const item = this._find(itemId, contentIndex);
    if (item === undefined) return null;
    if (item === this._items[0] && item.isPlaying) this._fadeFrom = this._lastSample;
    this._items.splice(this._items.indexOf(item), 1);
    this._queued -= item.queued;
    return this._position(item);
  }

  /**
   * Stop all items.
   *
   * @returns {Position[]} where they stopped
   */
  interruptAll() {
    /** @type {Position[]} */
    const positions = [];
    for (const item of [...this._items]) {
      const position = this.interrupt(item.itemId, item.contentIndex);
      if (position !== null) positions.push(position);
    }
    return positions;
  }

  /**
   * Return the position of the item that plays, or is the next one to play.
   *
   * @returns {Position | null}
   */
  current() {
    const item = this._items[0];
    return item === undefined ? null : this._position(item);
  }

  /**
   * Return the events since the last call.
   *
   * @returns {QueueEvent[]}
   */
  takeEvents() {
    return this._events.splice(0);
  }

  /**
   * Fill a block with the next samples, and with silence if there are none.
   *
   * @param {Float32Array} output
   */
  render(output) {
    let offset = 0;
    while (offset < output.length) {
      const item = this._items[0];
      if (item === undefined || !this._canPlay(item, output.length - offset)) break;
      const count = item.read(output.subarray(offset), this._slice, (taken) => {
        this._queued -= taken;
      });
      offset += count;
      if (count > 0 && !item.isEnded) item.waited = 0;
      if (offset === output.length) break;
      const isStarved = item.waited >= this._maxWait && this._items.length > 1;
      if (item.isEnded || isStarved) this._finish(item);
      else this._stall(item);
    }
    output.fill(0, offset);
    this._fade(output);
    this._lastSample = output.length === 0 ? 0 : output[output.length - 1];
  }

  /**
   * @param {QueuedItem} item
   * @param {number} frames frames that pass if the item does not play
   * @returns {boolean}
   */
  _canPlay(item, frames) {
    if (item.isPlaying) return true;
    const isReady = item.isEnded || item.queued >= Math.max(1, this._prebuffer);
    if (!isReady && item.waited < this._maxWait) {
      item.waited += frames;
      return false;
    }
    if (item.queued === 0 && !item.isEnded && this._items.length === 1) return false;
    item.isPlaying = true;
    if (item.frames === 0 && item.queued > 0) {
      this._events.push({ type: "started", ...this._position(item) });
    }
    return true;
  }

  /** @param {QueuedItem} item */
  _finish(item) {
    this._items.shift();
    this._events.push({ type: "finished", ...this._position(item) });
  }

  /** @param {QueuedItem} item */
  _stall(item) {
    item.isPlaying = false;
    item.waited = 0;
    this._events.push({ type: "stalled", ...this._position(item) });
  }

  /** @param {Float32Array} output */
  _fade(output) {
    if (this._fadeFrom === 0) return;
    const frames = Math.min(FADE_FRAMES, output.length);
    for (let i = 0; i < frames; i++) output[i] += this._fadeFrom * (1 - (i + 1) / frames);
    this._fadeFrom = 0;
  }

  /**
   * @param {string} itemId
   * @param {number} contentIndex
   * @returns {QueuedItem | undefined}
   */
  _find(itemId, contentIndex) {
    return this._items.find(
      (item) => item.itemId === itemId && item.contentIndex === contentIndex,
    );
  }

  /**
   * @param {string} itemId
   * @param {number} contentIndex
   * @returns {QueuedItem}
   */
  _item(itemId, contentIndex) {
    const known = this._find(itemId, contentIndex);
    if (known !== undefined) return known;
    const resampler = new Resampler(this._inputRate, this._outputRate);
    const item = new QueuedItem(itemId, contentIndex, resampler);
    this._items.push(item);
    return item;
  }

  /**
   * @param {QueuedItem} item
   * @returns {Position}
   */
  _position(item) {
    const received = (item.received / this._inputRate) * 1000;
    const playedMs = Math.min(received, (item.frames / this._outputRate) * 1000);
    const { itemId, contentIndex, frames } = item;
    return { itemId, contentIndex, playedMs, frames };
  }
}

/** The audio of one part of an item. */
class QueuedItem {
  /**
   * @param {string} itemId
   * @param {number} contentIndex
   * @param {Resampler} resampler
   */
  constructor(itemId, contentIndex, resampler) {
    this.itemId = itemId;
    this.contentIndex = contentIndex;
    this.isEnded = false;
    this.isPlaying = false;
    this.waited = 0;
    this.received = 0;
    this.queued = 0;
    this.frames = 0;
    this._resampler = resampler;
    /** @type {Int16Array[]} */
    this._chunks = [];
    this._offset = 0;
    this._ready = new Float32Array(0);
    this._next = 0;
    this._isFlushed = false;
  }

  /** @param {Int16Array} samples */
  push(samples) {
    this._chunks.push(samples);
    this.received += samples.length;
    this.queued += samples.length;
  }

  /**
   * Fill a block as far as there is audio.
   *
   * @param {Float32Array} output
   * @param {number} slice samples to convert at a time
   * @param {(taken: number) => void} onTaken is given the samples that no longer wait
   * @returns {number} how many samples there were
   */
  read(output, slice, onTaken) {
    let count = 0;
    while (count < output.length) {
      if (this._next === this._ready.length && !this._convert(slice, onTaken)) break;
      const length = Math.min(this._ready.length - this._next, output.length - count);
      output.set(this._ready.subarray(this._next, this._next + length), count);
      this._next += length;
      count += length;
    }
    this.frames += count;
    return count;
  }

  /**
   * @param {number} slice
   * @param {(taken: number) => void} onTaken
   * @returns {boolean} whether more may follow
   */
  _convert(slice, onTaken) {
    this._next = 0;
    if (this._chunks.length > 0) {
      const samples = this._take(slice);
      onTaken(samples.length);
      this._ready = this._resampler.process(samples);
      return true;
    }
    this._ready = new Float32Array(0);
    if (!this.isEnded || this._isFlushed) return false;
    this._isFlushed = true;
    this._ready = this._resampler.flush();
    return true;
  }

  /**
   * @param {number} slice
   * @returns {Float32Array}
   */
  _take(slice) {
    const chunk = this._chunks[0];
    const part = chunk.subarray(this._offset, this._offset + slice);
    this._offset += part.length;
    this.queued -= part.length;
    if (this._offset === chunk.length) {
      this._chunks.shift();
      this._offset = 0;
    }
    return Float32Array.from(part, (sample) => sample / 32768);
  }
}

/**
 * @param {string} itemId
 * @param {number} contentIndex
 * @returns {string}
 */
export function keyOf(itemId, contentIndex) {
  return `${itemId}/${contentIndex}`;
}
