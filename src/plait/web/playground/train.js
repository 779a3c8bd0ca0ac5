// The page "Train a network": what the trainer, a worker, is asked to do, and how far
// it has come.
//
// Read first: `ask`, `news`.

import { Chart } from "./chart.js";
import { SIDE } from "./digits.js";
import { engines } from "./engines.js";
import { json } from "./files.js";
import {
  brief,
  choice,
  element,
  make,
  noTrouble,
  percent,
  pixels,
  shade,
  trouble,
  withTheme,
} from "./page.js";
import * as storage from "./runtime/storage.js";

const NETS = [
  { value: "mlp", label: "Dense layers" },
  { value: "cnn", label: "Convolutions" },
];
const BUTTONS = ["go", "reset", "keep", "restore", "download", "upload"];

const trainer = new Worker("trainer.js", { type: "module" });
const losses = new Chart(element("loss-chart"), {
  low: 0,
  smooth: 0.9,
  colourName: "class-1",
  unit: "passes",
});
const accuracies = new Chart(element("accuracy-chart"), {
  low: 0,
  high: 1,
  format: (share) => percent(share),
  unit: "passes",
});
const waiting = new Map(); // what to do with answers, by number of the question
const chosen = { name: "mlp", engine: "wasm" };
let asked = 0;
let running = false;
let count = 1; // images to train on
let shown = [];
let speed;

/** Ask the trainer to do something; return its answer. */
function ask(act, content = {}) {
  return new Promise((found, failed) => {
    waiting.set(++asked, { found, failed });
    trainer.postMessage({ id: asked, act, ...content });
  });
}

/** The net in the trainer, as far as storage needs one. */
const net = {
  save: () => ask("save"),
  restore(bytes) {
    setRunning(false);
    return ask("restore", { bytes });
  },
};
const keptName = () => `playground ${chosen.name}`;

// --- what the trainer tells

const news = {
  losses({ losses: found, speed: now }) {
    found.forEach(([seen, loss]) => losses.add(seen / count, loss));
    speed = speed ? 0.8 * speed + 0.2 * now : now;
    element("speed").textContent = brief(speed);
    element("passes").textContent = (found.at(-1)[0] / count).toFixed(1);
  },

  accuracy({ seen, accuracy, said }) {
    if (seen === 0) {
      clear();
    }
    accuracies.add(seen / count, accuracy);
    element("accuracy").textContent = percent(accuracy, 1);
    said.forEach((digit, i) => {
      const { label, face, item } = shown[i];
      const right = digit === label;
      face.textContent = digit;
      item.className = right ? "right" : "wrong";
      const words = right
        ? `a ${label}, read as ${digit}`
        : `a ${label}, wrongly read as ${digit}`;
      item.setAttribute("aria-label", words);
    });
  },

  lost({ trouble: message }) {
    setRunning(false);
    trouble(new Error(message));
  },
};

trainer.addEventListener("message", ({ data }) => {
  if (data.news) {
    news[data.news](data);
    return;
  }
  const { found, failed } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.trouble) {
    failed(new Error(data.trouble));
  } else {
    found(data.answer);
  }
});
trainer.addEventListener("error", ({ message }) => {
  trouble(
    new Error(message ?? "the part of this page that trains could not be started"),
  );
});

// --- what the page shows

function showDigits(images, labels) {
  shown = Array.from(labels, (label, i) => {
    const canvas = pixels();
    const face = make("span", { className: "said", textContent: "?" });
    const image = images.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE);
    withTheme(() => shade(canvas, image, SIDE, SIDE, { most: 255, to: "text" }));
    return { label, face, item: make("li", {}, canvas, face) };
  });
  element("shown").replaceChildren(...shown.map(({ item }) => item));
}

function clear() {
  losses.clear();
  accuracies.clear();
  element("passes").textContent = "0.0";
  element("speed").textContent = "–";
}

function setRunning(now) {
  running = now;
  const fresh = element("passes").textContent === "0.0";
  element("go").textContent = running ? "Pause" : fresh ? "Start training" : "Go on";
}

function say(text) {
  element("kept").textContent = text;
}

async function enable(enabled) {
  for (const id of BUTTONS) {
    element(id).disabled = !enabled;
  }
  if (enabled) {
    setRunning(running);
  } else {
    element("go").textContent = "Getting ready";
  }
  const kept = await storage.names().catch(() => []);
  element("restore").disabled = !enabled || !kept.includes(keptName());
}

// --- what the visitor does

/** Do something that a visitor asked for; what goes wrong is shown. */
function when(id, event, act) {
  element(id).addEventListener(event, async (happened) => {
    try {
      noTrouble();
      await act(happened);
    } catch (error) {
      if (error?.name !== "AbortError") {
        trouble(error);
      }
    }
  });
}

/** Have the chosen network trained by the chosen engine; go on if it was running. */
async function use() {
  const going = running;
  await enable(false);
  speed = undefined;
  try {
    await ask("use", chosen);
  } catch (error) {
    trouble(error);
    if (chosen.engine === "wasm") {
      return;
    }
    chosen.engine = "wasm"; // every browser has it
    await offerEngines();
    await ask("use", chosen);
  }
  await enable(true);
  setRunning(going);
  if (going) {
    await ask("start");
  }
}

async function offerEngines() {
  const found = await engines(`models/${chosen.name}`);
  choice(element("engines"), "engine", found, chosen.engine, (engine) => {
    chosen.engine = engine;
    noTrouble();
    use().catch(trouble);
  });
  const reasons = new Set(found.map(({ reason }) => reason).filter(Boolean));
  element("reasons").replaceChildren(
    ...[...reasons].map((textContent) => make("li", { textContent })),
  );
}

async function setRate() {
  const value = 10 ** Number(element("rate").value);
  element("rate-value").textContent = brief(value);
  element("rate").setAttribute("aria-valuetext", brief(value));
  await ask("rate", { value });
}

when("rate", "input", setRate);
when("go", "click", async () => {
  setRunning(!running);
  await ask(running ? "start" : "pause");
});
when("reset", "click", async () => {
  setRunning(false);
  await ask("reset");
  setRunning(running); // the button has another word now
});
when("keep", "click", async () => {
  await storage.save(net, keptName());
  say("Kept in this browser.");
  await enable(true);
});
when("restore", "click", async () => {
  await storage.restore(net, keptName());
  say("Brought back.");
});
when("download", "click", () =>
  storage.download(net, `plait-${chosen.name}.safetensors`),
);
when("upload", "click", async () => {
  await storage.upload(net);
  say("Uploaded.");
});

try {
  const { train_rate } = await json("site.json");
  element("rate").value = Math.log10(train_rate);
  choice(element("nets"), "net", NETS, chosen.name, (name) => {
    chosen.name = name;
    noTrouble();
    say("");
    use().catch(trouble);
  });
  const { count: all, images, labels } = await ask("begin");
  count = all;
  showDigits(images, labels);
  await offerEngines();
  await setRate();
  await use();
} catch (error) {
  trouble(error);
}
