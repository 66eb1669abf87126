/**
 * The admin socket's file: made private, taken over when nobody listens behind it any more.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { chmod, lstat, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";

import { TunnelError } from "../errors.ts";
import { prepareStateDir } from "../identity/state_dir.ts";
import { SOCKET_PATH_BYTES } from "../limits.ts";

/** False for a path that the system would cut off or refuse. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_PATH_BYTES;
}

/**
 * Lets `server` listen on `path`, mode 0600. The mode comes a moment after the file; until then its
 * folder, which must be 0700, keeps others out. Closing the server removes the file, on both
 * runtimes; a second removal here could hit the file of an edge that has just come after.
 *
 * Two edges that start at the same moment could both find the socket stale. Their other listeners
 * collide then, and two edges must not share a state directory anyway.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE` when another edge answers there, `STATE_UNUSABLE`.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  await prepareStateDir(dirname(path));
  await removeStale(path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
  }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "EADDRINUSE") throw inUse(path, cause);
    throw unusable(path, cause.message, cause);
  });
  await chmod(path, 0o600).catch((cause: Error) => {
    throw unusable(path, cause.message, cause);
  });
}

async function removeStale(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined); // absent, or `listen` says what is wrong
  if (stats === undefined) return;
  if (!stats.isSocket()) {
    throw unusable(path, "it is not a socket (move it away, the edge listens there)");
  }
  const code = await new Promise<string>((resolve) => {
    const attempt = connect({ path });
    attempt.once("connect", () => {
      attempt.destroy();
      resolve("connected");
    });
    attempt.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
  });
  if (code === "ENOENT") return;
  // Only this says that nobody listens. A listener that is busy gives another code.
  if (code !== "ECONNREFUSED") throw inUse(path);
  await unlink(path).catch((cause: Error) => {
    throw unusable(path, cause.message, cause);
  });
}

function inUse(path: string, cause?: unknown): TunnelError {
  return new TunnelError(
    "ADDRESS_IN_USE",
    `Cannot listen on "${path}": another edge with this state directory is running ` +
      "(stop it, or give this one another edge.state_dir)",
    { cause },
  );
}

function unusable(path: string, problem: string, cause?: unknown): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot listen on "${path}": ${problem}`, { cause });
}
