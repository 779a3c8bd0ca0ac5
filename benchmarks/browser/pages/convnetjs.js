// ConvNetJS; `convnetjs` is global. It works in float64, one sample after the other.
import { again, filterWeight, linearWeight, some } from "./protocol.js";

export async function load() {
  return { ConvNetJS: "0.3.0", threads: 1 };
}

/** Return the net with the given weights. */
function network(spec, weights) {
  const size = spec.net === "cnn" ? [28, 28, 1] : [1, 1, 784];
  const definitions = [
    { type: "input", out_sx: size[0], out_sy: size[1], out_depth: size[2] }];
  for (const layer of spec.layers) {
    const outer = layer.weight && weights[layer.weight].shape[0];
    const activation = layer.relu ? "relu" : undefined;
    if (layer.kind === "pool") definitions.push({ type: "pool", sx: 2, stride: 2 });
    else if (layer.kind === "conv") {
      definitions.push({
        type: "conv", sx: 3, filters: outer, stride: 1, pad: 1, activation });
    } else if (layer.relu) {
      definitions.push({ type: "fc", num_neurons: outer, activation });
    } else definitions.push({ type: "softmax", num_classes: outer });
  }
  const net = new convnetjs.Net();
  net.makeLayers(definitions);
  const filled = net.layers.filter((layer) => layer.filters);
  spec.layers.filter((layer) => layer.weight).forEach((layer, i) => {
    const weight = weights[layer.weight];
    const outer = weight.shape[0];
    const moved = layer.kind === "conv"
      ? filterWeight(weight) : linearWeight(weight, layer.channels);
    filled[i].filters.forEach((filter, o) => {
      for (let j = 0; j < filter.w.length; j++) filter.w[j] = moved[j * outer + o];
    });
    filled[i].biases.w.set(weights[layer.bias].values);
  });
  return net;
}

export async function make(spec, { weights, batches }) {
  const net = network(spec, weights);
  const side = spec.net === "cnn" ? [28, 28, 1] : [1, 1, 784];
  const sample = new convnetjs.Vol(...side, 0);
  const trainer = new convnetjs.Trainer(net, {
    method: "sgd", learning_rate: spec.lr, momentum: 0, l2_decay: 0,
    batch_size: spec.batch });
  const train = ({ x, y }) => {
    let loss = 0;
    for (let i = 0; i < spec.batch; i++) {
      sample.w = x.subarray(784 * i, 784 * (i + 1));
      loss += trainer.train(sample, y[i]).loss;
    }
    return loss / spec.batch;
  };
  const infer = ({ x }) => {
    const result = new Float32Array(10 * spec.batch);
    for (let i = 0; i < spec.batch; i++) {
      sample.w = x.subarray(784 * i, 784 * (i + 1));
      net.forward(sample, false);
      result.set(net.layers.at(-2).out_act.w, 10 * i);
    }
    return result;
  };
  const check = [];
  if (spec.kind === "train") {
    for (let i = 0; i < spec.check; i++) check.push(train(batches[i % batches.length]));
  } else if (spec.check) check.push(...some(infer(batches[0])));
  return { check, run: again(spec.kind === "train" ? train : infer, batches) };
}
