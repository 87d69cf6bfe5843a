/** How long to wait before the stream is opened again. No I/O. */

const FIRST_SECONDS = 0.5;
const MAX_SECONDS = 8;

/**
 * Return the delay before an attempt, in milliseconds: it doubles, and a part of it is random.
 *
 * @param {number} attempt 1 for the first attempt after the loss
 * @param {() => number} random returns a number from 0 to 1
 * @returns {number}
 */
export function retryDelay(attempt, random = Math.random) {
  const seconds = Math.min(MAX_SECONDS, FIRST_SECONDS * 2 ** (attempt - 1));
  return 1000 * seconds * (0.5 + random() / 2);
}

/** The server has waited too long for the first message: the network is slow. */
const NO_HELLO = 4408;

/** What the close codes mean that end a call. All other codes are a lost connection. */
const FINAL_CLOSES = new Map([
  [1000, "The call has ended."],
  [4400, "The server did not understand this page. Reload it to get the current version."],
  [4401, "The access to this call is not valid, or has expired. Start another call, or ask for another link."],
  [4403, "This page may not take part in the call."],
  [4404, "This call does not exist any more. Start another call."],
  [4409, "The call was continued in another window."],
]);

/**
 * Return why a close ends the call, or null if the page should connect again.
 *
 * @param {number} code
 * @param {string} [reason] the reason of the server
 * @returns {string | null}
 */
export function finalClose(code, reason = "") {
  const known = FINAL_CLOSES.get(code);
  if (known !== undefined) return known;
  if (code < 4400 || code >= 4500 || code === NO_HELLO) return null;
  return `The server ended the call${reason ? `: ${reason}` : ` (code ${code}).`}`;
}
