// The host's own API, as everybody asks it. Numbers that JavaScript would round stay the text that they are.

export class ApiError extends Error {
  constructor(status, facts) {
    super(facts.message ?? `the host answered ${status}`);
    this.name = facts.name ?? "Error";
    this.status = status;
    this.code = facts.code;
  }
}

export const TYPED = "application/vnd.holdfast+json";
const HEADERS = { "Holdfast-Inspector": "1" };

/** JSON with exact numbers, where the browser can keep them. */
export function parse(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && context.source !== String(value) ? JSON.rawJSON(context.source) : value);
}

/** A path of the API, each part any text. Throws where a browser cannot ask for it. */
export function path(...parts) {
  const odd = parts.find((each) => each === "." || each === "..");
  if (odd !== undefined) {
    throw new ApiError(0, { name: "InvalidNameError", message: `a browser takes ${odd} in a path for a folder: use the command line for this name` });
  }
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}

async function fail(response) {
  let facts = {};
  try {
    facts = (await response.json()).error;
  } catch { /* no JSON: its status has to do */ }
  if (response.status === 401) window.dispatchEvent(new Event("signed-out"));
  throw new ApiError(response.status, facts ?? {});
}

/** The answer's text; throws an ApiError that says what the host says. */
export async function askText(method, where, { body, typed, signal, headers } = {}) {
  const further = typed ? { Accept: TYPED, ...(body === undefined ? {} : { "Content-Type": TYPED }) } : {};
  let response;
  try {
    response = await fetch(where, { method, body, signal, headers: { ...HEADERS, ...further, ...headers }, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { name: "No answer", message: "The host does not answer: it has stopped, or the network is gone." });
  }
  if (!response.ok) await fail(response);
  return response.text();
}

/** The same as a value. */
export async function ask(method, where, options) {
  const text = await askText(method, where, options);
  return text === "" ? null : parse(text);
}

export function get(where, signal) {
  return ask("GET", where, { signal });
}

/** Lines of JSON as they come, until the signal or the host ends them. */
export async function* follow(where, signal) {
  const response = await fetch(where, { headers: HEADERS, signal, cache: "no-store" });
  if (!response.ok) await fail(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield lines.filter(Boolean).map(parse);
  }
}

const MAY = {
  look: ["admin", "read"],
  follow: ["admin", "read", "deploy"],
  call: ["admin", "call"],
  deploy: ["admin", "deploy"],
  change: ["admin"],
};
let scope = "admin";
let tenant = null;

/** Learn whose token it is, and what it may do. */
export async function learnScope() {
  const own = await get("/v1/token");
  scope = own.scope;
  tenant = own.tenant ?? null;
  return own;
}

/** Whether the token may do what a button does. */
export function may(what) {
  return MAY[what].includes(scope);
}

/** Whether it sees the machine and its processes: a tenant's sees what is the tenant's alone. */
export function ofHost() {
  return tenant === null;
}
