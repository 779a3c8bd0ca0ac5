// The page "Draw a digit": from strokes to a picture like MNIST's, through a network of
// which every layer is shown.
//
// Read first: `read`, `show`.

import { load } from "./runtime/plait.js";
import { PIXELS, SIDE, asDigit, asFloats, loadDigits } from "./digits.js";
import {
  Bars,
  element,
  make,
  percent,
  pixels,
  shade,
  shadeSigned,
  trouble,
  withTheme,
} from "./page.js";

const PEN = 0.078; // of the paper's width: about as thick as MNIST's strokes
const QUIET = 600; // ms without a stroke before a reader of the screen is told

const paper = element("ink");
const ink = paper.getContext("2d", { willReadFrequently: true });
const bars = new Bars(element("chances"), [..."0123456789"]);
const maps = {
  input: tiles(element("input"), 1),
  first: tiles(element("first"), 8),
  second: tiles(element("second"), 16),
  third: tiles(element("third"), 1),
};
const filters = [];
let strokes = []; // each a list of points in units of the paper's width
let sample = null; // a picture of the site, if one was chosen instead
let net;
let told;
let waiting = false;

/** Return a number of small canvases in a group. */
function tiles(group, count) {
  const canvases = Array.from({ length: count }, () => pixels());
  group.replaceChildren(...canvases.map((canvas) => make("figure", {}, canvas)));
  return canvases;
}

// --- the pen

function place(event) {
  const box = paper.getBoundingClientRect();
  return [
    (event.clientX - box.left) / box.width,
    (event.clientY - box.top) / box.height,
  ];
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) {
    return;
  }
  event.preventDefault();
  paper.setPointerCapture(event.pointerId);
  if (sample) {
    sample = null;
    strokes = [];
  }
  strokes.push([place(event)]);
  changed();
});
paper.addEventListener("pointermove", (event) => {
  if (paper.hasPointerCapture(event.pointerId)) {
    const all = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).push(...(all.length ? all : [event]).map(place));
    changed();
  }
});

element("clear").addEventListener("click", () => {
  strokes = [];
  sample = null;
  changed();
});

/** Draw what there is in the theme's colour; the net sees only how opaque it is. */
function drawPaper() {
  const { width, height } = paper;
  const shade = getComputedStyle(paper).color;
  ink.clearRect(0, 0, width, height);
  element("hint").hidden = strokes.length > 0 || sample !== null;
  if (sample) {
    const small = pixels(SIDE);
    const context = small.getContext("2d");
    const image = context.createImageData(SIDE, SIDE);
    sample.forEach((amount, i) => {
      image.data[4 * i + 3] = 255 * amount;
    });
    context.putImageData(image, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = shade;
    context.fillRect(0, 0, SIDE, SIDE);
    ink.drawImage(small, 0, 0, width, height);
    return;
  }
  ink.strokeStyle = shade;
  ink.lineWidth = PEN * width;
  ink.lineCap = ink.lineJoin = "round";
  for (const stroke of strokes) {
    ink.beginPath();
    stroke.forEach(([x, y]) => ink.lineTo(x * width, y * height));
    if (stroke.length === 1) {
      ink.lineTo(stroke[0][0] * width, stroke[0][1] * height + 0.01);
    }
    ink.stroke();
  }
}

/** Return the picture that the net is to see, or null if there is none. */
function picture() {
  if (sample) {
    return sample;
  }
  const { width, height } = paper;
  const { data } = ink.getImageData(0, 0, width, height);
  const amounts = new Uint8Array(width * height);
  for (let i = 0; i < amounts.length; i++) {
    amounts[i] = data[4 * i + 3];
  }
  return asDigit(amounts, width, height);
}

// --- the net

function changed() {
  if (!waiting) {
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      drawPaper();
      read();
    });
  }
}

function read() {
  if (!net) {
    return;
  }
  const seen = picture();
  show(seen, seen && net.predict(seen));
}

function show(seen, found) {
  clearTimeout(told);
  const answer = element("answer");
  shade(maps.input[0], seen ?? new Float32Array(PIXELS), SIDE, SIDE, {
    most: 1,
    to: "text",
  });
  for (const name of ["first", "second", "third"]) {
    layer(maps[name], found?.[name]);
  }
  if (!found) {
    bars.show([]);
    answer.textContent = "?";
    answer.classList.add("unsure");
    element("sure").textContent = "";
    return;
  }
  const chances = [...found.probabilities];
  const best = chances.indexOf(Math.max(...chances));
  bars.show(chances);
  answer.textContent = best;
  answer.classList.toggle("unsure", chances[best] < 0.6);
  told = setTimeout(() => {
    element("sure").textContent = said(best, chances);
  }, QUIET);
}

function said(best, chances) {
  if (chances[best] > 0.95) {
    return `It is sure: this is a ${best}.`;
  }
  const other = chances.indexOf(Math.max(...chances.filter((_, i) => i !== best)));
  const start = chances[best] > 0.6 ? `Probably a ${best}` : `Perhaps a ${best}`;
  return `${start} (${percent(chances[best])}), or else a ${other}.`;
}

/** Show a layer: maps of one batch, or a row of cells as a square. */
function layer(canvases, values) {
  const most = values ? values.reduce((a, b) => Math.max(a, b), 0) : 1;
  const size = values ? values.length / canvases.length : 64;
  const side = Math.sqrt(size);
  canvases.forEach((canvas, i) => {
    const part = values
      ? values.subarray(i * size, (i + 1) * size)
      : new Float32Array(size);
    shade(canvas, part, side, side, { most });
  });
}

/** Show the filters of the first layer in a corner of what each has found. */
function showFilters() {
  const weight = net.state("first.weight");
  const side = Math.sqrt(weight.length / maps.first.length);
  maps.first.forEach((canvas, i) => {
    if (!filters[i]) {
      filters[i] = pixels();
      filters[i].classList.add("filter");
      canvas.after(filters[i]);
    }
    shadeSigned(
      filters[i],
      weight.slice(i * side * side, (i + 1) * side * side),
      side,
      side,
    );
  });
}

/** Offer one picture of each digit, out of those that are not for training. */
function offer(part) {
  for (let digit = 0; digit < 10; digit++) {
    const index = part.labels.indexOf(digit);
    const image = asFloats(part, index, 1);
    const canvas = pixels();
    const button = make("button", { type: "button" }, canvas);
    button.setAttribute("aria-label", `A written ${digit}`);
    withTheme(() =>
      shade(canvas, image, SIDE, SIDE, { most: 1, from: "surface", to: "text" }),
    );
    button.addEventListener("click", () => {
      sample = image;
      strokes = [];
      changed();
    });
    element("samples").append(button);
  }
}

try {
  net = await load("models/reader");
  withTheme(() => {
    showFilters();
    changed();
  });
  offer((await loadDigits()).test);
} catch (error) {
  trouble(error);
}
