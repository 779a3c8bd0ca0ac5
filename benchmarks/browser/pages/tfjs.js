// TensorFlow.js: core and one backend.
import { again, againLater, filterWeight, linearWeight, some } from "./protocol.js";

const backend = new URLSearchParams(location.search).get("backend");
const tf = await import(`/bundles/tfjs-${backend}/tfjs.js`);

export async function load(threads) {
  if (backend === "wasm") {
    tf.backend.setWasmPaths("/npm/@tensorflow/tfjs-backend-wasm/dist/");
    if (threads > 1) {
      // It takes half as many threads as it believes there are cores.
      Object.defineProperty(navigator, "hardwareConcurrency", { value: 2 * threads });
      tf.backend.setThreadsCount(threads);
    }
  }
  if (!(await tf.setBackend(backend))) throw new Error(`no backend ${backend}`);
  await tf.ready();
  const used = backend === "wasm" && threads > 1 ? tf.backend.getThreadsCount() : 1;
  return { "TensorFlow.js": tf.version_core, threads: used };
}

/** Return the net's function, and its variables. */
function network(spec, weights) {
  const variables = [];
  const steps = spec.layers.map((layer) => {
    if (layer.kind === "pool") return (x) => tf.maxPool(x, 2, 2, "valid");
    const weight = weights[layer.weight];
    const bias = tf.variable(tf.tensor1d(weights[layer.bias].values));
    const [outer, inner] = weight.shape;
    if (layer.kind === "conv") {
      const kernel = tf.tensor4d(filterWeight(weight), [3, 3, inner, outer]);
      const filter = tf.variable(kernel);
      variables.push(filter, bias);
      return (x) => tf.relu(tf.add(tf.conv2d(x, filter, 1, "same"), bias));
    }
    const matrix = tf.tensor2d(linearWeight(weight, layer.channels), [inner, outer]);
    const moved = tf.variable(matrix);
    variables.push(moved, bias);
    return (x) => {
      const flat = x.rank > 2 ? tf.reshape(x, [x.shape[0], inner]) : x;
      const y = tf.add(tf.matMul(flat, moved), bias);
      return layer.relu ? tf.relu(y) : y;
    };
  });
  return { forward: (x) => steps.reduce((y, step) => step(y), x), variables };
}

export async function make(spec, { weights, batches }) {
  const { forward, variables } = network(spec, weights);
  const shape = spec.net === "cnn" ? [spec.batch, 28, 28, 1] : [spec.batch, 784];
  const later = backend === "webgpu"; // has no other way to read
  const read = (tensor) => {
    if (later) return tensor.data().finally(() => tensor.dispose());
    const value = tensor.dataSync();
    tensor.dispose();
    return value;
  };
  const optimizer = tf.train.sgd(spec.lr ?? 0);
  const train = ({ x, y }) => {
    const loss = tf.tidy(() => {
      const labels = tf.oneHot(tf.tensor1d(y, "int32"), 10);
      const input = tf.tensor(x, shape);
      return optimizer.minimize(
        () => tf.losses.softmaxCrossEntropy(labels, forward(input)), true, variables);
    });
    return read(loss);
  };
  const infer = ({ x }) => read(tf.tidy(() => forward(tf.tensor(x, shape))));
  const call = spec.kind === "train" ? train : infer;
  const check = [];
  if (spec.kind === "train") {
    for (let i = 0; i < spec.check; i++) {
      check.push((await call(batches[i % batches.length]))[0]);
    }
  } else if (spec.check) check.push(...some(await call(batches[0])));
  const run = (later ? againLater : again)(call, batches);
  return { check, run, free: () => variables.forEach((one) => one.dispose()) };
}
