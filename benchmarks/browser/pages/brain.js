// brain.js; `brain` is global. It minimizes squared errors, one sample after the other,
// from weights that it draws itself, so its losses are not those of the others.
import { again, mustLearn, oneHot } from "./protocol.js";

export async function load() {
  return { "brain.js": "1.6.1", threads: 1 };
}

export async function make(spec, { batches }) {
  const sizes = spec.layers.slice(0, -1).map((layer) => spec.arrays[layer.bias].shape[0]);
  const net = new brain.NeuralNetwork({
    hiddenLayers: sizes, activation: "sigmoid", learningRate: spec.lr ?? 0.1, momentum: 0.1 });
  const samples = ({ x, y }) => oneHot(y, 10).map((output, i) => (
    { input: Array.from(x.subarray(784 * i, 784 * (i + 1))), output }));
  const train = (batch) =>
    net.train(samples(batch), { iterations: 1, errorThresh: 1e-9, log: false }).error;
  const infer = ({ x }) => {
    const result = new Float32Array(10 * spec.batch);
    for (let i = 0; i < spec.batch; i++) {
      result.set(net.run(Array.from(x.subarray(784 * i, 784 * (i + 1)))), 10 * i);
    }
    return result;
  };
  if (spec.kind === "infer") {
    train({ x: batches[0].x, y: new Int32Array(spec.batch) }); // makes the weights
    return { check: [], run: again(infer, batches) };
  }
  if (spec.check) {
    mustLearn(Array.from({ length: 3 * batches.length },
      (_, i) => train(batches[i % batches.length])));
  }
  return { check: [], run: again(train, batches) };
}
