// The keys of an instance: read from a snapshot, watched, and edited by turns of the instance.

import { TYPED, askText, may, parse, path } from "../api.js";
import { open } from "../dialog.js";
import { count, cut, done, empty, failure, field, h, name, put } from "../dom.js";

const PAGE = 100;
const EVERY_MS = 1_000;
const EDITED_MAX = 200_000;

export async function fill(panel, { here, life }) {
  const prefix = h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "all keys" });
  const live = h("input", { type: "checkbox", checked: true });
  const body = h("div", { class: "body listing" });
  const pager = h("div", { class: "pager" });
  panel.append(h("section", { class: "card" },
    h("div", { class: "filters" }, field("Keys that begin with", prefix), h("label", { class: "check" }, live, "Live"),
      may("change") && h("button", { type: "button", onclick: () => edit(here, null, look) }, "Add a key …")),
    body, pager));

  let starts = [""];
  let before = new Map();
  let shownFor = null;
  let running = 0;
  async function look() {
    const mine = ++running;
    const query = new URLSearchParams({ limit: String(PAGE), prefix: prefix.value });
    if (starts.at(-1)) query.set("start", starts.at(-1));
    let page;
    try {
      page = parse(await askText("GET", `${here}/storage?${query}`, { typed: true, signal: life.signal }));
    } catch (error) {
      if (mine === running && !life.signal.aborted) put(body, failure(error));
      return;
    }
    if (mine !== running) return;
    const asked = query.toString();
    const now = new Map(page.entries.map((each) => [each.key, "raw" in each ? each.raw : JSON.stringify(each.value)]));
    const same = shownFor === asked && now.size === before.size && [...now].every(([key, value]) => before.get(key) === value);
    if (!same) draw(page, now, shownFor === asked ? before : now);
    [before, shownFor] = [now, asked];
  }

  function draw(page, now, earlier) {
    const focused = document.activeElement?.dataset?.key;
    const rows = page.entries.map((each) => h("tr", { class: earlier.get(each.key) !== now.get(each.key) ? "changed" : null },
      h("td", { class: "key-cell" }, may("change") || now.get(each.key).length > 300
        ? h("button", { type: "button", class: "quiet", "data-key": each.key, onclick: () => edit(here, each.key, look) }, name(each.key)) : name(each.key)),
      h("td", { class: "value" }, cut(now.get(each.key), 300))));
    put(body, rows.length === 0
      ? (prefix.value ? empty("No key begins so", "Keys are compared byte by byte.") : empty("Nothing is stored", "An actor writes in its methods:", 'self.ctx.storage.put("balance", 70)'))
      : h("div", { class: "scroll pairs", tabindex: "0", role: "region", "aria-label": "Keys and values" },
        h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Value"))), h("tbody", null, rows))));
    if (focused !== undefined) [...body.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused)?.focus();
    put(pager, 
      h("button", { type: "button", disabled: starts.length === 1, onclick: () => { starts.pop(); return look(); } }, "Previous"),
      h("button", { type: "button", disabled: page.next === null, onclick: () => { starts.push(page.next); return look(); } }, "Next"),
      h("span", { class: "hint" }, rows.length > 0 && `${count(rows.length)} ${rows.length === 1 ? "key" : "keys"} on this page`));
  }

  prefix.addEventListener("input", () => {
    starts = [""];
    return look();
  });
  await look();
  life.every(EVERY_MS, () => live.checked && look());
}

/** Show a value as it is stored, and change it; a key of null is one that is to be named. */
async function edit(here, key, again) {
  const at = (which) => here + path("storage", which).slice(3);
  let text = "";
  let seen = null;
  if (key !== null) {
    seen = text = await askText("GET", at(key), { typed: true });
    if (JSON.rawJSON && text.length <= EDITED_MAX) text = JSON.stringify(parse(text), null, 2);
  }
  const readable = text.length <= EDITED_MAX;
  await open(key === null ? "Add a key" : "Value", (close) => {
    const named = h("input", { type: "text", autocomplete: "off", spellcheck: "false", required: true });
    const value = h("textarea", { rows: "12", spellcheck: "false", readonly: !readable || !may("change"), value: readable ? text : cut(text, 20_000) });
    const problem = h("p", { class: "problem", role: "alert" });
    const attempt = async (work, said) => {
      problem.textContent = "";
      try {
        await work();
      } catch (error) {
        problem.textContent = cut(error.message, 600);
        return;
      }
      close(true);
      await done(said, again);
    };
    const save = (event) => {
      event.preventDefault();
      return attempt(async () => {
        const where = at(key ?? named.value);
        const there = await askText("GET", where, { typed: true }).catch((error) => {
          if (error.status !== 404) throw error;
          return null;
        });
        if (there !== seen) {
          const what = seen === null ? "A key of this name is there already." : "It has changed since you opened it.";
          seen = there;
          throw new Error(`${what} Save again to write over ${there === null ? "what was deleted" : cut(there, 200)}.`);
        }
        await askText("PUT", where, { body: value.value, headers: { "Content-Type": TYPED } });
      }, "Saved, and on disk.");
    };
    return h("form", { onsubmit: save },
      key === null ? field("Key", named) : h("p", null, name(key, 480)),
      field(readable ? "Value, as JSON" : `The begin of a value of ${count(text.length)} characters, which is too long to be edited here`, value,
        'Types that JSON lacks are written as {"$hf": "datetime", "v": "…"}.'),
      problem,
      h("div", { class: "actions end" },
        key !== null && may("change") && h("button", { type: "button", class: "danger", onclick: () => attempt(() => askText("DELETE", at(key)), "Deleted.") }, "Delete"),
        h("button", { type: "button", onclick: () => close(null) }, "Cancel"),
        may("change") && readable && h("button", { class: "primary" }, "Save")));
  });
}
