// Keeps the state of a net: in the browser's IndexedDB, or as a file of safetensors,
// which Python reads and writes too. Works with nets of plait.js and worker.js.

import { fail } from "./plait.js";

/** Keep a net's state in this browser, under a name. */
export const save = async (net, name) => {
  const bytes = await net.save();
  await ask("readwrite", (store) => store.put(bytes, name));
};

/** Take a net's state from what was kept; return whether there was anything. */
export const restore = async (net, name) => {
  const bytes = await ask("readonly", (store) => store.get(name));
  if (bytes) await net.restore(bytes);
  return !!bytes;
};

/** Forget what was kept under a name. */
export const remove = (name) => ask("readwrite", (store) => store.delete(name));

/** Return the names under which something is kept. */
export const names = () => ask("readonly", (store) => store.getAllKeys());

/** Have the browser download a net's state as a file. */
export const download = async (net, name = `${net.manifest.name}.safetensors`) => {
  const type = "application/octet-stream";
  const href = URL.createObjectURL(new Blob([await net.save()], { type }));
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
};

/** Take a net's state from a file; without one, let the user choose it. */
export const upload = async (net, file) => {
  file ??= await chosen();
  if (!(file instanceof Blob)) fail("there is nothing to read", typeof file, "a File");
  await net.restore(await file.arrayBuffer());
};

const chosen = () =>
  new Promise((found, failed) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", accept: ".safetensors" });
    input.onchange = () => found(input.files[0]);
    input.oncancel = () => failed(new DOMException("no file was chosen", "AbortError"));
    input.click();
  });

// --- IndexedDB

const STORE = "states";

const settled = (request) =>
  new Promise((found, failed) => {
    request.onsuccess = () => found(request.result);
    request.onerror = () => failed(request.error);
  });

const ask = async (mode, what) => {
  if (!globalThis.indexedDB)
    fail("nothing can be kept here", "no IndexedDB", "a browser");
  const opening = indexedDB.open("plait", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const answer = settled(what(transaction.objectStore(STORE)));
    // Only at the end of the transaction is all on disk.
    const [result] = await Promise.all([answer, finished(transaction)]);
    return result;
  } finally {
    database.close();
  }
};

const finished = (transaction) =>
  new Promise((done, failed) => {
    transaction.oncomplete = done;
    transaction.onabort = () => failed(transaction.error);
  });
