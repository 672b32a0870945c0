// Elements made of data. Data becomes text and nothing else: what it hides is spelled out, what is long is cut.

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = /(?![\n\t\u200d])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
const TEXT_MAX = 20_000;

/** A text with each character that shows nothing, or turns the line around, as its number. */
export function visible(text) {
  return text.replace(HIDDEN, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);
}

/** The begin of a text, with its length where that is not all. */
export function cut(text, max = 200) {
  if (text.length <= max) return text;
  const end = /[\ud800-\udbff]/.test(text[max - 1]) ? max - 1 : max;
  return `${text.slice(0, end)}… (${count(text.length)} characters)`;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(cut(visible(String(child)), TEXT_MAX)));
  }
  return element;
}

/** Put these into an element, in the place of what is there. */
export function put(element, ...children) {
  element.replaceChildren();
  return fill(element, null, children);
}

/** The same where most of it is there already, without listeners: what is equal stays, and so does the focus. */
export function refresh(element, ...children) {
  morph(element, fill(element.cloneNode(false), null, children));
}

function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return undefined;
  }
  for (const { name: key } of [...old.attributes]) if (!fresh.hasAttribute(key)) old.removeAttribute(key);
  for (const { name: key, value } of fresh.attributes) if (old.getAttribute(key) !== value) old.setAttribute(key, value);
  const next = [...fresh.childNodes];
  while (old.childNodes.length > next.length) old.lastChild.remove();
  next.forEach((child, at) => (old.childNodes[at] ? morph(old.childNodes[at], child) : old.append(child)));
  return undefined;
}

/** An element: h("p", {class: "empty", onclick: act}, "text", element, [more]). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Where a page of the inspector is, each part any text. */
export function to(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** A name, however it is written: apart from the text around it, and cut. */
export function name(text, max = 80) {
  return h("bdi", { class: "name", title: text.length > max ? visible(text.slice(0, 1000)) : null }, cut(text, max));
}

const INTEGER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const DECIMAL = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function count(number) {
  return INTEGER.format(number);
}

export function decimal(number) {
  return Math.abs(number) >= 1000 ? INTEGER.format(number) : DECIMAL.format(number);
}

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (number >= 1024 && at < units.length - 1) {
    number /= 1024;
    at += 1;
  }
  return `${at && number < 100 ? number.toFixed(1) : count(number)} ${units[at]}`;
}

export function duration(seconds) {
  if (seconds < 0.001) return `${decimal(seconds * 1e6)} µs`;
  return seconds < 1 ? `${decimal(seconds * 1e3)} ms` : `${decimal(seconds)} s`;
}

/** A time as the host says it, in the reader's zone, with the exact one on top of it. */
export function time(iso) {
  const when = new Date(iso);
  if (Number.isNaN(when.getTime())) return h("span", null, iso);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  const clock = [when.getHours(), when.getMinutes(), when.getSeconds()].map(two).join(":");
  return h("time", { datetime: when.toISOString(), title: when.toISOString() }, `${day} ${clock}`);
}

/** A small mark of a state: good, bad, odd or plain. */
export function badge(text, tone = "plain") {
  return h("span", { class: `badge ${tone}` }, text);
}

/** A table that scrolls by itself where it is too wide; numbers are [cell, "number"]. */
export function table(label, heads, rows) {
  const cell = (tag, each) => {
    const [shown, kind] = Array.isArray(each) && each.length === 2 && typeof each[1] === "string" ? each : [each, null];
    return h(tag, { class: kind, scope: tag === "th" ? "col" : null }, shown === "" && tag === "th" ? h("span", { class: "unseen" }, "More") : shown);
  };
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", null,
      h("thead", null, h("tr", null, heads.map((each) => cell("th", each)))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((each) => cell("td", each)))))));
}

/** What a place says that has nothing yet: why, and what to type. */
export function empty(title, text, command) {
  return h("div", { class: "empty" },
    h("p", { class: "title" }, title), h("p", null, text), command && h("pre", { tabindex: "0" }, h("code", null, command)));
}

/** The head of a page. */
export function heading(title, about, ...actions) {
  return h("div", { class: "heading" },
    h("div", null, h("h1", null, title), about && h("p", { class: "about" }, about)),
    actions.length > 0 && h("div", { class: "actions" }, actions));
}

/** A labelled control. */
export function field(label, control, hint) {
  return h("label", { class: "field" }, h("span", { class: "label" }, label), control, hint && h("span", { class: "hint" }, hint));
}

/** Say what was done, to eyes and screen readers. */
export function say(text, tone = "good") {
  const place = document.querySelector("#said");
  const shown = h("p", { class: tone }, cut(text, 600));
  place.replaceChildren(shown);
  setTimeout(() => shown.remove(), tone === "good" ? 4_000 : 12_000);
}

/** What was done, said once the page shows what `again` finds: its buttons are of the new state then. */
export async function done(text, again) {
  try {
    await again();
  } finally {
    say(text);
  }
}

/** What went wrong, in the place of what should be there. */
export function failure(error, again) {
  return h("div", { class: "failure", role: "alert" },
    h("p", { class: "title" }, error.name ?? "Error"), h("p", null, cut(error.message ?? String(error), 1_000)),
    again && h("button", { type: "button", onclick: again }, "Try again"));
}
