// Shows what an exported model takes and gives, and lets it be tried.
import { load } from "./plait.js";

const at = (id) => document.getElementById(id);
const sizeOf = (shape) => shape.reduce((size, n) => size * n, 1);
const isFloat = (dtype) => dtype.includes("float");
const typed = ({ dtype, shape }) => `${dtype} [${shape.join(", ")}]`;

const fail = (error) => (at("error").textContent = error.message ?? String(error));

// Numbers that an input may hold: indices must stay small to mean anything.
const draw = ({ dtype }) => {
  if (isFloat(dtype)) return Math.round(1000 * Math.random()) / 1000;
  return dtype == "bool" ? Math.random() < 0.5 : 0;
};

const cell = (text, name = "") => {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = name;
  return made;
};

const row = (...cells) => {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
};

// Height, width and colours of pictures that an input may be; null if it is none.
const pictureOf = (shape) => {
  const [, ...rest] = shape;
  if (rest.length == 3 && [1, 3].includes(rest[0])) return { colours: rest[0], height: rest[1], width: rest[2] };
  if (rest.length == 2 && rest[0] == rest[1]) return { colours: 1, height: rest[0], width: rest[1] };
  const side = Math.sqrt(rest.length == 1 ? rest[0] : 0);
  return side > 4 && Number.isInteger(side) ? { colours: 1, height: side, width: side } : null;
};

const numbersOf = async (file, { colours, height, width }) => {
  const picture = await createImageBitmap(file);
  const canvas = at("seen");
  Object.assign(canvas, { width, height, hidden: false });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const plane = (pick) => Array.from({ length: width * height }, (_, i) => pick(4 * i) / 255);
  if (colours == 3) return [0, 1, 2].flatMap((colour) => plane((i) => data[i + colour]));
  return plane((i) => 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
};

// Words and signs of a text, as plait.data.tokenize finds them.
const TOKEN = /[\p{L}\p{N}]+?(?=n't(?![\p{L}\p{N}_]))|n't(?![\p{L}\p{N}_])|'(?:s|m|d|re|ve|ll)(?![\p{L}\p{N}_])|[\p{L}\p{N}]+|\S/gu;

// Numbers of words, the last ones of a row, which begins with padding.
const wordsOf = (text, words, length) => {
  const number = new Map(words.map((word, i) => [word, i]));
  const found = text.toLowerCase().replaceAll("\u2019", "'").match(TOKEN) ?? [];
  const ids = found.slice(0, length).map((word) => number.get(word) ?? 1);
  return [...Array(length - ids.length).fill(0), ...ids];
};

// One of the scores by chance, but never the first, which stands for unknown letters.
const drawn = (scores, temperature) => {
  const top = Math.max(...scores);
  const chances = Array.from(scores, (x, i) => (i ? Math.exp((x - top) / temperature) : 0));
  let rest = Math.random() * chances.reduce((sum, x) => sum + x);
  return Math.max(1, chances.findIndex((x) => (rest -= x) < 0));
};

const write = async (net, letters, length) => {
  const text = at("text");
  const number = new Map(letters.map((letter, i) => [letter, i]));
  const ids = [...(text.value || "\n")].map((letter) => number.get(letter) ?? 0);
  for (let i = 0; i < 200; i++) {
    const seen = ids.slice(-length);
    const row = [...seen, ...Array(length - seen.length).fill(0)];
    const scores = net.predict(Object.assign(row, { shape: [1, length] }));
    const place = (seen.length - 1) * letters.length;
    ids.push(drawn(scores.slice(place, place + letters.length), 0.8));
    text.value += letters[ids.at(-1)];
    // The page shall show it.
    if (i % 4 == 0) await new Promise((done) => setTimeout(done));
  }
};

// Lets a text be typed, if the model's notes say what its numbers mean.
const reads = (net, { inputs }) => {
  const { words, letters } = net.manifest.notes ?? {};
  if (!words && !letters) return;
  const length = inputs[0].shape[1];
  at("reading").hidden = false;
  at("text").value = words ? "a charming film" : "Once upon a time";
  at("read").textContent = words ? "read it" : "go on with it";
  at("read").onclick = async () => {
    at("error").textContent = "";
    at("read").disabled = true;
    try {
      if (letters) return await write(net, letters, length);
      at("numbers").value = wordsOf(at("text").value, words, length).join(" ");
      at("run").click();
    } catch (error) {
      fail(error);
    } finally {
      at("read").disabled = false;
    }
  };
};

const show = (outputs, labels) => {
  at("answer").replaceChildren();
  for (const [name, values] of outputs) {
    const shape = values.shape ?? [];
    const first = shape.length > 1 ? sizeOf(shape.slice(1)) : (values.length ?? 1);
    const numbers = values.length == null ? [Number(values)] : Array.from(values.slice(0, first), Number);
    const head = document.createElement("p");
    head.textContent = `${name}: ${shape.length > 1 ? `row 1 of ${shape[0]}, ` : ""}shape [${shape.join(", ")}]`;
    const table = document.createElement("table");
    const order = numbers.map((_, i) => i);
    const classes = labels?.length == first;
    if (classes) order.sort((i, j) => numbers[j] - numbers[i]);
    const top = Math.max(...numbers.map(Math.abs)) || 1;
    for (const i of order.slice(0, 20)) {
      const bar = document.createElement("span");
      bar.className = "bar";
      bar.style.width = `${Math.max(0, (160 * numbers[i]) / top)}px`;
      const drawn = cell("");
      drawn.append(bar);
      table.append(row(cell(classes ? labels[i] : i), cell(numbers[i].toPrecision(5), "number"), drawn));
    }
    at("answer").append(head, table);
    if (first > 20) at("answer").append(`and ${first - 20} more`);
  }
};

const start = async () => {
  const net = await load(".");
  const { manifest } = net;
  const group = (name) => manifest.functions.filter((one) => one.name == name);
  const weights = manifest.state.filter((one) => one.role == "parameter");
  const count = weights.reduce((sum, one) => sum + sizeOf(one.shape), 0);
  at("about").textContent = `${count.toLocaleString("en")} weights, made by ${manifest.made_by}`;
  for (const one of manifest.functions) {
    const takes = one.inputs.map((x) => `${x.name}: ${x.role ? x.default : typed(x)}`).join(", ");
    const gives = one.outputs.map((x) => `${x.name}: ${typed(x)}`).join(", ");
    at("functions").append(row(cell(one.name), cell(takes), cell(gives)));
  }
  const [predict] = group("predict");
  if (predict) ask(net, predict);
  if (predict) reads(net, predict);
  const [step] = group("train_step");
  if (step) train(net, step);
};

const ask = (net, predict) => {
  // One row is enough where rows do not mix.
  const inputs = predict.inputs.map((one) => (predict.rows ? { ...one, shape: [1, ...one.shape.slice(1)] } : one));
  const [first] = inputs;
  const fill = (make) => (at("numbers").value = inputs.map((one) => Array.from({ length: sizeOf(one.shape) }, () => Number(make(one))).join(" ")).join("\n"));
  at("predict").hidden = false;
  at("takes").textContent = inputs.map((one) => `${one.name}: ${typed(one)}`).join("; ");
  at("random").onclick = () => fill(draw);
  at("zeros").onclick = () => fill(() => 0);
  at("run").onclick = () => {
    at("error").textContent = "";
    try {
      const lines = at("numbers").value.trim().split("\n");
      const given = inputs.map((one, i) => {
        const numbers = (lines[i] ?? "").trim().split(/[\s,]+/).map((x) => (one.dtype.endsWith("int64") ? BigInt(x) : Number(x)));
        return Object.assign(numbers, { shape: one.shape });
      });
      let found;
      let count = 0;
      const begin = performance.now();
      // Clocks of pages are coarse.
      do found = net.predict(...given);
      while (++count < 100 && performance.now() < begin + 30);
      const time = (performance.now() - begin) / count;
      at("time").textContent = `${time.toPrecision(2)} ms with ${[...(net.features ?? [net.backend])].join(", ")}`;
      const names = predict.outputs.map((one) => one.name);
      const outputs = names.length == 1 ? [[names[0], found]] : names.map((name) => [name, found[name]]);
      show(outputs, net.manifest.labels);
    } catch (error) {
      fail(error);
    }
  };
  const picture = inputs.length == 1 && isFloat(first.dtype) && first.shape[0] == 1 ? pictureOf(first.shape) : null;
  const drop = at("drop");
  drop.hidden = !picture;
  const take = async (file) => {
    try {
      at("numbers").value = (await numbersOf(file, picture)).map((x) => Math.round(1000 * x) / 1000).join(" ");
      at("run").click();
    } catch (error) {
      fail(error);
    }
  };
  at("file").onchange = ({ target }) => target.files[0] && take(target.files[0]);
  drop.ondragover = (event) => (event.preventDefault(), drop.classList.add("over"));
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  };
  fill(draw);
  at("run").click();
};

const train = (net, step) => {
  at("training").hidden = false;
  at("train").onclick = async () => {
    const before = await net.save();
    try {
      const given = step.inputs.filter((one) => !one.role).map((one) => {
        const numbers = Array.from({ length: sizeOf(one.shape) }, () => (one.dtype.endsWith("int64") ? BigInt(draw(one)) : Number(draw(one))));
        return Object.assign(numbers, { shape: one.shape });
      });
      const begin = performance.now();
      for (let i = 0; i < 20; i++) net.trainStep(...given);
      const time = (performance.now() - begin) / 20;
      at("steps").textContent = `${time.toPrecision(3)} ms for a step; the weights are as before`;
    } catch (error) {
      fail(error);
    } finally {
      net.restore(before);
    }
  };
};

start().catch(fail);
