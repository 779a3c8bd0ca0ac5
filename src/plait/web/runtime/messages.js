// Values in messages between workers, which lose the shape that a list may have.

import { isList } from "./plait.js";

const isObject = (x) => x?.constructor == Object;
const mapped = (x, f) =>
  Object.fromEntries(Object.entries(x).map(([name, y]) => [name, f(y)]));

/** Return a value as it can be sent. */
export const pack = (x) => {
  if (isList(x) && x.shape) return { shapedList: x, shape: x.shape };
  return isObject(x) ? mapped(x, pack) : x;
};

/** Return a value as it was before it was packed. */
export const unpack = (x) => {
  if (x?.shapedList) return Object.assign(x.shapedList, { shape: x.shape });
  return isObject(x) ? mapped(x, unpack) : x;
};

/** Return the memory of a value that may be handed over. */
export const buffersOf = (x) => {
  if (ArrayBuffer.isView(x)) return [x.buffer];
  return isObject(x) ? Object.values(x).flatMap(buffersOf) : [];
};
