// One instance: what it is doing, and the ways to look into it and to change it.

import { ask, get, may, path } from "../api.js";
import { badge, bytes, count, done, failure, h, heading, name, put, refresh, time, to } from "../dom.js";
import { confirm } from "../dialog.js";

const TABS = {
  storage: ["Storage", () => import("./storage.js")],
  call: ["Call a method", () => import("./call.js")],
  alarm: ["Alarm", () => import("./alarm.js")],
  jobs: ["Jobs", () => import("./jobs.js")],
  sockets: ["Sockets", () => import("./sockets.js")],
  log: ["Log", () => import("./log.js")],
};
const EVERY_MS = 2_000;
const COUNTED_EVERY_MS = 30_000; // the host walks all keys for it

export async function show(view, [type, which, tab], life) {
  const looks = may("look");
  const tabs = Object.entries(TABS).filter(([key]) => looks || key === "call");
  const chosen = !looks ? "call" : Object.hasOwn(TABS, tab ?? "") ? tab : "storage";
  const here = path("instances", type, which);
  const facts = h("dl", { class: "facts small card" });
  const panel = h("section", { class: "stack panel" });
  let counted = {};
  let countAt = 0;
  const again = async (asked = true) => {
    if (!looks) return {};
    const counts = asked || performance.now() >= countAt;
    const found = await get(counts ? `${here}?count=true` : here, life.signal);
    if (counts) {
      counted = { keys: found.keys, bytes: found.bytes, jobs: found.jobs };
      countAt = performance.now() + COUNTED_EVERY_MS;
    }
    refresh(facts, ...rows({ ...found, ...counted }));
    return found;
  };
  const first = await again();
  const shown = name(which, 120);
  view.append(
    h("p", { class: "crumbs" }, h("a", { href: to("instances", type) }, type), " / ", name(which, 60)),
    heading(shown, null,
      may("change") && h("button", { type: "button", onclick: () => evict(here, again) }, "Evict"),
      may("change") && first.quarantined && h("button", { type: "button", onclick: () => release(here, again) }, "Release"),
      may("change") && h("button", { type: "button", class: "danger", onclick: () => erase(here, type, which, again) }, "Erase …")),
    looks && facts,
    h("nav", { class: "tabs", "aria-label": "Parts of the instance" }, tabs.map(([key, [label]]) =>
      h("a", { href: to("instances", type, which, key), "aria-current": key === chosen ? "page" : null }, label))),
    panel);
  life.every(EVERY_MS, () => again(false).catch((error) => {
    if (!life.signal.aborted) put(facts, failure(error));
  }));
  try {
    const { fill } = await TABS[chosen][1]();
    await fill(panel, { type, name: which, here, again, life });
  } catch (error) {
    if (!life.signal.aborted) put(panel, failure(error));
  }
}

function rows(found) {
  const state = found.quarantined ? badge("quarantined", "bad") : found.active ? badge("in memory", "good") : badge("on disk");
  const alarm = found.alarm === null ? "none" : [found.alarm.state, " · ", time(found.alarm.due)];
  return [["State", state], ["Turns waiting", count(found.queued)], ["Version", found.version === null ? "–" : count(found.version)],
    ["Keys", count(found.keys)], ["Storage", bytes(found.bytes)], ["Jobs", count(found.jobs)], ["Alarm", alarm]]
    .map(([label, value]) => h("div", { class: label === "Alarm" ? "wide" : null }, h("dt", null, label), h("dd", null, value)));
}

async function evict(here, again) {
  await ask("POST", `${here}/evict`);
  await done("It leaves memory after its running turn. Its storage stays.", again);
}

async function release(here, again) {
  await ask("POST", `${here}/release`);
  await done("It may run again.", again);
}

async function erase(here, type, which, again) {
  const meant = await confirm(`Erase ${type}?`, "Its storage, its alarm and its jobs are deleted, at once and for good. A backup is the only way back.", "Erase for good", { typed: which });
  if (!meant) return;
  await ask("DELETE", here);
  await done("Erased.", again);
  window.dispatchEvent(new Event("hashchange"));
}
