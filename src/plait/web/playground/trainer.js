// A worker that trains a network on the digits, so that the page stays responsive.
//
// It is asked {id, act, ...} by the page, see `acts`, and answers {id, answer} or
// {id, trouble}. Meanwhile it tells {news, ...}:
//   losses    {losses, speed}         [images seen, loss] of each step; images a second
//   accuracy  {seen, accuracy, said}  on held-out digits; what it said of those shown
//   lost      {trouble}               it stopped training, and why
//
// Read first: `train`, `acts`.

import { PIXELS, asFloats, loadDigits } from "./digits.js";
import { open } from "./engines.js";

const BATCH = 64;
const SLICE = 16; // ms of training between looks at what the page wants
const SHOWN = 60;
// Held-out digits are looked at often at first, when most is learned.
const COST_OF_EXAMS = 4; // times as long is trained as they take, at least
const RARER = 0.05; // of the time that was trained lies between them, at least
const RAREST = 1000; // ms between them, at most, if they are cheap

let digits;
let net;
let using; // its name
let fresh; // the weights before any training
let rate = 0.02;
let running = false;
let looping = false;
let seen = 0;
let order = [];

const tell = (news, content = {}) => postMessage({ news, ...content });

// --- training

async function train() {
  if (looping) {
    return;
  }
  looping = true;
  let spent = 0; // ms of training since the last exam
  let total = 0;
  let cost = 0;
  while (running) {
    const begin = performance.now();
    const losses = [];
    do {
      const [images, labels] = batch();
      const { loss } = await net.trainStep(images, labels, { lr: rate });
      seen += BATCH;
      losses.push([seen, loss]);
    } while (performance.now() - begin < SLICE);
    const passed = performance.now() - begin;
    spent += passed;
    total += passed;
    tell("losses", { losses, speed: (1000 * losses.length * BATCH) / passed });
    if (!losses.every(([, loss]) => Number.isFinite(loss))) {
      running = false;
      throw new Error(
        "the steps were too large, and the network is lost. " +
          "Choose a smaller learning rate, and press Reset",
      );
    }
    if (spent > Math.max(COST_OF_EXAMS * cost, Math.min(RARER * total, RAREST))) {
      cost = await examine();
      spent = 0;
    }
    await new Promise((resolve) => setTimeout(resolve)); // messages of the page come in
  }
  await examine();
  looping = false;
}

/** Return the next images and labels: all in a new order, again and again. */
function batch() {
  if (order.length < BATCH) {
    order = shuffled(digits.train.count);
  }
  const indices = order.splice(-BATCH);
  const { floats, labels } = digits.train;
  const images = new Float32Array(BATCH * PIXELS);
  indices.forEach((index, row) => {
    images.set(floats.subarray(index * PIXELS, (index + 1) * PIXELS), row * PIXELS);
  });
  return [images, Int32Array.from(indices, (index) => labels[index])];
}

function shuffled(count) {
  const found = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [found[i], found[j]] = [found[j], found[i]];
  }
  return found;
}

/** Ask about all held-out digits; return how many milliseconds that took. */
async function examine() {
  const begin = performance.now();
  const { test } = digits;
  const scores = await net.predict(test.floats);
  const said = Array.from(test.labels, (_, i) => {
    const row = scores.subarray(10 * i, 10 * i + 10);
    return row.indexOf(Math.max(...row));
  });
  const right = said.filter((digit, i) => digit === test.labels[i]).length;
  tell("accuracy", { seen, accuracy: right / test.count, said: said.slice(0, SHOWN) });
  return performance.now() - begin;
}

// --- what the page wants

const acts = {
  /** Load the digits; return how many there are to train on, and some held-out ones. */
  async begin() {
    digits = await loadDigits();
    const { test, train } = digits;
    test.floats = asFloats(test);
    train.floats = asFloats(train);
    const images = test.images.slice(0, SHOWN * PIXELS);
    return { count: train.count, images, labels: test.labels.slice(0, SHOWN) };
  },

  /** Train another network, or the same one computed in another way. */
  async use({ name, engine }) {
    await stopped();
    const opened = await open(`models/${name}`, engine);
    if (using === name) {
      await opened.restore(await net.save());
    } else {
      seen = 0;
      fresh = await opened.save();
    }
    net?.dispose?.();
    net = opened;
    using = name;
    await examine();
  },

  start() {
    running = true;
    train().catch((error) => {
      running = looping = false;
      tell("lost", { trouble: error.message });
    });
  },

  async pause() {
    await stopped();
  },

  rate({ value }) {
    rate = value;
  },

  /** Forget all that was learned. */
  async reset() {
    await stopped();
    await net.restore(fresh);
    seen = 0;
    order = [];
    await examine();
  },

  /** Return the weights, as a safetensors file. */
  save: () => net.save(),

  /** Take weights that were saved here, or by Python. */
  async restore({ bytes }) {
    await stopped();
    try {
      await net.restore(bytes);
    } catch (error) {
      throw new Error(
        `this file does not hold what such a network learns. ${error.message}`,
      );
    }
    await examine();
  },
};

/** Wait until no step is running. */
async function stopped() {
  running = false;
  while (looping) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// One after the other: what is asked may take a while, and the next may need it.
let queue = Promise.resolve();
addEventListener("message", ({ data: { id, act, ...content } }) => {
  queue = queue
    .then(() => acts[act](content))
    .then(
      (answer) => postMessage({ id, answer }),
      (error) => postMessage({ id, trouble: error?.message ?? String(error) }),
    );
});
