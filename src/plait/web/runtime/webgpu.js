// Runs exports on the graphics card; plait.js loads it for {backend: "webgpu"}.
//
// All memory is one buffer of the card, laid out as for WebAssembly. A net of plait.js
// checks and cuts up what it is given; its memory is a copy of state, inputs and
// outputs here. A call is made twice: first to learn what is to be run, then to give
// the results.

import { fail, load as loadNet, PlaitError } from "./plait.js";

const MOST_GROUPS = 65535;
const HEAD = 4; // words before the places of a launch
const TOLD = 256; // bytes of what a gate is told, so that offsets fit
const HALF = "shader-f16";
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
  const requiredFeatures = [HALF].filter((one) => adapter.features.has(one));
  return adapter.requestDevice({ requiredLimits, requiredFeatures });
};

class Card {
  #program;
  #device;
  #memory;
  #layout;
  #gateLayout;
  #pipelines = new Map(); // promises, by code: kernels may be alike
  #ready = []; // by the number of the kernel
  #gate;
  #table = null;
  #told;
  #group;
  #gateGroup;
  #entries = []; // launches, and flags that may close the way for those after them

  constructor(program, device) {
    this.#program = program;
    this.#device = device;
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const usage = STORAGE | COPY_SRC | COPY_DST;
    this.#memory = device.createBuffer({ size: program.memory, usage });
    const visibility = GPUShaderStage.COMPUTE;
    const layout = (...buffers) =>
      device.createBindGroupLayout({
        entries: buffers.map((buffer, binding) => ({ binding, visibility, buffer })),
      });
    const told = { type: "uniform", hasDynamicOffset: true };
    this.#layout = layout({ type: "storage" }, told);
    this.#gateLayout = layout({ type: "storage" }, told, { type: "storage" });
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
    await Promise.all([...kernels, -1].map((kernel) => this.#compile(kernel)));
    this.write(this.#program.verdict, new Uint8Array(4));
    return this.#go([...slots], steps, 0, steps.length, 0);
  }

  /** Return what `read` does, after the number of the alarm that has ended the run. */
  async results(ranges) {
    const asked = [[this.#program.verdict, 4], ...ranges];
    const [verdict, ...found] = await this.read(asked);
    return [new Uint32Array(verdict.buffer)[0], found];
  }

  /** Compile a kernel; number -1 is the gate. */
  async #compile(number) {
    const { kernels, gate } = this.#program;
    const one = kernels[number] ?? { code: gate, name: "the gate" };
    const half = this.#device.features.has(HALF) && one.half;
    const code = half || one.code;
    if (!code) return; // no function has alarms
    if (!this.#pipelines.has(code)) {
      const layout = number < 0 ? this.#gateLayout : this.#layout;
      this.#pipelines.set(code, this.#pipeline(one.name, code, layout));
    }
    const made = await this.#pipelines.get(code);
    if (number < 0) this.#gate = made;
    else this.#ready[number] = made;
  }

  async #pipeline(name, code, bound) {
    const device = this.#device;
    device.pushErrorScope("validation");
    const layout = device.createPipelineLayout({ bindGroupLayouts: [bound] });
    const module = device.createShaderModule({ code });
    const compute = { module, entryPoint: "kernel" };
    const made = device.createComputePipelineAsync({ layout, compute });
    const errors = device.popErrorScope();
    const refuse = (why) =>
      fail(`the graphics card cannot run ${name}`, why, "code that it runs");
    let pipeline;
    try {
      pipeline = await made;
    } catch (error) {
      refuse((await errors)?.message ?? error.message);
    }
    const error = await errors;
    if (error) refuse(error.message);
    return pipeline;
  }

  async #go(slots, steps, at, end, part) {
    while (at < end) {
      const [name, a, b, c] = steps[at++];
      if (name == "launch") this.#launch(slots, steps[at - 1]);
      else if (name == "set") slots[a] = slots[b] + c;
      else if (name == "advance") slots[a] += b;
      else if (name == "shift") slots[a] += b * part;
      else if (name == "swap") [slots[a], slots[b]] = [slots[b], slots[a]];
      else if (name == "count") slots[a] = b;
      else if (name == "repeat") at = --slots[a] > 0 ? b : at;
      else if (name == "jump") at = a;
      else if (name == "unless") {
        const [alarm, [[byte]]] = await this.results([[slots[a] + b, 1]]);
        if (alarm) return alarm;
        at = byte ? at : c;
      } else if (name == "alarm") {
        const flag = slots[a] + b;
        this.#entries.push({ flag, alarm: c, first: this.#launches.length });
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

  get #launches() {
    return this.#entries.filter((one) => one.words);
  }

  /** Encode all launches that wait. */
  #encode(encoder) {
    const entries = this.#entries;
    if (!entries.length) return;
    const launches = this.#launches;
    const flags = entries.filter((one) => !one.words);
    this.#entries = [];
    const { stride, verdict } = this.#program;
    this.#makeRoom(launches.length * stride, flags.length * TOLD);
    const data = new Uint32Array((launches.length * stride) / 4);
    launches.forEach(({ words }, i) => data.set(words, (i * stride) / 4));
    this.#device.queue.writeBuffer(this.#table, 0, data);
    const told = new Uint32Array((flags.length * TOLD) / 4);
    flags.forEach(({ flag, alarm, first }, i) => {
      const words = [flag, alarm, first, launches.length, stride / 4, verdict / 4];
      told.set(words, (i * TOLD) / 4);
    });
    this.#device.queue.writeBuffer(this.#told, 0, told);
    const pass = encoder.beginComputePass();
    let launch = 0, flag = 0;
    for (const { words, number, x, y } of entries) {
      if (words) {
        pass.setPipeline(this.#ready[number]);
        pass.setBindGroup(0, this.#group, [launch++ * stride]);
        pass.dispatchWorkgroups(x, y);
      } else {
        pass.setPipeline(this.#gate);
        pass.setBindGroup(0, this.#gateGroup, [flag++ * TOLD]);
        pass.dispatchWorkgroups(1);
      }
    }
    pass.end();
  }

  /** Have tables of so many bytes. */
  #makeRoom(launches, flags) {
    if (this.#table?.size >= launches && this.#told.size >= flags) return;
    this.#table?.destroy();
    this.#told?.destroy();
    const { UNIFORM, STORAGE, COPY_DST } = GPUBufferUsage;
    const device = this.#device;
    const buffer = (size, usage) =>
      device.createBuffer({ size: Math.max(2 * size, TOLD), usage: usage | COPY_DST });
    this.#table = buffer(launches, UNIFORM | STORAGE);
    this.#told = buffer(flags, UNIFORM);
    const group = (layout, ...bound) =>
      device.createBindGroup({
        layout,
        entries: bound.map((resource, binding) => ({ binding, resource })),
      });
    const memory = { buffer: this.#memory };
    const { stride } = this.#program;
    this.#group = group(this.#layout, memory, { buffer: this.#table, size: stride });
    this.#gateGroup = group(
      this.#gateLayout, memory, { buffer: this.#told, size: TOLD },
      { buffer: this.#table },
    );
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
        const ranges = one.outputs.map((x) => [x.at, bytesOf(x)]);
        [one.alarm, one.found] = await this.#card.results(ranges);
        if (one.alarm) break;
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
    const net = await loadNet(folder, options);
    if (!net.manifest.modules.some((one) => one.features.includes("webgpu"))) {
      net.dispose();
      fail("this export has no program for WebGPU", "none", 'targets=["webgpu"]');
    }
    console.info(`plait runs ${folder} with WebAssembly: ${error.message}`);
    return new AsyncNet(net, null, null, error.message);
  }
};
