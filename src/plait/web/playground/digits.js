// Pictures of digits: those of the site, and drawings made like them.
//
// Read first: `loadDigits`, `asDigit`.

import { bytes } from "./files.js";

export const SIDE = 28;
export const PIXELS = SIDE * SIDE;
const BOX = 20; // the digits of MNIST fit into it, their centres of mass in its middle
const TAPS = 8; // places looked at for each pixel, in each direction

/**
 * Load the digits that the site was built with.
 *
 * Returns {train, test}, each {images: Uint8Array, labels: Uint8Array, count}.
 */
export async function loadDigits() {
  const tensors = readTensors(await bytes("data/digits.safetensors"));
  const part = (name) => ({
    images: tensors[`${name}_images`],
    labels: tensors[`${name}_labels`],
    count: tensors[`${name}_labels`].length,
  });
  return { train: part("train"), test: part("test") };
}

/** Return the tensors of a safetensors file that holds bytes only. */
function readTensors(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const size = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(content.subarray(8, 8 + size)));
  const tensors = {};
  for (const [name, tensor] of Object.entries(header)) {
    if (tensor.dtype === "U8") {
      const [start, end] = tensor.data_offsets;
      tensors[name] = content.subarray(8 + size + start, 8 + size + end);
    }
  }
  return tensors;
}

/** Return pictures of a part as floats between 0 and 1, one after the other. */
export function asFloats(part, first = 0, count = part.count) {
  const images = part.images.subarray(first * PIXELS, (first + count) * PIXELS);
  return new Float32Array(images).map((grey) => grey / 255);
}

/**
 * Return a drawing as a picture like those of MNIST, or null if there is no ink.
 *
 * `ink` has one number for each pixel, row after row, 0 where the paper is empty. The
 * digit is scaled to fit into 20 x 20 pixels and put with its centre of mass into the
 * middle of 28 x 28; each pixel is the mean of what it covers.
 *
 * Source: the description of the MNIST data, LeCun, Cortes and Burges.
 */
export function asDigit(ink, width, height) {
  let left = width,
    right = -1,
    top = height,
    bottom = -1;
  let mass = 0,
    acrossMass = 0,
    downMass = 0,
    most = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const amount = ink[y * width + x];
      if (amount > 0) {
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
        mass += amount;
        acrossMass += amount * (x + 0.5);
        downMass += amount * (y + 0.5);
        most = Math.max(most, amount);
      }
    }
  }
  if (!mass) {
    return null;
  }
  const unit = Math.max(right - left + 1, bottom - top + 1) / BOX;
  const across = acrossMass / mass - (SIDE / 2) * unit;
  const down = downMass / mass - (SIDE / 2) * unit;
  const picture = new Float32Array(PIXELS);
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      let sum = 0;
      for (let tap = 0; tap < TAPS * TAPS; tap++) {
        const y = Math.floor(down + (row + ((tap >> 3) + 0.5) / TAPS) * unit);
        const x = Math.floor(across + (column + ((tap & 7) + 0.5) / TAPS) * unit);
        if (x >= 0 && x < width && y >= 0 && y < height) {
          sum += ink[y * width + x];
        }
      }
      picture[row * SIDE + column] = sum / (TAPS * TAPS * most);
    }
  }
  return picture;
}
