/**
 * Raw audio: PCM16 little-endian and G.711, to and from samples. No I/O.
 *
 * @typedef {{type: "audio/pcm" | "audio/pcmu" | "audio/pcma", rate?: number}} AudioFormat
 */

const G711_RATE = 8000;
const DEFAULT_PCM_RATE = 24000;
const ULAW_BIAS = 0x84;
const ULAW_CLIP = 32635;

/**
 * Return the samples per second of a format.
 *
 * @param {AudioFormat} format
 * @returns {number}
 */
export function sampleRate(format) {
  if (format.type === "audio/pcm") return format.rate ?? DEFAULT_PCM_RATE;
  if (format.type === "audio/pcmu" || format.type === "audio/pcma") return format.rate ?? G711_RATE;
  throw new RangeError(`unknown audio format: ${format.type}`);
}

/**
 * Return the bytes per sample of a format.
 *
 * @param {AudioFormat} format
 * @returns {number}
 */
export function sampleSize(format) {
  return format.type === "audio/pcm" ? 2 : 1;
}

/**
 * Convert a sample from -1 to 1 to 16 bits.
 *
 * @param {number} value
 * @returns {number}
 */
export function toInt16(value) {
  if (!(value > -1)) return value <= -1 ? -32768 : 0; // NaN becomes silence
  return value >= 1 ? 32767 : Math.round(value * 32767);
}

/**
 * Encode samples from -1 to 1.
 *
 * @param {Float32Array} samples
 * @param {AudioFormat} format
 * @returns {ArrayBuffer}
 */
export function encodeAudio(samples, format) {
  if (format.type === "audio/pcm") {
    const view = new DataView(new ArrayBuffer(2 * samples.length));
    for (let i = 0; i < samples.length; i++) view.setInt16(2 * i, toInt16(samples[i]), true);
    return view.buffer;
  }
  const encode = format.type === "audio/pcmu" ? encodeUlaw : encodeAlaw;
  const bytes = new Uint8Array(samples.length);
  for (let i = 0; i < samples.length; i++) bytes[i] = encode(toInt16(samples[i]));
  return bytes.buffer;
}

/**
 * Decode raw audio to samples of 16 bits. An odd byte at the end of PCM16 is dropped.
 *
 * @param {Uint8Array} bytes
 * @param {AudioFormat} format
 * @returns {Int16Array}
 */
export function decodeAudio(bytes, format) {
  if (format.type === "audio/pcm") {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const samples = new Int16Array(bytes.byteLength >> 1);
    for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(2 * i, true);
    return samples;
  }
  const decode = format.type === "audio/pcmu" ? decodeUlaw : decodeAlaw;
  return Int16Array.from(bytes, decode);
}

/**
 * @param {number} sample a sample of 16 bits
 * @returns {number} the code of G.711 µ-law
 */
export function encodeUlaw(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(sample), ULAW_CLIP) + ULAW_BIAS;
  const exponent = 24 - Math.clz32(magnitude); // of the highest bit, above bit 7
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  return ~(sign | (exponent << 4) | mantissa) & 0xff;
}

/**
 * @param {number} code a code of G.711 µ-law
 * @returns {number} the sample of 16 bits
 */
export function decodeUlaw(code) {
  const inverted = ~code & 0xff;
  const exponent = (inverted >> 4) & 0x07;
  const magnitude = ((((inverted & 0x0f) << 3) + ULAW_BIAS) << exponent) - ULAW_BIAS;
  return inverted & 0x80 ? 0 - magnitude : magnitude; // never -0
}

/**
 * @param {number} sample a sample of 16 bits
 * @returns {number} the code of G.711 A-law
 */
export function encodeAlaw(sample) {
  const sign = sample >= 0 ? 0x80 : 0;
  const magnitude = (sample >= 0 ? sample : -sample - 1) >> 3; // 13 bits with the sign
  const exponent = magnitude < 32 ? 0 : 27 - Math.clz32(magnitude);
  const mantissa = (exponent === 0 ? magnitude >> 1 : magnitude >> exponent) & 0x0f;
  return (sign | (exponent << 4) | mantissa) ^ 0x55;
}

/**
 * @param {number} code a code of G.711 A-law
 * @returns {number} the sample of 16 bits
 */
export function decodeAlaw(code) {
  const plain = code ^ 0x55;
  const exponent = (plain >> 4) & 0x07;
  const mantissa = plain & 0x0f;
  const magnitude =
    exponent === 0 ? (mantissa << 4) + 8 : ((mantissa << 4) + 0x108) << (exponent - 1);
  return plain & 0x80 ? magnitude : -magnitude;
}

/**
 * Return the level of samples for a meter: 0 for -60 dBFS and less, 1 for full scale.
 *
 * @param {Float32Array} samples
 * @returns {number}
 */
export function meterLevel(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  if (sum === 0) return 0;
  const decibels = 10 * Math.log10(sum / samples.length);
  return Math.min(1, Math.max(0, 1 + decibels / 60));
}
