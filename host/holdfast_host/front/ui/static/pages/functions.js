// What is deployed: functions, their versions, and going back to one of them.

import { ask, get, may, path } from "../api.js";
import { badge, bytes, count, done, empty, failure, h, heading, name, put, say, table, time, to } from "../dom.js";
import { confirm } from "../dialog.js";

export async function show(view, [which], life) {
  if (which) return showOne(view, which, life);
  const { functions } = await get("/v1/functions", life.signal);
  const { actors: undeployed } = await get("/v1/undeployed", life.signal);
  view.append(heading("Functions", "A function is what you deploy: a component with its actor types, and perhaps HTTP routes of its own."));
  if (functions.length === 0) {
    view.append(empty("Nothing is deployed yet", "Make a project and deploy it to this host:", `holdfast new shop && cd shop\nholdfast deploy --host ${location.origin}`));
  } else {
    view.append(h("section", { class: "card" }, table("Functions", ["Function", "State", ["Version", "number"], "Actor types", ["On disk", "number"]],
      functions.map((each) => [
        h("a", { href: to("functions", each.name) }, each.name), stateOf(each), [count(each.version), "number"],
        each.actors.filter((one) => one.owner).map((one, at) => [at > 0 && ", ", h("a", { href: to("types", one.type) }, one.type)]),
        [bytes(each.disk_bytes), "number"],
      ]))));
  }
  if (undeployed.length > 0) {
    view.append(h("section", { class: "card stack" },
      h("div", null, h("h2", null, "Types that no deployed function ships"), h("p", { class: "hint" }, "Their instances are kept. Deploy a function that ships the type to reach them again.")),
      table("Undeployed types", ["Type", "Last function", "func_id"], undeployed.map((each) => [h("code", null, each.type), each.function ?? "–", h("code", null, each.func_id)]))));
  }
}

function stateOf(each) {
  return each.status === "deploy_ok" ? badge("running", "good") : badge("last deploy failed", "bad");
}

async function showOne(view, which, life) {
  const fill = async () => {
    const facts = await get(path("functions", which), life.signal);
    put(view, 
      h("p", { class: "crumbs" }, h("a", { href: "#/functions" }, "Functions"), " / ", name(which)),
      heading(facts.name, null, stateOf(facts), h("a", { class: "button", href: facts.url, rel: "noopener noreferrer", target: "_blank" }, "Open its address")),
      facts.reason && h("div", { class: "failure" }, h("p", { class: "title" }, "The last deploy failed"), h("p", null, facts.reason)),
      h("dl", { class: "facts small card" },
        [["Version", count(facts.version)], ["func_id", h("code", null, facts.func_id)], ["Component", h("code", null, facts.sha256.slice(0, 16))], ["On disk", bytes(facts.disk_bytes)]]
          .map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value)))),
      h("section", { class: "card" }, h("h2", null, "Versions"), h("div", { class: "body" }, versions(facts, life, fill))),
      h("div", { class: "halves" },
        h("section", { class: "card" }, h("h2", null, "Bindings"), h("div", { class: "body" }, bindings(facts))),
        h("section", { class: "card" }, h("h2", null, "Secrets"), h("div", { class: "body" }, secrets(facts)))));
  };
  await fill();
}

function versions(facts, life, again) {
  return table("Versions", ["Version", "Deployed", "Component", ["On disk", "number"], ""],
    facts.versions.map((each) => [
      count(each.version), time(each.created_at), h("code", null, each.sha256.slice(0, 16)), [bytes(each.disk_bytes), "number"],
      [each.version === facts.version ? badge("running", "good")
        : may("deploy") && h("button", { type: "button", onclick: () => rollBack(facts, each.version, life, again) }, "Roll back …"), "number"],
    ]));
}

async function rollBack(facts, version, life, again) {
  const where = path("functions", facts.name, "rollback");
  const { breaks, refused } = await get(`${where}?version=${version}`, life.signal);
  const list = breaks.length > 0 ? h("ul", { class: "breaks" }, breaks.map((each) => h("li", null, each)))
    : h("p", { class: "hint" }, "Nothing that callers, instances or other functions rely on goes away.");
  if (refused) {
    say(refused, "bad");
    return;
  }
  const meant = await confirm(`Run version ${version} of ${facts.name} again?`, `Version ${facts.version} runs now. Storage stays as it is.`,
    `Roll back to version ${version}`, { details: h("div", { class: "stack" }, breaks.length > 0 && h("h3", null, "What it breaks"), list) });
  if (!meant) return;
  await ask("POST", where, { body: JSON.stringify({ version }) });
  await done(`${facts.name} runs version ${version}.`, again);
}

function bindings(facts) {
  if (facts.actors.length === 0) return h("p", { class: "hint" }, "It has none: it is HTTP routes alone.");
  return table("Bindings", ["On env", "Actor type", ""], facts.actors.map((each) => [
    h("code", null, each.binding), h("a", { href: to("types", each.type) }, each.type),
    each.owner ? badge("its own") : badge(each.optional ? "another's, optional" : "another's", "odd")]));
}

function secrets(facts) {
  if (facts.secrets.length === 0) return h("p", { class: "hint" }, "Its manifest names none.");
  return table("Secrets", ["Name", ""], facts.secrets.map((each) => [h("code", null, each.name), each.set ? badge("set", "good") : badge("not set", "bad")]));
}
