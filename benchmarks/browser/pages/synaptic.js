// Synaptic; `synaptic` is global. Its nets are logistic and draw their own weights; it
// trains with one sample after the other, so its losses are not those of the others.
import { again, mustLearn, oneHot } from "./protocol.js";

export async function load() {
  return { Synaptic: "1.1.4", threads: 1 };
}

export async function make(spec, { batches }) {
  const sizes = spec.layers.map((layer) => spec.arrays[layer.bias].shape[0]);
  const net = new synaptic.Architect.Perceptron(784, ...sizes);
  const row = (x, i) => Array.from(x.subarray(784 * i, 784 * (i + 1)));
  const train = ({ x, y }) => {
    let loss = 0;
    oneHot(y, 10).forEach((target, i) => {
      const output = net.activate(row(x, i));
      net.propagate(spec.lr, target);
      loss += synaptic.Trainer.cost.CROSS_ENTROPY(target, output);
    });
    return loss / spec.batch;
  };
  const infer = ({ x }) => {
    const result = new Float32Array(10 * spec.batch);
    for (let i = 0; i < spec.batch; i++) result.set(net.activate(row(x, i)), 10 * i);
    return result;
  };
  if (spec.kind === "infer") return { check: [], run: again(infer, batches) };
  if (spec.check) {
    mustLearn(Array.from({ length: batches.length + 1 },
      (_, i) => train(batches[i % batches.length])));
  }
  return { check: [], run: again(train, batches) };
}
