/* The view of a pool's size: what is kept, what the demand needs, and why. */

import { h, icon } from "./draw.js";
import { buttons, facts, section, tabs } from "./parts.js";
import { duration, when } from "./words.js";


export function one(pool) {
  const found = pool.status.sizing, size = pool.spec.size ?? 5;
  document.title = `Size of ${pool.pool}, campaignpool`;
  if (!found) return [tabs(pool), section("h-off", "Sizing is off", "", h("p", { class: "say" }, "Set spec.sizing.mode to Recommend to see what the demand needs."))];
  const kept = found.applied ?? size, differs = kept - found.recommended;
  const title = differs === 0 ? `${kept} is the right size` : differs < 0 ? `${found.recommended} are needed, ${kept} are kept` : `${found.recommended} would do, ${kept} are kept`;
  const week = Array.from({ length: 7 }, () => Array(24).fill(0));
  for (const hour of pool.trends?.hours ?? []) {
    const at = new Date(hour.hour);
    week[(at.getDay() + 6) % 7][at.getHours()] += hour.owner + hour.master + hour.clone + hour.unserved;
  }
  const most = Math.max(1, ...week.flat()), days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const shade = (value) => `c${Math.min(6, 1 + Math.floor((value / most) * 5.999))}`;
  return [
    tabs(pool),
    h("div", { class: "verdict" }, h("div", {}, h("p", { class: "q" }, `${pool.pool}: is the size right?`), h("h1", {}, icon(differs < 0 ? "soon" : "ok", `i ${differs < 0 ? "warn" : "ok"}`), h("span", {}, title)),
      h("p", { class: "then" }, `It follows ${found.basis}. ${found.limitedBy ? `A limit changes it: ${found.limitedBy}.` : "No limit changes it."} ${found.nextPeak ? `The coming day needs ${found.nextPeak.size} at ${when(found.nextPeak.at)}.` : ""}`),
      h("div", { class: "below" }, found.applied == null ? buttons(["Change the size", "resize"]) : null)),
    facts(["Recommended", found.recommended], ["Kept", kept, found.applied == null ? "spec.size; sizing only recommends" : "sizing decides"],
      ["Served, last week", found.availability.week ?? "-", `${found.availability.misses} of ${found.availability.claims} claims met it empty`], ["Expected at the recommended size", found.availability.expected ?? "-", `asked for: ${pool.spec.sizing?.availability ?? "99.9%"}`],
      ["A refill takes", duration(found.leadTimeSeconds), "nine of ten take no longer"], ["Last 24 hours", found.availability.day ?? "-"])),
    section("h-heat", "A week, by the hour", "Claims of the last four weeks, in your zone.",
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Claims by weekday and hour" }, h("table", { class: "heat" }, h("caption", { class: "vh" }, "Claims by weekday and hour"),
        h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "vh" }, "Day")), week[0].map((_, hour) => h("th", { scope: "col" }, String(hour).padStart(2, "0"))))),
        h("tbody", {}, week.map((hours, day) => h("tr", {}, h("th", { scope: "row" }, days[day]), hours.map((value) => h("td", { class: shade(value) }, value)))))))),
  ];
}
