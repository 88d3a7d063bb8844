/* The view of one pool: the answer first, then what is wrong, the day, what is under way, and the evidence. */

import { h, histogram, icon, timeline } from "./draw.js";
import { buttons, cells, facts, local, mark, page, plain, section, table, tabs } from "./parts.js";
import { burn } from "./shapes.js";
import { answer, clock, count, duration, share, when } from "./words.js";

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
  const advice = pool.advice;
  if (!advice) return null;
  const steps = pool.mayChange ? advice.steps : [...advice.steps.slice(0, -1), `Ask somebody who may change ${pool.pool} to try again.`];
  // Only the last cause of each branch is red: the rest leads to it.
  const tone = (item) => (item.state === "wrong" && !item.children.some((child) => child.state === "wrong") ? "x" : "");
  const chain = (item) => h("li", {}, h("span", { class: tone(item) }, local(plain(item.text))), item.children.length ? h("ul", {}, item.children.map(chain)) : null);
  return h("section", { class: "problem", id: "problem", "aria-labelledby": "h-problem" },
    h("h2", { id: "h-problem" }, icon("no", "i bad"), h("span", {}, pool.problem.meaning ?? pool.problem.reason)),
    h("p", { class: "meta" }, `Since ${when(pool.problem.since)}. Condition ${pool.problem.condition}, reason `, h("code", {}, pool.problem.reason), pool.alerts.length ? h("span", {}, ". ", h("a", { href: "#h-alerts" }, `The condition of ${count(pool.alerts.length, "alert", "alerts")} is true`)) : "", "."),
    h("div", { class: "grid" },
      h("div", {}, h("h3", {}, "What happened"), h("p", { class: "msg" }, advice.cause), h("h3", { class: "below" }, "What to do"), h("ol", { class: "steps" }, steps.map((step) => h("li", {}, step))),
        h("div", { class: "below" }, buttons(["Try again now", "replenish", "pri"]))),
      h("div", {}, h("h3", {}, "How we know"), h("ul", { class: "tree" }, advice.evidence.map(chain)))));
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
  const choice = (label, hours) => h("button", { type: "button", "aria-pressed": String(page.range === hours), onclick: () => { page.range = hours; page.load(); } }, label);
  if (pool.trends) {
    const list = slots(pool.trends, page.range);
    const data = { slots: list, wanted: Number(pool.spec.size ?? 5), claimsTitle: page.range > 72 ? "Claims" : "Claims an hour", stockTitle: page.range > 72 ? ", lowest" : ", lowest in each 10 minutes" };
    page.draws.push([() => { page.draws.push([timeline(plot, readout, data), plot]); }, plot, true]);
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
  const found = pool.status.images, burnt = pool.burnDown;
  if (!found) return null;
  const plot = h("figure", { role: "img", "aria-label": "Images that waited to be copied, over time" });
  let left = "";
  if (burnt) {
    page.draws.push([() => burn(plot, { points: burnt.points.map((point) => ({ ...point, tick: clock(point.at) })) }), plot]);
    const pace = burnt.copiedAMinute;
    left = found.pending && pace ? `${Math.round(pace).toLocaleString()} a minute; done in ${duration((found.pending / pace) * 60)}` : found.pending ? "no campaign's images were finished in the last 10 minutes" : "";
  }
  return section("h-images", "Images", "Files that are copied for each campaign.", facts(["Still to copy", found.pending, left], ["Copied", found.copied], ["Failed", found.failed, found.lastFinishedAt && `last ended ${when(found.lastFinishedAt)}`]),
    burnt ? h("div", { class: "below" }, h("p", { class: "cap" }, h("span", {}, h("b", {}, "Still to copy"), ", counted a campaign at a time")), plot) : null,
    h("div", { class: "below" }, found.failed ? buttons(["Retry the failed ones", "retry-images"]) : null));
}

function claims(pool) {
  const hour = pool.claims;
  if (!hour) return section("h-claims", "Claims", "How long they took in the database.", h("p", {}, pool.ledger.message ?? "The database was not read."));
  const plot = h("figure", { role: "img", "aria-label": `Durations of ${hour.durations.reduce((sum, number) => sum + number, 0)} claims: half within ${duration(hour.p50Seconds)}` });
  const names = [...hour.durationBounds.map((bound) => String(bound * 1000)), "more"];
  page.draws.push([() => histogram(plot, names.map((text, at) => [text, hour.durations[at]]), "milliseconds, each bar up to its number"), plot]);
  const rows = (pool.newest ?? []).slice(0, 8).map((claim) => {
    const open = !claim.releasedAt && Date.parse(claim.releasableUntil) > Date.now();
    return [when(claim.at), h("code", {}, `…${claim.campaign.slice(-6)}`), claim.owner || "anybody", claim.source, duration(claim.seconds), claim.releasedAt ? "taken back" : open ? buttons(["Take back", "release", "qt", claim.campaign]) : ""];
  });
  return section("h-claims", "Claims", "How long they took in the database, and what was claimed.",
    h("p", { class: "b" }, `Last hour: ${count(hour.owner + hour.master + hour.clone, "claim", "claims")}, ${share(hour.hitRate)} from the pool`), plot,
    rows.length ? table("Newest claims", ["When", "Campaign", "From", "Source", "Took", ""], rows) : null);
}

/* Alerts whose condition is true; Prometheus decides whether they fire. */
function alerts(pool) {
  if (!pool.alerts.length) return null;
  return section("h-alerts", "Alerts", "Whose condition is true now. Prometheus fires them once it was true for a while.",
    ...pool.alerts.map((alert) => h("div", { class: "alert" }, h("h3", {}, icon(alert.severity === "critical" ? "no" : "soon", `i ${alert.severity === "critical" ? "bad" : "warn"}`), ` ${alert.name.replace("CampaignPool", "")}`, h("small", { class: "dim" }, ` ${alert.severity}, fires after ${alert.firesAfter}`)),
      h("p", {}, alert.meaning), h("ul", { class: "steps" }, alert.steps.map((step) => h("li", {}, plain(step)))))));
}

function work(pool) {
  const state = (job) => (job.obstacle ? ["no", "bad"] : { Active: ["half", "busy"], Succeeded: ["ok", "ok"], Failed: ["no", "bad"] }[job.state] ?? ["pause", "idle"]);
  const written = new Map((pool.logs?.logs ?? []).map((log) => [log.job, log]));
  const last = (job) => { const line = written.get(job)?.lines.at(-1); return line ? h("span", { class: "mono" }, local(line)) : ""; };
  const jobs = (pool.jobs ?? []).map((job) => {
    const [symbol, tone] = state(job);
    return [h("code", {}, job.name), h("span", { class: tone }, icon(symbol), ` ${job.state}`), job.component === "seeder" ? `${job.count} campaigns` : "images", when(job.createdAt), job.obstacle?.message ?? job.message ?? last(job.name)];
  });
  const runs = (pool.runs ?? []).slice(0, 8).map((run) => [h("code", {}, run.job), run.outcome ?? "open", `${run.campaigns} of ${run.count}, ${run.rows.toLocaleString()} rows`, run.finishedAt ? when(run.finishedAt) : when(run.startedAt), duration(run.seconds), run.message ?? last(run.job)]);
  const events = (pool.events ?? []).map((event) => [when(event.at), h("span", { class: event.type === "Warning" ? "warn b" : "" }, event.reason), event.count > 1 ? `${event.message} (${event.count} times)` : event.message]);
  const logs = [...written.values()].map((log) => h("details", { id: `log-${log.job}` }, h("summary", {}, `Log of ${log.job}: the last ${count(log.lines.length, "line", "lines")}`), h("pre", { tabindex: "0", role: "region", "aria-label": `Log of ${log.job}` }, log.lines.map(local).join("\n"))));
  const hidden = (pool.logs?.hidden ?? []).length ? h("p", { class: "cap" }, `You may not see ${pool.logs.hidden.join(", ")}: logs are not shown.`) : null;
  return [
    jobs.length ? section("h-jobs", "Jobs", "As the cluster has them now, and what they wrote last.", table("Jobs", ["Job", "State", "For", "Since", "Why, or its last line"], jobs), logs, hidden) : null,
    runs.length ? section("h-runs", "Runs", "Seeding runs, newest first.", table("Runs", ["Job", "Outcome", "Made", "When", "Took", "Why, or its last line"], runs)) : null,
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

export function one(pool) {
  document.title = `${answer(pool.verdict)}: ${pool.pool}, campaignpool`;
  const wrong = problem(pool);
  return [
    tabs(pool),
    pool.mayChange ? null : h("div", { class: "strip" }, icon("unk"), h("p", {}, h("b", {}, "You may look, not change. "), `Ask the manager of namespace ${pool.namespace} for the right to patch campaignpools.`)),
    verdict(pool), wrong, shelf(pool),
    wrong || pool.alerts.length ? null : section("h-wrong", "What is wrong", "", h("p", { class: "say" }, "Nothing.")), alerts(pool),
    past(pool), rollout(pool), images(pool), owners(pool), claims(pool), ...work(pool),
    pool.hidden.length ? section("h-hidden", "Not shown", "", h("p", {}, `You may not list ${pool.hidden.join(", ")} in ${pool.namespace}.`)) : null,
    pool.mayChange ? section("h-seldom", "Seldom needed", "", buttons(["Look at the template again", "refresh"], ["Empty the pool", "drain", "dng"])) : null,
  ];
}
