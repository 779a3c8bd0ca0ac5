// Widens weights that were stored in fewer bits, or not at all, when they are loaded.

import { ARRAYS, sizeOf } from "./plait.js";

const half = (bits) => {
  const power = (bits >> 10) & 31;
  const rest = (bits & 1023) / 1024;
  const size = power ? 2 ** (power - 15) * (1 + rest) : 2 ** -14 * rest;
  return (bits >> 15 ? -1 : 1) * (power < 31 ? size : rest ? NaN : Infinity);
};

/**
 * Return the values of a tensor of the state: float32, where they are stored as
 * float16, or as int8 with a scale for each index of the first axis; zeros, where they
 * were left out.
 * @param one of the manifest's state
 * @param read gives the values of a stored tensor by its name, dtype and shape
 * @param header says what is stored, by name
 */
export const expand = (one, read, header) => {
  const { name, shape, dtype, stored } = one;
  const found = header[name];
  // What a page has saved is whole, and wide already.
  if (stored?.zeros && !found) return new ARRAYS[dtype](sizeOf(shape));
  if (!stored || stored.zeros || found?.dtype == "F32") return read(one);
  const values = read({ name, dtype: stored.dtype, shape });
  // To map a list of the kind that is wanted is ten times as fast as `from`.
  const wide = new Float32Array(values);
  if (stored.dtype == "float16") return wide.map(half);
  const scales = read({ name: stored.scale, dtype: "float32", shape: [shape[0]] });
  const inner = values.length / shape[0];
  return wide.map((x, i) => x * scales[Math.floor(i / inner)]);
};
