// plait: what `plait.export` has written, loaded as any page loads it.
import { again, some } from "./protocol.js";

const part = new URLSearchParams(location.search).get("backend");
let crew = 1;
let found = {};

export async function load(threads) {
  crew = threads;
  return { threads, ...found };
}

export async function make(spec, { batches }) {
  const { load } = await import(`${spec.folder}plait.js`);
  const options = { threads: crew };
  if (part === "simd") options.features = ["simd128"];
  const net = await load(spec.folder, options);
  found = { plait: net.features.join(", ") };
  const lr = { lr: spec.lr };
  const train = ({ x, y }) => net.trainStep(x, y, lr).loss;
  const infer = ({ x }) => net.predict(x);
  const check = [];
  if (spec.kind === "train") {
    for (let i = 0; i < spec.check; i++) check.push(train(batches[i % batches.length]));
  } else if (spec.check) check.push(...some(infer(batches[0])));
  const run = again(spec.kind === "train" ? train : infer, batches);
  return { check, run, free: () => net.dispose() };
}
