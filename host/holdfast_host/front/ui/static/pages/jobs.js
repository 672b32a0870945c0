// Jobs, of an instance or of all: what they are to do, and what became of it.

import { ask, get, may, path } from "../api.js";
import { confirm } from "../dialog.js";
import { badge, count, cut, done, empty, h, put, table, time, to } from "../dom.js";
import { TONES } from "./alarm.js";

export async function fill(panel, { type, name: which, here, again, life }) {
  const card = h("section", { class: "card" });
  panel.append(card);
  const look = async (cursors) => {
    const query = cursors.at(-1) ? `?cursor=${encodeURIComponent(cursors.at(-1))}` : "";
    const page = await get(`${here}/jobs${query}`, life.signal);
    const rows = page.jobs.map((each) => ({ type, name: which, ...each }));
    put(card, h("h2", null, "Jobs"), h("div", { class: "body" },
      rows.length === 0 ? empty("No jobs", "An actor leaves work to the host:", 'self.ctx.schedule(timedelta(hours=1), "_expire")') : jobTable(rows, false, () => Promise.all([look(cursors), again()]))),
    h("div", { class: "pager" },
      h("button", { type: "button", disabled: cursors.length === 1, onclick: () => look(cursors.slice(0, -1)) }, "Previous"),
      h("button", { type: "button", disabled: page.cursor === null, onclick: () => look([...cursors, page.cursor]) }, "Next")));
  };
  await look([""]);
}

/** Rows of jobs, with whose they are where that differs. */
export function jobTable(jobs, withOwner, again) {
  return table("Jobs", [...(withOwner ? ["Instance"] : []), "Job", "State", "Due", ["Tries", "number"], "Last error", ""],
    jobs.map((job) => [
      ...(withOwner ? [owner(job)] : []),
      h("span", { title: job.id }, `${job.kind} `, h("code", null, cut(job.method ?? job.to ?? job.cron ?? "", 80)), job.key && h("span", { class: "hint" }, ` key ${cut(job.key, 60)}`)),
      [badge(job.state, TONES[job.state]), "tight"], [time(job.due), "tight"], [count(job.tries), "number"],
      h("span", { class: "hint" }, cut(job.last_error ?? "", 160)),
      [may("change") && job.type && actions(job, again), "tight"],
    ]));
}

export function owner(row) {
  if (row.type === null) return `type ${row.type_id} (undeployed) / ${cut(row.name, 60)}`;
  return h("a", { class: "owner", href: to("instances", row.type, row.name) }, `${row.type}/`, h("bdi", null, cut(row.name, 60)));
}

function actions(job, again) {
  const where = () => path("instances", job.type, job.name, "jobs", job.id);
  const stuck = job.state === "abandoned" || job.state === "parked";
  const retry = async () => {
    const unknown = job.unknown && !(await confirm("Try it again?", "Whether its last try had an effect is unknown: another one may have it a second time.", "Try it again"));
    if (unknown) return;
    await ask("POST", `${where()}/retry${job.unknown ? "?again=true" : ""}`);
    await done("It is tried again.", again);
  };
  const cancel = async () => {
    if (!(await confirm("Cancel this job?", "It is deleted. What it did before stays.", "Cancel the job"))) return;
    await ask("DELETE", where());
    await done("Cancelled.", again);
  };
  return h("div", { class: "actions" }, stuck && h("button", { type: "button", onclick: retry }, "Retry"), h("button", { type: "button", class: "danger", onclick: cancel }, "Cancel …"));
}
