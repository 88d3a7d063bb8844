/* The view of a pool's size: what is kept, what the demand needs, and why. */

import { h, icon } from "./draw.js";
import { buttons, facts, page, section, table, tabs } from "./parts.js";
import { ahead, frontier } from "./shapes.js";
import { clock, count, duration, share, when } from "./words.js";

const BASES = {
  Fixed: "spec.size, for there is less than a day of demand", Recent: "mostly the claims of the last minutes",
  Blend: "the same hours of past days and weeks, and the level of the last day", Schedule: "a known event",
};

/* Claims and sizes from yesterday to tomorrow, and what sizes would have done. */
function outlook(pool, kept) {
  const view = pool.outlook, found = pool.status.sizing;
  if (!view) return [section("h-ahead", "Yesterday to tomorrow", "", h("p", {}, pool.outlookWhy ?? "It is being computed."))];
  const perHour = Math.round(3600 / view.sizesStepSeconds);
  const hours = view.hours.map((hour, at) => {
    const sizes = view.sizes.slice(at * perHour, (at + 1) * perHour), from = Math.min(...sizes), to = Math.max(...sizes);
    const came = hour.claims == null ? "" : `${count(hour.claims, "claim", "claims")} came, `;
    return { ...hour, tick: clock(hour.start), text: `${when(hour.start)}: ${came}${hour.low} to ${hour.high} expected. ${from === to ? from : `${from} to ${to}`} to keep ready.` };
  });
  const now = (Date.parse(view.at) - Date.parse(view.hours[0].start)) / 3600e3;
  const plot = h("figure", { class: "plot", role: "group", "aria-label": "Claims an hour and the size that they need, from yesterday to tomorrow. Use the arrow keys to read one hour after the other." });
  const readout = h("p", { class: "readout" });
  page.draws.push([() => { page.draws.push([ahead(plot, readout, { hours, sizes: view.sizes, kept, now }), plot]); }, plot, true]);
  const most = Math.max(...view.sizes.slice(24 * perHour));
  const parts = [section("h-ahead", "Yesterday to tomorrow", "What came, what is expected, and how many that takes.",
    h("p", { class: "say" }, view.hours.slice(24).some((hour) => hour.mean) ? `The coming day needs up to ${most}; ${kept} are kept.` : "Nothing is expected yet: there is less than a day of demand."), readout, plot,
    h("details", {}, h("summary", {}, "Show as a table"), table("Claims and sizes by the hour", ["Hour"], hours.map((hour) => [hour.text]))))];
  if (!view.tried.length) return [...parts, section("h-front", "What a size costs here", "", h("p", {}, "Nobody has claimed from the master pool in the last two weeks."))];
  const weeks = (Date.parse(view.at) - Date.parse(view.replayedSince)) / (7 * 86400e3);
  const marks = { [kept]: "kept", ...(found && found.recommended !== kept ? { [found.recommended]: "recommended" } : {}) };
  const tried = view.tried.map((item) => ({ ...item, share: item.misses / view.replayedClaims }));
  const enough = tried.find((item) => item.share <= 1 - view.availability);
  const graph = h("figure", { role: "img", "aria-label": `Share of claims that meet an empty pool, by size. ${enough ? `${enough.size} at all hours are enough.` : ""}` });
  page.draws.push([() => frontier(graph, { tried, marks, allowed: 1 - view.availability }), graph]);
  const rows = tried.map((item) => [marks[item.size] ? h("b", {}, `${item.size} ${marks[item.size]}`) : item.size, share(1 - item.share), (item.misses / Math.max(weeks, 1 / 7)).toFixed(1), item.idle.toFixed(1)]);
  return [...parts, section("h-front", "What a size costs here", `Each size on ${count(view.replayedClaims, "claim", "claims")} since ${when(view.replayedSince)}, kept at all hours.`,
    h("p", { class: "say" }, enough ? `${enough.size} at all hours would have served ${share(1 - enough.share)}, with ${enough.idle.toFixed(1)} ready on average. You ask for ${share(view.availability)}.` : `No size that was tried serves ${share(view.availability)}.`),
    h("p", { class: "cap" }, h("span", {}, h("b", {}, "Claims that meet an empty pool"), ", by the size")), graph,
    h("details", {}, h("summary", {}, "Every size that was tried"), table("Sizes", ["Size", "From the pool", "Met it empty, a week", "Ready on average"], rows)))];
}

export function one(pool) {
  const found = pool.status.sizing, size = pool.spec.size ?? 5;
  document.title = `Size of ${pool.pool}, campaignpool`;
  if (!found) return [tabs(pool), section("h-off", "Sizing is off", "", h("p", { class: "say" }, "Set spec.sizing.mode to Recommend to have a size recommended all the time, or to Auto to have it set.")), ...outlook(pool, size)];
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
      h("p", { class: "then" }, `It follows ${BASES[found.basis] ?? found.basis}. ${found.limitedBy ? `A limit changes it: ${found.limitedBy}.` : "No limit changes it."} ${found.nextPeak ? `The coming day needs ${found.nextPeak.size} at ${when(found.nextPeak.at)}.` : ""}`),
      h("div", { class: "below" }, found.applied == null ? buttons(["Change the size", "resize"]) : null)),
    facts(["Recommended", found.recommended], ["Kept", kept, found.applied == null ? "spec.size; sizing only recommends" : "sizing decides"],
      ["Served, last week", found.availability.week ?? "-", `${found.availability.misses} of ${found.availability.claims} claims met it empty`], ["Expected at the recommended size", found.availability.expected ?? "-", `asked for: ${pool.spec.sizing?.availability ?? "99.9%"}`],
      ["A refill takes", duration(found.leadTimeSeconds), "nine of ten take no longer"], ["Last 24 hours", found.availability.day ?? "-"])),
    ...outlook(pool, kept),
    section("h-heat", "A week, by the hour", "Claims of the last four weeks, in your zone.",
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Claims by weekday and hour" }, h("table", { class: "heat" }, h("caption", { class: "vh" }, "Claims by weekday and hour"),
        h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "vh" }, "Day")), week[0].map((_, hour) => h("th", { scope: "col" }, String(hour).padStart(2, "0"))))),
        h("tbody", {}, week.map((hours, day) => h("tr", {}, h("th", { scope: "row" }, days[day]), hours.map((value) => h("td", { class: shade(value) }, value)))))))),
  ];
}
