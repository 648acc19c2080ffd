"use strict";

// What a mark of a chart stands for, shown below the chart when it is touched.
for (const figure of document.querySelectorAll("figure")) {
  const tip = figure.querySelector(".tip");
  const show = (event) => {
    const mark = event.target.closest("[data-tip]");
    if (mark && tip) tip.textContent = mark.dataset.tip;
  };
  figure.addEventListener("pointerover", show);
  figure.addEventListener("click", show);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// One head of one layer at a time: a heat map, and the tokens as running text.
class AttentionView {
  constructor(root) {
    Object.assign(this, JSON.parse(root.querySelector("script").textContent));
    this.bytes = Uint8Array.from(atob(this.maps), (c) => c.charCodeAt(0));
    this.order = this.strength.map((_, i) => i)
      .sort((a, b) => this.strength[b] - this.strength[a]);
    this.token = null;
    this.canvas = element("canvas", { tabIndex: 0 });
    this.tip = element("p", { className: "tip" });
    this.tip.setAttribute("aria-live", "polite");
    this.scale = element("p", { className: "scale" });
    root.append(
      this.chooser(), this.grid(), this.scale,
      element("div", { className: "scroll" }, this.canvas), this.tip, this.text());
    this.canvas.addEventListener("pointermove", (e) => this.point(e));
    this.canvas.addEventListener("click", (e) => this.point(e));
    this.canvas.addEventListener("pointerleave", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)")
      .addEventListener("change", () => this.draw());
    this.root = root;
    this.choose(this.order[0]);
  }

  name(map) {
    return `layer ${Math.floor(map / this.heads)}, head ${map % this.heads}`;
  }

  chooser() {
    this.select = element("select", {}, ...this.order.map((map) => element("option", {
      value: map, textContent: `${this.name(map)} · ${this.strength[map].toFixed(2)}`,
    })));
    this.select.addEventListener("change", () => this.choose(+this.select.value));
    return element("label", { className: "chooser" },
      "Head, strongest first", this.select);
  }

  grid() {
    const most = Math.max(...this.strength, 1e-6);
    this.buttons = this.strength.map((strength, map) => {
      const button = element("button", { type: "button", title: this.name(map) });
      button.setAttribute("aria-label", this.name(map));
      button.style.setProperty("--share", `${(100 * strength / most).toFixed(0)}%`);
      button.addEventListener("click", () => this.choose(map));
      return button;
    });
    const rows = Array.from({ length: this.layers }, (_, layer) => element(
      "div", {}, element("span", { textContent: `layer ${layer}` }),
      ...this.buttons.slice(layer * this.heads, (layer + 1) * this.heads)));
    return element("div", { className: "heads" }, ...rows);
  }

  text() {
    this.words = this.tokens.map((token, i) => {
      const word = element("button", { type: "button", textContent: token });
      word.addEventListener("click", () => {
        this.token = this.token === i ? null : i;
        this.draw();
      });
      return word;
    });
    return element("div", { className: "words", dir: this.direction }, ...this.words);
  }

  choose(map) {
    this.map = map;
    this.select.value = map;
    this.buttons.forEach((b, i) => b.setAttribute("aria-pressed", i === map));
    this.tip.textContent = "Touch a cell, or choose a token of the text below.";
    this.draw();
  }

  // The share of token `from` that goes to token `to`, of the largest of the map.
  share(from, to) {
    const n = this.tokens.length;
    return this.bytes[(this.map * n + from) * n + to] / 255;
  }

  percent(share) {
    return `${(100 * share * this.largest[this.map]).toFixed(1)} %`;
  }

  draw(row = this.token, column = null) {
    const n = this.tokens.length;
    const style = getComputedStyle(this.root);
    const [ink, soft, accent] = ["--ink", "--soft", "--c0"]
      .map((name) => style.getPropertyValue(name));
    const context = this.canvas.getContext("2d");
    const font = `12px ${style.fontFamily}`;
    context.font = font;
    const widest = Math.max(...this.tokens.map((t) => context.measureText(t).width));
    const label = Math.min(110, Math.ceil(widest)) + 8;
    const room = this.root.clientWidth - label - 2;
    const cell = Math.max(13, Math.min(30, Math.floor(room / n)));
    const size = label + cell * n + 1, dense = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: size * dense, height: size * dense });
    this.canvas.style.width = this.canvas.style.height = `${size}px`;
    this.place = { label, cell };
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.font = font;
    context.textBaseline = "middle";
    context.textAlign = "right";
    this.tokens.forEach((token, i) => {
      const middle = label + (i + 0.5) * cell;
      context.fillStyle = i === row ? ink : soft;
      context.fillText(token, label - 6, middle, label - 8);
      context.save();
      context.translate(middle, label - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillStyle = i === column ? ink : soft;
      context.fillText(token, 0, 0, label - 8);
      context.restore();
    });
    context.fillStyle = accent;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        context.globalAlpha = this.share(i, j);
        context.fillRect(label + j * cell, label + i * cell, cell - 1, cell - 1);
      }
    }
    context.globalAlpha = 1;
    context.strokeStyle = ink;
    if (row !== null) context.strokeRect(label - 0.5, label + row * cell - 0.5, cell * n, cell);
    this.scale.replaceChildren(
      "row: from, column: to; 0 % ", element("i"), ` ${this.percent(1)}`);
    this.words.forEach((word, j) => {
      word.setAttribute("aria-pressed", j === this.token);
      const share = this.token === null ? 0 : this.share(this.token, j);
      word.style.setProperty("--share", `${(70 * share).toFixed(0)}%`);
    });
  }

  point(event) {
    const { label, cell } = this.place;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - label) / cell);
    const row = Math.floor((event.clientY - box.top - label) / cell);
    const n = this.tokens.length;
    if (row < 0 || column < 0 || row >= n || column >= n) return;
    this.draw(row, column);
    this.tip.replaceChildren(
      "from ", element("bdi", { textContent: this.tokens[row] }),
      " to ", element("bdi", { textContent: this.tokens[column] }),
      `: ${this.percent(this.share(row, column))}`);
  }
}

for (const root of document.querySelectorAll(".attention")) new AttentionView(root);
