// Writes the state of a net as a file of safetensors
// (huggingface.co/docs/safetensors, "Format").

import { ARRAYS, codeOf, isList } from "./plait.js";

/** Return the bytes of a file with the state. In it are no quantized weights. */
export const encode = (net) => {
  const header = {};
  const parts = [];
  let end = 0;
  for (const { name, dtype, shape } of net.manifest.state) {
    const value = net.state(name);
    const { buffer, byteLength } = isList(value) ? value : ARRAYS[dtype].of(value);
    const data_offsets = [end, end + byteLength];
    header[name] = { dtype: codeOf(dtype), shape, data_offsets };
    parts.push(new Uint8Array(buffer));
    end += byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces fill it up, so that the data begin at a multiple of 8.
  const start = Math.ceil(text.length / 8) * 8 + 8;
  const bytes = new Uint8Array(start + end).fill(32, 0, start);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - 8), true);
  bytes.set(text, 8);
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), start);
  return bytes;
};
