// What can compute a network here, and why not.
//
// Read first: `engines`, `open`.

import { json } from "./files.js";
import { load } from "./runtime/plait.js";

/**
 * Return {value, label, reason} of each engine for an exported model.
 *
 * A reason says why it cannot be had here.
 */
export async function engines(path) {
  const { modules } = await json(`${path}/manifest.json`);
  const has = (feature) => modules.some(({ features }) => features.includes(feature));
  const threads = Math.min(navigator.hardwareConcurrency ?? 1, 8);
  return [
    { value: "wasm", label: "1 thread" },
    {
      value: "threads",
      label: threads > 1 ? `${threads} threads` : "threads",
      reason: has("threads") ? whyNoThreads(threads) : NO_PROGRAM,
    },
    {
      value: "webgpu",
      label: "WebGPU",
      reason: has("webgpu") ? await whyNoGraphics() : NO_PROGRAM,
    },
  ];
}

const NO_PROGRAM = "This playground was built without programs for it.";

function whyNoThreads(threads) {
  if (!globalThis.crossOriginIsolated) {
    return (
      "Threads need two headers from the server. `plait playground` sends them; " +
      "this server does not."
    );
  }
  return threads > 1 ? "" : "Threads need a second core; this device offers one.";
}

async function whyNoGraphics() {
  if (!navigator.gpu) {
    return "The graphics card needs WebGPU, which this browser does not offer here.";
  }
  try {
    if (await navigator.gpu.requestAdapter()) {
      return "";
    }
  } catch {
    // The same as having none.
  }
  return "This browser has WebGPU, but has found no graphics card that it can use.";
}

/** Load an exported model to be computed by an engine. */
export async function open(path, engine) {
  if (engine === "threads") {
    return load(path, { threads: Math.min(navigator.hardwareConcurrency, 8) });
  }
  return load(path, engine === "webgpu" ? { backend: "webgpu" } : {});
}
