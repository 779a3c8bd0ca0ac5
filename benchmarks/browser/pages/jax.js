// jax-js with one of its devices; its functions own, and free, what they are given.
import { defaultDevice, init, jit, lax, nn, numpy as np, tree, valueAndGrad }
  from "/bundles/jax/jax.js";
import { againLater, some } from "./protocol.js";

const device = new URLSearchParams(location.search).get("backend");

export async function load(threads) {
  if (!(await init(device)).includes(device)) throw new Error(`no device ${device}`);
  defaultDevice(device);
  return { "jax-js": "0.1.25", threads };
}

/** Return the scores for images x; both arguments are used up. */
function forward(spec, given, x) {
  const images = x.shape[0];
  const used = { ...given };
  let y = x;
  for (const layer of spec.layers) {
    if (layer.kind === "pool") {
      const [n, c, h, w] = y.shape;
      y = np.max(y.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
      continue;
    }
    const [weight, bias] = [used[layer.weight], used[layer.bias]];
    if (layer.kind === "conv") {
      y = lax.conv(y, weight, [1, 1], "SAME").add(bias.reshape([1, -1, 1, 1]));
    } else {
      if (y.ndim > 2) y = y.reshape([images, -1]);
      y = np.matmul(y, weight.transpose()).add(bias);
    }
    if (layer.relu) y = nn.relu(y);
  }
  return y;
}

export async function make(spec, { weights, batches }) {
  const names = spec.layers.filter((one) => one.weight)
    .flatMap((one) => [one.weight, one.bias]);
  let state = Object.fromEntries(names.map((name) => [
    name, np.array(weights[name].values).reshape(weights[name].shape)]));
  const shape = spec.net === "cnn" ? [spec.batch, 1, 28, 28] : [spec.batch, 784];
  const input = (x) => np.array(x).reshape(shape);
  const loss = (given, x, hot) => {
    const logs = nn.logSoftmax(forward(spec, given, x), -1);
    return logs.mul(hot).sum().mul(-1 / spec.batch);
  };
  const step = jit((given, x, y) => {
    const [value, slopes] = valueAndGrad(loss)(tree.ref(given), x, nn.oneHot(y, 10));
    const next = {};
    for (const name of names) next[name] = given[name].sub(slopes[name].mul(spec.lr));
    return [value, next];
  });
  const scores = jit((given, x) => forward(spec, given, x));
  const train = async ({ x, y }) => {
    const labels = np.array(y, { dtype: np.int32 });
    const [value, next] = step(state, input(x), labels);
    state = next;
    return value.data();
  };
  const infer = async ({ x }) => scores(tree.ref(state), input(x)).data();
  const call = spec.kind === "train" ? train : infer;
  const check = [];
  if (spec.kind === "train") {
    for (let i = 0; i < spec.check; i++) {
      check.push((await call(batches[i % batches.length]))[0]);
    }
  } else if (spec.check) check.push(...some(await call(batches[0])));
  const run = againLater(call, batches);
  return { check, run, free: () => tree.dispose(state) };
}
