// Widens weights that were stored in fewer bits, when they are loaded.

const half = (bits) => {
  const power = (bits >> 10) & 31;
  const rest = (bits & 1023) / 1024;
  const size = power ? 2 ** (power - 15) * (1 + rest) : 2 ** -14 * rest;
  return (bits >> 15 ? -1 : 1) * (power < 31 ? size : rest ? NaN : Infinity);
};

/**
 * Return the values of a tensor of the state: float32, where they are stored as
 * float16, or as int8 with a scale for each index of the first axis.
 * @param one of the manifest's state
 * @param read gives the values of a stored tensor by its name, dtype and shape
 * @param header says what is stored, by name
 */
export const expand = (one, read, header) => {
  const { name, shape, stored } = one;
  // What a page has saved is wide already.
  if (!stored || header[name]?.dtype == "F32") return read(one);
  const values = read({ name, dtype: stored.dtype, shape });
  if (stored.dtype == "float16") return Float32Array.from(values, half);
  const scales = read({ name: stored.scale, dtype: "float32", shape: [shape[0]] });
  const inner = values.length / shape[0];
  return Float32Array.from(values, (x, i) => x * scales[Math.floor(i / inner)]);
};
