import assert from "node:assert/strict";
import { test } from "node:test";

import { type Logger, silentLogger } from "../../../src/log.ts";
import type { ControlMessage } from "../../../src/wire/control.ts";
import { ENDS_AT_MS, type HandBench, startHandBench } from "../../support/hand_rift.ts";
import { authorityOf, MCP_TUNNEL, WEB_TUNNEL } from "../../support/tunnel_bench.ts";

const CODE = { name: "code", protocol: "mcp" } as const;
const LATE = { name: "late", protocol: "mcp" } as const;
const LATE_TUNNEL = { ...MCP_TUNNEL, name: "late" };

/** What the edge does when it has read a new configuration. */
function declare({ context }: HandBench, ...tunnels: readonly (typeof MCP_TUNNEL)[]): void {
  context.tunnels = new Map(tunnels.map((tunnel) => [tunnel.name, tunnel]));
  for (const session of context.sessions) session.tunnelsChanged(context.tunnels);
}

test("A tunnel that was not declared is granted as soon as it is", async () => {
  const bench = await startHandBench();
  const rift = await bench.connect({ tunnels: [CODE, LATE] });
  const refusal = await rift.hear();

  declare(bench, MCP_TUNNEL, LATE_TUNNEL);
  const answer = await rift.hear();

  assert.equal(refusal.type === "refusal" && refusal.tunnel, "late");
  assert.deepEqual(answer, { type: "claimed", tunnels: ["late"] });
  assert.ok(bench.context.registry.pick("late"));
});

test("A tunnel is granted late only with the protocol that was claimed", async () => {
  const bench = await startHandBench();
  const rift = await bench.connect({ tunnels: [CODE, LATE] });
  await rift.hear();

  declare(bench, MCP_TUNNEL, { ...WEB_TUNNEL, name: "late" });
  const served = bench.context.registry.pick("late");
  declare(bench, MCP_TUNNEL, LATE_TUNNEL);

  assert.equal(served, undefined);
  assert.deepEqual(await rift.hear(), { type: "claimed", tunnels: ["late"] });
});

test("A tunnel that was forbidden or given back is not granted later", async () => {
  const mayClaim = (tunnel: string): boolean => tunnel !== "secret";
  const bench = await startHandBench(
    authorityOf({ name: "r", serial: "1", expiresAtMs: Infinity, mayClaim }),
  );
  const rift = await bench.connect({
    tunnels: [CODE, LATE, { name: "secret", protocol: "mcp" }],
  });
  await rift.hear();
  await rift.hear();
  rift.say({ type: "release", tunnels: ["late"] });
  rift.say({ type: "heartbeat", sequence: 1 });
  await rift.hear();

  declare(bench, MCP_TUNNEL, LATE_TUNNEL, { ...MCP_TUNNEL, name: "secret" });

  assert.equal(bench.context.registry.pick("late"), undefined);
  assert.equal(bench.context.registry.pick("secret"), undefined);
});

test("A tunnel that is not declared any more is withdrawn, and granted again when it is back", async () => {
  const bench = await startHandBench();
  const rift = await bench.connect();

  declare(bench);
  const refusal = await rift.hear();
  const served = bench.context.registry.pick("code");
  declare(bench, MCP_TUNNEL);
  const answer = await rift.hear();

  assert.ok(refusal.type === "refusal");
  assert.equal(refusal.code, "tunnel_unknown");
  assert.equal(refusal.tunnel, "code");
  assert.equal(served, undefined);
  assert.deepEqual(answer, { type: "claimed", tunnels: ["code"] });
  assert.ok(bench.context.registry.pick("code"));
});

test("A rift gets 64 tunnels, however many messages it asks in", async () => {
  const bench = await startHandBench();
  const claims = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => ({ name: `t${from + at}`, protocol: "mcp" } as const));
  bench.context.tunnels = new Map(
    claims(0, 70).map(({ name }) => [name, { ...MCP_TUNNEL, name }]),
  );
  const rift = await bench.connect({ tunnels: claims(0, 60) });

  rift.say({ type: "claim", tunnels: claims(58, 10) });
  const answers: ControlMessage[] = [];
  for (let count = 0; count < 5; count++) answers.push(await rift.hear());

  assert.deepEqual(answers[0], {
    type: "claimed",
    tunnels: claims(58, 6).map(({ name }) => name),
  });
  for (const [at, answer] of answers.slice(1).entries()) {
    assert.ok(answer.type === "refusal");
    assert.equal(answer.code, "limit");
    assert.equal(answer.tunnel, `t${64 + at}`);
    assert.match(answer.reason, /^[\x20-\x7e]{20,200}$/);
  }
  assert.ok(bench.context.registry.pick("t63"));
  assert.equal(bench.context.registry.pick("t64"), undefined);
});

test("A check says what would be granted, registers nothing, and replaces nobody", async () => {
  const bench = await startHandBench();
  const serving = await bench.connect();
  const before = bench.context.registry.pick("code");

  const check = await bench.dial();
  check.say({
    type: "hello",
    versions: [1],
    features: ["check"],
    instance: "doctor",
    epoch: 99,
    software: "test",
    attempt: 0,
    tunnels: [CODE, LATE],
  });
  const welcome = await check.hear();
  const refusal = await check.hear();
  bench.clock.advance(1_000);
  const end = await check.connection.closed;
  serving.say({ type: "heartbeat", sequence: 1 });

  assert.ok(welcome.type === "welcome");
  assert.deepEqual(welcome.features, ["check"]);
  assert.deepEqual(welcome.tunnels, ["code"]);
  assert.equal(welcome.timeMs, 1_800_000_000_000);
  assert.equal(refusal.type === "refusal" && refusal.tunnel, "late");
  assert.equal(end.reason, "The check is done");
  assert.equal(bench.context.sessions.size, 1);
  assert.equal(bench.context.registry.pick("code"), before);
  assert.equal((await serving.hear()).type, "heartbeat_ack");
});

// --- Waiting for a private server ---

test("A rift waits only for what it may claim, until it claims it, and while it is healthy", async () => {
  const { clock, context, connect } = await startHandBench(
    authorityOf({
      name: "r",
      serial: "1",
      expiresAtMs: ENDS_AT_MS,
      mayClaim: (tunnel) => tunnel === "code",
    }),
  );
  const rift = await connect({ tunnels: [], waiting: ["code", "other"] });
  const [session] = context.sessions;
  const before = [session!.waitsFor("code"), session!.waitsFor("other")];
  clock.advance(4_900);
  clock.advance(4_900);
  const silent = session!.waitsFor("code");
  rift.say({ type: "claim", tunnels: [{ name: "code", protocol: "mcp" }] });
  const answer = await rift.hear();

  assert.deepEqual(before, [true, false]);
  assert.equal(silent, false);
  assert.equal(answer.type, "claimed");
  assert.equal(session!.waitsFor("code"), false);
});

test("A rift that does not say what it waits for waits for nothing", async () => {
  const { context, connect } = await startHandBench();

  await connect({ tunnels: [] });

  assert.equal(context.sessions.size, 1);
  for (const session of context.sessions) assert.equal(session.waitsFor("code"), false);
});

test("A tunnel that comes up is logged once, however often it is given back and claimed", async () => {
  const served: unknown[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (message, fields) => void (message === "Rift serves a tunnel now" && served.push(fields)),
    child: () => log,
  };
  const { connect } = await startHandBench(undefined, log);
  const rift = await connect({ tunnels: [] });

  for (let times = 0; times < 3; times++) {
    rift.say({ type: "claim", tunnels: [{ name: "code", protocol: "mcp" }] });
    assert.equal((await rift.hear()).type, "claimed");
    rift.say({ type: "release", tunnels: ["code"] });
  }

  assert.deepEqual(served, [{ rift: "r", tunnels: "code" }]);
});
