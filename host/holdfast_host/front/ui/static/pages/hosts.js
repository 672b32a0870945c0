// The hosts that share the store: who serves, with how many shards, and who could take over.

import { get } from "../api.js";
import { badge, count, empty, failure, h, heading, name, put, refresh, table } from "../dom.js";

const EVERY_MS = 1_000;
const TONES = { up: "good", standby: "good", silent: "bad", dead: "bad", stopped: "plain" };
const MEANINGS = {
  up: "it serves its shards",
  standby: "it serves when a host that is up has gone",
  silent: "it has not said that it ended, and gives no sign of life",
  dead: "another host has taken what it had",
  stopped: "it ended in order",
};

export async function show(view, parts, life) {
  const problem = h("div");
  const tiles = h("dl", { class: "facts small card" });
  const list = h("section", { class: "card" });
  const alone = h("div");
  put(tiles, ...facts(null));
  view.append(heading("Hosts", "Who shares the store. A host that gives no sign of life is taken over by one that is there."), problem, tiles, list, alone);
  await life.every(EVERY_MS, async () => {
    try {
      const found = await get("/v1/hosts", life.signal);
      refresh(tiles, ...facts(found));
      refresh(list, ...rows(found.hosts));
      refresh(alone, found.hosts.length > 1 ? null : lonely(found.store));
      problem.replaceChildren();
    } catch (error) {
      if (life.signal.aborted) return;
      put(problem, failure(error));
    }
  });
}

function facts(found) {
  const of = (number) => (found === null ? "–" : count(number(found.hosts)));
  const tiles = [
    ["Store", found === null ? "–" : found.store === "files" ? "files of this host" : found.store],
    ["Serving", of((hosts) => hosts.filter((each) => each.state === "up").length)],
    ["Standing by", of((hosts) => hosts.filter((each) => each.state === "standby").length)],
    ["Shards owned", of((hosts) => hosts.reduce((all, each) => all + each.shards, 0))],
  ];
  return tiles.map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value)));
}

function rows(hosts) {
  return [h("h2", null, "All hosts"), h("div", { class: "body" }, table("Hosts",
    ["Host", "State", "Address", ["Workers", "number"], ["Shards", "number"], ["Last beat", "number"], "Release"],
    hosts.map((each) => [
      [name(each.name), each.is_this && [" ", badge("this one")]], h("span", { title: MEANINGS[each.state] }, badge(each.state, TONES[each.state])),
      h("code", null, each.url), [count(each.workers), "number"], [count(each.shards), "number"],
      [each.beat_age_s === null ? "–" : `${seconds(each.beat_age_s)} s ago`, "number"], each.release,
    ])))];
}

/** One place behind the point; a number like 2.0 comes as its text. */
function seconds(number) {
  return Number(number.rawJSON ?? number).toFixed(1);
}

function lonely(store) {
  if (store === "files") {
    return empty("This host keeps its own files", "Nobody can take them over. With a store on PostgreSQL a second host follows when this one is gone:",
      "export HOLDFAST_STORE=postgresql://holdfast@db/holdfast\nholdfast store init\nholdfast serve --data new --cluster-key-file key");
  }
  return empty("Nobody stands by", "Start a second host with a data directory of its own and the same key. It follows when this one is gone:",
    "export HOLDFAST_STORE=postgresql://holdfast@db/holdfast\nholdfast serve --data second --cluster-key-file key");
}
