// Trains a net on arrays, and measures it. Works with nets of plait.js and worker.js.

import { fail, isList, sizeOf } from "./plait.js";

/** Train for some epochs; return what was measured in each. */
export const fit = async (net, options) => {
  const {
    inputs, targets, epochs = 1, shuffle = true, seed = 0, settings = {},
    validation, onBatch, onEpoch, signal, yieldEvery = 16,
  } = options;
  const made = functionsOf(net, "train_step");
  const columns = columnsOf(made[0], [...listsOf(inputs, made[0]), targets]);
  const { count } = columns[0];
  const batchSize = batchSizeFor(made, count, options.batchSize);

  const random = randomOf(seed);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const steps = Math.floor(count / batchSize);
  const history = [];
  let rested = now();
  for (let epoch = 0, step = 0; epoch < epochs; epoch++) {
    if (shuffle) shuffled(order, random);
    let sum = 0;
    for (let i = 0; i < steps; i++, step++) {
      signal?.throwIfAborted();
      const chosen = order.subarray(i * batchSize, (i + 1) * batchSize);
      const batch = columns.map((column) => rowsOf(column, chosen));
      const set = typeof settings == "function" ? settings(step) : settings;
      const { loss } = await net.trainStep(...batch, set);
      sum += loss;
      onBatch?.({ epoch, batch: i, step, loss });
      if (now() - rested >= yieldEvery) {
        await pause();
        rested = now();
      }
    }
    const record = { epoch, loss: sum / steps };
    if (validation) {
      const how = { signal, yieldEvery, ...validation };
      const { accuracy, loss } = await evaluate(net, how);
      Object.assign(record, { validationAccuracy: accuracy, validationLoss: loss });
    }
    history.push(record);
    if (onEpoch?.(record) === false) break;
  }
  return history;
};

/** Return how well a net predicts targets: {accuracy, loss}, what of it can be said. */
export const evaluate = async (net, options) => {
  const { inputs, targets, loss, batchSize = 256, signal, yieldEvery = 16 } = options;
  const [predict] = functionsOf(net, "predict");
  // What says the loss of a batch, if nothing else shall, and the export has it.
  const measure = !loss && net.manifest.functions.find((one) => one.name == "evaluate");
  const columns = columnsOf(predict, listsOf(inputs, predict));
  const { count } = columns[0];
  if (!isList(targets) || targets.length % count)
    fail("there are not as many targets as inputs", targets?.length, count);
  const nested = isList(targets[0]);
  const answers = { list: targets, step: nested ? 1 : targets.length / count };
  // Without `rows` a net takes so many rows, and no others.
  const batch = measure || (!predict.rows && predict);
  const size = batch ? batch.inputs[0].shape[0] : batchSize;
  let right = 0, sum = 0, measured = 0, seen = 0, classes = 0;
  let rested = now();
  for (let begin = 0; begin < count; begin += size) {
    signal?.throwIfAborted();
    const length = Math.min(size, count - begin);
    if (!predict.rows && length < size) break;
    const chosen = Uint32Array.from({ length }, (_, i) => begin + i);
    const rows = columns.map((column) => rowsOf(column, chosen));
    const target = rowsOf(answers, chosen);
    const whole = measure && length == size;
    const name = whole ? "evaluate" : "predict";
    let output = await net.call(name, ...rows, ...(whole ? [target] : []));
    let mean;
    if (whole) ({ loss: mean, ...output } = output);
    if (!isList(output)) output = Object.values(output)[0];
    if (loss) mean = loss(output, target);
    if (mean != null) {
      sum += length * mean;
      measured += length;
    }
    classes = output.length / length;
    for (let i = 0; i < length; i++)
      if (best(output, i * classes, classes) == Number(target[i])) right++;
    seen += length;
    if (now() - rested >= yieldEvery) {
      await pause();
      rested = now();
    }
  }
  const found = { count: seen };
  if (answers.step == 1 && !nested && classes > 1) found.accuracy = right / seen;
  if (measured) found.loss = sum / measured;
  return found;
};

// --- data: a column is a list of rows, flat or nested

const functionsOf = (net, name) => {
  const found = net.manifest.functions.filter((one) => one.name == name);
  const names = net.manifest.functions.map((one) => one.name);
  return found.length ? found : fail(`there is no ${name}`, name, names);
};

const listsOf = (inputs, { inputs: takes }) =>
  isList(inputs) ? [inputs] : takes.map(({ name }) => inputs?.[name]).filter(isList);

const columnsOf = (one, lists) => {
  const takes = one.inputs.filter((port) => !port.role);
  const names = takes.map((port) => port.name);
  if (lists.length != takes.length)
    fail(`${one.name} takes other data`, `${lists.length} lists`, names);
  const columns = lists.map((list, i) => {
    const { name, shape } = takes[i];
    if (!isList(list)) fail(`${name} is no array`, typeof list, "an array");
    const step = isList(list[0]) ? 1 : sizeOf(shape.slice(1));
    return { name, list, step, count: list.length / step };
  });
  for (const { name, list, step, count } of columns)
    if (count != columns[0].count || count % 1)
      fail(`${name} has the wrong length`, list.length, `${columns[0].count * step}`);
  return columns;
};

const batchSizeFor = (made, count, wanted) => {
  const sizes = made.map((one) => one.inputs[0].shape[0]);
  const size = wanted ?? Math.max(...sizes);
  if (!sizes.includes(size)) fail("the export has no such batchSize", size, sizes);
  if (size > count) fail("there are too few rows for a batch", count, size);
  return size;
};

const rowsOf = ({ list, step }, chosen) => {
  if (step == 1 && Array.isArray(list)) return Array.from(chosen, (row) => list[row]);
  const part = (row) => list.slice(row * step, (row + 1) * step);
  if (Array.isArray(list)) return Array.from(chosen, part).flat();
  const rows = new list.constructor(chosen.length * step);
  chosen.forEach((row, i) =>
    rows.set(list.subarray(row * step, (row + 1) * step), i * step));
  return rows;
};

const best = (values, start, count) => {
  let found = 0;
  for (let i = 1; i < count; i++)
    if (values[start + i] > values[start + found]) found = i;
  return found;
};

// --- chance and time

// Marsaglia 2003, "Xorshift RNGs", p. 4: 32 bits, never 0.
const randomOf = (seed) => {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x6a09e667) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
};

// Fisher and Yates.
const shuffled = (order, random) => {
  for (let i = order.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
};

const now = () => performance.now();

// Lets the page do other things: a message comes after what is waiting already, and
// sooner than a timer.
const pause = () =>
  new Promise((done) => {
    if (globalThis.setImmediate) return setImmediate(done);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
