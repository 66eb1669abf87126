/** Asks a running edge about itself, over its admin socket in the state directory. @module */

import { Buffer } from "node:buffer";
import { request } from "node:http";
import { join } from "node:path";

import type { EdgeConfig } from "../config/config.ts";
import { TunnelError } from "../errors.ts";
import { ADMIN_REPLY_BYTES, ADMIN_TIMEOUT_MS, SOCKET_PATH_BYTES } from "../limits.ts";

/** Where an edge with this state directory listens for its operator. */
export function adminSocket(stateDir: string): string {
  return join(stateDir, "admin.sock");
}

/**
 * The JSON that a running edge answers at `path`.
 *
 * @returns `undefined` when no edge listens there.
 * @throws {TunnelError} `NO_EDGE` when what listens there does not answer as an edge would, or when
 * `signal` gives up.
 */
export function askAdmin(
  { stateDir, signal }: Pick<EdgeConfig, "stateDir"> & { readonly signal?: AbortSignal },
  path: string,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socketPath = adminSocket(stateDir);
    const fail = (problem: string) =>
      reject(new TunnelError("NO_EDGE", `Cannot ask the edge at "${socketPath}": ${problem}`));
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES) {
      return fail("its path is longer than a socket may have (shorten edge.state_dir)");
    }
    const asked = request({
      socketPath,
      path,
      headers: { host: "localhost" },
      timeout: ADMIN_TIMEOUT_MS,
      // One question; a kept connection would be one more for the edge to hold.
      agent: false,
      ...(signal === undefined ? {} : { signal }),
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer in time")));
    asked.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") resolve(undefined);
      else if (error.code === "EACCES" || error.code === "EPERM") {
        fail("permission denied (run this as the user that the edge runs as)");
      } else fail(error.message);
    });
    asked.on("response", (answer) => {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      answer.on("data", (chunk: Uint8Array) => {
        bytes += chunk.length;
        if (bytes > ADMIN_REPLY_BYTES) asked.destroy(new Error("its answer is too large"));
        else chunks.push(chunk);
      });
      answer.on("error", (error) => fail(error.message));
      answer.on("end", () => {
        if (answer.statusCode !== 200) return fail(`it answered ${answer.statusCode}`);
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
        } catch {
          fail("its answer is not JSON"); // the parser's own message would quote it
        }
      });
    });
    asked.end();
  });
}
