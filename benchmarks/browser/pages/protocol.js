// How a page answers the harness: as the peers' processes do (peers/protocol.py), but
// it fetches each request from the server, and posts the answer.
//
// A peer is a module with
//   load(threads) -> facts                       once; versions and threads
//   make(spec, work) -> {check, run}             see `arrays` for `work`
// where run(times) does the work, and hands typed arrays over and reads the result back
// each time; it may return a promise.

/** Fetch the weights and the batches that `spec` names, as typed arrays. */
export async function arrays(spec) {
  const found = {};
  for (const [name, { url, kind, shape }] of Object.entries(spec.arrays)) {
    const bytes = await (await fetch(url)).arrayBuffer();
    const values = kind === "int32" ? new Int32Array(bytes) : new Float32Array(bytes);
    found[name] = { values, shape };
  }
  const batches = [];
  for (let i = 0; `x${i}` in found; i++) {
    batches.push({ x: found[`x${i}`].values, y: found[`y${i}`]?.values });
  }
  return { weights: found, batches };
}

/** Answer requests until there are no more. */
export async function serve(peer, tab, threads) {
  let work = null;
  const answer = async (request) => {
    if (request.make) {
      work?.free?.(); // the memory of the work before
      work = null;
      work = await peer.make(request.make, await arrays(request.make));
      return { check: work.check };
    }
    if (request.run) {
      await work.run(request.warm);
      const start = performance.now();
      const promise = work.run(request.run);
      if (promise) await promise;
      return { seconds: (performance.now() - start) / 1000 };
    }
    return { facts: await peer.load(threads) };
  };
  for (;;) {
    const asked = await fetch(`/ask?tab=${tab}`);
    if (asked.status === 204) continue; // nothing yet
    if (!asked.ok) return;
    let said;
    try {
      said = await answer(await asked.json());
    } catch (error) {
      said = { error: `${error?.stack ?? error}` };
    }
    await fetch(`/answer?tab=${tab}`, { method: "POST", body: JSON.stringify(said) });
  }
}

/** Say how long after the navigation the first result of `spec` was there. */
export async function first(peer, tab, threads, spec) {
  let said;
  try {
    await peer.load(threads);
    const { run } = await peer.make({ ...spec, check: 0 }, invented(spec));
    await run(1);
    said = { seconds: performance.now() / 1000 };
  } catch (error) {
    said = { error: `${error?.stack ?? error}` };
  }
  await fetch(`/answer?tab=${tab}`, { method: "POST", body: JSON.stringify(said) });
}

/** Return weights and a batch drawn at random, as a page of its own would begin. */
function invented(spec) {
  const draw = (shape, scale) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < values.length; i++) values[i] = (2 * Math.random() - 1) * scale;
    return { values, shape };
  };
  const weights = {};
  for (const [name, { shape }] of Object.entries(spec.arrays)) {
    if (!/^[xy]\d/.test(name)) weights[name] = draw(shape, shape.at(-1) ** -0.5);
  }
  const y = new Int32Array(spec.batch).map((_, i) => i % 10);
  return { weights, batches: [{ x: draw([spec.batch, 784], 1).values, y }] };
}

/** Return a function that goes through the batches again and again. */
export function cycle(batches) {
  let i = 0;
  return () => batches[i++ % batches.length];
}

/** Return `run(times)` of a function that is called with one batch after the other. */
export function again(call, batches) {
  const next = cycle(batches);
  return (times) => {
    for (let i = 0; i < times; i++) call(next());
  };
}

/** The same where calls return promises. */
export function againLater(call, batches) {
  const next = cycle(batches);
  return async (times) => {
    for (let i = 0; i < times; i++) await call(next());
  };
}

/** Return some of the values, to be compared between peers (peers/workloads.py). */
export function some(values) {
  const step = Math.max(1, Math.floor(values.length / 61));
  return Array.from(values).filter((_, i) => i % step === 0);
}

/** Return the largest of the scores of each row as what is 1, and others as 0. */
export function oneHot(labels, count) {
  return Array.from(labels, (label) =>
    Array.from({ length: count }, (_, i) => (i === label ? 1 : 0)));
}

/** Throw unless losses went down. */
export function mustLearn(losses) {
  const [begin, end] = [losses[0], losses.at(-1)];
  if (!(end < begin)) throw new Error(`did not learn: loss ${begin}, then ${end}`);
}

/**
 * Return a linear layer's weight (out, in) as (in, out), for peers with channels last
 * if `channels` says how many its inputs come from.
 */
export function linearWeight({ values, shape: [outer, inner] }, channels = 1) {
  const places = inner / channels;
  const moved = new Float32Array(values.length);
  for (let o = 0; o < outer; o++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < places; p++) {
        moved[(p * channels + c) * outer + o] = values[o * inner + c * places + p];
      }
    }
  }
  return moved;
}

/** Return a convolution's weight (out, in, rows, columns) as (rows, columns, in, out). */
export function filterWeight({ values, shape: [outer, inner, rows, columns] }) {
  const moved = new Float32Array(values.length);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      for (let p = 0; p < rows * columns; p++) {
        moved[(p * inner + i) * outer + o] = values[(o * inner + i) * rows * columns + p];
      }
    }
  }
  return moved;
}
