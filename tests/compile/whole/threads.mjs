// Runs functions of a module with threads, and prints what is in its memory then.
// Standard input is JSON: {code, memory, scratch, threads, writes: [[at, bytes]],
// calls: [[symbol, argument]], reads: [[at, size]]}; bytes are in base64. Printed is
// what functions return, how many words of memory each of them changed, and what is
// read at the end.
import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

function instance(code, memory) {
  const module = new WebAssembly.Module(code);
  return new WebAssembly.Instance(module, { env: { memory } }).exports;
}

if (isMainThread) {
  const given = JSON.parse(readFileSync(0, "utf8"));
  const code = Buffer.from(given.code, "base64");
  const bytes = given.memory + (given.threads - 1) * given.scratch;
  const pages = Math.ceil(bytes / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const exports = instance(code, memory);
  const view = new Uint8Array(memory.buffer);
  for (const [at, content] of given.writes) view.set(Buffer.from(content, "base64"), at);
  for (let index = 1; index < given.threads; index++) {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { code, memory, index },
    });
    await new Promise((ready) => worker.once("message", ready));
  }
  const results = [], changed = [];
  for (const [symbol, argument] of given.calls) {
    const before = new Int32Array(memory.buffer).slice();
    results.push(exports[symbol](argument));
    const words = new Int32Array(memory.buffer);
    changed.push(before.reduce((count, word, i) => count + (word != words[i]), 0));
    // Long enough for threads to fall asleep now and then.
    if (results.length % 5 === 0) await new Promise((go) => setTimeout(go, 5));
  }
  const read = ([at, size]) => Buffer.from(view.slice(at, at + size)).toString("base64");
  const found = JSON.stringify({ results, changed, reads: given.reads.map(read) });
  process.stdout.write(found, () => process.exit(0));
} else {
  const { code, memory, index } = workerData;
  const exports = instance(code, memory);
  parentPort.postMessage("ready");
  exports.work(index);
}
