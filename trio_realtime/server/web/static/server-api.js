/** The HTTP interface of the gateway, as far as the page needs it. */

/**
 * @typedef {{name: string, description?: string}} Agent
 * @typedef {{sessionId: string, token: string, role: "owner" | "observer", agent?: string}} Invitation
 */

const STORAGE_KEY = "trio-realtime-call";

/** The server refused a request. */
export class ServerRefusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * Return the agents, and the name of the default one.
 *
 * @param {string} key the access key, or ""
 * @returns {Promise<{agents: Agent[], default: string | null}>}
 */
export async function listAgents(key) {
  return await request("v1/agents", { headers: authorization(key) });
}

/**
 * Create a session.
 *
 * @param {string} agent its name, or "" for the default one
 * @param {string} key the access key, or ""
 * @returns {Promise<Invitation>}
 */
export async function createSession(agent, key) {
  const created = await request("v1/sessions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization(key) },
    body: JSON.stringify(agent === "" ? {} : { agent }),
  });
  return { sessionId: created.session_id, token: created.token, role: "owner", agent };
}

/**
 * Return the URL of the stream of a session. It is relative to the page, as the gateway may be a part of
 * another application.
 *
 * @param {string} sessionId
 * @returns {string}
 */
export function streamUrl(sessionId) {
  const path = `v1/sessions/${encodeURIComponent(sessionId)}/stream`;
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}

/**
 * Return the session in the fragment of an URL: `#session=...&token=...&role=observer`.
 *
 * @param {string} fragment
 * @returns {Invitation | null}
 */
export function readInvitation(fragment) {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const sessionId = values.get("session");
  const token = values.get("token");
  if (!sessionId || !token) return null;
  return { sessionId, token, role: values.get("role") === "observer" ? "observer" : "owner" };
}

/**
 * Remember how to join the running call again after a reload of the page, in this tab only.
 *
 * @param {Invitation | null} invitation null if there is no call any more
 */
export function rememberCall(invitation) {
  try {
    if (invitation === null) sessionStorage.removeItem(STORAGE_KEY);
    else sessionStorage.setItem(STORAGE_KEY, JSON.stringify(invitation));
  } catch {
    // The browser stores nothing for this page: a reload ends the call.
  }
}

/**
 * Return the call that was running before the page was reloaded.
 *
 * @returns {Invitation | null}
 */
export function recallCall() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "null");
    return typeof stored?.sessionId === "string" && typeof stored.token === "string" ? stored : null;
  } catch {
    return null;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<any>}
 */
async function request(path, options) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { cache: "no-store", ...options });
  } catch {
    throw new ServerRefusal(0, "The server cannot be reached. Check the network, and try again.");
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new ServerRefusal(response.status, refusal(response, body));
}

/**
 * @param {Response} response
 * @param {any} body
 * @returns {string}
 */
function refusal(response, body) {
  const reason = typeof body?.error?.message === "string" ? body.error.message : "";
  const wait = Number(response.headers.get("Retry-After"));
  const later = wait > 0 ? `Try again in ${Math.ceil(wait)} s.` : "Try again later.";
  switch (response.status) {
    case 401:
      return "This server needs an access key.";
    case 403:
      return `This page may not start calls${reason ? `: ${reason}` : ""}.`;
    case 429:
      return `Too many calls at the moment${reason ? ` (${reason})` : ""}. ${later}`;
    case 503:
      return `The server cannot take the call${reason ? ` (${reason})` : ""}. ${later}`;
    default:
      return `The call could not be started: ${reason || `status ${response.status}`}.`;
  }
}

/**
 * @param {string} key
 * @returns {Record<string, string>}
 */
function authorization(key) {
  return key === "" ? {} : { Authorization: `Bearer ${key}` };
}
