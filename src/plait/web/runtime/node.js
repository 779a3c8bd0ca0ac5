// What Node does in other ways than browsers: files and workers.

import { readFile } from "node:fs/promises";
import { Worker, parentPort } from "node:worker_threads";

/** Return a function that gives a file of a folder, as `fetch` would. */
export const get = (folder) => async (name) => {
  const path = `${folder}/${name}`;
  if (/^https?:/.test(path)) return fetch(path);
  return new Response(await readFile(path.startsWith("file:") ? new URL(path) : path));
};

/** Return a worker that has what is used of a browser's. */
export const startWorker = (url) => {
  const worker = new Worker(url);
  return {
    postMessage: (message) => worker.postMessage(message),
    terminate: () => worker.terminate(),
    unref: () => worker.unref(),
    set onmessage(receive) {
      worker.on("message", (data) => receive({ data }));
    },
    set onerror(receive) {
      worker.on("error", receive);
    },
  };
};

/** Return, in a worker, what stands for the one who started it. */
export const parent = () => ({
  postMessage: (message, buffers) => parentPort.postMessage(message, buffers),
  set onmessage(receive) {
    parentPort.on("message", (data) => receive({ data }));
  },
});
