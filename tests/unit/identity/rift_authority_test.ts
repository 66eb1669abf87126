import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { isKeyOf, readCertificate } from "../../../src/identity/certificate.ts";
import {
  type Credential,
  issueRiftCredential,
  renewedCredential,
  rotateRiftCredential,
} from "../../../src/identity/credential.ts";
import { CredentialStore } from "../../../src/identity/credential_store.ts";
import { derOfPem, pemOfDer } from "../../../src/identity/pem.ts";
import { isRenewalProof, makeRenewalKey, readRenewed } from "../../../src/identity/renewal.ts";
import { riftAuthority } from "../../../src/identity/rift_authority.ts";
import { openTunnelCa } from "../../../src/identity/tunnel_ca.ts";
import { MAX_ACTIVE_CREDENTIALS } from "../../../src/limits.ts";
import { silentLogger } from "../../../src/log.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const DAY_MS = 86_400_000;
const TTL_MS = 30 * DAY_MS;

// --- recheck() ---

test("recheck() follows the record, not the certificate", async (t) => {
  const { clock, store, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  const fresh = await authority.recheck(rift);
  await store.revoke("laptop");

  await assert.rejects(authority.recheck(rift), refusal(/revoked/));
  await assert.rejects(authority.recheck({ ...rift, serial: "77" }), refusal(/not known/));
  clock.advance(TTL_MS);
  const other = await verify(await issue("other"));
  clock.advance(TTL_MS);

  await assert.rejects(authority.recheck(other), refusal(/ended at/));
  assert.equal(fresh.expiresAtMs, rift.expiresAtMs);
  assert.equal(fresh.mayClaim("team-a-x"), true);
});

test("recheck() never finds a later end than the certificate has", async (t) => {
  const { stateDir, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  const path = join(stateDir, "credentials.json");
  const file = JSON.parse(await readFile(path, "utf8"));
  file.credentials[0].expiresAtMs += DAY_MS;
  await writeFile(path, JSON.stringify(file));

  assert.equal((await authority.recheck(rift)).expiresAtMs, rift.expiresAtMs);
});

test("recheck() has a cause when the records cannot be read", async (t) => {
  const { stateDir, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  await writeFile(join(stateDir, "credentials.json"), "{");

  await assert.rejects(
    authority.recheck(rift),
    (error) => error instanceof TunnelError && error.cause !== undefined,
  );
});

// --- renew() ---

test("renew() makes a certificate of the same name, tunnels and lifetime for the rift's key", async (t) => {
  const { clock, store, ca, authority, issue, verify } = await setUp(t);
  const credential = await issue("laptop");
  const rift = await verify(credential);
  const key = makeRenewalKey();
  clock.advance(20 * DAY_MS);

  const renewed = await authority.renew(rift, key.publicKey);
  const facts = readCertificate(renewed.certificate)!;
  const certPem = pemOfDer("CERTIFICATE", renewed.certificate);

  assert.ok(isKeyOf(key.keyPem, certPem));
  assert.equal(facts.commonName, "laptop");
  assert.equal(facts.serial, renewed.rift.serial);
  assert.equal(renewed.rift.expiresAtMs, clock.wallNow() + TTL_MS);
  assert.equal(renewed.rift.mayClaim("team-a-x"), true);
  assert.equal(renewed.rift.mayClaim("team-b-x"), false);
  assert.equal((await authority.verify([renewed.certificate])).serial, facts.serial);
  assert.equal((await verify(credential)).serial, credential.serial);
  assert.equal((await store.list()).length, 2);
  const next = renewedCredential(credential, { certPem, keyPem: key.keyPem });
  assert.equal(next.serial, facts.serial);
  assert.deepEqual(next.tunnels, credential.tunnels);
  assert.deepEqual(
    readRenewed({ ...credential.material, caPem: ca.caPem }, {
      certificate: renewed.certificate,
      keyPem: key.keyPem,
    }),
    { certPem, keyPem: key.keyPem, expiresAtMs: facts.notAfterMs },
  );
});

test("renew() is refused while more than half of the life is left", async (t) => {
  const { clock, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  const { publicKey } = makeRenewalKey();
  clock.advance(15 * DAY_MS - 1);

  await assert.rejects(authority.renew(rift, publicKey), refusal(/more than half/));
  clock.advance(1);

  assert.equal(rift.renewableAtMs, clock.wallNow());
  assert.ok(await authority.renew(rift, publicKey));
});

test("renew() is refused for what was revoked, rotated, has ended or is not known", async (t) => {
  const { clock, store, authority, issue, verify, rotate } = await setUp(t);
  const { publicKey } = makeRenewalKey();
  const revoked = await verify(await issue("revoked"));
  const rotated = await verify(await issue("rotated"));
  clock.advance(20 * DAY_MS);
  await store.revoke("revoked");
  await rotate("rotated", { overlapMs: DAY_MS });
  const cases = [
    [revoked, /revoked/],
    [rotated, /rotated/],
    [{ ...rotated, serial: "77" }, /not known/],
  ] as const;
  let refused = 0;

  for (const [rift, says] of cases) {
    await assert.rejects(authority.renew(rift, publicKey), refusal(says));
    refused++;
  }
  clock.advance(DAY_MS);
  await assert.rejects(authority.renew(rotated, publicKey), refusal(/ended at/));

  assert.equal(refused, 3);
});

test("renew() takes P-256 keys only, in their one spelling", async (t) => {
  const { clock, store, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);
  const spki = (type: "ec" | "rsa", options: object): Uint8Array =>
    generateKeyPairSync(type as "ec", options as { namedCurve: string }).publicKey
      .export({ type: "spki", format: "der" });
  const good = makeRenewalKey().publicKey;
  const offCurve = Uint8Array.from(good);
  offCurve[90]! ^= 1;
  const wrong = [
    new Uint8Array(0),
    new Uint8Array(91),
    spki("ec", { namedCurve: "P-384" }),
    spki("rsa", { modulusLength: 2_048 }),
    offCurve,
    Uint8Array.of(...good, 0),
    good.subarray(0, 90),
  ];
  let refused = 0;

  for (const key of wrong) {
    await assert.rejects(authority.renew(rift, key), refusal(/P-256/));
    refused++;
  }

  assert.equal(refused, 7);
  assert.equal((await store.list()).length, 1);
});

test("renew() adds one record, however often one credential asks", async (t) => {
  const { clock, store, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);

  const first = await authority.renew(rift, makeRenewalKey().publicKey);
  const second = await authority.renew(rift, makeRenewalKey().publicKey);

  assert.deepEqual(
    (await store.list()).map(({ serial }) => serial),
    [rift.serial, second.rift.serial],
  );
  await assert.rejects(authority.recheck(first.rift), refusal(/not known/));
});

test("renew() for a copy of an old credential leaves the one that its rift is using", async (t) => {
  const { clock, authority, issue, verify, logged } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);
  const connected = await authority.renew(rift, makeRenewalKey().publicKey);
  await authority.recheck(connected.rift); // as a live connection does

  const copy = await authority.renew(rift, makeRenewalKey().publicKey);
  const third = await authority.renew(rift, makeRenewalKey().publicKey);
  await authority.verify([third.certificate]);

  assert.ok(await authority.recheck(connected.rift));
  assert.ok(await authority.recheck(third.rift));
  await assert.rejects(authority.recheck(copy.rift), refusal(/not known/), "nobody had used it");
  assert.deepEqual(logged, [["warn", "laptop"], ["warn", "laptop"]]);
});

test("renew() is refused when the name has too many that are in use", async (t) => {
  const { clock, store, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);
  for (let count = 1; count < MAX_ACTIVE_CREDENTIALS; count++) {
    await authority.verify([(await authority.renew(rift, makeRenewalKey().publicKey)).certificate]);
  }

  await assert.rejects(
    authority.renew(rift, makeRenewalKey().publicKey),
    refusal(/renewed too often/),
  );

  assert.equal((await store.list()).length, MAX_ACTIVE_CREDENTIALS);
});

test("renew() for years neither grows the file nor shortens the lifetime", async (t) => {
  const { clock, store, authority, issue, verify } = await setUp(t);
  let { rift } = { rift: await verify(await issue("laptop")) };
  await issue("neighbor", 3_000 * DAY_MS);

  for (let count = 0; count < 20; count++) {
    clock.advance(20 * DAY_MS + 777);
    ({ rift } = await authority.renew(rift, makeRenewalKey().publicKey));
  }

  const records = await store.list();
  assert.ok(records.length <= 4, `${records.length} records`);
  assert.ok(rift.expiresAtMs > clock.wallNow() + TTL_MS - 1_001);
});

test("renew() is refused when the CA leaves nothing to win", async (t) => {
  const { clock, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop", 3_650 * DAY_MS));
  clock.advance(2_000 * DAY_MS);

  await assert.rejects(
    authority.renew(rift, makeRenewalKey().publicKey),
    refusal(/ends with the tunnel CA/),
  );
});

test("renew() has a cause, and says nothing of it, when the records cannot be written", async (t) => {
  const { clock, stateDir, authority, issue, verify } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);
  await writeFile(join(stateDir, "credentials.json"), "{");

  await assert.rejects(authority.renew(rift, makeRenewalKey().publicKey), (error) => {
    assert.ok(error instanceof TunnelError && error.code === "REFUSED");
    assert.ok(error.cause !== undefined);
    assert.ok(!error.message.includes(stateDir));
    return true;
  });
});

// --- rotation ---

test("rotateRiftCredential() makes a second credential that works beside the first", async (t) => {
  const { clock, issue, verify, rotate } = await setUp(t);
  const old = await issue("laptop");
  clock.advance(DAY_MS);

  const fresh = await rotate("laptop", { overlapMs: 3_600_000 });
  const before = await verify(old);
  const after = await verify(fresh);
  clock.advance(3_600_000);

  assert.equal(before.expiresAtMs, clock.wallNow());
  assert.equal(after.expiresAtMs, clock.wallNow() - 3_600_000 + TTL_MS);
  assert.deepEqual(fresh.tunnels, old.tunnels);
  assert.equal(fresh.name, "laptop");
  assert.notEqual(fresh.serial, old.serial);
  await assert.rejects(verify(old), refusal(/ended at/));
  assert.equal((await verify(fresh)).serial, fresh.serial);
});

test("rotateRiftCredential() never lengthens a life, and ends it at once without overlap", async (t) => {
  const { clock, issue, verify, rotate } = await setUp(t);
  const old = await issue("laptop");
  clock.advance(TTL_MS - DAY_MS);

  const second = await rotate("laptop", { overlapMs: 300 * DAY_MS });
  const oldEndsMs = (await verify(old)).expiresAtMs;
  await rotate("laptop", { overlapMs: 0 });

  assert.equal(oldEndsMs, old.expiresAtMs);
  await assert.rejects(verify(old), refusal(/ended at/));
  await assert.rejects(verify(second), refusal(/ended at/));
});

test("rotateRiftCredential() also ends what was renewed, and keeps the lifetime", async (t) => {
  const { clock, store, authority, issue, verify, rotate } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);
  const renewed = await authority.renew(rift, makeRenewalKey().publicKey);

  const fresh = await rotate("laptop", { overlapMs: 1_000 });
  const again = await rotate("laptop", { overlapMs: 1_000 });

  assert.equal((await authority.recheck(renewed.rift)).expiresAtMs, clock.wallNow() + 1_000);
  assert.equal(fresh.expiresAtMs, clock.wallNow() + TTL_MS);
  assert.equal(again.expiresAtMs, clock.wallNow() + TTL_MS);
  assert.equal((await store.active("laptop", clock.wallNow())).length, 4);
});

test("rotateRiftCredential() refuses names without an active credential, and wrong values", async (t) => {
  const { store, issue, rotate } = await setUp(t);
  await issue("laptop");
  await issue("revoked");
  await store.revoke("revoked");
  const wrong = [
    () => rotate("nobody", { overlapMs: 0 }),
    () => rotate("revoked", { overlapMs: 0 }),
    () => rotate("laptop", { overlapMs: -1 }),
    () => rotate("laptop", { overlapMs: NaN }),
    () => rotate("laptop", { overlapMs: 0, ttlMs: 0 }),
    () => rotate("laptop", { overlapMs: 0, address: "nowhere" }),
  ];
  let refused = 0;

  for (const one of wrong) {
    await assert.rejects(one, { code: "USAGE" });
    refused++;
  }

  assert.equal(refused, 6);
  assert.equal((await store.list()).length, 2);
});

test("revoke() ends everything of a name: issued, renewed and rotated", async (t) => {
  const { clock, store, authority, issue, verify, rotate } = await setUp(t);
  const rift = await verify(await issue("laptop"));
  clock.advance(20 * DAY_MS);
  const renewed = await authority.renew(rift, makeRenewalKey().publicKey);
  const fresh = await rotate("laptop", { overlapMs: DAY_MS });

  const revoked = await store.revoke("laptop");

  assert.equal(revoked.length, 3);
  await assert.rejects(authority.recheck(rift), refusal(/revoked/));
  await assert.rejects(authority.recheck(renewed.rift), refusal(/revoked/));
  await assert.rejects(verify(fresh), refusal(/revoked/));
});

test("watch() tells of a revocation by another process", async (t) => {
  const { clock, stateDir, store, issue } = await setUp(t);
  await issue("laptop");
  const controller = new AbortController();
  t.after(() => controller.abort());
  const changed = new Promise<void>((resolve) =>
    store.watch({ clock, signal: controller.signal, onChange: resolve })
  );
  const command = await CredentialStore.open({ stateDir });

  await command.revoke("laptop");
  clock.advance(500);
  await changed;

  assert.equal((await store.list())[0]?.revoked, true);
});

// --- proofs and answers ---

test("isRenewalProof() holds for one key and one serial number", () => {
  const key = makeRenewalKey();
  const other = makeRenewalKey();
  const proof = key.prove("a1");

  assert.equal(isRenewalProof({ serial: "a1", publicKey: key.publicKey, proof }), true);
  assert.equal(isRenewalProof({ serial: "a2", publicKey: key.publicKey, proof }), false);
  assert.equal(isRenewalProof({ serial: "a1", publicKey: other.publicKey, proof }), false);
  assert.equal(
    isRenewalProof({ serial: "a1", publicKey: new Uint8Array(91), proof: new Uint8Array(1) }),
    false,
  );
});

test("isRenewalProof() holds for the example of the wire protocol", () => {
  const vectors = JSON.parse(readFileSync("tests/vectors/wire/control.json", "utf8"));
  const { value } = vectors.find(({ name }: { name: string }) => name === "renew");
  const bytes = (text: string): Uint8Array => Buffer.from(text.slice("hex:".length), "hex");

  assert.equal(
    isRenewalProof({
      serial: "4a1f0c52d7e69b380b1d2c3e4f506172",
      publicKey: bytes(value.publicKey),
      proof: bytes(value.proof),
    }),
    true,
  );
});

test("readRenewed() takes only a later certificate of the same CA and name for its own key", async (t) => {
  const { clock, ca, issue } = await setUp(t);
  const current = (await issue("laptop")).material;
  const key = makeRenewalKey();
  const made = async (name: string, ttlMs: number, from = ca): Promise<Uint8Array> => {
    const { certPem } = await from.certify({ name, ttlMs, publicKey: key.publicKey });
    return derOfPem("CERTIFICATE", certPem)!;
  };
  const foreign = (await setUp(t)).ca;
  clock.advance(1_000);
  const cases: readonly [Uint8Array, string, RegExp][] = [
    [Uint8Array.of(0x30), key.keyPem, /not a client certificate/],
    [derOfPem("CERTIFICATE", ca.caPem)!, key.keyPem, /not a client certificate/],
    [await made("laptop", 2 * TTL_MS, foreign), key.keyPem, /not from the edge's CA/],
    [await made("laptop", 2 * TTL_MS), makeRenewalKey().keyPem, /another key/],
    [await made("desktop", 2 * TTL_MS), key.keyPem, /another name/],
    [await made("laptop", DAY_MS), key.keyPem, /end later/],
  ];
  let refused = 0;

  for (const [certificate, keyPem, says] of cases) {
    const answer = readRenewed(current, { certificate, keyPem });
    assert.match("problem" in answer ? answer.problem : "", says);
    refused++;
  }

  assert.equal(refused, 6);
});

test("renewedCredential() refuses a pair of another rift", async (t) => {
  const { issue } = await setUp(t);
  const laptop = await issue("laptop");
  const desktop = await issue("desktop");

  assert.throws(() => renewedCredential(laptop, desktop.material), { code: "CREDENTIAL_INVALID" });
});

async function setUp(t: TestContext) {
  const stateDir = await mkdtemp(join(tmpdir(), "mcptun-authority-"));
  t.after(() => rm(stateDir, { recursive: true }));
  const clock = fakeClock();
  const ca = await openTunnelCa({ stateDir, clock, log: silentLogger });
  const store = await CredentialStore.open({ stateDir });
  const logged: (readonly [string, unknown])[] = [];
  const log = {
    ...silentLogger,
    warn: (_: string, fields?: Readonly<Record<string, unknown>>) =>
      void logged.push(["warn", fields?.["rift"]]),
  };
  const authority = riftAuthority({ ca, store, clock, log });
  const address = "edge.example:4443";
  return {
    stateDir,
    clock,
    ca,
    store,
    authority,
    logged,
    issue: (name: string, ttlMs = TTL_MS) =>
      issueRiftCredential({ ca, store, name, tunnels: ["team-a-*"], ttlMs, address, clock }),
    verify: ({ material }: Credential) =>
      authority.verify([derOfPem("CERTIFICATE", material.certPem)!]),
    rotate: (
      name: string,
      options: { overlapMs: number; ttlMs?: number; address?: string },
    ) => rotateRiftCredential({ ca, store, name, address, clock, ...options }),
  };
}

function refusal(says: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TunnelError);
    assert.equal(error.code, "REFUSED");
    assert.equal(error.cause, undefined);
    assert.match(error.message, says);
    assert.match(error.message, /^[\x20-\x7e]{10,160}$/);
    return true;
  };
}
