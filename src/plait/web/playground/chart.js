// A chart of a line or two that grow while one looks at it, on a plain canvas.
//
// Read first: `Chart`.

import { brief, colour, withTheme } from "./page.js";

const MOST_POINTS = 600;
const ROOM = { left: 46, right: 12, top: 10, bottom: 24 };

/**
 * A chart of one series of points.
 *
 * Points are thinned out when there are too many, so that a long training costs no more
 * than a short one. With `smooth`, a running mean is drawn over the pale points.
 */
export class Chart {
  constructor(
    canvas,
    { low, high, smooth = 0, format = brief, unit = "", colourName = "accent" },
  ) {
    Object.assign(this, { canvas, low, high, smooth, format, unit, colourName });
    this.label = canvas.getAttribute("aria-label");
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
    withTheme(() => this.draw());
  }

  clear() {
    this.points = [];
    this.mean = undefined;
    this.every = 1;
    this.skipped = 0;
    this.draw();
  }

  /** Add a point; x must not be less than before. */
  add(x, y) {
    if (!Number.isFinite(y)) {
      return;
    }
    this.mean =
      this.mean === undefined ? y : this.smooth * this.mean + (1 - this.smooth) * y;
    this.last = { x, y, mean: this.mean };
    this.skipped += 1;
    if (this.skipped >= this.every) {
      this.skipped = 0;
      this.points.push(this.last);
    }
    if (this.points.length > MOST_POINTS) {
      this.points = this.points.filter((_, i) => i % 2 === 0);
      this.every *= 2;
    }
    if (!this.waiting) {
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        this.draw();
      });
    }
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) {
      return;
    }
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const view = this.#view(width, height);
    this.#axes(context, view, width, height);
    if (this.points.length) {
      if (this.smooth) {
        this.#line(context, view, "y", 0.3, 1);
      }
      this.#line(context, view, "mean", 1, 2);
      canvas.setAttribute(
        "aria-label",
        `${this.label}: ${this.format(this.last.mean)} now`,
      );
    }
  }

  #view(width, height) {
    const ys = this.points.map((point) => point.y);
    const low = this.low ?? Math.min(0, ...ys);
    // From where it began, but single wild values must not flatten all others.
    const sorted = [...ys].sort((a, b) => a - b);
    const most = Math.max(
      sorted[Math.floor(0.98 * (sorted.length - 1))] ?? 1,
      ys[0] ?? 1,
    );
    const high = this.high ?? low + Math.max((most - low) * 1.1, 1e-6);
    const end = this.points.length ? Math.max(this.last.x, 1e-6) : 1;
    return {
      low,
      high,
      end,
      x: (x) => ROOM.left + (x / end) * (width - ROOM.left - ROOM.right),
      y: (y) =>
        height -
        ROOM.bottom -
        ((y - low) / (high - low)) * (height - ROOM.top - ROOM.bottom),
    };
  }

  #axes(context, view, width, height) {
    context.font = "12px system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeStyle = colour("line");
    context.fillStyle = colour("quiet");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const y of ticks(view.low, view.high, height < 150 ? 2 : 3)) {
      const at = Math.round(view.y(y)) + 0.5;
      context.beginPath();
      context.moveTo(ROOM.left, at);
      context.lineTo(width - ROOM.right, at);
      context.stroke();
      context.fillText(this.format(y), ROOM.left - 8, at);
    }
    context.textBaseline = "alphabetic";
    context.fillText(this.unit, width - ROOM.right, height - 6);
    const free = width - ROOM.right - context.measureText(this.unit).width - 12;
    context.textAlign = "center";
    for (const x of ticks(0, view.end, 3)) {
      if (view.x(x) + context.measureText(brief(x)).width / 2 < free) {
        context.fillText(brief(x), view.x(x), height - 6);
      }
    }
  }

  #line(context, view, what, opacity, thickness) {
    context.save();
    context.beginPath();
    context.rect(ROOM.left, 0, context.canvas.width, context.canvas.height);
    context.clip();
    context.globalAlpha = opacity;
    context.strokeStyle = colour(this.colourName);
    context.lineWidth = thickness;
    context.lineJoin = "round";
    context.beginPath();
    for (const point of [...this.points, this.last]) {
      context.lineTo(view.x(point.x), view.y(point[what]));
    }
    context.stroke();
    if (opacity === 1) {
      context.beginPath();
      context.arc(view.x(this.last.x), view.y(this.last[what]), 3.5, 0, 7);
      context.fillStyle = colour(this.colourName);
      context.fill();
    }
    context.restore();
  }
}

/** Return round numbers from low to high: `count` to three times as many. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const scale = 10 ** Math.floor(Math.log10(raw));
  const step = scale * [5, 2, 1].find((nice) => nice * scale <= raw * (1 + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}
