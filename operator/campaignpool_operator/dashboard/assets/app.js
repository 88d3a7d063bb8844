/* The page: all pools, one pool, or the size of one pool, by its path. */

import { act, follow } from "./actions.js";
import { h, histogram, icon, spark, timeline } from "./draw.js";
import { ROOT, call, get, listen } from "./wire.js";
import { MARKS, answer, clock, count, duration, share, when } from "./words.js";

const GROUPS = [
  ["NeedYou", "Need you", "soonest trouble first"], ["AtWork", "Active", "nothing to do for you"],
  ["Paused", "Paused on purpose", ""], ["Fine", "Fine", ""],
];
const SILENT = 10_000, TRENDS = 20_000;
const ANSWERS = ["No", "Slower", "Until", "Unknown", "Yes"];
const main = document.getElementById("main");
const [, namespace, name, view] = location.pathname.slice(ROOT.length - 1).match(/^\/pools\/([^/]+)\/([^/]+)(\/sizing)?$/) ?? [];
const path = namespace && `${namespace}/${name}`;
let draws = [], lastWord = Date.now(), current = null, range = 24, filter = "", only = false, verdicts = new Map();

const mark = (verdict, paused) => (paused ? ["pause", "idle"] : MARKS[verdict.answer]);
const link = (...parts) => ROOT + ["pools", ...parts].join("/");
const section = (id, title, about, ...content) =>
  h("section", { class: "sec", "aria-labelledby": id }, h("header", {}, h("h2", { id }, title), h("p", {}, about)), h("div", {}, ...content));
const table = (caption, heads, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
  h("table", {}, h("caption", { class: "vh" }, caption), h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));

function cells(status, wrong, limit = 60) {
  const stale = Math.min(status.stale, status.ready);
  const lacking = Math.max(0, status.desired - status.ready - status.seeding);
  const kinds = [["", status.ready - stale], ["old", stale], ["mk", status.seeding], [wrong && !status.seeding ? "no bad" : "no", lacking]];
  const total = kinds.reduce((sum, [, number]) => sum + number, 0), scale = total > limit ? limit / total : 1;
  return h("span", { class: "cells", "aria-hidden": "true" },
    kinds.flatMap(([kind, number]) => Array.from({ length: Math.round(number * scale) || (number ? 1 : 0) }, () => h("i", { class: kind }))));
}

/* --- all pools --------------------------------------------------------------------------------------------------- */

function row(pool) {
  const [symbol, tone] = mark(pool.verdict, pool.paused), day = pool.day;
  const bars = h("div", { class: "spark" });
  if (day) draws.push([() => spark(bars, day.hours), bars]);
  const asked = day ? day.claims + day.failed : 0;
  return h("li", { class: "row" },
    h("div", {}, h("a", { class: "nm", href: link(pool.namespace, pool.name) }, pool.pool), h("p", { class: `v ${tone}` }, icon(symbol), h("span", {}, answer(pool.verdict)))),
    h("div", {}, h("p", { class: "say" }, pool.pausedBy ? `Paused by ${pool.pausedBy}. ` : "", pool.sentence), pool.problem?.remedy && h("p", { class: "sub" }, plain(pool.problem.remedy))),
    h("div", { class: "stock mini" }, h("span", { class: "lab" }, "Stock"), cells(pool.status, pool.group === "NeedYou", 24), h("b", {}, pool.status.ready), ` of ${pool.status.desired} ready`, h("br"),
      h("span", { class: "dim" }, pool.status.seeding ? `${pool.status.seeding} being made` : pool.status.ready < pool.status.desired ? "none being made" : "full")),
    h("div", { class: "hit" }, h("span", { class: "lab" }, "From the pool, 24 h"), h("span", {}, day ? share(day.hitRate) : "?"), h("small", {}, !day ? "not known" : asked ? `${day.missed} of ${asked} ${day.failed ? "failed or slower" : "slower"}` : "no claims")),
    h("div", { class: "sp" }, h("span", { class: "lab" }, "Claims, 24 h"), bars, h("small", {}, day ? asked.toLocaleString() : "the database was not read")));
}

const plain = (text) => text.replaceAll("`", "");
const local = (text) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (moment) => when(moment));

function fleet(list) {
  const needed = list.pools.filter((pool) => pool.group === "NeedYou");
  const failing = list.pools.filter((pool) => pool.verdict.answer === "No");
  const title = !list.pools.length ? "There is no pool yet" : needed.length ? `${needed.length} of ${count(list.pools.length, "pool needs", "pools need")} you` : list.pools.length === 1 ? "The pool is fine" : `All ${list.pools.length} pools are fine`;
  document.title = `${title}, campaignpool`;
  const shown = list.pools.filter((pool) => pool.pool.includes(filter) && (!only || pool.group === "NeedYou"));
  const search = h("input", { id: "f", type: "search", placeholder: "Find a pool", value: filter, oninput: (event) => { filter = event.target.value; render(); } });
  const choice = (label, value) => h("button", { type: "button", "aria-pressed": String(only === value), onclick: () => { only = value; render(); } }, label);
  return [
    h("div", { class: "fhead" },
      h("div", {}, h("h1", {}, title), h("p", {}, list.pools.length ? `People can claim from ${list.pools.length - failing.length}.${failing.length ? ` Claims fail in ${failing.map((pool) => pool.pool).join(", ")}.` : ""}` : "Or there is none that you may list. kubectl create one, and it appears here.")),
      list.pools.length ? h("form", { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() }, h("label", { class: "vh", for: "f" }, "Find a pool"), search,
        h("div", { class: "seg", role: "group", "aria-label": "Show" }, choice(`All ${list.pools.length}`, false), choice(`Need you ${needed.length}`, true))) : null),
    list.pools.length ? h("div", { class: "heads", "aria-hidden": "true" }, ["Pool, and can people claim?", "What is going on", "Stock", "From the pool", "Claims, 24 h"].map((text) => h("span", {}, text))) : null,
    ...GROUPS.flatMap(([group, heading, about]) => {
      const pools = shown.filter((pool) => pool.group === group);
      return pools.length ? [h("section", { "aria-labelledby": group }, h("div", { class: "grp" }, h("h2", { id: group }, heading), h("span", { class: "dim" }, about)), h("ul", { class: "rows" }, pools.map(row)))] : [];
    }),
  ];
}

/* --- one pool ------------------------------------------------------------------------------------------------------ */

function buttons(...wanted) {
  const told = h("p", { class: "told", role: "status" });
  if (!current.mayChange) return null;
  return h("div", { class: "acts act" }, wanted.map(([label, action, className = "", value]) => h("button", { type: "button", class: className, "data-act": action, onclick: () => act(action, () => current, told, value) }, label)), told);
}

function tabs(pool) {
  const tab = (label, href, here) => h("a", { href, ...(here ? { "aria-current": "page" } : {}) }, label);
  return h("nav", { class: "tabs", "aria-label": "Views" }, tab("Pool", link(pool.namespace, pool.name), !view), tab("Sizing", `${link(pool.namespace, pool.name)}/sizing`, Boolean(view)));
}

function facts(...pairs) {
  return h("dl", { class: "facts" }, pairs.map(([term, value, about]) => h("div", {}, h("dt", {}, term), h("dd", {}, value, about && h("small", {}, about)))));
}

function verdict(pool) {
  const [symbol, tone] = mark(pool.verdict, false), status = pool.status, hour = pool.claims, day = pool.day;
  const longest = Math.max(pool.verdict.stockSeconds ?? 0, pool.verdict.refillSeconds ?? 0);
  const bar = (label, seconds, className) => {
    const line = h("i");
    line.style.width = `${Math.max(2, (70 * seconds) / longest)}%`;
    return [h("span", {}, label), h("span", { class: `bar ${className}` }, line, h("b", {}, duration(seconds)))];
  };
  return h("div", { class: "verdict" },
    h("div", {}, h("p", { class: "q" }, `${pool.pool}: can people claim now?`), h("h1", {}, icon(symbol, `i ${tone}`), h("span", {}, answer(pool.verdict))), h("p", { class: "then" }, pool.verdict.detail),
      pool.verdict.stockSeconds != null && pool.verdict.refillSeconds != null && h("div", { class: "race" }, bar("Stock lasts, if refilling stopped", pool.verdict.stockSeconds, ""), bar("One refill takes", pool.verdict.refillSeconds, "lt"),
        h("p", {}, `Safe while the first is longer. Pace: ${count(Math.round(pool.verdict.claimsPerHour), "claim", "claims")} an hour, as in the last 10 minutes.`)),
      pool.problem && h("p", { class: "jump bad" }, icon("no"), h("a", { href: "#problem" }, `${pool.problem.meaning ?? pool.problem.reason} What to do`))),
    facts(["Ready now", status.ready, `of ${status.desired} wanted, ${status.seeding} being made`],
      ["Served from the pool, 24 h", day ? share(day.hitRate) : "?", day ? `${day.missed} of ${day.claims + day.failed} claims met it empty` : "the database was not read"],
      ["A claim takes", duration(hour?.p50Seconds), hour?.p99Seconds == null ? "no claims in the last hour" : `p99 ${duration(hour.p99Seconds)}, last hour`],
      ["When it is empty", pool.spec.claims?.onEmpty ?? "Clone", { Wait: "claims wait", Fail: "claims fail with CP002" }[pool.spec.claims?.onEmpty] ?? (hour?.cloneP50Seconds == null ? "a claim makes its own" : `a claim makes its own, ${duration(hour.cloneP50Seconds)}`)]));
}

function problem(pool) {
  if (!pool.problem) return null;
  // Only the last cause of each branch is red: the rest leads to it.
  const tone = (item) => (item.state === "wrong" && !item.children.some((child) => child.state === "wrong") ? "x" : "");
  const chain = (item) => h("li", {}, h("span", { class: tone(item) }, local(plain(item.text))), item.children.length ? h("ul", {}, item.children.map(chain)) : null);
  return h("section", { class: "problem", id: "problem", "aria-labelledby": "h-problem" },
    h("h2", { id: "h-problem" }, icon("no", "i bad"), h("span", {}, pool.problem.meaning ?? pool.problem.reason)),
    h("p", { class: "meta" }, `Since ${when(pool.problem.since)}. Condition ${pool.problem.condition}, reason `, h("code", {}, pool.problem.reason)),
    h("div", { class: "grid" },
      h("div", {}, h("h3", {}, "What to do"), h("p", { class: "msg" }, pool.problem.message), pool.problem.remedy && h("p", { class: "msg" }, plain(pool.problem.remedy)), h("div", { class: "below" }, buttons(["Try again now", "replenish", "pri"]))),
      h("div", {}, h("h3", {}, "How we know"), h("ul", { class: "tree" }, (pool.explanation?.children ?? []).map(chain)))));
}

function shelf(pool) {
  const status = pool.status, key = (kind, text) => h("li", {}, h("span", { class: `sw ${kind}` }), text);
  const lacking = Math.max(0, status.desired - status.ready - status.seeding);
  return h("div", { class: "shelfrow" },
    h("div", { class: "shelf" }, cells(status, Boolean(pool.problem)), h("ul", { class: "key" }, key("", `${status.ready} ready`), status.stale ? key("old", `${status.stale} of an older revision`) : null,
      status.seeding ? key("mk", `${status.seeding} being made`) : null, lacking ? key("no", `${lacking} lack`) : null, key("bar", `${status.desired} wanted, ${pool.spec.maxSize ?? 100} at most`))),
    buttons(["Refill now", "replenish"], pool.paused ? ["Resume refilling", "resume"] : ["Pause refilling", "pause"], ["Change the size", "resize"]));
}

function slots(trends, hours) {
  const first = new Date();
  first.setUTCMinutes(0, 0, 0);
  const known = new Map(trends.hours.map((hour) => [Date.parse(hour.hour), hour]));
  const start = +first - (hours - 1) * 3600e3, group = hours > 24 * 60 ? 24 * 7 : hours > 24 * 3 ? 6 : 1, found = [];
  for (let at = start; at <= +first; at += group * 3600e3) {
    const part = Array.from({ length: group }, (_, step) => known.get(at + step * 3600e3)).filter(Boolean);
    const sum = (field) => part.reduce((total, hour) => total + hour[field], 0);
    const claims = sum("owner") + sum("master") + sum("clone") + sum("unserved"), missed = sum("clone") + sum("unserved") + sum("waiting");
    const low = part.map((hour) => hour.lowestReady).filter((value) => value != null), least = low.length ? Math.min(...low) : null;
    const lowest = group === 1 ? (part[0]?.lowest.length ? part[0].lowest : Array(6).fill(null)) : [least];
    const from = new Date(at), tick = group === 1 ? clock(from) : from.toLocaleDateString([], { day: "numeric", month: "short" });
    found.push({ claims, missed, lowest, tick, text: `${when(from)}: ${count(claims, "claim", "claims")}, ${missed} met an empty pool, ${sum("refills")} refills. Lowest stock: ${least ?? "not known"}.` });
  }
  return found;
}

function past(pool) {
  const plot = h("figure", { class: "plot", role: "group", "aria-label": "Claims and the lowest stock over time. Use the arrow keys to read one after the other." });
  const readout = h("p", { class: "readout" }), body = h("tbody");
  const choice = (label, hours) => h("button", { type: "button", "aria-pressed": String(range === hours), onclick: () => { range = hours; load(); } }, label);
  if (pool.trends) {
    const list = slots(pool.trends, range);
    const data = { slots: list, wanted: Number(pool.spec.size ?? 5), claimsTitle: range > 72 ? "Claims" : "Claims an hour", stockTitle: range > 72 ? ", lowest" : ", lowest in each 10 minutes" };
    draws.push([() => { draws.push([timeline(plot, readout, data), plot]); }, plot, true]);
    body.append(...list.map((slot) => h("tr", {}, h("td", {}, slot.text))));
  }
  return section("h-past", "What happened", "Claims and stock, on one clock.",
    h("div", { class: "over" }, readout, h("div", { class: "seg", role: "group", "aria-label": "Range" }, choice("24 h", 24), choice("7 d", 168), choice("13 mo", 9504))),
    pool.trends ? plot : h("p", {}, "The database was not read."),
    h("details", {}, h("summary", {}, "Show as a table"), h("table", {}, h("caption", { class: "vh" }, "Claims and stock"), body)));
}

function owners(pool) {
  if (pool.status.owners.length < 2) return null;
  const rows = pool.status.owners.map((owner) => [owner.id ? owner.name : "Anybody (master)", `${owner.ready} of ${owner.desired}`, owner.seeding, owner.claimed.toLocaleString()]);
  return section("h-owners", "Owners", "Those that lack most come first.", table("Owners", ["Owner", "Ready", "Being made", "Ever claimed"], rows), pool.status.ownersOmitted ? h("p", { class: "cap" }, `${pool.status.ownersOmitted} more are not listed.`) : null);
}

function images(pool) {
  const found = pool.status.images;
  if (!found) return null;
  return section("h-images", "Images", "Files that are copied for each campaign.", facts(["Still to copy", found.pending], ["Copied", found.copied], ["Failed", found.failed, found.lastFinishedAt && `last ended ${when(found.lastFinishedAt)}`]),
    h("div", { class: "below" }, found.failed ? buttons(["Retry the failed ones", "retry-images"]) : null));
}

function claims(pool) {
  const hour = pool.claims;
  if (!hour) return section("h-claims", "Claims", "How long they took in the database.", h("p", {}, pool.ledger.message ?? "The database was not read."));
  const plot = h("figure", { role: "img", "aria-label": `Durations of ${hour.durations.reduce((sum, number) => sum + number, 0)} claims: half within ${duration(hour.p50Seconds)}` });
  const names = [...hour.durationBounds.map((bound) => String(bound * 1000)), "more"];
  draws.push([() => histogram(plot, names.map((text, at) => [text, hour.durations[at]]), "milliseconds, each bar up to its number"), plot]);
  const rows = (pool.newest ?? []).slice(0, 8).map((claim) => {
    const open = !claim.releasedAt && Date.parse(claim.releasableUntil) > Date.now();
    return [when(claim.at), h("code", {}, `…${claim.campaign.slice(-6)}`), claim.owner || "anybody", claim.source, duration(claim.seconds), claim.releasedAt ? "taken back" : open ? buttons(["Take back", "release", "qt", claim.campaign]) : ""];
  });
  return section("h-claims", "Claims", "How long they took in the database, and what was claimed.",
    h("p", { class: "b" }, `Last hour: ${count(hour.owner + hour.master + hour.clone, "claim", "claims")}, ${share(hour.hitRate)} from the pool`), plot,
    rows.length ? table("Newest claims", ["When", "Campaign", "From", "Source", "Took", ""], rows) : null);
}

function work(pool) {
  const state = (job) => (job.obstacle ? ["no", "bad"] : { Active: ["half", "busy"], Succeeded: ["ok", "ok"], Failed: ["no", "bad"] }[job.state] ?? ["pause", "idle"]);
  const jobs = (pool.jobs ?? []).map((job) => {
    const [symbol, tone] = state(job);
    return [h("code", {}, job.name), h("span", { class: tone }, icon(symbol), ` ${job.state}`), job.component === "seeder" ? `${job.count} campaigns` : "images", when(job.createdAt), job.obstacle?.message ?? job.message ?? ""];
  });
  const runs = (pool.runs ?? []).slice(0, 8).map((run) => [h("code", {}, run.job), run.outcome ?? "open", `${run.campaigns} of ${run.count}, ${run.rows.toLocaleString()} rows`, run.finishedAt ? when(run.finishedAt) : when(run.startedAt), duration(run.seconds), run.message ?? ""]);
  const events = (pool.events ?? []).map((event) => [when(event.at), h("span", { class: event.type === "Warning" ? "warn b" : "" }, event.reason), event.count > 1 ? `${event.message} (${event.count} times)` : event.message]);
  return [
    jobs.length ? section("h-jobs", "Jobs", "As the cluster has them now.", table("Jobs", ["Job", "State", "For", "Since", "Why"], jobs)) : null,
    runs.length ? section("h-runs", "Runs", "Seeding runs, newest first.", table("Runs", ["Job", "Outcome", "Made", "When", "Took", "Why"], runs)) : null,
    events.length ? section("h-events", "Events", "As Kubernetes keeps them, for an hour.", table("Events", ["When", "Reason", "What"], events)) : null,
  ];
}

function rollout(pool) {
  const found = pool.rollout;
  if (!found) return null;
  const earlier = (found.kept ?? []).filter((revision) => revision !== found.revision);
  const before = Math.max(0, ...earlier.filter((revision) => revision < found.revision));
  const phases = { Complete: "All ready campaigns are of the revision in service.", Progressing: "Ready campaigns of other revisions are being replaced.", Stalled: "It waits for somebody: see what is wrong." };
  return section("h-rollout", "Roll-out", `Revision ${found.revision}, since ${when(found.since)}.`, h("p", { class: "say" }, phases[found.phase] ?? found.phase),
    h("div", { class: "below" }, facts(["Of the revision in service", found.updated, "ready"], ["Of other revisions", found.stale, "ready"])),
    h("div", { class: "below" }, before ? buttons([`Undo, back to ${before}`, "pin", "dng", String(before)], ...(pool.spec.template?.revision ? [["Follow the template again", "unpin"]] : [])) : pool.spec.template?.revision ? buttons(["Follow the template again", "unpin"]) : null), earlier.length ? h("p", { class: "cap below" }, `Kept to return to: ${earlier.join(", ")}. Set spec.template.revision to one of them.`) : null);
}

function one(pool) {
  document.title = `${answer(pool.verdict)}: ${pool.pool}, campaignpool`;
  const wrong = problem(pool);
  return [
    tabs(pool),
    pool.mayChange ? null : h("div", { class: "strip" }, icon("unk"), h("p", {}, h("b", {}, "You may look, not change. "), `Ask the manager of namespace ${pool.namespace} for the right to patch campaignpools.`)),
    verdict(pool), wrong, shelf(pool),
    wrong ? null : section("h-wrong", "What is wrong", "", h("p", { class: "say" }, "Nothing.")),
    past(pool), rollout(pool), images(pool), owners(pool), claims(pool), ...work(pool),
    pool.hidden.length ? section("h-hidden", "Not shown", "", h("p", {}, `You may not list ${pool.hidden.join(", ")} in ${pool.namespace}.`)) : null,
    pool.mayChange ? section("h-seldom", "Seldom needed", "", buttons(["Look at the template again", "refresh"], ["Empty the pool", "drain", "dng"])) : null,
  ];
}

/* --- the size of one pool ------------------------------------------------------------------------------------------ */

function sizing(pool) {
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

/* --- loading, live ------------------------------------------------------------------------------------------------- */

function announce(pools) {
  for (const pool of pools) {
    const before = verdicts.get(pool.pool);
    if (before && before !== pool.verdict.answer) document.getElementById("news").textContent = `${pool.pool}: ${answer(pool.verdict)}`;
    verdicts.set(pool.pool, pool.verdict.answer);
  }
}

let state = null;

function render() {
  const focused = document.activeElement, key = focused?.id || focused?.dataset?.act, told = new Map();
  for (const element of main.querySelectorAll(".told")) if (element.textContent) told.set(element.parentElement.querySelector("[data-act]")?.dataset.act, element);
  const open = [...main.querySelectorAll("details")].map((element) => element.open), selection = focused?.selectionStart;
  draws = [];
  main.replaceChildren(...state().flat(9).filter(Boolean));
  for (const element of main.querySelectorAll(".told")) {
    const before = told.get(element.parentElement.querySelector("[data-act]")?.dataset.act);
    if (before) element.replaceWith(before);
  }
  main.querySelectorAll("details").forEach((element, at) => { element.open = open[at] ?? false; });
  redraw();
  const again = key && (document.getElementById(key) ?? main.querySelector(`[data-act="${key}"]`));
  if (again && again !== document.activeElement && main.contains(again)) {
    again.focus({ preventScroll: true });
    if (selection != null && again.type === "search") again.setSelectionRange(selection, selection);
  }
}

function redraw() {
  const list = draws;
  draws = list.filter(([, , once]) => !once);
  for (const [draw] of list) draw();
}

async function load() {
  const found = path ? await call(`live/${path}`, null, "GET") : await get("pools");
  if (found.status === 401) return signIn();
  if (!found.ok) {
    state = () => [h("div", { class: "strip" }, icon("unk"), h("p", {}, h("b", {}, "Not known. "), found.body.message))];
    return render();
  }
  if (path) {
    await history();
    return showOne(found.body);
  }
  list = found.body;
  announce(list.pools);
  state = () => fleet(list);
  return render();
}

let list = null, trends = null, trendsAt = 0;

/* Trends change by the hour; they are read again once in a while, and not whenever something happens. */
async function history() {
  const found = await get(`pools/${path}/trends?hours=${view ? 672 : range}`);
  trends = found.ok ? found.body : null;
  trendsAt = Date.now();
}

async function showOne(live) {
  if (Date.now() - trendsAt > TRENDS) await history();
  current = { ...live.pool, trends, explanation: live.explanation };
  announce([current]);
  state = () => (view ? sizing(current) : one(current));
  render();
  await follow();
}

function showListed(pool) {
  if (!list) return;
  list.pools = [...list.pools.filter((other) => other.pool !== pool.pool), pool].sort((one, other) => (order(one) < order(other) ? -1 : 1));
  announce([pool]);
  render();
}

const order = (pool) => [GROUPS.findIndex(([group]) => group === pool.group), ANSWERS.indexOf(pool.verdict.answer), pool.verdict.until ?? "9", pool.pool].join(" ");

function signIn() {
  const told = h("p", { class: "told", role: "status" }), token = h("textarea", { id: "token", autocomplete: "off", spellcheck: "false", required: true });
  document.title = "Sign in, campaignpool";
  main.replaceChildren(h("form", { class: "signin", onsubmit: async (event) => {
    event.preventDefault();
    const { ok, body } = await call("session", { token: token.value.trim() });
    if (ok) location.reload();
    else told.textContent = body.message;
  } }, h("h1", {}, "Sign in"), h("p", { class: "then" }, "You see and change what your rights in the cluster allow."), h("label", { for: "token" }, "A bearer token of this cluster"), token,
    h("p", { class: "cap" }, "For example of kubectl create token. It is kept in a cookie that scripts cannot read, until you sign out."), h("div", { class: "acts below" }, h("button", { class: "pri" }, "Sign in"), told)));
  token.focus();
}

function live() {
  const silent = Date.now() - lastWord > SILENT;
  const place = document.getElementById("live");
  place.replaceChildren(icon("dot", `i dot ${silent ? "warn" : "ok pulse"}`), silent ? `Not live since ${when(lastWord)}` : `Live ${when(Date.now())}`);
  for (const button of main.querySelectorAll(".act button")) button.disabled = silent;
}

function theme() {
  const button = document.getElementById("theme"), next = { system: "light", light: "dark", dark: "system" };
  const set = (choice) => {
    if (choice === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = choice;
    button.textContent = choice[0].toUpperCase() + choice.slice(1);
    button.setAttribute("aria-label", `Colours: ${choice}. Change.`);
    localStorage.setItem("theme", choice);
    button.onclick = () => set(next[choice]);
  };
  set(localStorage.getItem("theme") ?? "system");
}

if (path) document.getElementById("crumb").append(h("a", { href: ROOT }, "Pools"), " / ", h("b", {}, path));
theme();
await load();
const me = await get("me");
if (me.ok) {
  document.getElementById("who").textContent = `Signed in as ${me.body.user}`;
  const leave = document.getElementById("leave");
  leave.hidden = document.querySelector("meta[name=signin]").content !== "token";
  leave.onclick = async () => { await call("session", null, "DELETE"); location.reload(); };
  const gone = (pool) => { if (path || list?.pools.some((other) => other.pool === pool)) load(); };
  listen(path, path ? showOne : showListed, gone, () => { lastWord = Date.now(); live(); });
  setInterval(live, 1000);
  addEventListener("resize", () => requestAnimationFrame(redraw));
}
