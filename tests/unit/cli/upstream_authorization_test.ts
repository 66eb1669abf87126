import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Readable, Writable } from "node:stream";
import { test } from "node:test";

import type { Io } from "../../../src/cli/io.ts";
import { readUpstreamAuthorization } from "../../../src/cli/upstream_authorization.ts";

const PLACE = "mcptun.toml:4:1 rift.expose[0].authorization_file";

function fakeIo(): { readonly io: Io; readonly printed: string[] } {
  const printed: string[] = [];
  const sink = () =>
    new Writable({
      write: (chunk, _encoding, done) => {
        printed.push(String(chunk));
        done();
      },
    });
  const io = {
    stdin: Readable.from([]),
    stdout: sink(),
    stderr: sink(),
    env: {},
    cwd: ".",
    signal: new AbortController().signal,
  };
  return { io, printed };
}

test("a rift reads the Authorization for its private server, and never shows it", () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-authorization-"));
  const path = join(folder, "upstream.auth");
  try {
    writeFileSync(path, "Bearer canary-7d1\n", { mode: 0o600 });
    const { io, printed } = fakeIo();
    const value = readUpstreamAuthorization(io, path, PLACE);

    assert.equal(value.reveal(), "Bearer canary-7d1");
    assert.equal(String(value), "[redacted]");
    assert.deepEqual(printed, []);

    chmodSync(path, 0o644);
    readUpstreamAuthorization(io, path, PLACE);
    if (process.platform !== "win32") assert.match(printed.join(""), /can be read by other users/);

    const bad = [
      "",
      "canary-7d1",
      "Bearer canary-7d1\nX-Evil: 1",
      "Bearer canary-\u00e9",
      "Bearer ",
    ];
    for (const text of bad) {
      writeFileSync(path, text);
      assert.throws(
        () => readUpstreamAuthorization(io, path, PLACE),
        (error: Error & { code?: string }) =>
          error.code === "CONFIG_INVALID" && error.message.startsWith(PLACE) &&
          !error.message.includes("canary"),
        JSON.stringify(text),
      );
    }
    assert.equal(bad.length, 5);
    rmSync(path);
    assert.throws(() => readUpstreamAuthorization(io, path, PLACE), { code: "CONFIG_INVALID" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
