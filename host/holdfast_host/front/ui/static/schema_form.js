// A form for a method's arguments, made of its parameters. What a form cannot say is written as JSON.

import { field, h } from "./dom.js";

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** {element, read}: `read` gives the arguments as JSON text, or throws an Error that names the field. */
export function formOf(parameters) {
  if (!parameters || parameters.some((each) => each.kind === "position" || each.kind === "positions")) return jsonForm("[]");
  const fields = parameters.filter((each) => each.kind !== "names").map(fieldOf);
  const rest = parameters.some((each) => each.kind === "names")
    ? { name: "further", ...jsonField("Further arguments by name, as a JSON object", "{}") } : null;
  const body = fields.length + (rest ? 1 : 0) === 0 ? h("p", { class: "hint" }, "It takes no arguments.") : fields.map((each) => each.element);
  return {
    element: h("div", { class: "stack" }, body, rest?.element),
    read() {
      const said = fields.map((each) => [each.name, each.read()]).filter(([, text]) => text !== null);
      const further = rest?.read() ?? "{}";
      const inner = said.map(([key, text]) => `${JSON.stringify(key)}:${text}`);
      const more = further.trim().replace(/^\{|\}$/g, "").trim();
      return `{${[...inner, ...(more ? [more] : [])].join(",")}}`;
    },
  };
}

function jsonForm(start) {
  const one = jsonField("Arguments, as a JSON array or object", start);
  return { element: one.element, read: () => one.read() ?? start };
}

function jsonField(label, start, hint) {
  const control = h("textarea", { rows: "4", spellcheck: "false", value: start ?? "" });
  return { element: field(label, control, hint), read: () => checked(label, control.value, start === undefined) };
}

function checked(label, text, required) {
  if (text.trim() === "") {
    if (required) throw new Error(`${label}: write a JSON value`);
    return null;
  }
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`${label} is not JSON: ${error.message}`);
  }
  return text;
}

function wordOf(schema) {
  if (!schema || typeof schema !== "object") return "anything";
  if (schema.anyOf) return schema.anyOf.map(wordOf).join(" or ");
  return String(schema.format ?? schema.title ?? schema.type ?? "anything");
}

function fieldOf(parameter) {
  const { name, required, schema } = parameter;
  const hints = [wordOf(schema)];
  if ("default" in parameter) hints.push(`default ${JSON.stringify(parameter.default)}`);
  else if (!required) hints.push("may be left out");
  const hint = hints.join(", ");
  const kind = typeof schema === "object" && schema !== null ? schema.type : undefined;
  const choices = schema?.enum ?? (kind === "boolean" ? [true, false] : null);
  if (choices) return choiceField(name, choices, required, hint);
  if (kind === "integer" || kind === "number") return numberField(name, kind, required, hint);
  if (kind === "string") return textField(name, required, hint);
  const control = h("textarea", { rows: "2", spellcheck: "false", required });
  return { name, element: field(name, control, `${hint}; write JSON`), read: () => checked(name, control.value, required) };
}

function choiceField(name, choices, required, hint) {
  const control = h("select", null, !required && h("option", { value: "" }, "left out"), choices.map((each) => h("option", { value: JSON.stringify(each) }, String(each))));
  return { name, element: field(name, control, hint), read: () => control.value || null };
}

function numberField(name, kind, required, hint) {
  const control = h("input", { type: "text", inputmode: kind === "integer" ? "numeric" : "decimal", autocomplete: "off", required });
  const read = () => {
    const text = control.value.trim();
    if (text === "" && !required) return null;
    if (!NUMBER.test(text)) throw new Error(`${name}: ${text === "" ? "write a number" : `${text.slice(0, 40)} is no number`}`);
    return text;
  };
  return { name, element: field(name, control, hint), read };
}

function textField(name, required, hint) {
  const control = h("textarea", { rows: "1", spellcheck: "false" });
  return { name, element: field(name, control, hint), read: () => (control.value === "" && !required ? null : JSON.stringify(control.value)) };
}
