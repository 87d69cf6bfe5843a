/** The texts of the notices about events, without I/O. */

/**
 * @typedef {{level: "info" | "warning" | "error", text: string, replaces?: string}} Notice
 */

/** @type {Map<string, (data: any) => Notice | null>} */
const NOTICES = new Map(
  Object.entries({
    realtime_handoff: (data) => info(`${data.to_agent} takes over from ${data.from_agent}.`),
    realtime_guardrail_tripped: (data) => {
      const names = (data.guardrail_results ?? []).map((/** @type {any} */ trip) => trip.name);
      const what = data.call_id ? "a tool call" : data.response_id ? "the answer" : "your message";
      return warning(`A guardrail stopped ${what}: ${names.join(", ") || "no name"}.`);
    },
    realtime_error: (data) => error(`Error: ${data.error?.message || data.error?.type || "unknown"}`),
    realtime_warning: (data) => warning(data.message),
    run_warning: (data) => warning(data.message),
    realtime_reconnecting: (data) => ({
      ...warning(`The connection to the model was lost. Attempt ${data.attempt} to connect again…`),
      replaces: "service",
    }),
    realtime_reconnected: (data) => ({
      ...info(
        data.state_restored === false
          ? "The connection to the model is back, without the whole conversation."
          : "The connection to the model is back.",
      ),
      replaces: "service",
    }),
    realtime_limit_reached: (data) =>
      warning(
        typeof data.grace === "number"
          ? `The limit ${data.limit} is reached. The call ends in ${Math.round(data.grace)} s.`
          : `The limit ${data.limit} is reached.`,
      ),
    realtime_user_transcript_failed: (data) => warning(`Not transcribed: ${data.message}`),
    realtime_input_audio_timeout_triggered: () => info("The agent goes on, because nobody spoke."),
    realtime_dtmf_received: (data) => info(`Key pressed: ${data.key}`),
    realtime_agent_end: (data) =>
      data.status === "failed"
        ? error(`The agent could not answer: ${data.message || data.reason || "unknown reason"}`)
        : data.status === "incomplete"
          ? warning(`The answer is incomplete: ${data.reason || "unknown reason"}`)
          : null,
    client_attached: (data) => (data.role === "observer" ? info("An observer joined the call.") : null),
    client_detached: (data) => (data.role === "observer" ? info("An observer left the call.") : null),
  }),
);

/** Reasons of an end that need no explanation. */
const PLAIN_ENDS = new Set(["closed", "client_ended", "stopped", "ended", "drained", "end_call"]);

/**
 * Return the notice about an event, or null if it needs none.
 *
 * @param {import("./frames.js").RpcEvent} event
 * @returns {Notice | null}
 */
export function noticeOf(event) {
  const make = NOTICES.get(event.type);
  return make === undefined ? null : make(event.data ?? {});
}

/**
 * Return why a run ended.
 *
 * @param {any} data the data of `run_ended`
 * @returns {string}
 */
export function endReason(data) {
  if (data.error) return `The call failed: ${data.error.message || data.error.type}`;
  if (data.message) return `The call ended: ${data.message}`;
  if (PLAIN_ENDS.has(data.reason)) return "The call ended.";
  return `The call ended: ${String(data.reason).replaceAll("_", " ")}.`;
}

/**
 * @param {string} text
 * @returns {Notice}
 */
function info(text) {
  return { level: "info", text };
}

/**
 * @param {string} text
 * @returns {Notice}
 */
function warning(text) {
  return { level: "warning", text };
}

/**
 * @param {string} text
 * @returns {Notice}
 */
function error(text) {
  return { level: "error", text };
}
