// What waits, what is tried again, and what nobody tries any more: quarantine, alarms, jobs.

import { ask, get, may, path } from "../api.js";
import { badge, count, cut, done, empty, field, h, heading, put, table, time, to } from "../dom.js";
import { TONES } from "./alarm.js";
import { jobTable, owner } from "./jobs.js";

const TABS = { quarantine: "Quarantine", alarms: "Alarms", jobs: "Jobs" };
const STATES = { alarms: ["armed", "retrying", "abandoned", "parked"], jobs: ["armed", "retrying", "waiting", "abandoned", "parked"] };

export async function show(view, [tab, state], life) {
  const chosen = Object.hasOwn(TABS, tab ?? "") ? tab : "quarantine";
  const rows = h("div", { class: "body listing" });
  const pager = h("div", { class: "pager" });
  const states = STATES[chosen];
  const choice = states && h("select", { onchange: (event) => { location.hash = to("work", chosen, event.target.value); } },
    h("option", { value: "" }, "All states"), states.map((each) => h("option", { value: each, selected: each === state }, each)));
  view.append(
    heading("Work", "What the host does by itself, and what it has stopped doing."),
    h("nav", { class: "tabs", "aria-label": "Kinds of work" }, Object.entries(TABS).map(([key, label]) =>
      h("a", { href: to("work", key), "aria-current": key === chosen ? "page" : null }, label))),
    h("section", { class: "card" }, choice && h("div", { class: "filters" }, field("State", choice)), rows, pager));

  const look = async (cursors) => {
    const query = new URLSearchParams();
    if (cursors.at(-1)) query.set("cursor", cursors.at(-1));
    if (states?.includes(state)) query.set("state", state);
    const page = await get(`/v1/${chosen === "quarantine" ? "quarantined" : chosen}?${query}`, life.signal);
    put(rows, FILLED[chosen](page, () => look(cursors)));
    put(pager, 
      h("button", { type: "button", disabled: cursors.length === 1, onclick: () => look(cursors.slice(0, -1)) }, "Previous"),
      h("button", { type: "button", disabled: page.cursor === null, onclick: () => look([...cursors, page.cursor]) }, "Next"),
      h("button", { type: "button", onclick: () => look(cursors) }, "Look again"));
  };
  await look([""]);
}

const FILLED = {
  quarantine(page, again) {
    if (page.quarantined.length === 0) return empty("Nobody is quarantined", "An instance that kills its worker again and again is kept from running until you release it:", "holdfast quarantined\nholdfast release TYPE NAME");
    return table("Quarantine", ["Who", "What", ["Version", "number"], "Killed a worker at", ""], page.quarantined.map((each) => [
      each.type ? owner(each) : h("a", { href: to("functions", each.function) }, each.function), badge(each.what, "bad"),
      [each.version === null ? "–" : count(each.version), "number"], each.died_at ? [time(each.died_at), "tight"] : "–",
      [may("change") && h("button", { type: "button", onclick: () => release(each, again) }, "Release"), "tight"],
    ]));
  },
  alarms(page, again) {
    if (page.alarms.length === 0) return empty("No alarms in this state", "An actor sets one, and is woken by it:", "self.ctx.storage.set_alarm(timedelta(minutes=5))");
    return table("Alarms", ["Instance", "State", "Due", ["Retries", "number"], "Last error", ""], page.alarms.map((each) => [
      owner(each), [badge(each.state, TONES[each.state]), "tight"], [time(each.due), "tight"], [count(each.retry_count), "number"],
      h("span", { class: "hint" }, cut(each.last_error ?? "", 160)),
      [may("change") && each.type && h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => change("PUT", each, "It is due now.", again) }, "Run now"),
        h("button", { type: "button", class: "danger", onclick: () => change("DELETE", each, "Cleared.", again) }, "Clear")), "tight"],
    ]));
  },
  jobs(page, again) {
    if (page.jobs.length === 0) return empty("No jobs in this state", "An actor leaves work to the host, which does it after the commit:", 'self.ctx.schedule(timedelta(hours=1), "_expire")');
    return jobTable(page.jobs, true, again);
  },
};

async function release(row, again) {
  await ask("POST", row.type ? path("instances", row.type, row.name, "release") : path("functions", row.function, "release"));
  await done("It may run again.", again);
}

async function change(method, row, said, again) {
  await ask(method, path("instances", row.type, row.name, "alarm"), method === "PUT" ? { body: "{}" } : {});
  await done(said, again);
}
