// Loads an exported model and calls its functions; plait.d.ts says how to use it.
// Every tensor has a fixed place in one memory, so there is nothing to free.

export class PlaitError extends Error {
  name = "PlaitError";
}

export const fail = (what, got, expected) => {
  throw new PlaitError(`${what}. Got: ${got}. Expected: ${expected}.`);
};

// What others throw, such as a parser, becomes an error of ours.
const explain = (what) => (error) => {
  throw error instanceof PlaitError ? error : new PlaitError(`${what}. Got: ${error}.`);
};

// Half numbers are shown as their bits: not every JavaScript has arrays of them.
export const ARRAYS = {
  float64: Float64Array, float32: Float32Array, float16: Uint16Array,
  bfloat16: Uint16Array, int64: BigInt64Array, int32: Int32Array, int16: Int16Array,
  int8: Int8Array, uint64: BigUint64Array, uint32: Uint32Array, uint16: Uint16Array,
  uint8: Uint8Array, bool: Uint8Array,
};

export const sizeOf = (shape) => shape.reduce((size, n) => size * n, 1);
export const isList = (x) => Array.isArray(x) || ArrayBuffer.isView(x);
export const shaped = (data, shape) =>
  shape.length ? Object.assign(data, { shape }) : data[0];
// What files of safetensors call a dtype.
export const codeOf = (dtype) =>
  dtype.replace(/^(bf|[fiu])\D*/, "$1").toUpperCase();
const number = (dtype) => (dtype.endsWith("int64") ? BigInt : Number);

// The numbers of x, flat or nested, in an array of the dtype. Of `anyRows` there may be
// more or less than the shape says.
const values = (x, { name, dtype, shape }, anyRows) => {
  const list = isList(x) ? x : [x];
  const nested = isList(list[0]);
  const row = shape.slice(1);
  const step = sizeOf(row);
  if (anyRows) shape = [nested ? list.length : Math.ceil(list.length / step), ...row];
  const size = nested ? shape[0] : sizeOf(shape);
  const own = list.shape ?? list.length;
  if (list.length != size || (list.shape && `${own}` != `${shape}`))
    fail(`${name} has the wrong shape`, `(${own})`, `(${shape})`);
  if (list.constructor == ARRAYS[dtype]) return list;
  const to = new ARRAYS[dtype](sizeOf(shape));
  list.forEach((value, i) => {
    if (nested) return to.set(values(value, { name, dtype, shape: row }), i * step);
    try {
      to[i] = number(dtype)(value);
    } catch {} // it differs then
    if (/^b?f/.test(dtype) ? typeof value != "number" : to[i] != value)
      fail(`${name} has a wrong value`, value, dtype);
  });
  return to;
};

const netOf = (manifest, host) => {
  const { features, threads } = host;
  const place = (one) => {
    const { dtype, shape, at } = one;
    const data = new ARRAYS[dtype](host.memory.buffer, at, sizeOf(shape));
    return { ...one, row: sizeOf(shape.slice(1)), data };
  };
  let state = {}, functions = {};
  for (const one of manifest.state) state[one.name] = place(one);
  for (const one of manifest.functions)
    (functions[one.name] ??= []).push({
      ...one,
      count: one.inputs[0]?.shape[0],
      inputs: one.inputs.map(place),
      outputs: one.outputs.map(place),
    });

  const alive = () => host ?? fail("the net is disposed of", "a call", "none");

  const find = (table, name) => {
    alive();
    return table[name] ?? fail(`there is no ${name}`, name, Object.keys(table));
  };

  const put = (pairs) => {
    for (const [to, list] of pairs) to.data.set(list);
    const bytes = new Uint8Array(host.memory.buffer);
    for (const at of host.lasting ?? []) bytes[at] = 1;
  };

  const call = (name, ...inputs) => {
    const group = find(functions, name);
    const { rows, inputs: ports, outputs: gives } = group[0];
    const takes = ports.filter((one) => !one.role);
    const settings = ports.filter((one) => one.role).map((one) => one.name);
    const given = inputs[takes.length] ?? {};
    for (const key in given)
      if (!settings.includes(key)) fail(`${name} has no such setting`, key, settings);

    const lists = takes.map((one, i) => values(inputs[i], one, true));
    const counts = lists.map((list, i) => list.length / takes[i].row);
    const [total] = counts;
    const fits = (one) =>
      lists.every((list, i) =>
        rows ? counts[i] == total : list.length == one.inputs[i].data.length);
    const exact = group.find(fits);
    const known = () => group.map((one) => one.count);
    if (!exact) fail(`${name} takes other numbers of rows`, counts, known());

    const full = ({ shape }) => (rows ? [total, ...shape.slice(1)] : shape);
    const results = gives.map((one) => new ARRAYS[one.dtype](sizeOf(full(one))));
    let done = 0;
    do {
      const left = total - done;
      // Of independent rows: as many as there are programs for, or padding.
      const one = rows
        ? group.findLast(({ count }) => count <= left) ?? group[0]
        : exact;
      const end = done + Math.min(left, one.count);
      const part = (list, { row }) =>
        end - done < total ? list.subarray(done * row, end * row) : list;
      one.inputs.forEach((to, i) => {
        const { name, dtype, role, data } = to;
        if (role) return data.set(values(given[name] ?? to.default, to));
        const list = part(lists[i], to);
        data.set(list);
        data.fill(number(dtype)(0), list.length);
      });
      const alarm = host.run(one.symbol);
      const where = one.alarms[alarm - 1];
      if (alarm) fail(`${name} met a wrong index`, where, "one in range");
      one.outputs.forEach(({ data }, i) => {
        const to = part(results[i], gives[i]);
        to.set(data.subarray(0, to.length));
      });
      done = end;
    } while (rows && done < total);
    const named = gives.map((one, i) => [one.name, shaped(results[i], full(one))]);
    return named.length > 1 ? Object.fromEntries(named) : named[0]?.[1];
  };

  return {
    manifest,
    features,
    threads,
    backend: "wasm",
    call,
    predict: (...inputs) => call("predict", ...inputs),
    trainStep: (...inputs) => call("train_step", ...inputs),

    state(name) {
      const { data, shape } = find(state, name);
      return shaped(data.slice(), shape);
    },

    setState(name, x) {
      const to = find(state, name);
      put([[to, values(x, to)]]);
    },

    async save() {
      return (await import("./safetensors.js")).encode(this);
    },

    // Takes the state from the bytes of a file of safetensors.
    restore(file) {
      try {
        const { expand } = alive();
        const bytes = new Uint8Array(file);
        // The length of the header, of which more bytes would be absurd.
        const start = 8 + bytes[0] + 256 * bytes[1] + 65536 * bytes[2];
        const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
        const read = ({ name, dtype, shape }) => {
          const found = header[name];
          if (!found) fail("weights are missing", Object.keys(header), name);
          const [begin, end] = found.data_offsets;
          const part = bytes.slice(start + begin, start + end);
          const size = sizeOf(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT;
          const got = `${found.dtype} (${found.shape}), ${part.length} bytes`;
          const expected = `${codeOf(dtype)} (${shape}), ${size} bytes`;
          if (got != expected) fail(`the weights of ${name} do not fit`, got, expected);
          return new ARRAYS[dtype](part.buffer);
        };
        const all = Object.values(state);
        put(all.map((one) => [one, (expand ?? read)(one, read, header)]));
      } catch (error) {
        explain("the weights are damaged")(error);
      }
    },

    dispose() {
      host?.stop?.();
      host = null;
      state = functions = {};
    },
  };
};

// --- loading

const get = (folder) => async (name) => {
  const response = await fetch(`${folder}`.replace(/\/?$/, "/") + name);
  if (!response.ok) fail(`${response.url} cannot be had`, response.status, 200);
  return response;
};

const verified = async (read, { file, sha256 }) => {
  const bytes = await (await read(file)).arrayBuffer();
  const { subtle } = globalThis.crypto ?? {}; // only where the page came safely
  if (subtle) {
    const hash = new Uint8Array(await subtle.digest("SHA-256", bytes));
    const hex = Array.from(hash, (x) => x.toString(16).padStart(2, 0)).join("");
    if (hex != sha256) fail(`${file} is damaged`, hex, sha256);
  }
  return bytes;
};

// Whether a tiny program with relaxed SIMD is valid here.
const isRelaxed = () =>
  WebAssembly.validate(new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0,
    65, 0, 253, 15, 65, 0, 253, 15, 253, 128, 2, 11,
  ]));

// `start` is given by webgpu.js and threads.js, which run programs in other ways.
const open = async (folder, { threads, backend, ...options }) => {
  let { read, features, start } = options;
  if (globalThis.process?.versions?.node)
    read ??= (await import("./node.js")).get(folder);
  if (backend == "webgpu") return (await import("./webgpu.js")).load(folder, options);
  if (threads > 1) return (await import("./threads.js")).load(folder, options, threads);
  read ??= get(folder);
  const manifest = await (await read("manifest.json")).json();
  const { format, version, modules, weights } = manifest;
  if (`${format} ${version}` != "plait 1")
    fail("this is no export that can be loaded", `${format} ${version}`, "plait 1");
  features ??= ["simd128", isRelaxed() && "relaxed-simd", start && "threads"];
  start ??= async (bytes) => (await WebAssembly.instantiate(bytes)).instance;
  const has = (feature) => features.includes(feature);
  const build = modules.findLast((one) => one.features.every(has));
  if (!build)
    fail("no program can run here", features, modules.map((one) => one.features));
  const [program, bytes, more] = await Promise.all([
    verified(read, build),
    verified(read, weights),
    manifest.state.some((one) => one.stored) && import("./expand.js"),
  ]);
  const { exports, ...rest } = await start(program, manifest, build);
  const { memory } = exports;
  const run = (symbol) => exports[symbol]();
  const host = { threads: 1, ...build, ...more, run, memory, ...rest };
  const net = netOf(manifest, host);
  net.restore(bytes);
  return net;
};

export const load = (folder = ".", options = {}) =>
  open(folder, options).catch(explain(`${folder} cannot be loaded`));
