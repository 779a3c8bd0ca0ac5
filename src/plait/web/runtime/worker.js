// The same net in a worker, so that pages stay responsive: all methods give promises.

import { PlaitError } from "./plait.js";
import { pack, unpack } from "./messages.js";

const METHODS = [
  "call", "predict", "trainStep", "state", "setState", "save", "restore",
];

/** Load an export in a worker; see `load` of plait.js. */
export const load = async (folder = ".", options = {}) => {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const where = base ? new URL(folder, base).href : String(folder);
  const worker = await start();
  const waiting = new Map();
  let last = 0;
  let gone;

  const end = (error) => {
    gone = error;
    worker.terminate();
    for (const { failed } of waiting.values()) failed(error);
    waiting.clear();
  };
  worker.onmessage = ({ data: { id, value, error } }) => {
    const { found, failed } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error) failed?.(revived(error));
    else found?.(unpack(value));
  };
  worker.onerror = ({ message = "it cannot be started" }) =>
    end(new PlaitError(`the worker failed: ${message}`));

  const ask = (method, ...inputs) =>
    new Promise((found, failed) => {
      if (gone) return failed(gone);
      waiting.set(++last, { found, failed });
      worker.postMessage({ id: last, method, inputs: inputs.map(pack) });
    });

  const net = { dispose: () => end(new PlaitError("the net is disposed of")) };
  for (const method of METHODS) net[method] = (...inputs) => ask(method, ...inputs);
  try {
    return Object.assign(net, await ask("load", where, options));
  } catch (error) {
    end(error);
    throw error;
  }
};

// Bundlers find the worker's script if it is written like this.
const start = async () => {
  if (globalThis.Worker) {
    const type = "module";
    return new Worker(new URL("./worker-inside.js", import.meta.url), { type });
  }
  const { startWorker } = await import("./node.js");
  return startWorker(new URL("./worker-inside.js", import.meta.url));
};

const revived = ({ name, message }) =>
  name == "PlaitError"
    ? new PlaitError(message)
    : Object.assign(new Error(message), { name });
