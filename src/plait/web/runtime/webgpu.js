// Runs exports on the graphics card; plait.js loads it for {backend: "webgpu"}.
//
// All memory is one buffer of the card, laid out as for WebAssembly. A net of plait.js
// checks and cuts up what it is given; its memory is a copy of state, inputs and
// outputs here. A call is made twice: first to learn what is to be run, then to give
// the results.

import { fail, load as loadNet, PlaitError } from "./plait.js";

const MOST_GROUPS = 65535;
const HEAD = 4; // words before the places of a launch
const aligned = (n, to) => Math.ceil(n / to) * to;

/** Open the graphics card, or throw why that cannot be. */
const open = async (program) => {
  if (!globalThis.navigator?.gpu)
    fail("there is no WebGPU here", "nothing", "navigator.gpu");
  const powerPreference = "high-performance";
  const adapter = await navigator.gpu.requestAdapter({ powerPreference });
  if (!adapter) fail("WebGPU has no adapter here", "none", "a graphics card");
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
  if (program.memory > most)
    fail(
      "the net needs more memory than the graphics card has for it",
      `${program.memory} bytes`,
      `at most ${most}`,
    );
  const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize };
  return adapter.requestDevice({ requiredLimits });
};

class Card {
  #program;
  #device;
  #memory;
  #layout;
  #pipelines = [];
  #table = null;
  #group;
  #entries = [];

  constructor(program, device) {
    this.#program = program;
    this.#device = device;
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const usage = STORAGE | COPY_SRC | COPY_DST;
    this.#memory = device.createBuffer({ size: program.memory, usage });
    const visibility = GPUShaderStage.COMPUTE;
    this.#layout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility, buffer: { type: "storage" } },
        { binding: 1, visibility, buffer: { type: "uniform", hasDynamicOffset: true } },
      ],
    });
    for (const [at, text] of program.contents)
      this.write(at, Uint8Array.from(atob(text), (x) => x.charCodeAt(0)));
  }

  /** Write bytes; at a whole word, and padded with what may be overwritten. */
  write(at, bytes) {
    const padded = new Uint8Array(aligned(bytes.length, 4));
    padded.set(bytes);
    this.#device.queue.writeBuffer(this.#memory, at, padded);
  }

  /** Return bytes, a list for each of [address, bytes]. */
  async read(ranges) {
    const { COPY_DST, MAP_READ } = GPUBufferUsage;
    const starts = [];
    let size = 0;
    for (const [, n] of ranges) {
      starts.push(size);
      size += aligned(n, 4) + 4;
    }
    if (!size) return [];
    const buffer = this.#device.createBuffer({ size, usage: COPY_DST | MAP_READ });
    const encoder = this.#device.createCommandEncoder();
    this.#encode(encoder);
    ranges.forEach(([at, n], i) => {
      const start = Math.floor(at / 4) * 4;
      const size = aligned(at + n - start, 4);
      if (n) encoder.copyBufferToBuffer(this.#memory, start, buffer, starts[i], size);
    });
    this.#device.queue.submit([encoder.finish()]);
    await buffer.mapAsync(GPUMapMode.READ);
    const all = new Uint8Array(buffer.getMappedRange());
    const found = ranges.map(([at, n], i) => {
      const begin = starts[i] + (at % 4);
      return all.slice(begin, begin + n);
    });
    buffer.destroy();
    return found;
  }

  /** Run a function; return 0, or the number of the alarm that ended it. */
  async run(symbol) {
    const { slots, steps } = this.#program.functions[symbol];
    const launches = steps.filter(([name]) => name == "launch");
    const kernels = new Set(launches.map(([, kernel]) => kernel));
    await Promise.all([...kernels].map((kernel) => this.#compile(kernel)));
    const alarm = await this.#go([...slots], steps, 0, steps.length, 0);
    return alarm;
  }

  async #compile(number) {
    if (this.#pipelines[number]) return;
    const device = this.#device;
    const { code, name } = this.#program.kernels[number];
    device.pushErrorScope("validation");
    const layout = device.createPipelineLayout({ bindGroupLayouts: [this.#layout] });
    const module = device.createShaderModule({ code });
    const compute = { module, entryPoint: "kernel" };
    const made = device.createComputePipelineAsync({ layout, compute });
    const errors = device.popErrorScope();
    try {
      this.#pipelines[number] = await made;
    } catch (error) {
      const why = (await errors)?.message ?? error.message;
      fail(`the graphics card cannot run ${name}`, why, "code that it runs");
    }
    const error = await errors;
    if (error)
      fail(`the graphics card cannot run ${name}`, error.message, "code that it runs");
  }

  async #go(slots, steps, at, end, part) {
    while (at < end) {
      const [name, a, b, c] = steps[at++];
      const byte = async () => (await this.read([[slots[a] + b, 1]]))[0][0];
      if (name == "launch") this.#launch(slots, steps[at - 1]);
      else if (name == "set") slots[a] = slots[b] + c;
      else if (name == "advance") slots[a] += b;
      else if (name == "shift") slots[a] += b * part;
      else if (name == "swap") [slots[a], slots[b]] = [slots[b], slots[a]];
      else if (name == "count") slots[a] = b;
      else if (name == "repeat") at = --slots[a] > 0 ? b : at;
      else if (name == "jump") at = a;
      else if (name == "unless") at = (await byte()) ? at : c;
      else if (name == "alarm") {
        if (await byte()) return c;
      } else if (name == "parts") {
        for (let i = 0; i < a; i++) {
          const alarm = await this.#go([...slots], steps, at, b, i);
          if (alarm) return alarm;
        }
        at = b;
      }
    }
    return 0;
  }

  #launch(slots, [, number, ...places]) {
    const { chunks, scratch, sizes } = this.#program.kernels[number];
    const words = sizes.map(
      (size, i) => (slots[places[2 * i]] + places[2 * i + 1]) / size,
    );
    const { room } = this.#program;
    const together = scratch ? Math.max(1, Math.floor(room / scratch)) : chunks;
    for (let first = 0; first < chunks; first += together) {
      const groups = Math.min(together, chunks - first);
      const x = Math.min(groups, MOST_GROUPS);
      const head = [first, first + groups, x, this.#program.scratch / 4];
      const y = Math.ceil(groups / x);
      this.#entries.push({ number, x, y, words: [...head, ...words] });
    }
  }

  /** Encode all launches that wait. */
  #encode(encoder) {
    const entries = this.#entries;
    if (!entries.length) return;
    this.#entries = [];
    const { stride } = this.#program;
    const size = entries.length * stride;
    if (!(this.#table?.size >= size)) {
      this.#table?.destroy();
      const { UNIFORM, COPY_DST } = GPUBufferUsage;
      const usage = UNIFORM | COPY_DST;
      this.#table = this.#device.createBuffer({ size: 2 * size, usage });
      this.#group = this.#device.createBindGroup({
        layout: this.#layout,
        entries: [
          { binding: 0, resource: { buffer: this.#memory } },
          { binding: 1, resource: { buffer: this.#table, size: stride } },
        ],
      });
    }
    const data = new Uint32Array(size / 4);
    entries.forEach(({ words }, i) => data.set(words, (i * stride) / 4));
    this.#device.queue.writeBuffer(this.#table, 0, data);
    const pass = encoder.beginComputePass();
    entries.forEach(({ number, x, y }, i) => {
      pass.setPipeline(this.#pipelines[number]);
      pass.setBindGroup(0, this.#group, [i * stride]);
      pass.dispatchWorkgroups(x, y);
    });
    pass.end();
  }

  stop() {
    this.#device.destroy();
  }
}

const bytesOf = ({ shape, dtype }) => {
  const bits = /^bool$/.test(dtype) ? 8 : Number(dtype.replace(/\D*/, ""));
  return (shape.reduce((size, n) => size * n, 1) * bits) / 8;
};

// A net whose methods are promises. Without a card it is WebAssembly's.
class AsyncNet {
  #net;
  #card;
  #memory;
  #hook;
  #last = Promise.resolve();

  constructor(net, card, hook, reason) {
    this.#net = net;
    this.#card = card;
    this.#hook = hook;
    this.#memory = card && new Uint8Array(hook.memory.buffer);
    this.backend = card ? "webgpu" : "wasm";
    this.reason = reason; // why there is no card
    this.manifest = net.manifest;
    this.features = net.features;
    this.threads = net.threads;
    if (card) this.#upload(net.manifest.state);
  }

  // One after the other: they share memory.
  #queued(what) {
    const next = this.#last.then(what);
    this.#last = next.catch(() => {});
    return next;
  }

  #upload(ports) {
    for (const one of ports)
      this.#card.write(one.at, this.#memory.slice(one.at, one.at + bytesOf(one)));
  }

  async #download(ports) {
    const found = await this.#card.read(ports.map((one) => [one.at, bytesOf(one)]));
    ports.forEach((one, i) => this.#memory.set(found[i], one.at));
  }

  predict(...inputs) {
    return this.call("predict", ...inputs);
  }

  trainStep(...inputs) {
    return this.call("train_step", ...inputs);
  }

  call(...given) {
    return this.#queued(async () => {
      if (!this.#card) return this.#net.call(...given);
      const runs = [];
      const memory = this.#memory;
      this.#hook.run = (symbol) => {
        const one = this.manifest.functions.find((x) => x.symbol == symbol);
        const bytes = (x) => memory.slice(x.at, x.at + bytesOf(x));
        const inputs = one.inputs.map((x) => [x.at, bytes(x)]);
        runs.push({ symbol, inputs, outputs: one.outputs });
        return 0;
      };
      this.#net.call(...given);
      for (const one of runs) {
        for (const [at, bytes] of one.inputs) this.#card.write(at, bytes);
        one.alarm = await this.#card.run(one.symbol);
        if (one.alarm) break;
        one.found = await this.#card.read(one.outputs.map((x) => [x.at, bytesOf(x)]));
      }
      this.#hook.run = () => {
        const { alarm, outputs, found } = runs.shift();
        if (!alarm) outputs.forEach((x, i) => memory.set(found[i], x.at));
        return alarm;
      };
      return this.#net.call(...given);
    });
  }

  state(name) {
    return this.#queued(async () => {
      const known = this.manifest.state.filter((one) => one.name == name);
      if (this.#card) await this.#download(known);
      return this.#net.state(name);
    });
  }

  setState(name, x) {
    return this.#queued(() => {
      this.#net.setState(name, x);
      const known = this.manifest.state.filter((one) => one.name == name);
      if (this.#card) this.#upload(known);
    });
  }

  save() {
    return this.#queued(async () => {
      if (this.#card) await this.#download(this.manifest.state);
      return this.#net.save();
    });
  }

  restore(bytes) {
    return this.#queued(() => {
      this.#net.restore(bytes);
      if (this.#card) this.#upload(this.manifest.state);
    });
  }

  async dispose() {
    this.#net.dispose();
    this.#card?.stop();
    this.#card = null;
  }
}

/** Load an export for the graphics card; where that cannot be, for WebAssembly. */
export const load = async (folder, { backend, ...options } = {}) => {
  let card;
  const hook = {};
  const start = async (bytes, { functions, state }) => {
    const program = JSON.parse(new TextDecoder().decode(bytes));
    card = new Card(program, await open(program));
    const used = functions.flatMap((one) => [...one.inputs, ...one.outputs]);
    const ports = [...state, ...used];
    const size = Math.max(...ports.map((one) => one.at + bytesOf(one)));
    hook.memory = { buffer: new ArrayBuffer(aligned(size, 64)) };
    return { exports: hook, run: (symbol) => hook.run(symbol) };
  };
  try {
    const net = await loadNet(folder, { ...options, features: ["webgpu"], start });
    return new AsyncNet(net, card, hook);
  } catch (error) {
    if (!(error instanceof PlaitError)) throw error;
    card?.stop();
    return new AsyncNet(await loadNet(folder, options), null, null, error.message);
  }
};
