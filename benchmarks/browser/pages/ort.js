// onnxruntime-web with its wasm provider; `ort` is global.
import { againLater, some } from "./protocol.js";

export async function load(threads) {
  ort.env.wasm.wasmPaths = "/npm/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  return { "onnxruntime-web": ort.env.versions.web, threads };
}

export async function make(spec, { batches }) {
  const bytes = new Uint8Array(await (await fetch(spec.onnx)).arrayBuffer());
  const session = await ort.InferenceSession.create(
    bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  const shape = spec.net === "cnn" ? [spec.batch, 1, 28, 28] : [spec.batch, 784];
  const call = async ({ x }) => {
    const found = await session.run({ x: new ort.Tensor("float32", x, shape) });
    return found.scores.data;
  };
  const check = spec.check ? some(await call(batches[0])) : [];
  return { check, run: againLater(call, batches), free: () => session.release() };
}
