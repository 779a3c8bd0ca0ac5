import { load, PlaitError, type Net, type Tensor } from "./plait.js";
import { fit, evaluate } from "./fit.js";
import * as storage from "./storage.js";
import { load as loadInWorker } from "./worker.js";
const net: Net = await load("./", { threads: 2 });
const y: Tensor = net.predict(new Float32Array(784), [[1, 2], [3, 4]]);
const shape: number[] = y.shape;
const { loss } = net.trainStep([[1]], new BigInt64Array(3), { lr: 0.1 });
const n: number = loss;
const far = await loadInWorker("./");
const z: Tensor = await far.predict([1]);
const gpu = await load("./", { backend: "webgpu" });
const w: Promise<Tensor> = gpu.predict([1]);
const h = await fit(far, { inputs: new Float32Array(3), targets: [1, 2], onEpoch: (r) => r.loss > 1, settings: (step) => ({ lr: 1 / step }) });
const a: number | undefined = (await evaluate(net, { inputs: { x: [1] }, targets: [1] })).accuracy;
if (await storage.restore(net, "a")) await storage.download(net);
try { net.restore(await net.save()); } catch (e) { if (e instanceof PlaitError) console.log(e.message, shape, n, z, w, h, a); }
// @ts-expect-error a string is no number
net.predict("x");
// @ts-expect-error there is no such option
await load("./", { thread: 2 });
