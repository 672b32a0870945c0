// The sockets of an instance, and closing one.

import { ask, get, may } from "../api.js";
import { confirm } from "../dialog.js";
import { badge, cut, done, empty, h, put, table, time } from "../dom.js";

export async function fill(panel, { here, life }) {
  const card = h("section", { class: "card" });
  panel.append(card);
  const look = async (cursors) => {
    const query = cursors.at(-1) ? `?cursor=${encodeURIComponent(cursors.at(-1))}` : "";
    const page = await get(`${here}/sockets${query}`, life.signal);
    const close = async (each) => {
      if (!(await confirm("Close this socket?", "Its client is told 1000 and may come again.", "Close it"))) return;
      await ask("DELETE", `${here}/sockets/${encodeURIComponent(each.id)}`);
      await done("It is being closed.", () => look(cursors));
    };
    put(card, h("h2", null, "Sockets"), h("div", { class: "body" }, page.sockets.length === 0
      ? empty("No sockets are open", "A client connects to the actor, or to a function that hands it over:", "websocat ws://…/v1/actors/TYPE/NAME/")
      : table("Sockets", ["Id", "Kind", "Open since", "Tags", "Attachment", ""], page.sockets.map((each) => [
        h("code", null, each.id), badge(each.kind), [time(each.opened_at), "tight"], cut(each.tags.join(", "), 120),
        h("span", { class: "value" }, cut("raw_attachment" in each ? each.raw_attachment : JSON.stringify(each.attachment), 160)),
        [may("change") && h("button", { type: "button", class: "danger", onclick: () => close(each) }, "Close …"), "tight"],
      ]))),
    h("div", { class: "pager" },
      h("button", { type: "button", disabled: cursors.length === 1, onclick: () => look(cursors.slice(0, -1)) }, "Previous"),
      h("button", { type: "button", disabled: page.cursor === null, onclick: () => look([...cursors, page.cursor]) }, "Next"),
      h("button", { type: "button", onclick: () => look(cursors) }, "Look again")));
  };
  await look([""]);
}
