// A chart of the last minutes: lines over time, drawn as SVG. It keeps its size from the first moment on.

import { h, s } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 120;

/** The next round number above: 1, 2 or 5 with zeros. */
function roundUp(most) {
  if (most <= 0) return 1;
  most *= 1.05;
  const zeros = 10 ** Math.floor(Math.log10(most));
  return zeros * [1, 2, 5, 10].find((each) => each * zeros >= most);
}

export class Chart {
  /** series: [{name, tone}]; shown: a number as text; ceiling: the round number above the highest. */
  constructor(title, series, shown, { points = 60, everyS = 2, ceiling = roundUp } = {}) {
    this.series = series;
    this.shown = shown;
    this.points = points;
    this.everyS = everyS;
    this.ceiling = ceiling;
    this.values = series.map(() => []);
    this.now = series.map(() => h("strong", { class: "now" }, "–"));
    this.top = h("span", { class: "tick" }, "");
    this.reading = h("span", { class: "reading" }, "");
    this.area = s("path", { class: `area ${series[0].tone}` });
    this.lines = series.map((each) => s("path", { class: `line ${each.tone}` }));
    this.hair = s("line", { class: "hair", y1: 0, y2: HEIGHT, x1: -9, x2: -9 });
    this.drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: no data yet` },
      [0, 0.5, 1].map((part) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: 1 + part * (HEIGHT - 2), y2: 1 + part * (HEIGHT - 2) })),
      this.area, this.lines, this.hair);
    this.drawing.addEventListener("pointermove", (event) => this.#read(event));
    this.drawing.addEventListener("pointerleave", () => this.#unread());
    this.title = title;
    const keys = series.map((each, at) => h("div", { class: "key" },
      series.length > 1 && h("span", { class: `swatch ${each.tone}`, "aria-hidden": "true" }), series.length > 1 && h("span", { class: "label" }, each.name), this.now[at]));
    const span = points * everyS / 60;
    this.element = h("section", { class: "card chart" },
      h("div", { class: "chart-head" }, h("h2", null, title), h("div", { class: "keys" }, keys)),
      h("div", { class: "plot" }, this.top, this.drawing),
      h("div", { class: "axis" }, h("span", null, `${span} min ago`), this.reading, h("span", null, "now")));
  }

  /** Add a moment; null where nothing was there to measure. */
  push(...values) {
    values.forEach((value, at) => {
      this.values[at].push(value);
      if (this.values[at].length > this.points) this.values[at].shift();
      this.now[at].textContent = value === null ? "–" : this.shown(value);
    });
    this.#draw();
  }

  #x(at) {
    return WIDTH - (this.values[0].length - 1 - at) * (WIDTH / (this.points - 1));
  }

  #draw() {
    const most = this.ceiling(Math.max(0, ...this.values.flat().filter((each) => each !== null)));
    const y = (value) => 1 + (1 - value / most) * (HEIGHT - 2);
    this.top.textContent = this.shown(most);
    this.values.forEach((values, at) => {
      let drawn = "", open = false;
      values.forEach((value, step) => {
        if (value !== null) drawn += `${open ? "L" : "M"}${this.#x(step).toFixed(1)} ${y(value).toFixed(1)}`;
        open = value !== null;
      });
      this.lines[at].setAttribute("d", drawn || "M0 0");
    });
    const [first] = this.values;
    const whole = first.every((each) => each !== null) && first.length > 1;
    const edge = first.map((value, step) => `L${this.#x(step).toFixed(1)} ${y(value ?? 0).toFixed(1)}`).join("");
    this.area.setAttribute("d", whole ? `M${this.#x(0).toFixed(1)} ${HEIGHT}${edge}L${WIDTH} ${HEIGHT}Z` : "M0 0");
    const said = this.series.map((each, at) => `${each.name} ${this.now[at].textContent}`).join(", ");
    this.drawing.setAttribute("aria-label", `${this.title}: ${said}`);
  }

  #read(event) {
    const length = this.values[0].length;
    const box = this.drawing.getBoundingClientRect();
    const back = Math.round((1 - (event.clientX - box.left) / box.width) * (this.points - 1));
    if (length === 0 || back >= length || back < 0) return this.#unread();
    const at = length - 1 - back;
    this.hair.setAttribute("x1", this.#x(at));
    this.hair.setAttribute("x2", this.#x(at));
    const values = this.values.map((each) => (each[at] === null ? "–" : this.shown(each[at])));
    this.reading.textContent = `${back * this.everyS} s ago: ${values.join(" / ")}`;
  }

  #unread() {
    this.hair.setAttribute("x1", -9);
    this.hair.setAttribute("x2", -9);
    this.reading.textContent = "";
  }
}
