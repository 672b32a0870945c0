// Call a method: a form made of its parameters, the answer beside it.

import { ApiError, get, may, parse } from "../api.js";
import { badge, cut, duration, empty, field, h, put } from "../dom.js";
import { formOf } from "../schema_form.js";

const SHOWN_MAX = 20_000;

export async function fill(panel, { type, name: which, again, life }) {
  const { actors } = await get("/v1/actors", life.signal);
  const methods = actors.find((each) => each.type === type)?.methods ?? [];
  if (methods.length === 0) {
    panel.append(empty("There is nothing to call", "Callers reach the public methods of a class."));
    return;
  }
  const choice = h("select", { onchange: choose }, methods.map((each) => h("option", { value: each.name }, each.name)));
  const about = h("div", { class: "method" });
  const inputs = h("div", { class: "stack" });
  const answer = h("div", { class: "body" }, h("p", { class: "hint" }, "The answer comes here."));
  const button = h("button", { class: "primary", disabled: !may("call") }, "Call");
  let form;

  function choose() {
    const method = methods.find((each) => each.name === choice.value);
    put(about, h("code", null, method.name + method.signature), method.doc && h("p", { class: "doc" }, method.doc));
    form = formOf(method.parameters);
    put(inputs, form.element);
  }

  async function send(event) {
    event.preventDefault();
    let args;
    try {
      args = form.read();
    } catch (error) {
      show(badge("not sent", "odd"), error.message);
      return;
    }
    button.disabled = true;
    const began = performance.now();
    try {
      // By the body, not by the path: no name is a folder there.
      const body = `{"type":${JSON.stringify(type)},"name":${JSON.stringify(which)},"method":${JSON.stringify(choice.value)},"args":${args}}`;
      const response = await fetch("/v1/call", { method: "POST", body, headers: { "Holdfast-Inspector": "1" }, signal: life.signal });
      const text = await response.text();
      const took = duration((performance.now() - began) / 1000);
      if (response.ok) show([badge(`${response.status}`, "good"), " ", h("span", { class: "hint" }, took)], pretty(text));
      else {
        const error = new ApiError(response.status, parse(text).error);
        show([badge(`${response.status} ${error.name}`, "bad"), " ", h("span", { class: "hint" }, took)], error.message);
      }
    } catch (error) {
      if (!life.signal.aborted) show(badge("no answer", "bad"), "The host does not answer: whether the call had an effect is unknown.");
    } finally {
      button.disabled = !may("call");
    }
    await again().catch(() => null);
  }

  function show(head, text) {
    put(answer, h("p", { role: "status" }, head), h("pre", { class: "wrap", tabindex: "0" }, cut(text, SHOWN_MAX)));
  }

  choose();
  panel.append(h("div", { class: "columns" },
    h("form", { class: "card stack", onsubmit: send }, field("Method", choice), about, inputs,
      h("div", { class: "actions" }, button, !may("call") && h("span", { class: "hint" }, "Your token may not call."))),
    h("section", { class: "card" }, h("h2", null, "Answer"), answer)));
}

function pretty(text) {
  if (text.length > SHOWN_MAX) return text;
  try {
    return JSON.rawJSON ? JSON.stringify(parse(text), null, 2) : text;
  } catch {
    return text;
  }
}
