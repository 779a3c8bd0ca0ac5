// What runs in each worker of threads.js: a thread, which never ends by itself.

const port = globalThis.process?.versions?.node
  ? (await import("./node.js")).parent()
  : globalThis;

port.onmessage = ({ data: { module, memory, index } }) =>
  new WebAssembly.Instance(module, { env: { memory } }).exports.work(index);
