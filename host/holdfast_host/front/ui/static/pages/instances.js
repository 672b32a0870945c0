// The instances of a type by the begin of their names, a page at a time, however many there are.

import { get, may, path } from "../api.js";
import { bytes, count, empty, failure, field, h, heading, name, put, table, to } from "../dom.js";

const PAGE = 100;

export async function show(view, parts, life) {
  if (parts.length > 1) return (await import("./instance.js")).show(view, parts, life);
  const { actors } = await get("/v1/actors", life.signal);
  if (actors.length === 0) {
    view.append(heading("Instances"), empty("No types yet", "Instances are of a type, and a type comes with a function:", "holdfast new shop && cd shop\nholdfast deploy"));
    return;
  }
  const type = parts[0] || actors[0].type;
  const names = actors.map((each) => each.type);
  const choice = h("select", { onchange: (event) => { location.hash = to("instances", event.target.value); } },
    [...new Set([...names, type])].map((each) => h("option", { value: each, selected: each === type }, each)));
  const prefix = h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "alice" });
  const rows = h("div", { class: "body listing" });
  const pager = h("div", { class: "pager" });
  view.append(
    heading("Instances", may("look") ? "Those that have storage or an alarm, in the order of their names." : "Open one by its name, to call it."),
    h("section", { class: "card" },
      h("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); if (prefix.value) location.hash = to("instances", type, prefix.value); } },
        field("Type", choice), field(may("look") ? "Names that begin with" : "Name", prefix), h("button", null, "Open this name")),
      may("look") && [rows, pager]));
  if (!may("look")) return;

  let asked = 0;
  const fill = async (cursors) => {
    const mine = ++asked;
    const query = new URLSearchParams({ limit: String(PAGE), prefix: prefix.value });
    if (cursors.at(-1)) query.set("cursor", cursors.at(-1));
    let page;
    try {
      page = await get(`${path("instances", type)}?${query}`, life.signal);
    } catch (error) {
      if (mine === asked && !life.signal.aborted) put(rows, failure(error));
      return;
    }
    if (mine !== asked) return;
    const from = (cursors.length - 1) * PAGE;
    put(rows, page.instances.length === 0 ? none(type, prefix.value) : table("Instances", ["Name", ["Storage", "number"]],
      page.instances.map((each) => [h("a", { href: to("instances", type, each.name) }, name(each.name)), [bytes(each.bytes), "number"]])));
    put(pager, 
      h("button", { type: "button", disabled: cursors.length === 1, onclick: () => fill(cursors.slice(0, -1)) }, "Previous"),
      h("button", { type: "button", disabled: page.cursor === null, onclick: () => fill([...cursors, page.cursor]) }, "Next"),
      h("span", { class: "hint" }, page.instances.length === 0 ? "" : `${count(from + 1)} to ${count(from + page.instances.length)}`));
  };
  prefix.addEventListener("input", () => fill([""]));
  await fill([""]);
}

function none(type, prefix) {
  if (prefix) return empty("No name begins so", "A name that has stored nothing is not listed; it can be opened all the same.");
  return empty(`No instance of ${type} has stored anything yet`, "The first call makes one:", `holdfast call ${type} alice METHOD`);
}
