import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import type { ControlMessage } from "../../../src/wire/control.ts";
import { EdgeSession } from "../../../src/wire/edge_session.ts";
import { RiftSession } from "../../../src/wire/rift_session.ts";
import { chooseVersion, commonFeatures } from "../../../src/wire/version.ts";

const IDENTITY = { instance: "i-1", epoch: 1, software: "test", attempt: 0 };
const EDGE = { edge: "edge-1", heartbeatMs: 5_000 };
const A = { name: "a", protocol: "mcp" } as const;
const B = { name: "b", protocol: "http" } as const;
const NO_ROOM = { code: "limit", reason: "No room", retryAfterMs: 10, tunnel: "b" } as const;

function registered(tunnels: readonly (typeof A | typeof B)[] = [A]) {
  const rift = new RiftSession(IDENTITY);
  const edge = new EdgeSession(EDGE);
  edge.receive(rift.hello(tunnels));
  rift.receive(edge.welcome(["a"]));
  return { rift, edge };
}

test("a registration grants one tunnel and refuses the other", () => {
  const { rift, edge } = registered([A, B]);

  rift.receive(edge.refuse(NO_ROOM));

  assert.equal(rift.state, "open");
  assert.deepEqual(rift.tunnels, ["a"]);
  assert.deepEqual(edge.tunnels, ["a"]);
  assert.deepEqual(edge.undecided, []);
});

test("hello must be first and exactly one", () => {
  const { rift, edge } = registered();

  breaks(() => new EdgeSession(EDGE).receive({ type: "heartbeat", sequence: 1 }));
  breaks(() => edge.receive(new RiftSession(IDENTITY).hello([])));
  assert.throws(() => rift.hello([]), RangeError);
});

test("a rift without a common version is refused for good", () => {
  const edge = new EdgeSession(EDGE);

  const answer = edge.receive(new RiftSession({ ...IDENTITY, versions: [9] }).hello([]));

  assert.equal(answer?.type, "refusal");
  assert.equal(answer?.type === "refusal" && answer.code, "version");
  assert.equal(edge.state, "closed");
});

test("a refusal of the whole rift closes its session", () => {
  const { rift, edge } = registered();

  rift.receive(edge.refuse({ ...NO_ROOM, code: "credential", tunnel: undefined }));

  assert.equal(rift.state, "closed");
  assert.deepEqual(rift.tunnels, []);
});

test("a tunnel released while its claim is under way is given back when it is granted", () => {
  const { rift, edge } = registered();
  const claim = rift.claim([B]);
  assert.ok(claim);
  edge.receive(claim);
  assert.equal(rift.release(["b"]), undefined);

  const answer = rift.receive(edge.claimed(["b"]));

  assert.deepEqual(answer, { type: "release", tunnels: ["b"] });
  assert.deepEqual(rift.tunnels, ["a"]);
  edge.receive(answer);
  assert.deepEqual(edge.tunnels, ["a"]);
});

test("a heartbeat is answered with its sequence, and only the next one counts", () => {
  const { rift, edge } = registered();

  const answer = edge.receive(rift.heartbeat());

  assert.deepEqual(answer, { type: "heartbeat_ack", sequence: 1 });
  assert.equal(rift.unansweredHeartbeats, 1);
  rift.receive(answer);
  assert.equal(rift.unansweredHeartbeats, 0);
  breaks(() => rift.receive(answer));
  breaks(() => edge.receive({ type: "heartbeat", sequence: 1 }));
});

test("a message that may not come now is a protocol error", () => {
  const early: ControlMessage[] = [
    { type: "claimed", tunnels: ["a"] },
    { type: "goodbye", reason: "", deadlineMs: 0 },
    { type: "release", tunnels: ["a"] },
    { type: "claim", tunnels: [A] },
  ];
  let checked = 0;

  for (const message of early) {
    const rift = new RiftSession(IDENTITY);
    rift.hello([A]);
    breaks(() => rift.receive(message));
    breaks(() => new EdgeSession(EDGE).receive(message));
    checked += 1;
  }
  const { rift, edge } = registered();
  breaks(() => rift.receive({ type: "claimed", tunnels: ["c"] }));
  breaks(() => rift.receive({ ...NO_ROOM, type: "refusal" }));
  breaks(() => edge.receive({ type: "release", tunnels: ["c"] }));
  breaks(() => edge.receive({ type: "claim", tunnels: [A] }));

  assert.equal(checked, 4);
});

test("a goodbye comes once and ends claims", () => {
  const { rift, edge } = registered();

  edge.receive(rift.goodbye("Restart", 10));

  assert.equal(edge.riftLeaves, true);
  breaks(() => edge.receive({ type: "goodbye", reason: "", deadlineMs: 0 }));
  breaks(() => edge.receive({ type: "claim", tunnels: [B] }));
  assert.throws(() => rift.claim([B]), RangeError);
});

test("a welcome must keep to what was offered", () => {
  const welcome = { type: "welcome", ...EDGE, version: 1, features: [], tunnels: [] } as const;
  const bad: ControlMessage[] = [
    { ...welcome, version: 2 },
    { ...welcome, features: ["x"] },
    { ...welcome, tunnels: ["b"] },
  ];
  let checked = 0;

  for (const message of bad) {
    const rift = new RiftSession(IDENTITY);
    rift.hello([A]);
    breaks(() => rift.receive(message));
    checked += 1;
  }

  assert.equal(checked, 3);
});

test("chooseVersion() takes the highest common one, commonFeatures() the intersection", () => {
  assert.equal(chooseVersion([1, 3, 2], [1, 2]), 2);
  assert.equal(chooseVersion([4], [1, 2]), undefined);
  assert.deepEqual(commonFeatures(["b", "a", "b"], ["a", "b", "c"]), ["b", "a"]);
});

function breaks(run: () => unknown): void {
  assert.throws(run, (error) => error instanceof TunnelError && error.code === "PROTOCOL_ERROR");
}
