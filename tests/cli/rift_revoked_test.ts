import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { CredentialStore } from "../../src/identity/credential_store.ts";
import { startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

/** Two seconds are promised; a machine with more to do gets more. */
const ENDED_WITHIN_MS = 5_000;

const folder = mkdtempSync(join(tmpdir(), "mcptun-revoked-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a running edge sees a revocation, and the rift ends with the reason", async () => {
  const upstream = await startServer((_, response) => response.end("here"));
  const stateDir = join(folder, "state");
  const roles = await startRoles({
    folder,
    protocol: "http",
    upstream: upstream.url,
    edgeKeys: `state_dir = "state"`,
  });
  const store = await CredentialStore.open({ stateDir });

  await store.revoke("one");
  const revokedAtMs = performance.now();
  const { code, stderr } = await roles.rift.result;
  const tookMs = performance.now() - revokedAtMs;
  const [edge] = await endRoles(roles.edge);
  await upstream.close();

  assert.equal(code, 1);
  assert.ok(tookMs < ENDED_WITHIN_MS, `${tookMs} ms`);
  assert.match(stderr, /This credential has been revoked/);
  assert.equal(edge?.code, 0);
});
