// The shell: which page is shown, who is signed in, and what ends when a page is left.

import { askText, learnScope, may, ofHost } from "./api.js";
import { failure, h, heading, say } from "./dom.js";

const PAGES = {
  "": () => import("./pages/overview.js"),
  functions: () => import("./pages/functions.js"),
  types: () => import("./pages/types.js"),
  instances: () => import("./pages/instances.js"),
  work: () => import("./pages/work.js"),
  log: () => import("./pages/log.js"),
  hosts: () => import("./pages/hosts.js"),
};
const TITLES = { "": "Overview", functions: "Functions", types: "Types", instances: "Instances", work: "Work", log: "Log", hosts: "Hosts" };
// What a token must be allowed for a page to have something to show; the others are for every scope.
const NEEDED = { "": "look", functions: "follow", work: "follow", log: "follow", hosts: "look" };
const main = document.querySelector("#main");
let life = null;
let known = null;

/** What a page has while it is shown. */
class Life {
  #ending = new AbortController();
  signal = this.#ending.signal;

  /** Run it now and again and again, never twice at once, and not while nobody looks. */
  every(ms, work) {
    const step = async () => {
      if (!document.hidden) await work();
      if (!this.signal.aborted) setTimeout(step, ms);
    };
    return step();
  }

  end() {
    this.#ending.abort();
  }
}

function route() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return [""];
  }
}

async function show() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const [first, ...rest] = route();
  life?.end();
  life = new Life();
  const own = life;
  const page = Object.hasOwn(PAGES, first) ? first : "";
  for (const link of document.querySelectorAll("#nav a")) {
    const current = link.getAttribute("href").slice(2) === page;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (current) link.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a phone they are a row that scrolls
  }
  document.title = `${TITLES[page]} · Holdfast`;
  const view = h("div", { class: "view", "data-page": page || "overview" });
  main.replaceChildren(view);
  try {
    const [{ show: fill }] = await Promise.all([PAGES[page](), known === null && signedIn()]);
    if (own.signal.aborted) return;
    if (!offered(page) && page === "") location.replace("#/types");
    else await fill(view, rest, own);
  } catch (error) {
    if (own.signal.aborted || error.name === "AbortError") return;
    if (error.status === 401) askForToken();
    else view.replaceChildren(heading(TITLES[page]), failure(error, show));
  }
}

function offered(page) {
  return (page !== "hosts" || ofHost()) && (!Object.hasOwn(NEEDED, page) || may(NEEDED[page]));
}

async function signedIn() {
  known = await learnScope();
  for (const link of document.querySelectorAll("#nav a")) link.hidden = !offered(link.getAttribute("href").slice(2));
  const whose = known.name || (known.id === "bootstrap" ? "" : known.id);
  document.querySelector("#account").replaceChildren(
    known.id === "anonymous" ? h("span", { class: "hint" }, "no token needed")
      : h("button", { type: "button", class: "quiet", onclick: signOut }, whose ? `Sign out ${whose}` : "Sign out"));
}

async function signOut() {
  await askText("DELETE", "/ui/session");
  askForToken();
  say("Signed out: this browser has forgotten the token.");
}

function askForToken() {
  life?.end();
  known = null;
  document.querySelector("#account").replaceChildren();
  document.title = "Sign in · Holdfast";
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, spellcheck: "false" });
  const problem = h("p", { class: "problem", role: "alert" });
  const enter = async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await askText("POST", "/ui/session", { headers: { Authorization: `Bearer ${token.value.trim()}` } });
      await show();
      main.focus();
    } catch (error) {
      problem.textContent = error instanceof TypeError ? "A token has visible ASCII characters only." : error.message;
      token.focus();
    }
  };
  main.replaceChildren(h("div", { class: "view sign-in", "data-page": "sign-in" },
    h("form", { class: "card", onsubmit: enter },
      h("h1", null, "Sign in"),
      h("p", { class: "about" }, "This host asks for a token: the one that it was started with, or another of its own."),
      h("label", { class: "field" }, h("span", { class: "label" }, "Token"), token),
      problem,
      h("button", { class: "primary" }, "Sign in"),
      h("p", { class: "hint" }, "It is kept until the browser is closed, where scripts cannot read it."))));
  token.focus();
}

let seen = "";
window.addEventListener("hashchange", async () => {
  await show();
  if (location.hash !== seen) main.focus({ preventScroll: true });
  seen = location.hash;
});
window.addEventListener("signed-out", () => known !== null && askForToken());
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name !== "AbortError") say(event.reason?.message ?? String(event.reason), "bad");
  event.preventDefault();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
