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
  return { exports: { ...instance.exports, memory }, threads, stop };
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
