// Questions before what cannot be undone, and forms in the middle of the page. Escape and the backdrop say no.

import { h, visible } from "./dom.js";

/** Show a dialog; resolves with what `close` is given, or null. `make` gets `close` and gives the content. */
export function open(title, make) {
  return new Promise((resolve) => {
    let result = null;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const dialog = h("dialog", { "aria-label": title }, h("h2", null, title), make(close));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    // What it asks is of the page that it stands on: that page takes it along.
    const gone = new AbortController();
    for (const event of ["hashchange", "signed-out"]) window.addEventListener(event, () => dialog.close(), { signal: gone.signal });
    dialog.addEventListener("close", () => {
      gone.abort();
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether the reader means it. With `typed`, that text has to be written first. */
export function confirm(title, text, action, { typed = null, details = null } = {}) {
  return open(title, (close) => {
    const written = typed === null ? null : h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    const yes = h("button", { class: "danger", disabled: typed !== null }, action);
    // A field takes no line ends, and what is hidden is typed as it is shown.
    const wanted = typed === null ? [] : [typed, visible(typed)].map((each) => each.replace(/\n/g, ""));
    written?.addEventListener("input", () => { yes.disabled = !wanted.includes(written.value); });
    const answer = (event) => {
      event.preventDefault();
      if (!yes.disabled) close(true);
    };
    return h("form", { onsubmit: answer },
      h("p", null, text), details,
      written && h("label", { class: "field" }, h("span", { class: "label" }, "Type the name to confirm: ", h("bdi", { class: "mono" }, typed.slice(0, 300))), written),
      h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => close(null) }, "Cancel"), yes));
  });
}
