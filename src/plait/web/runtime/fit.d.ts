import type { AsyncNet, Input, Net, Settings, Tensor, TypedArray } from "./plait.js";

/** Rows of data, one after the other or nested; or by name, if a net takes several. */
export type Rows = TypedArray | readonly Input[];

export interface EvaluateOptions {
  inputs: Rows | Record<string, Rows>;
  /** For each row its class, or what `loss` compares outputs with. */
  targets: Rows;
  /**
   * The mean loss of a batch, given outputs and targets. Default: that of the training,
   * over rows that fill batches, if the export has it (`plait.export(evaluate=True)`).
   */
  loss?: (output: Tensor, targets: TypedArray | unknown[]) => number;
  /** How many rows to give to the net at once, if it takes any number. Default: 256. */
  batchSize?: number;
  signal?: AbortSignal;
  /** Let the page do other things after so many milliseconds. Default: 16. */
  yieldEvery?: number;
}

export interface Evaluation {
  /** How many rows were looked at. */
  count: number;
  /** The part of rows whose largest output is that of their class. */
  accuracy?: number;
  loss?: number;
}

export interface FitOptions {
  inputs: Rows | Record<string, Rows>;
  targets: Rows;
  /** One that was exported. Default: the largest. Rows that fill none are left out. */
  batchSize?: number;
  /** Default: 1. */
  epochs?: number;
  /** Take rows in a new order in each epoch. Default: true. */
  shuffle?: boolean;
  /** An integer that settles the orders. Default: 0. */
  seed?: number;
  /** Such as { lr: 0.1 }, or a function of the number of the step that returns them. */
  settings?: Settings | ((step: number) => Settings);
  /** What to evaluate after each epoch. */
  validation?: EvaluateOptions;
  onBatch?: (at: { epoch: number; batch: number; step: number; loss: number }) => void;
  /** Called with what was measured; training ends if it returns false. */
  onEpoch?: (record: EpochRecord) => unknown;
  /** If it is aborted, `fit` rejects with its reason. What was learned stays. */
  signal?: AbortSignal;
  /** Let the page do other things after so many milliseconds. Default: 16. */
  yieldEvery?: number;
}

export interface EpochRecord {
  epoch: number;
  /** The mean over its batches. */
  loss: number;
  validationAccuracy?: number;
  validationLoss?: number;
}

/** Train a net for some epochs; return what was measured in each. */
export function fit(net: Net | AsyncNet, options: FitOptions): Promise<EpochRecord[]>;

/** Measure how well a net predicts. */
export function evaluate(
  net: Net | AsyncNet,
  options: EvaluateOptions,
): Promise<Evaluation>;
