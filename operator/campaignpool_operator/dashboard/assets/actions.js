/* Actions: a question with numbers where something is deleted, then what became of it, beside the button. */

import { h } from "./draw.js";
import { call } from "./wire.js";
import { count, duration } from "./words.js";

const QUESTIONS = {
  pause: (pool) => ({
    title: `Pause ${pool.pool}?`,
    lines: [
      `${count(pool.status.ready, "ready campaign stays", "ready campaigns stay")} claimable.`,
      pool.verdict.stockSeconds == null ? null : `At this pace those for anybody last about ${duration(pool.verdict.stockSeconds)}.`,
    ],
    verb: "Pause",
  }),
  drain: (pool) => ({
    title: `Empty ${pool.pool}?`,
    lines: [
      `${count(pool.status.ready, "ready campaign is", "ready campaigns are")} deleted. Everything claimed stays.`,
      pool.paused ? "The pool is paused: no new ones are made." : "New ones are made.",
    ],
    verb: "Empty the pool",
    destroys: true,
  }),
  release: (pool, value) => ({
    title: "Take this campaign back?",
    lines: [`Campaign ${value} and everything that was cloned for it are deleted.`, "Its player loses it at once. This cannot be undone."],
    verb: "Take it back",
    destroys: true,
  }),
  pin: (pool, value) => ({
    title: `Return to revision ${value}?`,
    lines: [`${count(pool.status.ready, "ready campaign is", "ready campaigns are")} replaced where of a later revision. Everything claimed stays.`, "No change of the template is rolled out until you follow it again."],
    verb: `Undo, back to ${value}`,
    destroys: true,
  }),
  "retry-images": (pool) => ({
    title: "Retry the failed images?",
    lines: [`${count(pool.status.images?.failed ?? 0, "image is", "images are")} tried once more.`],
    verb: "Retry",
  }),
  resize: (pool) => ({
    title: `How many campaigns shall be ready for anybody?`,
    lines: [`Now: ${pool.spec.size ?? 5}. Recommended: ${pool.status.sizing?.recommended ?? "not known"}.`],
    verb: "Change the size",
    input: { type: "number", min: 0, max: 1000, value: pool.spec.size ?? 5, name: "value", id: "value", required: true },
  }),
};

let waiting = null;

/* Ask, act, and say what became of it in the element `told`. `now` returns the pool as it is by then. */
export async function act(name, now, told, value = "") {
  const pool = now();
  const question = QUESTIONS[name]?.(pool, value);
  if (question) {
    const entered = await ask(question);
    if (entered == null) return;
    if (question.input) value = entered;
    const again = QUESTIONS[name](now(), value);
    if (question.destroys && again.lines.join() !== question.lines.join() && (await ask(again)) == null) return;
  }
  told.textContent = "Sending …";
  const { ok, body } = await call(`actions/${pool.pool}/${name}`, { value });
  if (!ok) {
    told.textContent = body.message;
    return;
  }
  told.textContent = "Sent. The operator has not seen it yet.";
  waiting = { path: `actions/${pool.pool}/${name}?stamp=${encodeURIComponent(body.stamp)}&value=${encodeURIComponent(value)}`, told };
  await follow();
}

const STATES = {
  sent: "Sent. The operator has not seen it yet.",
  seen: "The operator has seen it, and works on it.",
  done: "Done.",
};

/* Say how far the last action is; called whenever a pool changed. */
export async function follow() {
  const asked = waiting;
  if (!asked?.told.isConnected) return;
  const { ok, body } = await ask_state(asked.path);
  asked.told.textContent = ok ? STATES[body.state] : body.message;
  if (body.state === "done" && waiting === asked) waiting = null;
}

const ask_state = (path) => call(path, null, "GET");

function ask(question) {
  const dialog = document.getElementById("confirm");
  const before = document.activeElement;
  dialog.querySelector("h2").textContent = question.title;
  const input = question.input && h("input", question.input);
  dialog.querySelector(".body").replaceChildren(
    h("ul", {}, question.lines.filter(Boolean).map((line) => h("li", {}, line))),
    ...(input ? [h("label", { for: "value" }, "Size"), input] : []),
  );
  const yes = dialog.querySelector(".yes");
  yes.textContent = question.verb;
  yes.className = `yes pri${question.destroys ? " dng" : ""}`;
  dialog.returnValue = "";
  dialog.showModal();
  (input ?? dialog.querySelector(".no")).focus();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      before?.focus();
      resolve(dialog.returnValue === "yes" ? input?.value ?? "" : null);
    };
  });
}
