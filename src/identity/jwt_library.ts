/**
 * The one door to `jose`, which checks signatures.
 *
 * It is loaded with the first token: most commands never see one, and loading it takes a
 * noticeable part of a command's start.
 *
 * @module
 */

type Jose = typeof import("jose");

/** Loads the library; later calls get the same one. */
export function loadJose(): Promise<Jose> {
  loading ??= import("jose");
  return loading;
}

let loading: Promise<Jose> | undefined;
