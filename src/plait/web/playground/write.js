// The page "Let it write": a network says which letter may be next; one is drawn, read,
// and so on. What it has read is in its memory, a vector that goes in and comes out.
//
// Read first: `next`, `write`.

import { load } from "./runtime/plait.js";
import { json } from "./files.js";
import { Bars, element, make, trouble } from "./page.js";

const LENGTH = 600; // letters that are written at most
const PACE = 22; // ms for each letter, so that one can read along
const SHOWN = 8; // letters with a bar

const page = element("text");
const go = element("go");
const bars = new Bars(
  element("chances"),
  Array.from({ length: SHOWN }, () => " "),
);
const still = matchMedia("(prefers-reduced-motion: reduce)");
let net;
let letters;
let stopped = true;
let written = "";

const daring = () => Number(element("temperature").value);

/** Read a letter; return the scores of those that may be next, and the new memory. */
function next(id, memory) {
  const { scores, memory: after } = net.predict([id], memory);
  return { scores, memory: after.slice() };
}

/** Return the chances of letters: low temperatures favour what is likely anyway. */
function chancesOf(scores, temperature) {
  const most = Math.max(...scores);
  const weights = Array.from(scores, (score) => Math.exp((score - most) / temperature));
  weights[0] = 0; // what stands for letters that it does not know
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

/** Return a letter drawn by its chance. */
function drawn(chances) {
  let left = Math.random();
  for (let id = 0; id < chances.length; id++) {
    left -= chances[id];
    if (left < 0) {
      return id;
    }
  }
  return chances.indexOf(Math.max(...chances)); // all but nothing was left, by rounding
}

async function write() {
  stopped = false;
  go.textContent = "Stop";
  const begin = element("begin").value || "\n";
  written = begin;
  const given = make("span", { className: "given", textContent: begin });
  const caret = make("span", { className: "caret" });
  page.replaceChildren(given, caret);
  let said = { scores: null, memory: new Float32Array(net.size) };
  for (const letter of begin) {
    said = next(Math.max(0, letters.indexOf(letter)), said.memory);
  }
  let last = null;
  for (let count = 0; count < LENGTH && !stopped; count++) {
    const chances = chancesOf(said.scores, daring());
    const id = drawn(chances);
    show(chances);
    const sureness =
      chances[id] > 0.2 ? "letter-0" : chances[id] > 0.05 ? "letter-1" : "letter-2";
    if (last?.className === sureness) {
      last.textContent += letters[id];
    } else {
      last = make("span", { className: sureness, textContent: letters[id] });
      caret.before(last);
    }
    written += letters[id];
    page.scrollTop = page.scrollHeight;
    said = next(id, said.memory);
    if (!still.matches || count % 100 === 0) {
      await new Promise((resolve) => setTimeout(resolve, PACE));
    }
  }
  caret.remove();
  element("status").textContent = `${written.length - begin.length} letters`;
  element("copy").disabled = false;
  go.textContent = "Write again";
  stopped = true;
}

function show(chances) {
  const best = chances
    .map((chance, id) => [chance, id])
    .sort((a, b) => b[0] - a[0])
    .slice(0, SHOWN);
  bars.show(
    best.map(([chance]) => chance),
    best.map(([, id]) => named(letters[id])),
  );
}

/** Letters that cannot be seen have a sign. */
function named(letter) {
  return { " ": "␣", "\n": "↵" }[letter] ?? letter;
}

function setDaring() {
  const value = daring();
  const word =
    value < 0.4 ? "careful" : value < 0.85 ? "lively" : value < 1.2 ? "bold" : "wild";
  element("temperature-value").textContent = `${value.toFixed(2)} · ${word}`;
  element("temperature").setAttribute("aria-valuetext", `${value.toFixed(2)}, ${word}`);
}

element("temperature").addEventListener("input", setDaring);
go.addEventListener("click", () => {
  if (stopped) {
    element("status").textContent = "";
    write().catch(trouble);
  } else {
    stopped = true;
  }
});
element("begin").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && stopped && net) {
    go.click();
  }
});
element("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(written);
  element("status").textContent = "copied";
});

try {
  setDaring();
  [net, { letters }] = await Promise.all([load("models/writer"), json("site.json")]);
  const { inputs } = net.manifest.functions.find((one) => one.name === "predict");
  net.size = inputs[1].shape.at(-1);
  go.disabled = false;
} catch (error) {
  trouble(error);
}
