// The one alarm of an instance.

import { ask, get, may } from "../api.js";
import { badge, count, done, empty, field, h, time } from "../dom.js";

export const TONES = { armed: "good", retrying: "odd", waiting: "good", abandoned: "bad", parked: "bad" };

export async function fill(panel, { here, again, life }) {
  const where = `${here}/alarm`;
  const alarm = await get(where, life.signal);
  const when = h("input", { type: "datetime-local", step: "1" });
  const change = async (work, said) => {
    await work();
    panel.replaceChildren();
    await done(said, () => Promise.all([fill(panel, { here, again, life }), again()]));
  };
  const set = (event) => {
    event.preventDefault();
    const due = when.value ? { due: new Date(when.value).toISOString() } : {};
    return change(() => ask("PUT", where, { body: JSON.stringify(due) }), "The alarm is set.");
  };
  panel.append(h("section", { class: "card" }, h("h2", null, "Alarm"), h("div", { class: "body stack" },
    alarm === null ? empty("No alarm is set", "An actor sets its own:", "self.ctx.storage.set_alarm(timedelta(minutes=5))")
      : h("dl", { class: "facts small" }, [["State", badge(alarm.state, TONES[alarm.state])], ["Due", time(alarm.due)], ["Set for", time(alarm.scheduled)],
        ["Retries", count(alarm.retry_count)], ["Last error", alarm.last_error ?? "none"]].map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value)))),
    may("change") && h("form", { class: "filters", onsubmit: set }, field("Due at, or empty for now", when), h("button", null, alarm === null ? "Set it" : "Set it anew"),
      alarm !== null && h("button", { type: "button", class: "danger", onclick: () => change(() => ask("DELETE", where), "The alarm is cleared.") }, "Clear it")))));
}
