import type { AsyncNet, Options } from "./plait.js";

/**
 * Load an export in a worker of its own, so that the page stays responsive. The net is
 * used as one of plait.js, but all methods give promises. Node runs on until it is
 * disposed of.
 */
export function load(
  folder?: string | URL,
  options?: Omit<Options, "read">,
): Promise<AsyncNet>;
