// Several threads for one net: workers with instances of the program on one memory.

import { load as loadNet } from "./plait.js";

const PAGE = 65536; // bytes

/**
 * Load an export with threads, or with one, where there cannot be more. Results do not
 * depend on how many there are.
 */
export const load = (folder, options, wanted) => {
  const isolated = globalThis.crossOriginIsolated ?? !globalThis.document;
  if (globalThis.SharedArrayBuffer && isolated) {
    const { hardwareConcurrency = wanted } = globalThis.navigator ?? {};
    const threads = Math.min(wanted, hardwareConcurrency);
    return loadNet(folder, { ...options, start: starter(threads) });
  }
  console.info("plait: one thread, as this page is not cross-origin isolated");
  return loadNet(folder, options);
};

const starter = (threads) => async (bytes, manifest, build) => {
  if (!build.features.includes("threads")) {
    console.info("plait: one thread, as the export has no program for more");
    return (await WebAssembly.instantiate(bytes)).instance;
  }
  const size = build.memory + (threads - 1) * build.scratch;
  const limits = { initial: Math.ceil(size / PAGE), maximum: Math.ceil(size / PAGE) };
  const memory = new WebAssembly.Memory({ ...limits, shared: true });
  const imports = { env: { memory } };
  const { module, instance } = await WebAssembly.instantiate(bytes, imports);
  const workers = [];
  for (let index = 1; index < threads; index++) {
    const worker = await startWorker();
    // It takes part as soon as it is ready; until then there are fewer threads.
    worker.onerror = ({ message }) => console.info(`plait: a thread less. ${message}`);
    worker.postMessage({ module, memory, index });
    workers.push(worker);
  }
  const stop = () => workers.forEach((worker) => worker.terminate());
  const run = faster(instance.exports);
  return { exports: { memory }, threads, stop, run };
};

// Milliseconds that a way is tried; and for how many times as long the faster one is
// taken then: at first, after a change, and at most.
const TRIAL = 8, FIRST = 4, LEAST = 2, MOST = 50;
// Of calls that take less milliseconds, one of so many is timed, as clocks take time.
const SHORT = 0.1, SOME = 16;

/**
 * Return what runs the functions of a program, each with all threads or with one, as
 * was faster lately. One is where other programs need the cores too: threads wait for
 * the one that does not get its turn.
 * @param now tells milliseconds
 */
export const faster = (exports, now = () => performance.now()) => {
  const known = {};
  let shared;
  const share = (wanted) => exports.sharing((shared = wanted));

  const first = (symbol) => {
    const count = share(1);
    const alarm = exports[symbol]();
    const alone = count == share(1); // it has no launches that threads could share
    const one = { alone, shared: 1, limit: FIRST * TRIAL, times: FIRST, every: 1 };
    if (!alarm) known[symbol] = { ...one, spent: 0, calls: 0, skip: 0 };
    return alarm;
  };

  return (symbol) => {
    const one = known[symbol];
    if (!one) return first(symbol);
    if (one.alone) return exports[symbol]();
    // This wakes threads up too, which short functions do not do themselves: here and
    // there, as it takes time, and is worth it only where one call follows another.
    if (one.shared != shared || (!one.skip && one.calls % SOME == 0)) share(one.shared);
    if (one.skip) return one.skip--, exports[symbol]();
    const begin = now();
    const alarm = exports[symbol]();
    one.spent += one.every * (now() - begin);
    one.calls += one.every;
    one.skip = one.every - 1;
    if (one.spent >= one.limit) turn(one);
    return alarm;
  };
};

// Go on with the other way as a trial; or after a trial with the one that was faster.
const turn = (one) => {
  const { spent, calls, trial, times } = one;
  const cost = spent / calls;
  const better = trial && cost < one.cost;
  if (!better) one.shared = 1 - one.shared;
  if (trial) one.times = better ? LEAST : Math.min(2 * times, MOST);
  else one.cost = cost;
  one.limit = trial ? one.times * spent : TRIAL;
  one.every = cost < SHORT ? SOME : 1;
  one.trial = !trial;
  one.spent = one.calls = 0;
};

// Bundlers find the worker's script if it is written like this.
const startWorker = async () => {
  if (globalThis.Worker)
    return new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
  const { startWorker } = await import("./node.js");
  const worker = startWorker(new URL("./thread.js", import.meta.url));
  worker.unref(); // Node may end while it waits
  return worker;
};
