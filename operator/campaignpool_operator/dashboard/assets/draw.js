/* Elements and charts. Nothing here writes HTML: what the API says is text, whatever is in it. */

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child != null && child !== false));
  return element;
}

export function icon(name, className = "i") {
  const svg = node(null, "svg", { class: className, "aria-hidden": "true" });
  node(svg, "use", { href: `#${name}` });
  return svg;
}

export function node(parent, tag, attributes = {}, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text != null) element.textContent = text;
  parent?.append(element);
  return element;
}

export const css = (name) => `var(--${name})`;

export function canvas(host, height) {
  host.querySelector("svg")?.remove();
  const width = Math.max(40, host.clientWidth);
  const svg = node(host, "svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  return [svg, width];
}

/* Bars of claims an hour; those that met an empty pool in red, on top. It fits any width without being measured: a
   list has a hundred of them. */
export function spark(hours) {
  const svg = node(null, "svg", { viewBox: `0 0 ${hours.length * 10} 30`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const most = Math.max(1, ...hours.map(([claims]) => claims));
  const bars = (height) => hours.map(([claims, missed], at) => {
    const tall = Math.max(claims ? 1.5 : 0.5, (claims / most) * 28), part = height(missed, tall);
    return part ? `M${at * 10 + 1} ${(30 - tall).toFixed(1)}h8v${part.toFixed(1)}h-8z` : "";
  }).join("");
  node(svg, "path", { d: bars((_, tall) => tall), fill: css("data-2") });
  node(svg, "path", { d: bars((missed) => missed && Math.max(3, (missed / most) * 28)), fill: css("bad") });
  return svg;
}

/* Claims and stock over one time axis, with one readout for both, by pointer or by arrow keys. */
export function timeline(host, readout, data) {
  let chosen = null;
  const left = 34, right = 8, count = data.slots.length;
  const panels = [h("div", { class: "pl" }), h("div", { class: "pl" })];
  const caption = (bold, rest) => h("p", { class: "cap" }, h("span", {}, h("b", {}, bold), rest));
  host.replaceChildren(
    h("div", { class: "panel" }, caption(data.claimsTitle, ", those that met an empty pool in red"), panels[0]),
    h("div", { class: "panel" }, caption("Ready for anybody", data.stockTitle), panels[1]),
  );
  host.tabIndex = 0;
  const pick = (at) => {
    chosen = at == null ? null : Math.max(0, Math.min(count - 1, at));
    draw();
  };
  host.onkeydown = (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      pick((chosen ?? count) + (event.key === "ArrowRight" ? 1 : -1));
    } else if (event.key === "Escape") pick(null);
  };
  function draw() {
    panels.forEach((panel, which) => {
      const tall = which ? 104 : 112;
      const [svg, width] = canvas(panel, tall + (which ? 22 : 4));
      const x = (at) => left + (at / count) * (width - left - right);
      const line = (y, colour, dash) => node(svg, "line", { x1: left, x2: width - right, y1: y, y2: y, stroke: css(colour), ...(dash ? { "stroke-dasharray": dash } : {}) });
      const label = (y, text) => node(svg, "text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text);
      if (which === 0) {
        const most = Math.max(1, ...data.slots.map((slot) => slot.claims));
        const y = (value) => tall - (value / most) * (tall - 8);
        [0, most].forEach((value) => { line(y(value), "line"); label(y(value), value); });
        data.slots.forEach((slot, at) => {
          const wide = Math.max(1, x(at + 1) - x(at) - (count > 200 ? 0 : 2));
          if (slot.claims) node(svg, "rect", { x: x(at) + 1, y: y(slot.claims), width: wide, height: tall - y(slot.claims), fill: css(chosen === at ? "data" : "data-2") });
          const red = slot.missed ? Math.max(5, tall - y(slot.missed)) : 0;
          if (red) node(svg, "rect", { x: x(at) + 1, y: y(slot.claims), width: wide, height: red, fill: css("bad") });
        });
        line(tall, "line-2");
      } else {
        const low = data.slots.flatMap((slot) => slot.lowest);
        const most = Math.max(1, data.wanted, ...low.filter((value) => value != null));
        const y = (value) => tall - (value / most) * (tall - 12);
        label(y(0), 0); label(y(most), most);
        line(y(data.wanted), "ink", "4 3");
        node(svg, "text", { x: left + 2, y: y(data.wanted) - 5, class: "ink" }, `${data.wanted} wanted`);
        const wide = (width - left - right) / low.length;
        let area = "", edge = "", open = false;
        low.forEach((value, at) => {
          const from = left + at * wide;
          if (value == null) { open = false; return; }
          edge += `${open ? "V" : `M${from},`}${y(value)}H${from + wide}`;
          area += `M${from},${tall}V${y(value)}H${from + wide}V${tall}Z`;
          open = true;
          if (value === 0) node(svg, "rect", { x: from, y: tall - 3, width: Math.max(3, wide), height: 6, fill: css("bad") });
        });
        svg.prepend(node(null, "path", { d: edge || "M0,0", fill: "none", stroke: css("data"), "stroke-width": 1.5 }));
        svg.prepend(node(null, "path", { d: area || "M0,0", fill: css("data-wash") }));
        line(tall, "line-2");
        const every = Math.ceil(count / (width < 520 ? 4 : 8));
        data.slots.forEach((slot, at) => {
          if (at % every === 0) node(svg, "text", { x: x(at), y: tall + 18, "text-anchor": at ? "middle" : "start" }, slot.tick);
        });
      }
      if (chosen != null) {
        const at = x(chosen + 0.5);
        node(svg, "line", { x1: at, x2: at, y1: 0, y2: tall, stroke: css("ink"), opacity: 0.55 });
      }
      svg.onpointermove = (event) => {
        const box = svg.getBoundingClientRect();
        const at = Math.floor(((((event.clientX - box.left) * width) / box.width - left) / (width - left - right)) * count);
        if (at !== chosen) pick(at);
      };
      svg.onpointerleave = () => pick(null);
    });
    const slot = chosen == null ? null : data.slots[chosen];
    readout.textContent = slot ? slot.text : "Move over the picture, or focus it and use the arrow keys.";
  }
  draw();
  return draw;
}

export function histogram(host, bins, unit) {
  const draw = () => {
    const tall = 92;
    const [svg, width] = canvas(host, tall + 38);
    const step = width / bins.length, most = Math.max(1, ...bins.map(([, count]) => count));
    bins.forEach(([name, count], at) => {
      const high = count ? Math.max(3, (count / most) * (tall - 18)) : 0;
      const middle = { x: at * step + step / 2, "text-anchor": "middle" };
      node(svg, "rect", { x: at * step + 1, y: tall - high, width: Math.max(1, step - 2), height: high, fill: css("data-2") });
      if (count) node(svg, "text", { ...middle, y: tall - high - 4 }, count);
      if (step > 34 || at % 2 === 0) node(svg, "text", { ...middle, y: tall + 15 }, name);
    });
    node(svg, "line", { x1: 0, x2: width, y1: tall, y2: tall, stroke: css("line-2") });
    node(svg, "text", { x: 0, y: tall + 32 }, unit);
  };
  draw();
  return draw;
}
