// The page "Split the plane": points of a few colours, a tiny network that trains all
// the time, and the borders that it draws.
//
// Read first: `frame`, `train`, `paintPlane`.

import { load } from "./runtime/plait.js";
import { Chart } from "./chart.js";
import { json } from "./files.js";
import { PRESETS } from "./presets.js";
import {
  brief,
  choice,
  element,
  make,
  percent,
  pixels,
  rgb,
  shadeSigned,
  trouble,
  withTheme,
} from "./page.js";

const EXTENT = 1.2; // the plane goes from -EXTENT to EXTENT, in both directions
const GRID = 96; // places in each direction that the net is asked about
const BATCH = 64;
const MOST_POINTS = 1000;
const STEP_OF_KEY = 0.05;
const STEPS = 20; // between two frames: so few that one can watch the borders move
const TRAINING_MS = 8; // of a frame's 16 at most, on slow devices

const canvas = element("plane");
const context = canvas.getContext("2d");
const picture = pixels(GRID);
const chart = new Chart(element("loss-chart"), {
  low: 0,
  smooth: 0.9,
  colourName: "accent",
});
const places = gridOf(GRID);

let nets = {}; // those that were loaded, by name
let net;
let fresh; // the weights of each net before any training, by name
let points = []; // [x, y, colour]
let colour = 0;
let rate = 0.02;
let running = !matchMedia("(prefers-reduced-motion: reduce)").matches;
let steps = 0;
let order = [];
let cross = null; // where the keyboard's cross is
let seen = null; // what the net said last: probabilities and the hidden cells
let waiting = false;
let counted = { at: performance.now(), steps: 0, frames: 0 };

/** Return the middles of a grid's cells, row by row from the top. */
function gridOf(side) {
  const found = new Float32Array(2 * side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const at = 2 * (row * side + column);
      found[at] = EXTENT * ((2 * (column + 0.5)) / side - 1);
      found[at + 1] = -EXTENT * ((2 * (row + 0.5)) / side - 1);
    }
  }
  return found;
}

// --- training

/** Train a little; return the mean loss, or undefined without points. */
function train() {
  if (!points.length) {
    return undefined;
  }
  const end = performance.now() + TRAINING_MS;
  let sum = 0;
  let count = 0;
  do {
    const [x, labels] = batch();
    sum += net.trainStep(x, labels, { lr: rate }).loss;
    count += 1;
  } while (count < STEPS && performance.now() < end);
  steps += count;
  counted.steps += count;
  return sum / count;
}

/** Return the next points: all of them in a new order, again and again. */
function batch() {
  const x = new Float32Array(2 * BATCH);
  const labels = new Int32Array(BATCH);
  for (let row = 0; row < BATCH; row++) {
    if (!order.length) {
      order = shuffled(points.length);
    }
    const point = points[order.pop()];
    x.set(point.slice(0, 2), 2 * row);
    labels[row] = point[2];
  }
  return [x, labels];
}

function shuffled(count) {
  const found = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [found[i], found[j]] = [found[j], found[i]];
  }
  return found;
}

// --- pictures

function frame() {
  waiting = false;
  try {
    if (running) {
      const loss = train();
      if (loss !== undefined) {
        chart.add(steps, loss);
      }
      counted.frames += 1;
    }
    seen = net.predict(places);
    paintPlane();
    paintCells();
    count();
  } catch (error) {
    running = false;
    showRunning();
    trouble(error);
  }
  if (running) {
    again();
  }
}

function again() {
  if (!waiting && net) {
    waiting = true;
    requestAnimationFrame(frame);
  }
}

function paintPlane() {
  const side = canvas.clientWidth * (window.devicePixelRatio || 1);
  if (canvas.width !== Math.round(side)) {
    canvas.width = canvas.height = Math.round(side);
  }
  const small = picture.getContext("2d");
  const image = small.createImageData(GRID, GRID);
  const ends = [rgb("class-0"), rgb("class-1"), rgb("class-2")];
  const base = rgb("surface");
  const { probabilities } = seen;
  for (let at = 0; at < GRID * GRID; at++) {
    const [p, q, r] = [
      probabilities[3 * at],
      probabilities[3 * at + 1],
      probabilities[3 * at + 2],
    ];
    // Pale where the net is unsure, and never so strong that points could not be seen.
    const strength = 0.08 + 0.75 * Math.max(0, Math.max(p, q, r) - 1 / 3);
    for (let c = 0; c < 3; c++) {
      const mixed = p * ends[0][c] + q * ends[1][c] + r * ends[2][c];
      image.data[4 * at + c] = base[c] + strength * (mixed - base[c]);
    }
    image.data[4 * at + 3] = 255;
  }
  small.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  paintPoints(ends, base);
}

function paintPoints(ends, base) {
  const size = canvas.width;
  const radius = Math.max(4, size / 110);
  const at = (x) => ((x / EXTENT + 1) / 2) * size;
  context.lineWidth = radius / 3;
  for (const [x, y, kind] of points) {
    context.beginPath();
    mark(kind, at(x), at(-y), radius);
    context.fillStyle = `rgb(${ends[kind]})`;
    context.fill();
    context.strokeStyle = `rgb(${base})`;
    context.stroke();
  }
  if (cross && document.activeElement === canvas) {
    const [x, y] = [at(cross[0]), at(-cross[1])];
    context.strokeStyle = `rgb(${rgb("text")})`;
    context.beginPath();
    context.moveTo(x - 3 * radius, y);
    context.lineTo(x + 3 * radius, y);
    context.moveTo(x, y - 3 * radius);
    context.lineTo(x, y + 3 * radius);
    context.stroke();
  }
}

/** Each colour has a shape of its own, for those who cannot tell the colours apart. */
function mark(kind, x, y, radius) {
  if (kind === 0) {
    context.arc(x, y, radius, 0, 7);
  } else if (kind === 1) {
    context.rect(x - 0.9 * radius, y - 0.9 * radius, 1.8 * radius, 1.8 * radius);
  } else {
    context.moveTo(x, y - 1.25 * radius);
    context.lineTo(x + 1.2 * radius, y + 0.9 * radius);
    context.lineTo(x - 1.2 * radius, y + 0.9 * radius);
    context.closePath();
  }
}

/** Show the last hidden layer: where in the plane each cell is on, and where off. */
function paintCells() {
  const { hidden } = seen;
  const count = hidden.length / (GRID * GRID);
  const group = element("cells");
  if (group.children.length !== count) {
    group.replaceChildren(
      ...Array.from({ length: count }, () => make("figure", {}, pixels())),
    );
  }
  const step = 3; // every third place is enough for so small a picture
  const side = GRID / step;
  const values = new Float32Array(side * side);
  [...group.querySelectorAll("canvas")].forEach((cell, i) => {
    for (let at = 0; at < values.length; at++) {
      const place = Math.floor(at / side) * step * GRID + (at % side) * step;
      values[at] = hidden[place * count + i];
    }
    shadeSigned(cell, values, side, side, 1);
  });
}

/** Once a second, show how many points are on their side, and how fast it goes. */
function count() {
  const now = performance.now();
  const seconds = (now - counted.at) / 1000;
  if (running && seconds < 0.5) {
    return;
  }
  if (running) {
    element("speed").textContent = brief(counted.steps / seconds);
    element("frames").textContent = brief(counted.frames / seconds);
  }
  counted = { at: now, steps: 0, frames: 0 };
  if (!points.length) {
    element("right").textContent = "–";
    return;
  }
  const cell = (x) =>
    Math.min(GRID - 1, Math.max(0, Math.floor(((x / EXTENT + 1) / 2) * GRID)));
  const right = points.filter(([x, y, kind]) => {
    const at = 3 * (cell(-y) * GRID + cell(x));
    const shares = seen.probabilities.subarray(at, at + 3);
    return shares.indexOf(Math.max(...shares)) === kind;
  });
  element("right").textContent = percent(right.length / points.length);
}

// --- points

function add(x, y) {
  if (Math.abs(x) <= EXTENT && Math.abs(y) <= EXTENT && points.length < MOST_POINTS) {
    points.push([x, y, colour]);
    order = [];
    again();
  }
}

// A click and not a touch, so that a finger can scroll the page across the plane.
canvas.addEventListener("click", (event) => {
  const box = canvas.getBoundingClientRect();
  cross = null;
  add(
    EXTENT * ((2 * (event.clientX - box.left)) / box.width - 1),
    -EXTENT * ((2 * (event.clientY - box.top)) / box.height - 1),
  );
});

canvas.addEventListener("keydown", (event) => {
  const moves = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, 1],
    ArrowDown: [0, -1],
  };
  const move = moves[event.key];
  if (move) {
    cross ??= [0, 0];
    cross = cross.map((x, i) =>
      Math.max(-EXTENT, Math.min(EXTENT, x + STEP_OF_KEY * move[i])),
    );
  } else if (event.key === " " || event.key === "Enter") {
    cross ??= [0, 0];
    add(...cross);
  } else {
    return;
  }
  event.preventDefault();
  again();
});
canvas.addEventListener("focus", () => {
  if (canvas.matches(":focus-visible")) {
    cross ??= [0, 0];
  }
  again();
});
canvas.addEventListener("blur", again);

// --- settings

function showRunning() {
  element("go").textContent = running ? "Pause" : "Go on";
}

function start() {
  steps = 0;
  chart.clear();
  again();
}

function forget() {
  net.restore(fresh[net.name]);
  start();
}

function take(preset) {
  points = PRESETS[preset]();
  order = [];
  forget();
}

async function use(name) {
  if (!nets[name]) {
    nets[name] = await load(`models/${name}`);
    nets[name].name = name;
    fresh[name] = await nets[name].save();
  }
  net = nets[name];
  forget();
}

function setRate() {
  rate = 10 ** Number(element("rate").value);
  element("rate-value").textContent = brief(rate);
  element("rate").setAttribute("aria-valuetext", brief(rate));
}

element("rate").addEventListener("input", setRate);
element("go").addEventListener("click", () => {
  running = !running;
  counted = { at: performance.now(), steps: 0, frames: 0 };
  showRunning();
  again();
});
element("reset").addEventListener("click", forget);
element("clear").addEventListener("click", () => {
  points = [];
  order = [];
  forget();
});

try {
  fresh = {};
  const { planes, plane_rate } = await json("site.json");
  element("rate").value = Math.log10(plane_rate);
  setRate();
  choice(
    element("colours"),
    "colour",
    ["blue", "orange", "green"].map((label, value) => ({ value, label, dot: value })),
    colour,
    (value) => {
      colour = value;
    },
  );
  element("presets").append(
    ...Object.keys(PRESETS).map((name) => {
      const button = make("button", { type: "button", textContent: name });
      button.addEventListener("click", () => take(name));
      return button;
    }),
  );
  const chosen = planes[planes.length >> 1];
  choice(
    element("sizes"),
    "size",
    planes.map(({ name, layers }) => ({ value: name, label: layers.join(" + ") })),
    chosen.name,
    (name) => use(name).catch(trouble),
  );
  points = PRESETS[Object.keys(PRESETS)[0]]();
  await use(chosen.name);
  for (const id of ["go", "reset", "clear"]) {
    element(id).disabled = false;
  }
  showRunning();
  withTheme(again);
} catch (error) {
  trouble(error);
}
