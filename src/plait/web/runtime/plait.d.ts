/**
 * Loads a model that plait has exported, and runs it: in pages, workers and Node.
 *
 *     import { load } from "./plait.js";
 *     const net = await load("./");
 *     const scores = net.predict(pixels);
 *     const { loss } = net.trainStep(pixels, labels, { lr: 0.1 });
 */

/** Everything that the script raises on purpose: what happened, got and expected. */
export class PlaitError extends Error {}

export type TypedArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | BigUint64Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** A result: numbers in a row, the last axis fastest, and the lengths of the axes. */
export type Tensor<Data extends TypedArray = Float32Array> = Data & { shape: number[] };

/**
 * What can be given: a number, an array of numbers, flat or nested, or a typed array.
 * A typed array of the dtype that is asked for is taken as it is; others are converted
 * if each number is kept. float16 and bfloat16 are given and returned as their bits.
 */
export type Input = number | bigint | boolean | TypedArray | readonly Input[];

/** What a function takes besides tensors, by name; what is left out has its default. */
export type Settings = Record<string, number>;

/** A tensor's name, lengths of axes and element type. `at` is its address. */
export interface Port {
  name: string;
  shape: number[];
  dtype: string;
  at: number;
  /** "hyperparameter", of what is a setting; or the role in the state. */
  role?: string;
  default?: number;
}

/** A function for one number of rows: several may have one name. */
export interface ExportedFunction {
  name: string;
  symbol: string;
  inputs: Port[];
  outputs: Port[];
  /** The lines of Python whose indices may be out of range. */
  alarms: string[];
  /** Rows do not depend on each other, so any number of them can be given. */
  rows?: boolean;
}

/** How a tensor is stored that is not in the file as it is. */
export type Stored = { dtype: string; scale?: string; axis?: number } | { zeros: true };

/** The file manifest.json of an export. */
export interface Manifest {
  format: "plait";
  version: 1;
  name: string;
  made_by: string;
  state: (Port & { stored?: Stored })[];
  functions: ExportedFunction[];
  modules: { file: string; features: string[]; sha256?: string; memory?: number }[];
  weights: { file: string; sha256: string };
  /** Names of classes. */
  labels?: string[];
}

/** What all nets have: see `Net`. */
export interface AnyNet {
  readonly manifest: Manifest;
  /** What the program makes use of, such as "relaxed-simd". */
  readonly features: readonly string[];
  readonly threads: number;
  readonly backend: "wasm" | "webgpu";
  /** End workers, and forget everything. What comes after fails. */
  dispose(): void | Promise<void>;
}

/** A model with its state. Memory needs no care: it goes with the net. */
export interface Net extends AnyNet {
  /**
   * Return what the model says to some rows: a tensor, or several by name.
   * @throws PlaitError shapes or numbers do not fit, or an index is out of range; the
   *   message then says in which line of Python.
   */
  predict<Result = Tensor>(...inputs: (Input | Settings)[]): Result;
  /**
   * Train with one batch, of just the size that was exported; the last argument may be
   * settings. If a label is out of range, nothing changes.
   */
  trainStep<Result = { loss: number; output: Tensor }>(
    ...inputs: (Input | Settings)[]
  ): Result;
  /** Call an exported function by its name in Python. */
  call<Result = unknown>(name: string, ...inputs: (Input | Settings)[]): Result;
  /** Return a copy of a parameter or another part of the state. */
  state<Result = Tensor>(name: string): Result;
  /** Overwrite a part of the state. */
  setState(name: string, x: Input): void;
  /** Return the state as a file of safetensors, which Python reads. */
  save(): Promise<Uint8Array>;
  /**
   * Take the state from such a file, from here or from Python. It must have all of the
   * state, and may have more. If it does not fit, nothing changes.
   */
  restore(file: Uint8Array | ArrayBuffer): void;
  dispose(): void;
}

/** A net that is elsewhere: in a worker, or on the graphics card. */
export interface AsyncNet extends AnyNet {
  /** Why it is not on the graphics card, if it was to be. */
  readonly reason?: string;
  predict<Result = Tensor>(...inputs: (Input | Settings)[]): Promise<Result>;
  trainStep<Result = { loss: number; output: Tensor }>(
    ...inputs: (Input | Settings)[]
  ): Promise<Result>;
  call<Result = unknown>(
    name: string,
    ...inputs: (Input | Settings)[]
  ): Promise<Result>;
  state<Result = Tensor>(name: string): Promise<Result>;
  setState(name: string, x: Input): Promise<void>;
  save(): Promise<Uint8Array>;
  restore(file: Uint8Array | ArrayBuffer): Promise<void>;
}

export interface Options {
  /**
   * More than 1: use workers as further threads, if the export has a program for that
   * and the page is cross-origin isolated. `net.threads` says what came of it.
   */
  threads?: number;
  /** "webgpu" gives an `AsyncNet`. Default: "wasm". */
  backend?: "wasm" | "webgpu";
  /** What may be made use of. Default: all that there is. */
  features?: readonly string[];
  /** Gives a file of the export by its name. Default: fetch, or in Node the disk. */
  read?: (name: string) => Response | Promise<Response>;
}

/**
 * Load an export.
 * @param folder its address, relative to the page; in Node a path or file: URL.
 * @throws PlaitError a file is missing, damaged or of another version, or nothing in
 *   the export can run here. All is checked before it is used.
 */
export function load(
  folder: string | URL,
  options: Options & { backend: "webgpu" },
): Promise<AsyncNet>;
export function load(folder?: string | URL, options?: Options): Promise<Net>;

// For the other scripts:

export const ARRAYS: Record<string, new (length: number) => TypedArray>;
export function fail(what: string, got: unknown, expected: unknown): never;
export function sizeOf(shape: readonly number[]): number;
export function isList(x: unknown): x is TypedArray | readonly unknown[];
export function shaped<T extends TypedArray>(
  data: T,
  shape: number[],
): Tensor<T> | T[0];
export function codeOf(dtype: string): string;
