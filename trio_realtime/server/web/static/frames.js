/** The binary frames of the stream, without I/O. */

const LENGTH_BYTES = 4;

/**
 * @typedef {object} RpcEvent an event of the session
 * @property {string} type
 * @property {number} seq
 * @property {number} version
 * @property {number} [time]
 * @property {Record<string, any>} data
 */

/** A frame is not one of this protocol. */
export class FrameError extends Error {}

/**
 * Parse a binary frame: the length of the header (32 bits, big-endian), the header, and the audio.
 *
 * @param {ArrayBuffer} buffer
 * @returns {{event: RpcEvent, audio: Uint8Array}}
 */
export function parseFrame(buffer) {
  if (buffer.byteLength < LENGTH_BYTES) throw new FrameError("the frame has no complete length");
  const length = new DataView(buffer).getUint32(0);
  const end = LENGTH_BYTES + length;
  if (end > buffer.byteLength) throw new FrameError("the header is longer than the frame");
  const text = new TextDecoder().decode(new Uint8Array(buffer, LENGTH_BYTES, length));
  return { event: parseEvent(text), audio: new Uint8Array(buffer, end) };
}

/**
 * Parse a JSON object with a type.
 *
 * @param {string} text
 * @returns {any}
 */
export function parseEvent(text) {
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FrameError("the frame is not JSON");
  }
  if (value === null || typeof value !== "object" || typeof value.type !== "string") {
    throw new FrameError("the frame has no type");
  }
  return value;
}
