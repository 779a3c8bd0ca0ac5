// What a page needs of TensorFlow.js; BACKEND is replaced when this is bundled.
export {
  add, conv2d, losses, matMul, maxPool, oneHot, ready, relu, reshape, setBackend,
  tensor, tensor1d, tensor2d, tensor4d, tidy, train, variable, version_core,
} from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
export * as backend from "BACKEND";
