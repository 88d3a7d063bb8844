/* What the views share: what is shown now, and the elements that they are made of. */

import { act } from "./actions.js";
import { h } from "./draw.js";
import { ROOT } from "./wire.js";
import { MARKS, when } from "./words.js";

/* The pool that is shown, with its trends, logs and forecast; charts to draw once their places are known. */
export const page = { current: null, draws: [], range: 24, sizing: false, load: null };

export const mark = (verdict, paused) => (paused ? ["pause", "idle"] : MARKS[verdict.answer]);
export const link = (...parts) => ROOT + ["pools", ...parts].join("/");
export const section = (id, title, about, ...content) =>
  h("section", { class: "sec", "aria-labelledby": id }, h("header", {}, h("h2", { id }, title), h("p", {}, about)), h("div", {}, ...content));
export const table = (caption, heads, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
  h("table", {}, h("caption", { class: "vh" }, caption), h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));

export function cells(status, wrong, limit = 60) {
  const stale = Math.min(status.stale, status.ready);
  const lacking = Math.max(0, status.desired - status.ready - status.seeding);
  const kinds = [["", status.ready - stale], ["old", stale], ["mk", status.seeding], [wrong && !status.seeding ? "no bad" : "no", lacking]];
  const total = kinds.reduce((sum, [, number]) => sum + number, 0), scale = total > limit ? limit / total : 1;
  return h("span", { class: "cells", "aria-hidden": "true" },
    kinds.flatMap(([kind, number]) => Array.from({ length: Math.round(number * scale) || (number ? 1 : 0) }, () => h("i", { class: kind }))));
}

export const plain = (text) => text.replaceAll("`", "");
export const local = (text) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (moment) => when(moment));

export function buttons(...wanted) {
  const told = h("p", { class: "told", role: "status" });
  if (!page.current.mayChange) return null;
  return h("div", { class: "acts act" }, wanted.map(([label, action, className = "", value]) => h("button", { type: "button", class: className, "data-act": action, onclick: () => act(action, () => page.current, told, value) }, label)), told);
}

export function tabs(pool) {
  const tab = (label, href, here) => h("a", { href, ...(here ? { "aria-current": "page" } : {}) }, label);
  return h("nav", { class: "tabs", "aria-label": "Views" }, tab("Pool", link(pool.namespace, pool.name), !page.sizing), tab("Sizing", `${link(pool.namespace, pool.name)}/sizing`, page.sizing));
}

export function facts(...pairs) {
  return h("dl", { class: "facts" }, pairs.map(([term, value, about]) => h("div", {}, h("dt", {}, term), h("dd", {}, value, about && h("small", {}, about)))));
}

