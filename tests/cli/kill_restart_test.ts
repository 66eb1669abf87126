// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { type Answer, ask, startServer } from "../support/http_probe.ts";
import { endRoles, type Roles, startRoles } from "../support/role_processes.ts";

/** A silent connection is given up after 15 s, and a rift then dials again within seconds. */
const RECOVERY_MS = 60_000;

test("a rift comes back by itself after its edge was killed and started again", async () => {
  await withRoles(async (roles) => {
    const before = await ask(roles.url);
    roles.edge.signal("SIGKILL");
    await roles.edge.result;
    const edge = await roles.restartEdge();
    const after = await askUntilServed(roles.url);
    const [riftEnd, edgeEnd] = await endRoles(roles.rift, edge);

    assert.equal(String(before.body), "served");
    assert.equal(String(after.body), "served");
    assert.equal(riftEnd!.code, 0, riftEnd!.stderr);
    assert.equal(edgeEnd!.code, 0, edgeEnd!.stderr);
  });
});

test("a new rift with the credential of a killed one serves at once", async () => {
  await withRoles(async (roles) => {
    const before = await ask(roles.url);
    roles.rift.signal("SIGKILL");
    await roles.rift.result;
    const rift = await roles.startRift();
    const after = await ask(roles.url);
    const [riftEnd, edgeEnd] = await endRoles(rift, roles.edge);

    assert.equal(String(before.body), "served");
    assert.equal(after.status, 200, String(after.body));
    assert.equal(String(after.body), "served");
    assert.equal(riftEnd!.code, 0, riftEnd!.stderr);
    assert.equal(edgeEnd!.code, 0, edgeEnd!.stderr);
  });
});

async function withRoles(run: (roles: Roles) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-kill-"));
  const upstream = await startServer((_request, response) => response.end("served"));
  try {
    await run(await startRoles({ folder, protocol: "http", upstream: upstream.url }));
  } finally {
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Asks until the tunnel is up again: a caller has nothing else to wait for. */
async function askUntilServed(url: string): Promise<Answer> {
  const deadline = performance.now() + RECOVERY_MS;
  for (;;) {
    const answer = await ask(url);
    if (answer.status === 200) return answer;
    assert.equal(answer.status, 503, String(answer.body));
    assert.ok(performance.now() < deadline, "the rift did not come back");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
