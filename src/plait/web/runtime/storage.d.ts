import type { AsyncNet, Net } from "./plait.js";

/** Keep a net's state in this browser (IndexedDB), under a name. */
export function save(net: Net | AsyncNet, name: string): Promise<void>;

/** Take a net's state from what was kept; return whether there was anything. */
export function restore(net: Net | AsyncNet, name: string): Promise<boolean>;

/** Forget what was kept under a name. */
export function remove(name: string): Promise<void>;

/** Return the names under which something is kept. */
export function names(): Promise<string[]>;

/** Have the browser download a net's state as a file that Python reads. */
export function download(net: Net | AsyncNet, name?: string): Promise<void>;

/**
 * Take a net's state from a file. Without one the user chooses: call it in a handler of
 * a click then.
 */
export function upload(net: Net | AsyncNet, file?: Blob): Promise<void>;
