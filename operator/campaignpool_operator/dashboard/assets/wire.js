/* Requests and events. The session is a cookie that scripts cannot read; changes carry a token that other sites cannot know. */

export const ROOT = document.querySelector("meta[name=root]").content;

const cookie = (name) => document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1);

export async function get(path) {
  const response = await fetch(`${ROOT}api/v1/${path}`);
  const body = await response.json().catch(() => ({ message: `HTTP ${response.status}` }));
  return { ok: response.ok, status: response.status, body };
}

export async function call(path, value, method = "POST") {
  const response = await fetch(`${ROOT}${path}`, {
    method,
    ...(method === "GET" ? {} : {
      headers: { "Content-Type": "application/json", "X-CSRF-Token": cookie("campaignpool-csrf") ?? "" }, body: JSON.stringify(value ?? {}),
    }),
  });
  const body = await response.json().catch(() => ({ message: `HTTP ${response.status}` }));
  return { ok: response.ok, status: response.status, body };
}

/* Call `changed` with what changed, `gone` with the name of a pool that is gone, `word` whenever the server says anything,
   and `again` after the connection was lost: nobody knows what was missed. */
export function listen(pool, { changed, gone, word, again }) {
  let opened = false;
  const source = new EventSource(`${ROOT}events${pool ? `?pool=${encodeURIComponent(pool)}` : ""}`);
  source.addEventListener("pool", (event) => { word(); changed(JSON.parse(event.data)); });
  source.addEventListener("gone", (event) => { word(); gone(JSON.parse(event.data).pool); });
  source.addEventListener("tick", word);
  source.onopen = () => { word(); if (opened) again(); opened = true; };
  return source;
}
