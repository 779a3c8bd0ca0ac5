// What tests have an export do, in pages and in Node. A case takes and returns JSON.

const script = (folder, name) => import(`${folder}/${name}.js`);
const opened = async ({ folder, options, worker, elsewhere }) =>
  (await script(folder, worker ? "worker" : "plait")).load(elsewhere ?? folder, options);

/** Return numbers for JSON: lists by their shapes, and others as they are. */
const plain = (x) => {
  if (ArrayBuffer.isView(x)) return { list: Array.from(x, Number), shape: x.shape, kind: x.constructor.name };
  if (typeof x == "bigint") return Number(x);
  if (x?.constructor != Object) return x ?? null;
  return Object.fromEntries(Object.entries(x).map(([name, y]) => [name, plain(y)]));
};

/** Return the bytes of a string, and the other way. */
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const textOf = (bytes) => btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));

const stateOf = async (net) => {
  const state = {};
  for (const { name } of net.manifest.state) state[name] = plain(await net.state(name));
  return state;
};

const cases = {
  async about(given) {
    const net = await opened(given);
    const { features, threads, backend, manifest } = net;
    net.dispose();
    return { features, threads, backend, name: manifest.name, labels: manifest.labels };
  },

  // Calls methods one after the other: [method, ...inputs]; returns what they give. An
  // input { kind, list } becomes a typed array.
  async calls(given) {
    const net = await opened(given);
    const typed = (x) => (x?.kind ? globalThis[x.kind].from(x.list) : x);
    const found = [];
    for (const [method, ...inputs] of given.calls) {
      try {
        found.push({ value: plain(await net[method](...inputs.map(typed))) });
      } catch ({ name, message }) {
        found.push({ error: { name, message } });
      }
    }
    net.dispose();
    return found;
  },

  // Trains with batches; returns losses, and the state after them.
  async train(given) {
    const net = await opened(given);
    // Each host has its own kind of bytes.
    const bytes = bytesOf(given.weights ?? "");
    const file = globalThis.Buffer?.from(bytes) ?? bytes.buffer;
    if (given.weights) await net.restore(file);
    const losses = [];
    for (const [x, y] of given.batches) losses.push((await net.trainStep(x, y)).loss);
    const found = { losses, state: await stateOf(net), saved: textOf(await net.save()) };
    net.dispose();
    return found;
  },
};

Object.assign(cases, {
  // Trains with `fit`, and evaluates; returns what callbacks were told too.
  async fit(given) {
    const { fit, evaluate } = await script(given.folder, "fit");
    const net = await opened(given);
    const { inputs, targets, abortAt, stopAt, rates, ...rest } = given.how;
    const stop = new AbortController();
    const told = { batches: 0, epochs: [] };
    const how = {
      ...rest,
      inputs: Float32Array.from(inputs.flat()),
      targets,
      signal: stop.signal,
      settings: rates ? (step) => ({ lr: rates[step % rates.length] }) : {},
      onBatch: ({ step }) => {
        told.batches++;
        if (step == abortAt) stop.abort();
      },
      onEpoch: (record) => {
        told.epochs.push(record);
        return record.epoch != stopAt;
      },
      validation: { inputs, targets, loss: (output, target) => output.length / target.length },
    };
    let ticks = 0;
    const timer = setInterval(() => ticks++);
    try {
      told.history = await fit(net, how);
    } catch (error) {
      told.error = { name: error.name, message: error.message };
    }
    clearInterval(timer);
    told.ticks = ticks;
    told.state = await stateOf(net);
    if (!told.error) told.measured = await evaluate(net, { inputs, targets });
    net.dispose();
    return told;
  },

  // Runs a function that pretends to take the milliseconds `costs`, [alone, shared], of
  // each turn [costs, calls], and to share so many `launches`. Returns, for each turn, how
  // many calls were shared, how long all took, and how often the clock was asked.
  async turns({ folder, turns, launches }) {
    const { faster } = await script(folder, "threads");
    let time = 0, asked = 0, count = 0, shared = 1, calls = 0, cost;
    const exports = {
      sharing: (on) => ((shared = on), count),
      go() {
        count += launches;
        calls += shared;
        time += cost[shared];
        return launches > 0 && count == launches ? 7 : 0; // an alarm, at first
      },
    };
    const run = faster(exports, () => (asked++, time));
    const alarms = [];
    const found = turns.map(([costs, number]) => {
      cost = costs;
      time = asked = calls = 0;
      for (let i = 0; i < number; i++) alarms.push(run("go"));
      return { calls, time, asked };
    });
    return { found, alarms: alarms.slice(0, 2) };
  },

  // How late a timer of the page is, in milliseconds, while a net trains.
  async lateness(given) {
    const net = await opened(given);
    const [x, y] = given.batch;
    const begin = performance.now();
    let last = begin, worst = 0, steps = 0;
    const timer = setInterval(() => {
      worst = Math.max(worst, performance.now() - last);
      last = performance.now();
    }, 5);
    while (performance.now() - begin < given.time) {
      await net.trainStep(x, y);
      steps++;
    }
    clearInterval(timer);
    net.dispose();
    return { worst: Math.max(worst, performance.now() - last), steps };
  },

  // Keeps weights in IndexedDB, changes the net, and takes them back.
  async keep(given) {
    const storage = await script(given.folder, "storage");
    const net = await opened(given);
    const [x, y] = given.batch;
    await net.trainStep(x, y);
    const before = await stateOf(net);
    await storage.save(net, "digits");
    await net.trainStep(x, y);
    const changed = await stateOf(net);
    return { before, changed, names: await storage.names() };
  },
  async kept(given) {
    const storage = await script(given.folder, "storage");
    const net = await opened(given);
    const none = await storage.restore(net, "others");
    const some = await storage.restore(net, "digits");
    const state = await stateOf(net);
    await storage.remove("digits");
    return { none, some, state, names: await storage.names() };
  },
  // What a strict policy forbids is forbidden.
  async evaluated() {
    return new Function("return 1")();
  },
  async upload(given) {
    const storage = await script(given.folder, "storage");
    const net = await opened(given);
    await storage.upload(net, new Blob([bytesOf(given.weights)]));
    return stateOf(net);
  },
  async download(given) {
    const storage = await script(given.folder, "storage");
    await storage.download(await opened(given), "mine.safetensors");
  },

  // Loads where files can be changed on their way, and something may be missing.
  async changed(given) {
    const { load } = await script(given.folder, "plait");
    const { file, text, flip, cut, insecure } = given.change;
    const isNode = globalThis.process?.versions?.node;
    const usual = isNode
      ? (await script(given.folder, "node")).get(given.folder)
      : (name) => fetch(`${given.folder}/${name}`);
    const read = async (name) => {
      if (name != file) return usual(name);
      if (text != null) return new Response(text);
      const bytes = new Uint8Array(await (await usual(name)).arrayBuffer());
      if (flip != null) bytes[flip < 0 ? bytes.length + flip : flip] ^= 1;
      return new Response(bytes.subarray(0, bytes.length - (cut ?? 0)));
    };
    if (insecure) Object.defineProperty(globalThis, "crypto", { value: undefined });
    const net = await load(given.folder, { ...given.options, read });
    return stateOf(net);
  },
});

/** Return what a case comes to: {value}, or {error}. */
export const outcome = async (name, given) => {
  try {
    return { value: await cases[name](given) };
  } catch ({ name, message, stack }) {
    return { error: { name, message, stack } };
  }
};
