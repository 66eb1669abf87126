/**
 * What has been signed last, in the state directory: a trail that was cut off behind a signature
 * looks whole in itself, and only someone who knew more can tell.
 *
 * @module
 */

import { join } from "node:path";

import type { StateFiles } from "./signing_key.ts";

/** The last checkpoint that is known to be on the disk. */
export interface TrailHead {
  /** Absolute path of the trail. */
  readonly path: string;
  readonly file: number;
  readonly first: number;
  readonly records: number;
  /** Hash of the checkpoint's line. */
  readonly hash: string;
}

/** Name of the file, in the state directory. */
export const HEAD_FILE = "audit-head.json";

/** Reads it. @returns `"damaged"` when it cannot be read as one. @throws {TunnelError} `STATE_UNUSABLE` */
export async function readHead(
  stateDir: string,
  files: Pick<StateFiles, "read">,
): Promise<TrailHead | "damaged" | undefined> {
  const text = await files.read(join(stateDir, HEAD_FILE));
  if (text === undefined) return undefined;
  try {
    const { path, file, first, records, hash } = JSON.parse(text) as Partial<TrailHead>;
    const isSound = typeof path === "string" && typeof hash === "string" &&
      [file, first, records].every((count) => Number.isSafeInteger(count) && count! >= 0);
    if (!isSound) return "damaged";
    return { path, file: file!, first: first!, records: records!, hash };
  } catch {
    // Not JSON, or `null`: the caller says what that means.
    return "damaged";
  }
}

/** Writes it. @throws {TunnelError} `STATE_UNUSABLE` */
export function writeHead(
  stateDir: string,
  files: Pick<StateFiles, "replace">,
  head: TrailHead,
): Promise<void> {
  return files.replace(join(stateDir, HEAD_FILE), `${JSON.stringify(head)}\n`);
}
