/* The page: all pools, one pool, or the size of one pool, by its path. */

import { follow } from "./actions.js";
import { h, icon, spark } from "./draw.js";
import { cells, link, mark, page, plain } from "./parts.js";
import { ROOT, call, get, listen } from "./wire.js";
import { answer, count, share, when } from "./words.js";

const GROUPS = [
  ["NeedYou", "Need you", "soonest trouble first"], ["AtWork", "Active", "nothing to do for you"],
  ["Paused", "Paused on purpose", ""], ["Fine", "Fine", ""],
];
const SILENT = 10_000, TRENDS = 20_000, LOGS = 5_000, OUTLOOK = 600_000;
const ANSWERS = ["No", "Slower", "Until", "Unknown", "Yes"];
const main = document.getElementById("main");
const [, namespace, name, view] = location.pathname.slice(ROOT.length - 1).match(/^\/pools\/([^/]+)\/([^/]+)(\/sizing)?$/) ?? [];
const path = namespace && `${namespace}/${name}`;
let lastWord = Date.now(), filter = "", only = false, verdicts = new Map();

/* --- all pools --------------------------------------------------------------------------------------------------- */

const rows = new Map();

/* A pool that did not change keeps its row. */
function row(pool) {
  if (rows.get(pool.pool)?.pool !== pool) rows.set(pool.pool, { pool, element: newRow(pool) });
  return rows.get(pool.pool).element;
}

function newRow(pool) {
  const [symbol, tone] = mark(pool.verdict, pool.paused), day = pool.day;
  const bars = h("div", { class: "spark" }, day && spark(day.hours));
  const asked = day ? day.claims + day.failed : 0;
  return h("li", { class: "row" },
    h("div", {}, h("a", { class: "nm", href: link(pool.namespace, pool.name) }, pool.pool), h("p", { class: `v ${tone}` }, icon(symbol), h("span", {}, answer(pool.verdict)))),
    h("div", {}, h("p", { class: "say" }, pool.pausedBy ? `Paused by ${pool.pausedBy}. ` : "", pool.sentence), pool.problem?.remedy && h("p", { class: "sub" }, plain(pool.problem.remedy))),
    h("div", { class: "stock mini" }, h("span", { class: "lab" }, "Stock"), cells(pool.status, pool.group === "NeedYou", 24), h("b", {}, pool.status.ready), ` of ${pool.status.desired} ready`, h("br"),
      h("span", { class: "dim" }, pool.status.seeding ? `${pool.status.seeding} being made` : pool.status.ready < pool.status.desired ? "none being made" : "full")),
    h("div", { class: "hit" }, h("span", { class: "lab" }, "From the pool, 24 h"), h("span", {}, day ? share(day.hitRate) : "?"), h("small", {}, !day ? "not known" : asked ? `${day.missed} of ${asked} ${day.failed ? "failed or slower" : "slower"}` : "no claims")),
    h("div", { class: "sp" }, h("span", { class: "lab" }, "Claims, 24 h"), bars, h("small", {}, day ? asked.toLocaleString() : "the database was not read")));
}

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
  page.draws = [];
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
  const list = page.draws;
  page.draws = list.filter(([, , once]) => !once);
  for (const [draw] of list) draw();
}

async function load() {
  const [found] = await Promise.all(path ? [call(`live/${path}`, null, "GET"), history()] : [get("pools")]);
  if (found.status === 401) return signIn();
  if (!found.ok) {
    state = () => [h("div", { class: "strip" }, icon("unk"), h("p", {}, h("b", {}, "Not known. "), found.body.message))];
    return render();
  }
  if (path) return showOne(found.body);
  list = found.body;
  announce(list.pools);
  state = () => fleet(list);
  return render();
}

let list = null, trends = null, trendsAt = 0, logs = null, logsOf = "", logsAt = 0, more = {}, outlookAt = 0, imagesOf = "", imagesAt = 0, latest = null;

/* Trends change by the hour; they are read again once in a while, and not whenever something happens. */
async function history() {
  const found = await get(`pools/${path}/trends?hours=${view ? 672 : page.range}`);
  trends = found.ok ? found.body : null;
  trendsAt = Date.now();
}

/* Logs are read when a Job or a pod changed, and now and then while one works. */
async function readLogs(jobs) {
  const key = JSON.stringify(jobs.map((job) => [job.name, job.state, job.pods.map((pod) => pod.phase)]));
  const works = jobs.some((job) => job.state === "Active");
  if (view || (key === logsOf && !(works && Date.now() - logsAt > LOGS))) return;
  [logsOf, logsAt] = [key, Date.now()];
  const found = jobs.length ? await get(`pools/${path}/logs?lines=20`) : { ok: false };
  logs = found.ok ? found.body : null;
}

/* What the demand needs is computed anew every ten minutes; images are counted when what is known of them changed. */
async function readMore(pool) {
  if (view && Date.now() - outlookAt > OUTLOOK) {
    outlookAt = Date.now();
    const found = await get(`pools/${path}/sizing`);
    more = found.ok ? { outlook: found.body } : { outlookWhy: found.body.message };
  }
  const key = JSON.stringify(pool.status.images ?? null);
  if (!view && pool.status.images && (key !== imagesOf || Date.now() - imagesAt > TRENDS)) {
    [imagesOf, imagesAt] = [key, Date.now()];
    const found = await get(`pools/${path}/images`);
    more = found.ok ? { burnDown: found.body } : {};
  }
}

/* What is in the event is shown at once, before anything else is asked for. */
async function showOne(live) {
  const show = () => {
    page.current = { ...latest.pool, ...more, trends, logs, advice: latest.advice };
    render();
  };
  latest = live;
  state = () => one(page.current);
  show();
  announce([page.current]);
  await follow();
  const before = [trends, logs, more];
  if (Date.now() - trendsAt > TRENDS) await history();
  await Promise.all([readLogs(live.pool.jobs ?? []), readMore(live.pool)]);
  if (trends !== before[0] || logs !== before[1] || more !== before[2]) show();
}

async function showListed(pool) {
  if (!list) return load();
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

const { one } = path ? await import(view ? "./sizing.js" : "./pool.js") : {};
Object.assign(page, { sizing: Boolean(view), load });
if (path) document.getElementById("crumb").append(h("a", { href: ROOT }, "Pools"), " / ", h("b", {}, path));
theme();
const [me] = await Promise.all([get("me"), load()]);
if (me.ok) {
  document.getElementById("who").textContent = `Signed in as ${me.body.user}`;
  const leave = document.getElementById("leave");
  leave.hidden = document.querySelector("meta[name=signin]").content !== "token";
  leave.onclick = async () => { await call("session", null, "DELETE"); location.reload(); };
  const gone = (pool) => { if (path || list?.pools.some((other) => other.pool === pool)) load(); };
  listen(path, { changed: path ? showOne : showListed, gone, word: () => { lastWord = Date.now(); live(); }, again: load });
  setInterval(live, 1000);
  addEventListener("resize", () => requestAnimationFrame(redraw));
}
