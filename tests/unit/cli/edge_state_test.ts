import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { EdgeState } from "../../../src/cli/edge_state.ts";
import { issueRiftCredential } from "../../../src/identity/credential.ts";
import { derOfPem } from "../../../src/identity/pem.ts";
import { RiftsSeen } from "../../../src/identity/rifts_seen.ts";
import { silentLogger } from "../../../src/log.ts";
import { fakeClock } from "../../support/fake_clock.ts";

test("a rift that was there between two looks only was seen all the same", async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), "mcptun-edge-state-"));
  t.after(() => rm(stateDir, { recursive: true }));
  const clock = fakeClock(Date.now());
  const options = { stateDir, clock, log: silentLogger };
  const state = await EdgeState.open(options);
  const { serial, material } = await issueRiftCredential({
    ca: state.ca,
    store: state.credentials,
    name: "laptop",
    tunnels: ["web"],
    ttlMs: 3_600_000,
    address: "edge.example:4443",
    clock,
  });
  const certificate = derOfPem("CERTIFICATE", material.certPem)!;

  await state.authority().verify([certificate]);
  await state.close();
  const seen = (await RiftsSeen.open(options)).of(serial);

  assert.deepEqual(seen, { name: "laptop", lastSeenMs: clock.wallNow() });
});
