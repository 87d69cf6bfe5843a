/** Conversion between sample rates, without I/O. */

const ZERO_CROSSINGS = 16;
const PASS_BAND = 0.94;
const KAISER_BETA = 7;
const MAX_PHASES = 512;

/**
 * Converts a stream of samples to another rate, with a windowed sinc filter.
 *
 * The output is aligned with the input and has no offset. A sample is returned as soon as the samples that follow
 * it within the filter are there.
 */
export class Resampler {
  /**
   * @param {number} from samples per second of the input
   * @param {number} to samples per second of the output
   */
  constructor(from, to) {
    if (!(from > 0 && to > 0)) throw new RangeError(`rates must be positive, got ${from} and ${to}`);
    this.from = from;
    this.to = to;
    this._isIdentity = from === to;
    const ratio = Math.min(1, to / from);
    this._half = Math.ceil(ZERO_CROSSINGS / ratio);
    const divisor = greatestCommonDivisor(Math.round(from), Math.round(to));
    this._phases = Math.min(MAX_PHASES, Math.round(to) / divisor);
    this._filters = this._isIdentity ? [] : makeFilters(this._phases, this._half, ratio * PASS_BAND);
    this.reset();
  }

  /** Forget the input so far. */
  reset() {
    this._buffer = new Float32Array(this._half); // silence before the first sample
    this._taken = 0; // samples dropped from the buffer
    this._made = 0; // samples returned so far
    this._received = 0;
  }

  /**
   * Convert the next samples.
   *
   * @param {Float32Array} samples
   * @returns {Float32Array} the samples that are ready; they may be fewer or none
   */
  process(samples) {
    if (this._isIdentity) return samples.slice();
    this._received += samples.length;
    return this._convert(samples, Infinity);
  }

  /**
   * Return the last samples, as if silence followed, and forget the input.
   *
   * @returns {Float32Array}
   */
  flush() {
    if (this._isIdentity) return new Float32Array(0);
    const total = Math.ceil((this._received * this.to) / this.from);
    const rest = this._convert(new Float32Array(2 * this._half), total - this._made);
    this.reset();
    return rest;
  }

  /**
   * @param {Float32Array} samples
   * @param {number} limit the most samples to return
   * @returns {Float32Array}
   */
  _convert(samples, limit) {
    const buffer = new Float32Array(this._buffer.length + samples.length);
    buffer.set(this._buffer);
    buffer.set(samples, this._buffer.length);
    const output = new Float32Array(Math.ceil((buffer.length * this.to) / this.from) + 1);
    const taps = 2 * this._half;
    let count = 0;
    let first = 0;
    while (count < limit) {
      const position = (this._made * this.from) / this.to;
      let index = Math.floor(position);
      let phase = Math.round((position - index) * this._phases);
      if (phase === this._phases) {
        phase = 0;
        index += 1;
      }
      first = index - this._taken; // the first tap is half - 1 samples before the position
      if (first + 1 + taps > buffer.length) break;
      const filter = this._filters[phase];
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += buffer[first + 1 + tap] * filter[tap];
      output[count++] = sum;
      this._made += 1;
    }
    const drop = Math.min(Math.max(first, 0), buffer.length);
    this._buffer = buffer.slice(drop);
    this._taken += drop;
    return output.slice(0, count);
  }
}

/**
 * @param {number} phases
 * @param {number} half
 * @param {number} cutoff relative to half of the rate of the input
 * @returns {Float32Array[]} for each phase, the weights of the samples from half - 1 before to half after
 */
function makeFilters(phases, half, cutoff) {
  const filters = [];
  for (let phase = 0; phase < phases; phase++) {
    const filter = new Float32Array(2 * half);
    let sum = 0;
    for (let tap = 0; tap < filter.length; tap++) {
      const distance = tap - (half - 1) - phase / phases;
      filter[tap] = cutoff * sinc(cutoff * distance) * kaiser(distance / half);
      sum += filter[tap];
    }
    for (let tap = 0; tap < filter.length; tap++) filter[tap] /= sum; // constant input stays constant
    filters.push(filter);
  }
  return filters;
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {number} x from -1 to 1 */
function kaiser(x) {
  return Math.abs(x) >= 1 ? 0 : bessel(KAISER_BETA * Math.sqrt(1 - x * x)) / bessel(KAISER_BETA);
}

/** @param {number} x */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/**
 * @param {number} a
 * @param {number} b
 * @returns {number}
 */
function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
