// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { runCliProcess } from "../support/cli_process.ts";
import { ask, openRequest, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

/** Two seconds are promised; a machine with more to do gets more. */
const CUT_WITHIN_MS = 5_000;

const folder = mkdtempSync(join(tmpdir(), "mcptun-user-revoked-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a running edge cuts the streams of a user whose token was revoked, and no others", async () => {
  const upstream = await startServer((request, response) => {
    request.resume();
    if (request.url !== "/events") return void response.end();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    response.on("close", () => response.end());
  });
  const { edge, rift, url } = await startRoles({
    folder,
    protocol: "http",
    upstream: upstream.url,
    moreConfig: 'auth = "edge"',
  });
  const [alice, bob] = [await issue("alice"), await issue("bob")];
  const open = async (token: string): Promise<IncomingMessage> => {
    // The edge looks for new tokens now and then.
    while ((await ask(url, bearer(token))).status !== 200);
    const { request, response } = openRequest(`${url}/events`, bearer(token));
    request.on("error", () => {}); // one of them is cut
    request.end();
    const message = await response;
    message.on("error", () => {});
    message.resume();
    return message;
  };
  const [cut, kept] = [await open(alice), await open(bob)];
  const gone = new Promise<void>((resolve) => cut.once("close", resolve));

  const revoked = await runCliProcess(["token", "revoke", "--user", "alice"], { cwd: folder });
  const revokedAtMs = performance.now();
  await gone;
  const tookMs = performance.now() - revokedAtMs;
  const refused = await ask(url, bearer(alice));
  const isKept = !kept.destroyed;
  kept.destroy();
  const results = await endRoles(rift, edge);
  await upstream.close();

  assert.equal(revoked.code, 0, revoked.stderr);
  assert.equal(cut.statusCode, 200);
  assert.equal(cut.complete, false);
  assert.ok(tookMs < CUT_WITHIN_MS, `${tookMs} ms`);
  assert.equal(refused.status, 401);
  assert.equal(isKept, true);
  assert.deepEqual(results.map(({ code }) => code), [0, 0]);
});

async function issue(user: string): Promise<string> {
  const { code, stdout, stderr } = await runCliProcess(
    ["token", "issue", "--user", user, "--ttl", "1h"],
    { cwd: folder },
  );
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

function bearer(token: string) {
  return { headers: { authorization: `Bearer ${token}` } };
}
