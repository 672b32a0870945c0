// What actors and functions print, as it comes.

import { follow, get } from "../api.js";
import { badge, cut, empty, failure, field, h, heading, name, put } from "../dom.js";

const KEPT = 500;
const TAIL = 200;
const LEVELS = ["debug", "info", "warning", "error"];
const USUAL = new Set(["time", "level", "type", "name", "message", "function"]);

export async function show(view, parts, life) {
  const { actors } = await get("/v1/actors", life.signal);
  const any = (label, values) => [h("option", { value: "" }, label), values.map((each) => h("option", { value: each }, each))];
  const type = h("select", null, any("All types", actors.map((each) => each.type)));
  const own = h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "all" });
  const fn = h("select", null, any("All functions", [...new Set(actors.map((each) => each.function))]));
  view.append(heading("Log", "What actors and functions print, of all workers, in the order of time."));
  const filters = h("div", { class: "filters" }, field("Type", type), field("Instance", own), field("Function", fn));
  stream(view, filters, life, () => ({ type: type.value, name: own.value, function: fn.value }), [type, own, fn]);
}

/** The log of one instance. */
export async function fill(panel, { type, name: which, life }) {
  stream(panel, h("div", { class: "filters" }), life, () => ({ type, name: which }), []);
}

function stream(place, filters, life, chosen, controls) {
  const level = h("select", null, LEVELS.map((each) => h("option", { value: each, selected: each === "debug" }, each === "debug" ? "all" : `${each} and above`)));
  const paused = h("input", { type: "checkbox" });
  const state = h("span", { "aria-live": "polite" }, badge("…"));
  filters.append(field("Level", level), h("label", { class: "check" }, paused, "Pause"),
    h("button", { type: "button", onclick: () => list.replaceChildren() }, "Clear"), h("span", { class: "check" }, state));
  const list = h("ol");
  const hint = h("div", { class: "hint-place" });
  const box = h("div", { class: "card log", tabindex: "0", role: "region", "aria-label": "Log lines" }, list, hint);
  place.append(filters, box);

  let ending = null;
  const begin = async () => {
    ending?.abort();
    const mine = ending = new AbortController();
    const query = new URLSearchParams({ follow: "true", tail: String(TAIL), level: level.value });
    for (const [key, value] of Object.entries(chosen())) if (value) query.set(key, value);
    list.replaceChildren();
    put(hint, empty("Nothing has been printed yet", "What an actor prints comes here at once:", 'print("hello")'));
    put(state, badge("live", "good"));
    try {
      for await (const lines of follow(`/v1/logs?${query}`, AbortSignal.any([mine.signal, life.signal]))) add(lines);
      put(state, badge("ended: the host stops", "odd"));
    } catch (error) {
      if (mine.signal.aborted || life.signal.aborted) return;
      put(state, badge("broken off", "bad"));
      put(hint, failure(error, begin));
    }
  };
  const add = (lines) => {
    if (paused.checked || lines.length === 0) return;
    hint.replaceChildren();
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    list.append(...lines.slice(-KEPT).map(row));
    while (list.children.length > KEPT) list.firstChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  for (const each of [level, ...controls]) each.addEventListener(each.type === "search" ? "input" : "change", begin);
  begin();
}

function row(line) {
  const when = new Date(typeof line.time === "number" ? line.time * 1000 : line.time);
  const more = Object.entries(line).filter(([key]) => !USUAL.has(key)).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return h("li", { class: LEVELS.includes(line.level) ? line.level : "info" },
    h("span", { class: "when", title: Number.isNaN(when.getTime()) ? null : when.toISOString() }, Number.isNaN(when.getTime()) ? "" : when.toTimeString().slice(0, 8)),
    h("span", { class: "level" }, line.level ?? ""),
    h("span", { class: "who" }, line.type ? [`${line.type}/`, name(line.name ?? "", 60)] : (line.function ?? "")),
    h("span", { class: "what" }, cut(String(line.message ?? ""), 2_000), more.length > 0 && h("span", { class: "hint" }, ` ${cut(more.join(" "), 300)}`)));
}
