import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Readable, Writable } from "node:stream";
import { test, type TestContext } from "node:test";

import type { Io } from "../../../src/cli/io.ts";
import { readOtlpHeaders } from "../../../src/cli/otlp_headers.ts";
import { loadConfig } from "../../../src/config/load.ts";

const CANARY = "canary-41ad";
const CONFIG = `[audit]
otlp_endpoint = "https://collector.example.com/v1/logs"
otlp_headers_file = "otlp.headers"
`;

function begin(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-otlp-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const printed: string[] = [];
  const sink = () =>
    new Writable({
      write: (chunk, _encoding, done) => {
        printed.push(String(chunk));
        done();
      },
    });
  const io: Io = {
    stdin: Readable.from([]),
    stdout: sink(),
    stderr: sink(),
    env: {},
    cwd: folder,
    signal: new AbortController().signal,
  };
  const path = join(folder, "otlp.headers");
  const read = (text?: string, mode = 0o600) => {
    if (text !== undefined) {
      writeFileSync(path, text);
      chmodSync(path, mode);
    }
    return readOtlpHeaders(io, loadConfig({ text: CONFIG, file: "mcptun.toml", cwd: folder }));
  };
  return { read, printed, io, path };
}

test("headers are read from their file, one a line, and never shown", (t) => {
  const { read, printed } = begin(t);

  const headers = read(`Authorization: Bearer ${CANARY}\r\n\nx-scope:\ta: b \n`);

  const shown = [...headers].map(([name, value]) => [name, value.reveal()]);
  assert.deepEqual(shown, [["authorization", `Bearer ${CANARY}`], ["x-scope", "a: b"]]);
  assert.equal(String(headers.get("authorization")), "[redacted]");
  assert.deepEqual(printed, []);
});

test("a file that others can read is warned of", { skip: process.platform === "win32" }, (t) => {
  const { read, printed } = begin(t);

  read(`X-Key: ${CANARY}`, 0o644);

  assert.match(printed.join(""), /otlp\.headers can be read by other users/);
  assert.ok(!printed.join("").includes(CANARY));
});

test("without the key there are none", (t) => {
  const { io } = begin(t);

  assert.equal(readOtlpHeaders(io, loadConfig({ text: "" })).size, 0);
});

test("a file that holds anything else is refused, with its place and without its text", (t) => {
  const { read } = begin(t);
  const bad = [
    "",
    " \n\n",
    CANARY,
    `Authorization Bearer ${CANARY}`,
    `Authorization: ${CANARY}\n${CANARY}`,
    `X-Key: ${CANARY}\nx-key: ${CANARY}`,
    `X-Key: ${CANARY}\u00e9`,
    `X-Key: ${CANARY}\u0000`,
    `X Key: ${CANARY}`,
    `X-Key:`,
    `Host: ${CANARY}`,
    `Content-Type: ${CANARY}`,
    `Content-Length: 1`,
    `Transfer-Encoding: ${CANARY}`,
    `Proxy-Authorization: ${CANARY}`,
    `X-Key: ${"a".repeat(20_000)}`,
  ];
  let ran = 0;
  for (const text of bad) {
    assert.throws(
      () => read(text),
      (error: Error & { code?: string }) =>
        error.code === "CONFIG_INVALID" &&
        error.message.startsWith("mcptun.toml:3:1 audit.otlp_headers_file: ") &&
        !error.message.includes(CANARY),
      JSON.stringify(text.slice(0, 80)),
    );
    ran++;
  }
  assert.equal(ran, 16);
});

test("a file that is not there is refused", (t) => {
  const { read } = begin(t);

  assert.throws(() => read(), { code: "CONFIG_INVALID", message: /no such file/ });
});
