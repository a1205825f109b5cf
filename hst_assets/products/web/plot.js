"use strict";
// Draws every <figure class="plot"> from the JSON inside it: zoom, pan, values on hover or by the
// arrow keys, and a box for each value of a facet. It asks nothing of any network, and writes text
// as text only. Python's side, with the meaning of the JSON, is interactive_figure.py.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const INKS = ["#1f4e79", "#c8553d", "#3a7d44", "#8a5a9e", "#b8860b", "#2f8f9d", "#a23b72", "#555b66"];
  const MARKS = ["circle", "diamond", "square", "triangle"];
  const MARGIN = {left: 64, right: 14, top: 12, bottom: 46};
  const REACH_PX = 16, ARROW_PX = 16, ZOOM = 1.35;

  const number = value => (typeof value === "number" && Number.isFinite(value) ? value : null);
  const made = (name, text, parent) => {
    const node = document.createElement(name);
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const drawn = (name, attributes, parent) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  };

  function ticks(low, high, most) {
    const rough = (high - low) / Math.max(most, 1);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
    const digits = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    const values = [];
    for (let n = Math.ceil(low / step); n * step <= high && values.length < 100; n++) values.push(n * step);
    return values.map(value => [value, (Math.abs(value) < step / 2 ? 0 : value).toFixed(digits)]);
  }

  function outline(mark, x, y, size) {
    if (mark === "diamond") return `M${x} ${y - size}l${size} ${size}l${-size} ${size}l${-size} ${-size}z`;
    if (mark === "square") return `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}z`;
    if (mark === "triangle") return `M${x} ${y - size}l${size} ${2 * size}h${-2 * size}z`;
    return `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0z`;
  }

  class Plot {
    constructor(figure) {
      const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
      this.spec = spec;
      this.size = Object.values(spec.columns)[0].length;
      this.x = spec.x[0];
      this.y = spec.y[0];
      this.off = new Map(spec.facets.map(facet => [facet.key, new Set(facet.hidden)]));
      this.chosen = null;
      this.controls = made("div", null, null);
      this.controls.className = "controls";
      this.stage = made("div", null, null);
      this.stage.className = "stage";
      figure.prepend(this.controls, this.stage);
      this.svg = drawn("svg", {tabindex: "0", role: "img"}, this.stage);
      this.told = made("div", null, this.stage);
      this.told.className = "told";
      this.told.setAttribute("role", "status");
      this.told.hidden = true;
      this.addControls();
      this.listen();
      this.reset();
      this.draw();
      new ResizeObserver(() => this.draw()).observe(this.stage);
    }

    // -------------------------------------------------------------------------- controls

    addControls() {
      this.addChoice("x axis", this.spec.x, axis => { this.x = axis; });
      this.addChoice("y axis", this.spec.y, axis => { this.y = axis; });
      for (const facet of this.spec.facets) this.addFacet(facet);
      const buttons = made("span", null, this.controls);
      const says = [["+", "zoom in", () => this.zoom(1 / ZOOM)], ["\u2212", "zoom out", () => this.zoom(ZOOM)],
        ["reset", "show all", () => { this.reset(); this.draw(); }]];
      for (const [text, title, act] of says) {
        const button = made("button", text, buttons);
        button.type = "button";
        button.title = title;
        button.setAttribute("aria-label", title);
        button.addEventListener("click", act);
      }
    }

    addChoice(name, axes, take) {
      if (axes.length < 2) return;
      const label = made("label", `${name} `, this.controls);
      const select = made("select", null, label);
      for (const axis of axes) made("option", axis.label, select);
      select.addEventListener("change", () => {
        take(axes[select.selectedIndex]);
        this.reset();
        this.draw();
      });
    }

    addFacet(facet) {
      const box = made("fieldset", null, this.controls);
      made("legend", facet.label, box);
      for (const value of facet.values) {
        const label = made("label", null, box);
        const tick = made("input", null, label);
        tick.type = "checkbox";
        tick.checked = !this.off.get(facet.key).has(value);
        label.append(this.swatch(facet, value), ` ${value}`);
        tick.addEventListener("change", () => {
          const off = this.off.get(facet.key);
          tick.checked ? off.delete(value) : off.add(value);
          this.chosen = null;
          this.reset();
          this.draw();
        });
      }
    }

    swatch(facet, value) {
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("class", "swatch");
      svg.setAttribute("viewBox", "0 0 14 14");
      svg.setAttribute("aria-hidden", "true");
      if (facet.key !== this.spec.colour && facet.key !== this.spec.mark) return svg;
      const ink = facet.key === this.spec.colour ? this.inkOf(value) : "#444";
      const mark = facet.key === this.spec.mark ? this.markOf(value) : "circle";
      drawn("path", {d: outline(mark, 7, 7, 4), fill: ink}, svg);
      return svg;
    }

    place(key, value, among) {
      const facet = this.spec.facets.find(one => one.key === key);
      return facet ? among[Math.max(0, facet.values.indexOf(value)) % among.length] : among[0];
    }

    inkOf(value) { return this.place(this.spec.colour, value, INKS); }

    markOf(value) { return this.place(this.spec.mark, value, MARKS); }

    // ---------------------------------------------------------------------------- points

    at(key, n) { return key ? number(this.spec.columns[key][n]) : null; }

    text(key, n) { return String(this.spec.columns[key][n]); }

    /** Points that are ticked and have a value or a limit on today's axes. */
    points() {
      const found = [];
      for (let n = 0; n < this.size; n++) {
        if (this.spec.facets.some(facet => this.off.get(facet.key).has(this.text(facet.key, n)))) continue;
        const x = this.at(this.x.key, n);
        const value = this.at(this.y.key, n);
        const limit = value === null ? this.at(this.y.limit, n) : null;
        const y = value === null ? limit : value;
        if (x === null || y === null) continue;
        found.push({n, x, y, error: value === null ? 0 : this.at(this.y.error, n) || 0,
          xError: this.at(this.x.error, n) || 0, isLimit: value === null});
      }
      return found;
    }

    /** Everything that is ticked, with a margin. */
    reset() {
      const points = this.points();
      const marked = this.spec.marked.map(one => ({x: one[this.x.key], y: one[this.y.key], error: 0}))
        .filter(one => number(one.x) !== null && number(one.y) !== null);
      const span = (values, least) => {
        let [low, high] = [Infinity, -Infinity];
        for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
        if (low > high) return [0, 1];
        const margin = 0.06 * (high - low) || least;
        return [low - margin, high + margin];
      };
      const all = [...points, ...marked];
      this.across = span(all.flatMap(one => [one.x]), 0.5);
      this.along = span(all.flatMap(one => [one.y - one.error, one.y + one.error]), 0.5);
    }

    // --------------------------------------------------------------------------- drawing

    measure() {
      const width = Math.max(280, this.stage.clientWidth || 600);
      const height = Math.round(Math.min(500, Math.max(270, 0.6 * width)));
      this.box = {width, height, w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom};
    }

    toX(x) {
      const part = (x - this.across[0]) / (this.across[1] - this.across[0]);
      return this.box.w * (this.x.inverted ? 1 - part : part);
    }

    toY(y) {
      const part = (y - this.along[0]) / (this.along[1] - this.along[0]);
      return this.box.h * (this.y.inverted ? part : 1 - part);
    }

    draw() {
      this.measure();
      const {width, height, w, h} = this.box;
      this.svg.replaceChildren();
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.drawAxes(width, height, w, h);
      const inside = drawn("svg", {x: MARGIN.left, y: MARGIN.top, width: w, height: h, class: "inside"}, this.svg);
      this.shown = this.points();
      this.svg.setAttribute("aria-label", `${this.spec.title}: ${this.shown.length} of ${this.size} points shown`);
      this.drawPoints(inside);
      for (const one of this.spec.marked) this.drawMarked(one, inside);
      this.ring = drawn("circle", {r: 8, class: "ring", visibility: "hidden"}, inside);
      this.tell(this.chosen);
    }

    drawAxes(width, height, w, h) {
      drawn("rect", {x: MARGIN.left, y: MARGIN.top, width: w, height: h, class: "frame"}, this.svg);
      for (const [value, label] of ticks(...this.across, w / 90)) {
        const x = MARGIN.left + this.toX(value);
        drawn("path", {d: `M${x} ${MARGIN.top}v${h}`, class: "grid"}, this.svg);
        drawn("text", {x, y: MARGIN.top + h + 18, class: "tick x"}, this.svg).textContent = label;
      }
      for (const [value, label] of ticks(...this.along, h / 45)) {
        const y = MARGIN.top + this.toY(value);
        drawn("path", {d: `M${MARGIN.left} ${y}h${w}`, class: "grid"}, this.svg);
        drawn("text", {x: MARGIN.left - 7, y: y + 4, class: "tick y"}, this.svg).textContent = label;
      }
      drawn("text", {x: MARGIN.left + w / 2, y: height - 8, class: "name"}, this.svg).textContent = this.x.label;
      const middle = MARGIN.top + h / 2;
      drawn("text", {x: 15, y: middle, class: "name", transform: `rotate(-90 15 ${middle})`}, this.svg)
        .textContent = this.y.label;
    }

    drawPoints(inside) {
      const size = Math.max(0.9, Math.min(4.5, 110 / Math.sqrt(this.shown.length + 1)));
      const groups = new Map();
      for (const one of this.shown) {
        const colour = this.spec.colour ? this.text(this.spec.colour, one.n) : "";
        const mark = this.spec.mark ? this.text(this.spec.mark, one.n) : "";
        const key = JSON.stringify([colour, mark]);
        if (!groups.has(key)) groups.set(key, {ink: this.inkOf(colour), mark: this.markOf(mark), all: []});
        groups.get(key).all.push(one);
      }
      for (const {ink, mark, all} of groups.values()) {
        const values = all.filter(one => !one.isLimit);
        const bars = values.filter(one => one.error || one.xError);
        drawn("path", {d: bars.map(one => this.bars(one)).join(""), stroke: ink, class: "error"}, inside);
        drawn("path", {d: values.map(one => outline(mark, this.toX(one.x), this.toY(one.y), size)).join(""),
          fill: ink, class: "points"}, inside);
        drawn("path", {d: all.filter(one => one.isLimit).map(one => this.arrow(one)).join(""),
          stroke: ink, class: "limits"}, inside);
      }
    }

    bars(one) {
      const [x, y] = [this.toX(one.x), this.toY(one.y)];
      const upright = one.error ? `M${x} ${this.toY(one.y - one.error)}V${this.toY(one.y + one.error)}` : "";
      return upright + (one.xError ? `M${this.toX(one.x - one.xError)} ${y}H${this.toX(one.x + one.xError)}` : "");
    }

    /** A limit: from its value towards what is fainter. */
    arrow(one) {
      const [x, y] = [this.toX(one.x), this.toY(one.y)];
      return `M${x - 5} ${y}h10M${x} ${y}v${ARROW_PX}m-4 -5l4 5l4 -5`;
    }

    drawMarked(one, inside) {
      if (number(one[this.x.key]) === null || number(one[this.y.key]) === null) return;
      const [x, y] = [this.toX(one[this.x.key]), this.toY(one[this.y.key])];
      drawn("path", {d: `M${x - 13} ${y}h8m10 0h8M${x} ${y - 13}v8m0 10v8`, class: "marked"}, inside);
      drawn("text", {x: x + 9, y: y - 9, class: "marked"}, inside).textContent = one.label;
    }

    // ---------------------------------------------------------------------------- events

    listen() {
      const svg = this.svg;
      svg.addEventListener("pointerdown", event => this.grasp(event));
      svg.addEventListener("pointermove", event => this.move(event));
      for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => { this.held = null; });
      svg.addEventListener("pointerleave", () => { if (!this.held) this.choose(null); });
      svg.addEventListener("dblclick", () => { this.reset(); this.draw(); });
      svg.addEventListener("wheel", event => {
        // A page that is scrolled past a plot goes on scrolling: the plot must be chosen first.
        if (document.activeElement !== svg && !event.ctrlKey) return;
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1 / ZOOM : ZOOM, this.within(event));
      }, {passive: false});
      svg.addEventListener("keydown", event => this.key(event));
    }

    within(event) {
      const seen = this.svg.getBoundingClientRect();
      const scale = this.box.width / seen.width;
      return {x: (event.clientX - seen.left) * scale - MARGIN.left, y: (event.clientY - seen.top) * scale - MARGIN.top};
    }

    grasp(event) {
      this.held = {at: this.within(event), across: [...this.across], along: [...this.along]};
      this.svg.setPointerCapture(event.pointerId);
    }

    move(event) {
      const at = this.within(event);
      if (!this.held) { this.choose(this.nearest(at)); return; }
      const moved = (pixels, length, range, way) => {
        const by = way * pixels / length * (range[1] - range[0]);
        return [range[0] - by, range[1] - by];
      };
      const {at: from, across, along} = this.held;
      this.across = moved(at.x - from.x, this.box.w, across, this.x.inverted ? -1 : 1);
      this.along = moved(at.y - from.y, this.box.h, along, this.y.inverted ? 1 : -1);
      this.draw();
    }

    zoom(factor, at) {
      const point = at || {x: this.box.w / 2, y: this.box.h / 2};
      const scaled = (range, part) => {
        const fixed = range[0] + part * (range[1] - range[0]);
        return range.map(edge => fixed + factor * (edge - fixed));
      };
      const right = point.x / this.box.w, down = point.y / this.box.h;
      this.across = scaled(this.across, this.x.inverted ? 1 - right : right);
      this.along = scaled(this.along, this.y.inverted ? down : 1 - down);
      this.draw();
    }

    key(event) {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (event.key === "+" || event.key === "=") this.zoom(1 / ZOOM);
      else if (event.key === "-") this.zoom(ZOOM);
      else if (event.key === "0" || event.key === "Escape") { this.chosen = null; this.reset(); this.draw(); }
      else if (step && this.shown.length) this.step(step);
      else return;
      event.preventDefault();
    }

    step(by) {
      const order = [...this.shown].sort((a, b) => a.x - b.x || a.y - b.y);
      const now = order.findIndex(one => one.n === this.chosen);
      const next = now < 0 ? (by > 0 ? 0 : order.length - 1) : (now + by + order.length) % order.length;
      this.choose(order[next].n);
    }

    nearest(at) {
      let [best, least] = [null, REACH_PX];
      for (const one of this.shown) {
        const away = Math.hypot(this.toX(one.x) - at.x, this.toY(one.y) - at.y);
        if (away < least) [best, least] = [one.n, away];
      }
      return best;
    }

    choose(n) {
      if (n === this.chosen) return;
      this.chosen = n;
      this.tell(n);
    }

    /** One value of a point in words; empty where there is none. */
    line({key, label, digits, error, unit}, n) {
      const value = this.spec.columns[key][n];
      if (value === null || value === "") return "";
      const printed = one => (typeof one === "number" ? one.toFixed(digits) : one);
      const spread = this.at(error, n);
      const more = (spread === null ? "" : ` \u00b1 ${printed(spread)}`) + (unit ? ` ${unit}` : "");
      return `${label}: ${printed(value)}${more}`;
    }

    tell(n) {
      const one = this.shown.find(each => each.n === n);
      this.told.hidden = !one;
      this.ring.setAttribute("visibility", one ? "visible" : "hidden");
      if (!one) return;
      const [x, y] = [this.toX(one.x), this.toY(one.y)];
      this.ring.setAttribute("cx", x);
      this.ring.setAttribute("cy", y);
      const lines = this.spec.details.map(detail => this.line(detail, n)).filter(line => line);
      this.told.replaceChildren(...lines.map(line => made("div", line, null)));
      const scale = this.svg.getBoundingClientRect().width / this.box.width;
      const left = (MARGIN.left + x) * scale, top = (MARGIN.top + y) * scale;
      const room = this.stage.clientWidth - this.told.offsetWidth - 4;
      this.told.style.left = `${Math.max(4, Math.min(left + 14, room))}px`;
      this.told.style.top = `${Math.max(0, top > this.told.offsetHeight + 18 ? top - this.told.offsetHeight - 14 : top + 18)}px`;
    }
  }

  for (const figure of document.querySelectorAll("figure.plot")) new Plot(figure);
})();
