// What a page needs of jax-js.
export { defaultDevice, init, jit, lax, nn, numpy, tree, valueAndGrad } from "@jax-js/jax";
