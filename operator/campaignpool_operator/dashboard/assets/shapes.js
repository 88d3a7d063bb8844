/* Charts of the views of a pool and its size. */

import { canvas, css, h, node } from "./draw.js";

const LEFT = 38, RIGHT = 10;

/* Let a reader choose one of `count` places by pointer or arrow keys; `draw` is called with it, null: none. */
function chooses(host, count, draw) {
  let chosen = null;
  const pick = (at) => {
    const next = at == null ? null : Math.max(0, Math.min(count - 1, at));
    if (next === chosen) return;
    chosen = next;
    draw(chosen);
  };
  host.tabIndex = 0;
  host.onkeydown = (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      pick((chosen ?? (event.key === "ArrowRight" ? -1 : count)) + (event.key === "ArrowRight" ? 1 : -1));
    } else if (event.key === "Escape") pick(null);
  };
  host.onpointermove = (event) => {
    const box = (event.target.closest("svg") ?? host.querySelector("svg")).getBoundingClientRect();
    pick(Math.floor(((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * count));
  };
  host.onpointerleave = () => pick(null);
}

function axes(svg, width, tall, most, top = 12) {
  const y = (value) => tall - (value / most) * (tall - top);
  for (const value of [0, most]) {
    node(svg, "line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), stroke: css(value ? "line" : "line-2") });
    node(svg, "text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toLocaleString());
  }
  return y;
}

/* Claims of the last day and those expected of the next, over the size that each quarter of an hour needs. */
export function ahead(host, readout, data) {
  const panels = [h("div", { class: "pl" }), h("div", { class: "pl" })], count = data.hours.length;
  const caption = (bold, rest) => h("p", { class: "cap" }, h("span", {}, h("b", {}, bold), rest));
  host.replaceChildren(
    h("div", { class: "panel" }, caption("Claims an hour", "; dashed: expected a day before, or now; band: 9 of 10 hours"), panels[0]),
    h("div", { class: "panel" }, caption("Campaigns to keep ready", `; dashed: ${data.kept} kept now`), panels[1]),
  );
  const draw = (chosen) => {
    panels.forEach((panel, which) => {
      const tall = which ? 104 : 124, [svg, width] = canvas(panel, tall + (which ? 22 : 4));
      const x = (at) => LEFT + (at / count) * (width - LEFT - RIGHT);
      if (which === 0) {
        const y = axes(svg, width, tall, Math.max(1, ...data.hours.flatMap((hour) => [hour.claims ?? 0, hour.high])));
        const edge = (value) => data.hours.map((hour, at) => `${x(at)},${y(value(hour))} ${x(at + 1)},${y(value(hour))}`);
        const [above, below] = [edge((hour) => hour.high), edge((hour) => hour.low)];
        node(svg, "polygon", { points: [...above, ...below.reverse().map((pair) => pair.split(" ").reverse().join(" "))].join(" "), fill: css("data-wash") });
        data.hours.forEach((hour, at) => {
          if (hour.claims) node(svg, "rect", { x: x(at) + 1, y: y(hour.claims), width: Math.max(1, x(1) - x(0) - 2), height: tall - y(hour.claims), fill: css(chosen === at ? "data" : "data-2") });
        });
        node(svg, "polyline", { points: edge((hour) => hour.mean).join(" "), fill: "none", stroke: css("ink"), "stroke-width": 1.5, "stroke-dasharray": "4 3" });
      } else {
        const sizes = data.sizes, y = axes(svg, width, tall, Math.max(1, data.kept, ...sizes)), wide = (width - LEFT - RIGHT) / sizes.length;
        const line = sizes.map((size, at) => `${at ? "V" : `M${LEFT},`}${y(size)}H${LEFT + (at + 1) * wide}`).join("");
        node(svg, "path", { d: `${line}V${tall}H${LEFT}Z`, fill: css("data-wash") });
        node(svg, "path", { d: line, fill: "none", stroke: css("data"), "stroke-width": 1.5 });
        node(svg, "line", { x1: LEFT, x2: width - RIGHT, y1: y(data.kept), y2: y(data.kept), stroke: css("ink"), "stroke-dasharray": "4 3" });
        const every = Math.ceil(count / (width < 520 ? 4 : 10));
        data.hours.forEach((hour, at) => {
          if (at % every === 0) node(svg, "text", { x: x(at), y: tall + 18, "text-anchor": at ? "middle" : "start" }, hour.tick);
        });
      }
      node(svg, "line", { x1: x(data.now), x2: x(data.now), y1: 0, y2: tall, stroke: css("ink") });
      if (which === 0) node(svg, "text", { x: x(data.now) + 5, y: 10, class: "st" }, "now");
      if (chosen != null) node(svg, "line", { x1: x(chosen + 0.5), x2: x(chosen + 0.5), y1: 0, y2: tall, stroke: css("ink"), opacity: 0.55 });
    });
    readout.textContent = chosen == null ? "Move over the picture, or focus it and use the arrow keys." : data.hours[chosen].text;
  };
  chooses(host, count, draw);
  draw(null);
  return () => draw(null);
}

/* The share of claims that meet an empty pool, by the size, on a scale of tenths, hundredths and so on. */
export function frontier(host, data) {
  const draw = () => {
    const tall = 160, [svg, width] = canvas(host, tall + 38), least = 1e-5;
    const sizes = data.tried.map((item) => item.size), first = Math.min(...sizes), last = Math.max(...sizes, first + 1);
    const x = (size) => LEFT + 14 + ((size - first) / (last - first)) * (width - LEFT - RIGHT - 34);
    const y = (share) => 10 + (Math.log10(Math.max(share, least)) / Math.log10(least)) * (tall - 14);
    for (const [share, text] of [[1, "all"], [0.1, "10 %"], [0.01, "1 %"], [0.001, "0.1 %"], [1e-4, "0.01 %"], [1e-5, "none"]]) {
      node(svg, "line", { x1: LEFT + 8, x2: width - RIGHT, y1: y(share), y2: y(share), stroke: css("line") });
      node(svg, "text", { x: LEFT + 2, y: y(share) + 4, "text-anchor": "end" }, text);
    }
    node(svg, "line", { x1: LEFT + 8, x2: width - RIGHT, y1: y(data.allowed), y2: y(data.allowed), stroke: css("ink"), "stroke-dasharray": "4 3" });
    node(svg, "text", { x: width - RIGHT, y: y(data.allowed) - 5, "text-anchor": "end", class: "ink halo" }, "asked for");
    const points = data.tried.map((item) => [x(item.size), y(item.share)]);
    node(svg, "polyline", { points: points.map((pair) => pair.join(",")).join(" "), fill: "none", stroke: css("data"), "stroke-width": 1.5 });
    data.tried.forEach((item, at) => {
      const name = data.marks[item.size], [left, top] = points[at];
      node(svg, "circle", { cx: left, cy: top, r: name ? 5.5 : 3, fill: css(name ? "ink" : "data") });
      if (name) node(svg, "text", { x: left, y: top - 10, "text-anchor": left > width - 90 ? "end" : "start", class: "st halo" }, `${item.size} ${name}`);
    });
    const every = Math.ceil(sizes.length / (width < 520 ? 5 : 12));
    sizes.forEach((size, at) => { if (at % every === 0) node(svg, "text", { x: x(size), y: tall + 16, "text-anchor": "middle" }, size); });
    node(svg, "text", { x: LEFT + 8, y: tall + 34 }, "size, kept at all hours");
  };
  draw();
  return draw;
}

/* How much waited over time. */
export function burn(host, data) {
  const draw = () => {
    const tall = 104, [svg, width] = canvas(host, tall + 22), points = data.points, count = points.length - 1;
    const y = axes(svg, width, tall, Math.max(1, ...points.map((point) => point.waiting)));
    const x = (at) => LEFT + (at / count) * (width - LEFT - RIGHT);
    const line = points.map((point, at) => `${x(at)},${y(point.waiting)}`).join(" ");
    node(svg, "polygon", { points: `${LEFT},${tall} ${line} ${width - RIGHT},${tall}`, fill: css("data-wash") });
    node(svg, "polyline", { points: line, fill: "none", stroke: css("data"), "stroke-width": 1.5 });
    const every = Math.ceil(count / (width < 520 ? 3 : 8));
    points.forEach((point, at) => { if (at % every === 0) node(svg, "text", { x: x(at), y: tall + 18, "text-anchor": at ? "middle" : "start" }, point.tick); });
  };
  draw();
  return draw;
}
