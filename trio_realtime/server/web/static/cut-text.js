/** Which part of a spoken text was not heard. */

/** An item that was heard up to this share of its audio counts as heard. */
const COMPLETE = 0.98;

/**
 * Return the end of a text that was not heard.
 *
 * A transcript has no times. The text received so far is spread over the audio received so far, and whole words
 * are cut.
 *
 * @param {string} text
 * @param {number} playedMs milliseconds of audio that were heard
 * @param {number} receivedMs milliseconds of audio that were received
 * @returns {string}
 */
export function cutText(text, playedMs, receivedMs) {
  if (!(playedMs > 0)) return text;
  const share = receivedMs > 0 ? playedMs / receivedMs : 1;
  if (share >= COMPLETE) return "";
  const position = Math.round(text.length * share);
  const start = text.lastIndexOf(" ", position);
  return start < 0 ? text : text.slice(start + 1);
}
