import assert from "node:assert/strict";
import { test } from "node:test";

import type { RenewedRift, RiftAuthority, VerifiedRift } from "../../../src/edge/edge_options.ts";
import { TunnelError } from "../../../src/errors.ts";
import { makeRenewalKey } from "../../../src/identity/renewal.ts";
import { REFUSAL_READ_MS } from "../../../src/limits.ts";
import { ENDS_AT_MS, type HandRift, HELLO, startHandBench } from "../../support/hand_rift.ts";

const RIFT: VerifiedRift = {
  name: "r",
  serial: "a1",
  expiresAtMs: ENDS_AT_MS,
  mayClaim: () => true,
};
const RENEWING = { features: ["renew"] };
const CERTIFICATE = Uint8Array.of(0x30, 0x82, 0, 0);

/** An authority whose answers a test changes. */
class TestAuthority implements RiftAuthority {
  /** What `verify` and `recheck` say. */
  answer: VerifiedRift | Error = RIFT;
  rechecks = 0;
  renewals = 0;
  /** What `renew` says; by default the serial number "b2", a minute later. */
  onRenew: () => Promise<RenewedRift> = () => {
    const rift = { ...RIFT, serial: "b2", expiresAtMs: ENDS_AT_MS + 60_000 };
    this.answer = rift;
    return Promise.resolve({ rift, certificate: CERTIFICATE });
  };

  verify(): Promise<VerifiedRift> {
    return this.answer instanceof Error
      ? Promise.reject(this.answer)
      : Promise.resolve(this.answer);
  }

  recheck(): Promise<VerifiedRift> {
    this.rechecks++;
    return this.verify();
  }

  renew(): Promise<RenewedRift> {
    this.renewals++;
    return this.onRenew();
  }
}

async function setUp(answer: VerifiedRift = RIFT) {
  const authority = new TestAuthority();
  authority.answer = answer;
  const bench = await startHandBench(authority);
  const recheckAll = (): void => {
    for (const session of bench.context.sessions) session.recheck();
  };
  return { ...bench, authority, recheckAll };
}

function askRenewal(rift: HandRift, serial: string): void {
  const key = makeRenewalKey();
  rift.say({ type: "renew", publicKey: key.publicKey, proof: key.prove(serial) });
}

// --- The end ---

test("A connection is refused at the very millisecond its credential ends", async () => {
  const { clock, context, connect } = await setUp({ ...RIFT, expiresAtMs: ENDS_AT_MS - 56_789 });
  const rift = await connect();

  clock.advance(3_210);
  const before = context.registry.pick("code");
  clock.advance(1);
  const after = context.registry.pick("code");
  const message = await rift.hear();

  assert.ok(before);
  assert.equal(after, undefined);
  assert.equal(message.type === "refusal" && message.code, "credential");
});

test("A credential without an end in sight sets no timer beyond the heartbeat's", async () => {
  const { clock, context, connect } = await setUp({ ...RIFT, expiresAtMs: 1e15 });
  const rift = await connect();

  clock.advance(4_000);
  rift.say({ type: "heartbeat", sequence: 1 });
  await rift.hear();
  clock.advance(4_000);

  assert.ok(context.registry.pick("code"));
});

// --- Before the hello ---

test("A rift whose credential is not good is disconnected within a second, also when it says nothing", async () => {
  const { clock, context, authority, trusted, dial } = await setUp();
  authority.answer = new TunnelError("REFUSED", "This credential has been revoked");
  const codes: string[] = [];
  context.onRefused = (code) => void codes.push(code);
  const rift = await dial();
  await settled();

  clock.advance(REFUSAL_READ_MS);
  const end = await rift.connection.closed;

  assert.equal(end.kind, "peer");
  assert.equal(end.reason, "credential");
  assert.deepEqual(codes, ["credential"]);
  assert.equal(clock.pending, 0);
  assert.equal(trusted.length, 0);
});

test("A rift whose credential is not good is told why when it asks in time, and is not trusted", async () => {
  const { clock, authority, trusted, dial } = await setUp();
  authority.answer = new TunnelError("REFUSED", "This credential has been revoked");
  const rift = await dial();
  await settled();

  clock.advance(REFUSAL_READ_MS - 1);
  rift.say(HELLO);
  const message = await rift.hear();
  clock.advance(REFUSAL_READ_MS);
  const end = await rift.connection.closed;

  assert.equal(message.type === "refusal" && message.reason, "This credential has been revoked");
  assert.equal(end.reason, "credential");
  assert.equal(trusted.length, 0);
});

test("A rift that is let in is trusted; one that the edge cannot judge now has time for its hello", async () => {
  const { clock, authority, trusted, connect, dial } = await setUp();
  await connect();
  const afterFirst = trusted.length;
  authority.answer = new TunnelError("REFUSED", "The edge cannot tell", {
    cause: new Error("EIO"),
  });
  const rift = await dial();
  await settled();

  clock.advance(REFUSAL_READ_MS);
  authority.answer = RIFT;
  rift.say(HELLO);
  const answer = await rift.hear();

  assert.equal(afterFirst, 1);
  assert.equal(answer.type, "welcome");
  assert.equal(trusted.length, 2);
});

// --- Rechecks ---

test("A revoked rift is told why and out of rotation at once, and disconnected in a second", async () => {
  const { clock, context, authority, recheckAll, connect } = await setUp();
  const rift = await connect();
  authority.answer = new TunnelError("REFUSED", "This credential has been revoked");

  recheckAll();
  const message = await rift.hear();
  const link = context.registry.pick("code");
  clock.advance(1_000);
  const end = await rift.connection.closed;

  assert.deepEqual(message, {
    type: "refusal",
    code: "credential",
    reason: "This credential has been revoked",
    retryAfterMs: undefined,
    tunnel: undefined,
  });
  assert.equal(link, undefined);
  assert.equal(context.sessions.size, 0);
  assert.equal(end.reason, "credential");
});

test("A rift is told once when its credential was rotated, and when it ends", async () => {
  const { authority, recheckAll, connect } = await setUp();
  const rift = await connect();
  const endsMs = ENDS_AT_MS - 60_000;
  authority.answer = { ...RIFT, expiresAtMs: endsMs, renewableAtMs: Infinity };

  recheckAll();
  const told = await rift.hear();
  recheckAll();
  await settled();
  authority.answer = new TunnelError("REFUSED", "over");
  recheckAll();
  const next = await rift.hear();

  assert.deepEqual(told, { type: "ending", endsMs, reason: "The credential was rotated" });
  assert.equal(next.type, "refusal");
});

test("A rift is kept while the edge cannot tell, and looked at again at the next heartbeat", async () => {
  const { clock, context, authority, recheckAll, connect } = await setUp();
  const rift = await connect();
  authority.answer = new TunnelError("REFUSED", "The edge cannot tell", {
    cause: new Error("EIO"),
  });
  recheckAll();
  await settled();
  const kept = context.registry.pick("code");
  authority.answer = new TunnelError("REFUSED", "This credential has been revoked");

  clock.advance(5_000);
  const message = await rift.hear();

  assert.ok(kept);
  assert.equal(message.type === "refusal" && message.code, "credential");
});

test("A rift that was revoked between its check and its registration is found out", async () => {
  const { authority, dial } = await setUp();
  const rift = await dial();
  await settled(); // the first look, before the hello, is over
  const verify = authority.verify.bind(authority);
  authority.verify = async () => {
    const known = await verify();
    authority.verify = verify;
    authority.answer = new TunnelError("REFUSED", "This credential has been revoked");
    return known;
  };

  rift.say(HELLO);
  const welcome = await rift.hear();
  const message = await rift.hear();

  assert.equal(welcome.type, "welcome");
  assert.equal(message.type === "refusal" && message.reason, "This credential has been revoked");
});

test("Rechecks that come together become two, and the last answer counts", async () => {
  const { authority, recheckAll, connect } = await setUp();
  const rift = await connect();
  await settled();
  authority.rechecks = 0;
  const answers: ((rift: VerifiedRift) => void)[] = [];
  authority.recheck = () => {
    authority.rechecks++;
    return new Promise((resolve) => answers.push(resolve));
  };

  for (let count = 0; count < 5; count++) recheckAll();
  answers[0]!(RIFT);
  await settled();
  answers[1]!({ ...RIFT, mayClaim: () => false });
  const message = await rift.hear();

  assert.equal(authority.rechecks, 2);
  assert.equal(message.type === "refusal" && message.code, "tunnel_forbidden");
});

test("A recheck that brings an earlier end moves the end of the connection", async () => {
  const { clock, context, authority, recheckAll, connect } = await setUp();
  await connect();
  await settled();
  authority.answer = { ...RIFT, expiresAtMs: clock.wallNow() + 1_234 };

  recheckAll();
  await settled();
  clock.advance(1_233);
  const before = context.registry.pick("code");
  clock.advance(1);

  assert.ok(before);
  assert.equal(context.registry.pick("code"), undefined);
});

// --- Renewal ---

test("A renewed rift outlives the end of the credential it began with", async () => {
  const { clock, context, connect } = await setUp();
  const rift = await connect(RENEWING);

  askRenewal(rift, "a1");
  const answer = await rift.hear();
  for (let sequence = 1; clock.wallNow() < ENDS_AT_MS + 1_000; sequence++) {
    clock.advance(4_000);
    rift.say({ type: "heartbeat", sequence });
    assert.equal((await rift.hear()).type, "heartbeat_ack");
  }
  const link = context.registry.pick("code");

  assert.deepEqual(answer, { type: "renewed", certificate: CERTIFICATE });
  assert.equal(link?.status.serial, "b2");
  assert.equal(link?.status.expiresAtMs, ENDS_AT_MS + 60_000);
});

test("A renewal needs a proof for this credential with the new key itself", async () => {
  const { authority, connect } = await setUp();
  const key = makeRenewalKey();
  const proofs = [
    key.prove("a2"),
    makeRenewalKey().prove("a1"),
    Uint8Array.of(1),
    key.prove("a1").subarray(1),
  ];
  let refused = 0;

  for (const proof of proofs) {
    const rift = await connect(RENEWING);
    rift.say({ type: "renew", publicKey: key.publicKey, proof });
    const answer = await rift.hear();
    assert.equal(answer.type, "renew_refused");
    assert.equal(answer.type === "renew_refused" && answer.retryAfterMs, undefined);
    rift.connection.close(0, "");
    await rift.connection.closed;
    refused++;
  }

  assert.equal(refused, 4);
  assert.equal(authority.renewals, 0);
});

test("A second renewal within a minute is refused with the time that is left", async () => {
  const { clock, authority, connect } = await setUp();
  const rift = await connect(RENEWING);
  askRenewal(rift, "a1");
  await rift.hear();
  clock.advance(4_000);

  askRenewal(rift, "b2");
  const answer = await rift.hear();

  assert.equal(answer.type === "renew_refused" && answer.retryAfterMs, 56_000);
  assert.equal(authority.renewals, 1);
});

test("A second renewal before the answer, or one not agreed on, breaks the protocol", async () => {
  const { authority, connect } = await setUp();
  authority.onRenew = () => new Promise(() => {});
  const hasty = await connect(RENEWING);
  askRenewal(hasty, "a1");
  askRenewal(hasty, "a1");
  const plain = await connect({ instance: "i2", epoch: 11 });
  askRenewal(plain, "a1");

  const answers = [await hasty.hear(), await plain.hear()];

  assert.deepEqual(
    answers.map((answer) => answer.type === "refusal" && answer.code),
    ["protocol", "protocol"],
  );
});

test("A renewal that the authority refuses says when to ask again, if ever", async () => {
  const cases: readonly [VerifiedRift, Error, number | undefined][] = [
    [RIFT, new TunnelError("REFUSED", "Rotated"), undefined],
    [{ ...RIFT, renewableAtMs: Infinity }, new TunnelError("REFUSED", "Rotated"), undefined],
    [
      { ...RIFT, renewableAtMs: ENDS_AT_MS - 30_000 },
      new TunnelError("REFUSED", "Too early"),
      30_000,
    ],
    [RIFT, new TunnelError("REFUSED", "Later", { cause: new Error("ENOSPC /var") }), 60_000],
    [RIFT, new TypeError("at /var/lib"), 60_000],
  ];
  let refused = 0;

  for (const [known, error, retryAfterMs] of cases) {
    const { authority, connect } = await setUp(known);
    authority.onRenew = () => Promise.reject(error);
    const rift = await connect(RENEWING);
    askRenewal(rift, "a1");
    let answer = await rift.hear();
    if (answer.type === "ending") answer = await rift.hear();
    assert.ok(answer.type === "renew_refused");
    assert.equal(answer.retryAfterMs, retryAfterMs);
    assert.doesNotMatch(answer.reason, /var/);
    refused++;
  }

  assert.equal(refused, 5);
});

test("A recheck that began before a renewal does not undo it", async () => {
  const { context, authority, recheckAll, connect } = await setUp();
  const rift = await connect(RENEWING);
  await settled();
  let finish!: (rift: VerifiedRift) => void;
  const recheck = authority.recheck.bind(authority);
  authority.recheck = () => {
    authority.recheck = recheck;
    return new Promise((resolve) => finish = resolve);
  };

  recheckAll();
  askRenewal(rift, "a1");
  await rift.hear();
  finish(RIFT);
  await settled();

  assert.equal(context.registry.pick("code")?.status.serial, "b2");
});

// --- Who replaces whom ---

test("A renewed rift that comes back replaces its own older connection", async () => {
  const { clock, context, connect } = await setUp();
  const older = await connect(RENEWING);
  askRenewal(older, "a1");
  await older.hear();
  clock.advance(1);

  await connect({ ...RENEWING, epoch: 11 });
  const end = await older.connection.closed;

  assert.equal(end.reason, "Drained");
  assert.equal(context.sessions.size, 1);
});

test("A process that comes back with a renewal of another connection replaces its older one", async () => {
  const { context, authority, connect } = await setUp();
  const older = await connect();
  authority.answer = { ...RIFT, serial: "b2" };

  await connect({ epoch: 11 });
  const end = await older.connection.closed;

  assert.equal(end.reason, "Drained");
  assert.equal(context.sessions.size, 1);
});

test("A restarted rift that lost the renewed credential replaces the connection that has it", async () => {
  const { context, authority, connect } = await setUp();
  const older = await connect(RENEWING);
  askRenewal(older, "a1");
  await older.hear();
  authority.answer = RIFT;

  await connect({ ...RENEWING, instance: "i2", epoch: 11 });
  const end = await older.connection.closed;

  assert.equal(end.reason, "A newer rift took over");
  assert.equal(context.sessions.size, 1);
});

test("Two credentials of one name serve side by side", async () => {
  const { context, authority, connect } = await setUp();
  await connect();
  authority.answer = { ...RIFT, serial: "c3" };
  authority.recheck = (): Promise<VerifiedRift> => Promise.resolve({ ...RIFT, serial: "c3" });

  await connect({ instance: "i2", epoch: 11 });

  assert.equal(context.registry.links("code").length, 2);
});

/** Everything that waits for no timer has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}
