// What runs in the worker of worker.js.

import { load } from "./plait.js";
import { buffersOf, pack, unpack } from "./messages.js";

const port = globalThis.process?.versions?.node
  ? (await import("./node.js")).parent()
  : globalThis;
let net;

const answer = async (method, inputs) => {
  if (method != "load") return net[method](...inputs);
  net = await load(...inputs);
  const { manifest, features, threads, backend } = net;
  return { manifest, features, threads, backend };
};

port.onmessage = async ({ data: { id, method, inputs } }) => {
  try {
    const value = await answer(method, inputs.map(unpack));
    port.postMessage({ id, value: pack(value) }, buffersOf(value));
  } catch ({ name, message }) {
    port.postMessage({ id, error: { name, message } });
  }
};
