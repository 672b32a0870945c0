// How the host is, now and in the last two minutes.

import { askText, ofHost } from "../api.js";
import { Chart } from "../chart.js";
import { badge, bytes, count, decimal, duration, empty, failure, h, heading, put, refresh, table, to } from "../dom.js";
import { by, grown, parseMetrics, quantile, sum } from "../metrics.js";

const EVERY_MS = 2_000;

/** The next power of two, for bytes. */
function binary(most) {
  return most <= 0 ? 1 : 2 ** Math.ceil(Math.log2(most * 1.05));
}

export async function show(view, parts, life) {
  const charts = {
    calls: new Chart("Calls a second", [{ name: "calls", tone: "one" }], decimal),
    latency: new Chart("Latency", [{ name: "p50", tone: "one" }, { name: "p99", tone: "two" }], duration),
  };
  if (ofHost()) {
    charts.group = new Chart("Turns in a commit", [{ name: "turns", tone: "one" }], decimal);
    charts.memory = new Chart("Memory", [{ name: "memory", tone: "one" }], bytes, { ceiling: binary });
  }
  const facts = h("dl", { class: "facts card" });
  const problem = h("div");
  const errors = h("div", { class: "body" });
  const processes = h("div", { class: "body" });
  const state = h("span", { class: "state" }, badge("looking …"));
  put(facts, ...tiles(null));
  view.append(
    heading("Overview", null, state), problem, facts,
    h("div", { class: "charts" }, Object.values(charts).map((each) => each.element)),
    h("div", { class: "halves tall" },
      h("section", { class: "card" }, h("h2", null, "Errors"), errors),
      ofHost() && h("section", { class: "card" }, h("h2", null, "Processes"), processes)));
  errors.append(h("p", { class: "hint" }, "…"));
  processes.append(h("p", { class: "hint" }, "…"));

  const started = performance.now();
  let before = null;
  let at = 0;
  await life.every(EVERY_MS, async () => {
    try {
      const [text, ready] = await Promise.all([askText("GET", "/metrics", { signal: life.signal }), readiness(life.signal)]);
      const now = parseMetrics(text);
      const moment = performance.now();
      refresh(facts, ...tiles(now));
      if (before !== null) push(charts, before, now, (moment - at) / 1000);
      else charts.memory?.push(memory(now));
      refresh(errors, errorRows(before ?? now, now));
      if (ofHost()) refresh(processes, ...processRows(now));
      refresh(state, ready);
      problem.replaceChildren();
      [before, at] = [now, moment];
    } catch (error) {
      if (life.signal.aborted) return;
      put(problem, failure(error));
      put(state, badge("no answer", "bad"));
    }
    if (!performance.getEntriesByName("interactive").length) performance.mark("interactive", { detail: performance.now() - started });
  });
}

async function readiness(signal) {
  try {
    await askText("GET", "/health/readiness", { signal });
    return badge("ready", "good");
  } catch (error) {
    return badge(error.message, "bad");
  }
}

function push(charts, before, now, seconds) {
  const growth = (name) => grown(sum(before, name), sum(now, name));
  charts.calls.push(growth("holdfast_calls_total") / seconds);
  charts.latency.push(quantile(before, now, "holdfast_call_seconds", 0.5), quantile(before, now, "holdfast_call_seconds", 0.99));
  if (!ofHost()) return;
  const commits = growth("holdfast_commit_turns_count");
  charts.group.push(commits ? growth("holdfast_commit_turns_sum") / commits : null);
  charts.memory.push(memory(now));
}

function memory(now) {
  return ["worker", "front", "courier", "supervisor"].reduce((all, role) => all + sum(now, `holdfast_${role}_private_bytes`), 0);
}

function tiles(now) {
  const tile = (label, value, where) => h("div", null, h("dt", null, label), h("dd", null, where ? h("a", { href: where }, value) : value));
  const all = (name) => (now === null ? "–" : count(sum(now, name)));
  if (!ofHost()) return [tile("Calls answered", all("holdfast_calls_total")), tile("Activations", all("holdfast_activations_total"))];
  return [
    tile("Calls answered", all("holdfast_calls_total")),
    tile("In memory", all("holdfast_instances_in_memory"), to("instances")),
    tile("Turns waiting", all("holdfast_mailbox_turns")),
    tile("Sockets open", all("holdfast_sockets_open")),
    tile("Jobs under way", all("holdfast_jobs_under_way"), to("work", "jobs")),
    tile("Quarantined", all("holdfast_quarantined"), to("work")),
  ];
}

function errorRows(before, now) {
  const found = new Map();
  const add = (name, total, recent) => {
    const known = found.get(name) ?? [0, 0];
    found.set(name, [known[0] + total, known[1] + recent]);
  };
  for (const [family, label] of [["holdfast_calls_total", "outcome"], ["holdfast_http_refused_total", "error"], ["holdfast_alarms_total", "outcome"], ["holdfast_jobs_total", "outcome"]]) {
    const earlier = by(before, family, label);
    for (const [name, total] of by(now, family, label)) {
      if (name !== "ok" && total > 0) add(name, total, grown(earlier.get(name) ?? 0, total));
    }
  }
  if (sum(now, "holdfast_calls_total") === 0) {
    return empty("No calls yet", "Deploy an actor, then call it; the charts above begin to move.", "holdfast deploy\nholdfast call Account alice deposit amount=5");
  }
  if (found.size === 0) return h("p", { class: "hint" }, "No call has failed since the host started.");
  const rows = [...found].sort((one, other) => other[1][0] - one[1][0]);
  return table("Errors by name", ["Error", ["Last 2 s", "number"], ["Since start", "number"]],
    rows.map(([name, [total, recent]]) => [h("code", null, name), [count(recent), "number"], [count(total), "number"]]));
}

function processRows(now) {
  const rows = [];
  for (const role of ["front", "worker", "courier"]) {
    for (const { labels, value } of now.get(`holdfast_${role}_up`) ?? []) {
      const mine = (each) => each[role] === labels[role];
      rows.push([`${role} ${labels[role]}`, value ? badge("up", "good") : badge("down", "bad"),
        [count(sum(now, `holdfast_${role}_deaths_total`, mine)), "number"], [bytes(sum(now, `holdfast_${role}_private_bytes`, mine)), "number"]]);
    }
  }
  rows.push(["supervisor", badge("up", "good"), ["0", "number"], [bytes(sum(now, "holdfast_supervisor_private_bytes")), "number"]]);
  const disk = Math.min(...(now.get("holdfast_disk_free_bytes") ?? []).map((each) => each.value));
  return [table("Processes", ["Process", "State", ["Deaths", "number"], ["Memory", "number"]], rows),
    h("p", { class: "hint" }, Number.isFinite(disk) ? `${bytes(disk)} free on the disk` : "")];
}
