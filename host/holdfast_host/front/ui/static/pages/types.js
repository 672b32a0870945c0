// The actor types, with their methods as their authors wrote them.

import { get } from "../api.js";
import { count, cut, empty, h, heading, to } from "../dom.js";

const NAMED = 12;

export async function show(view, [which], life) {
  const { actors } = await get("/v1/actors", life.signal);
  if (which) {
    const type = actors.find((each) => each.type === which);
    view.append(h("p", { class: "crumbs" }, h("a", { href: "#/types" }, "Types"), " / ", which));
    if (!type) view.append(empty(`No deployed function ships ${cut(which, 64)}`, "Its instances, if it has any, are kept.", "holdfast undeployed"));
    else view.append(...one(type));
    return;
  }
  view.append(heading("Types", "An actor type is a class. It has one instance for each name."));
  if (actors.length === 0) {
    view.append(empty("No types yet", "A type comes with the function that ships its class:", "holdfast new shop && cd shop\nholdfast deploy"));
    return;
  }
  view.append(h("div", { class: "stack" }, actors.map((each) => h("section", { class: "card" },
    h("div", { class: "heading" },
      h("div", null, h("h2", null, h("a", { href: to("types", each.type) }, each.type)), h("p", { class: "hint" }, firstLine(each.doc) || `${count(each.methods.length)} methods`)),
      h("div", { class: "actions" }, h("a", { class: "button", href: to("instances", each.type) }, "Instances"))),
    h("p", { class: "hint" }, each.methods.slice(0, NAMED).map((method, at) => [at > 0 && ", ", h("code", null, method.name)]), each.methods.length > NAMED && ` and ${count(each.methods.length - NAMED)} more`)))));
}

function firstLine(doc) {
  return (doc ?? "").trim().split("\n")[0];
}

function one(type) {
  return [
    heading(type.type, null, h("a", { class: "button", href: to("instances", type.type) }, "Instances")),
    type.doc && h("p", { class: "doc" }, type.doc),
    h("dl", { class: "facts small card" },
      [["Function", h("a", { href: to("functions", type.function) }, type.function)], ["Version", count(type.version)],
        ["Language", type.language ?? "–"], ["Handlers", type.handlers?.length ? type.handlers.join(", ") : "none"]]
        .map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value)))),
    h("section", { class: "card" }, h("h2", null, "Methods"),
      h("div", { class: "methods body" }, type.methods.length === 0 && h("p", { class: "hint" }, "It has none that callers reach."),
        type.methods.map((each) => h("div", { class: "method" },
          h("h3", null, h("code", null, each.name + each.signature)), h("p", { class: "doc" }, each.doc || "Its author says nothing about it."))))),
  ].filter(Boolean);
}
