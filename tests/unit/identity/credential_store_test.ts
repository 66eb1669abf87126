import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { type CertifiedKey, makeCa, readCertificate } from "../../../src/identity/certificate.ts";
import { type CredentialRecord, CredentialStore } from "../../../src/identity/credential_store.ts";
import { derOfPem } from "../../../src/identity/pem.ts";
import { makeClient } from "../../support/test_pki.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const VALIDITY = { notBeforeMs: NOW_MS - DAY_MS, notAfterMs: NOW_MS + 10 * DAY_MS };
const onPosix = process.platform === "win32" ? { skip: "no file modes on Windows" } : {};

test("CredentialStore starts empty and makes no file", async (t) => {
  const { store, stateDir } = await openStore(t);

  assert.deepEqual(await store.list(), []);
  assert.deepEqual(await readdir(stateDir), []);
});

test("add() stores a record that another store sees at once", async (t) => {
  const { store, stateDir } = await openStore(t);
  const other = await CredentialStore.open({ stateDir });
  const record = recordOf("laptop");

  await store.add(record);

  assert.deepEqual(await other.list(), [record]);
  assert.deepEqual(await readdir(stateDir), ["credentials.json"]);
});

test("add() writes a file that only the owner can reach", onPosix, async (t) => {
  const { store, path } = await openStore(t);

  await store.add(recordOf("laptop"));

  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("add() refuses an active name and suggests another", async (t) => {
  const { store } = await openStore(t);
  await store.add(recordOf("laptop"));
  await store.add(recordOf("laptop-2"));

  await assert.rejects(store.add(recordOf("laptop")), (error) => {
    assert.ok(error instanceof TunnelError);
    assert.equal(error.code, "USAGE");
    assert.match(error.message, /"laptop-3"/);
    return true;
  });
});

test("add() takes a name again when it ended or was revoked", async (t) => {
  const { store } = await openStore(t);
  await store.add(recordOf("ended", { expiresAtMs: NOW_MS }));
  await store.add(recordOf("revoked"));
  await store.revoke("revoked");

  await store.add(recordOf("ended"));
  await store.add(recordOf("revoked"));

  assert.equal((await store.list()).length, 4);
});

test("add() loses nothing when many stores add at once", async (t) => {
  const { stateDir, store } = await openStore(t);
  const stores = await Promise.all(
    Array.from({ length: 6 }, () => CredentialStore.open({ stateDir })),
  );

  await Promise.all(stores.map((one, at) => one.add(recordOf(`rift-${at}`))));

  assert.equal((await store.list()).length, 6);
  assert.deepEqual(await readdir(stateDir), ["credentials.json"]);
});

test("add() lets one of two stores have a name", async (t) => {
  const { stateDir, store } = await openStore(t);
  const other = await CredentialStore.open({ stateDir });

  const outcomes = await Promise.allSettled([
    store.add(recordOf("laptop")),
    other.add(recordOf("laptop")),
  ]);

  assert.deepEqual(outcomes.map((outcome) => outcome.status).sort(), ["fulfilled", "rejected"]);
});

test("add() refuses a record that is not valid", async (t) => {
  const { store } = await openStore(t);
  const wrong = [
    recordOf("Bad Name"),
    recordOf("a", { serial: "" }),
    recordOf("a", { serial: "XYZ" }),
    recordOf("a", { tunnels: ["["] }),
    recordOf("a", { expiresAtMs: NaN }),
  ];

  for (const record of wrong) await assert.rejects(store.add(record), TypeError);

  assert.equal(wrong.length, 5);
});

test("verify() tells who a known certificate belongs to and what it may claim", async (t) => {
  const { store } = await openStore(t);
  const { der, record } = await client("laptop", { tunnels: ["team-a-*"] });
  await store.add(record);

  const rift = await store.verify([der], NOW_MS);

  assert.equal(rift.name, "laptop");
  assert.equal(rift.serial, record.serial);
  assert.equal(rift.expiresAtMs, record.expiresAtMs);
  assert.equal(rift.mayClaim("team-a-docs"), true);
  assert.equal(rift.mayClaim("team-b-docs"), false);
});

test("verify() refuses with one printable line, whatever is wrong", async (t) => {
  const { store } = await openStore(t);
  const good = await client("good");
  const unknown = await client("unknown");
  const revoked = await client("revoked");
  const short = await client("short", { expiresAtMs: NOW_MS + DAY_MS });
  const renamed = await client("renamed");
  for (const record of [good.record, revoked.record, short.record]) await store.add(record);
  await store.add({ ...renamed.record, name: "someone-else" });
  await store.revoke("revoked");
  const cases: readonly [Uint8Array[], number, RegExp][] = [
    [[], NOW_MS, /cannot be read/],
    [[new Uint8Array(10)], NOW_MS, /cannot be read/],
    [[unknown.der], NOW_MS, /not known/],
    [[unknown.der, good.der], NOW_MS, /not known/],
    [[revoked.der], NOW_MS, /revoked/],
    [[short.der], NOW_MS + DAY_MS, /ended at 2026-01-02T00:00:00\.000Z/],
    [[good.der], NOW_MS + 10 * DAY_MS, /ended/],
    [[good.der], NOW_MS - 2 * DAY_MS, /not valid yet/],
    [[renamed.der], NOW_MS, /name/],
  ];
  let refused = 0;

  for (const [certificates, nowMs, says] of cases) {
    await assert.rejects(store.verify(certificates, nowMs), (error) => {
      assert.ok(error instanceof TunnelError);
      assert.equal(error.code, "REFUSED");
      assert.match(error.message, says);
      assert.match(error.message, /^[\x20-\x7e]{10,160}$/);
      return true;
    });
    refused++;
  }

  assert.equal(refused, 9);
  assert.equal((await store.verify([good.der], NOW_MS)).name, "good");
});

test("verify() sees what another process revoked or issued", async (t) => {
  const { store, stateDir } = await openStore(t);
  const { der, record } = await client("laptop");
  const command = await CredentialStore.open({ stateDir });
  await assert.rejects(store.verify([der], NOW_MS), TunnelError);

  await command.add(record);
  assert.equal((await store.verify([der], NOW_MS)).name, "laptop");
  const revoked = await command.revoke("laptop");

  assert.deepEqual(revoked.map((one) => one.serial), [record.serial]);
  await assert.rejects(store.verify([der], NOW_MS), /revoked/);
});

test("revoke() of an unknown or already revoked name changes nothing", async (t) => {
  const { store } = await openStore(t);
  await store.add(recordOf("laptop"));

  assert.deepEqual(await store.revoke("unknown"), []);
  assert.equal((await store.revoke("laptop")).length, 1);
  assert.deepEqual(await store.revoke("laptop"), []);
});

test("verify() refuses while the file is damaged, and keeps the path to itself", async (t) => {
  const { store, path } = await openStore(t);
  const { der, record } = await client("laptop");
  await store.add(record);
  const good = await readFile(path, "utf8");

  await writeFile(path, "{");
  await assert.rejects(store.verify([der], NOW_MS), (error) => {
    assert.ok(error instanceof TunnelError && error.cause instanceof TunnelError);
    assert.equal(error.code, "REFUSED");
    assert.ok(!error.message.includes(path));
    assert.equal(error.cause.code, "STATE_UNUSABLE");
    assert.ok(error.cause.message.includes(path));
    return true;
  });
  await writeFile(path, good);

  assert.equal((await store.verify([der], NOW_MS)).name, "laptop");
});

test("CredentialStore names a damaged file and leaves it alone", async (t) => {
  const { store, stateDir, path } = await openStore(t);
  await store.add(recordOf("laptop"));
  const good = JSON.parse(await readFile(path, "utf8"));
  const [record] = good.credentials;
  const damaged = [
    "",
    "{",
    "[]",
    "null",
    JSON.stringify({ ...good, version: 2 }),
    JSON.stringify({ ...good, credentials: {} }),
    JSON.stringify({ ...good, credentials: [null] }),
    JSON.stringify({ ...good, credentials: [{ ...record, revoked: "no" }] }),
    JSON.stringify({ ...good, credentials: [{ ...record, tunnels: ["["] }] }),
    JSON.stringify({ ...good, credentials: [{ ...record, tunnels: "*" }] }),
    JSON.stringify({ ...good, credentials: [{ ...record, expiresAtMs: undefined }] }),
    JSON.stringify({ ...good, credentials: [record, record] }),
  ];
  let refused = 0;

  for (const text of damaged) {
    await writeFile(path, text);
    const uses = [() => CredentialStore.open({ stateDir }), () => store.add(recordOf("more"))];
    for (const use of uses) {
      await assert.rejects(use, (error) => {
        assert.ok(error instanceof TunnelError);
        assert.equal(error.code, "STATE_UNUSABLE");
        assert.ok(error.message.includes(path));
        return true;
      });
    }
    assert.equal(await readFile(path, "utf8"), text);
    refused++;
  }

  assert.equal(refused, 12);
});

test("CredentialStore refuses a file open to others", onPosix, async (t) => {
  const { store, stateDir, path } = await openStore(t);
  await store.add(recordOf("laptop"));
  await chmod(path, 0o644);

  await assert.rejects(CredentialStore.open({ stateDir }), (error) => {
    assert.ok(error instanceof TunnelError);
    assert.equal(error.code, "STATE_UNUSABLE");
    assert.ok(error.message.includes(`chmod 600 "${path}"`));
    return true;
  });
});

let ca: Promise<CertifiedKey> | undefined;
let serials = 0;

async function client(
  name: string,
  changes: Partial<CredentialRecord> = {},
): Promise<{ der: Uint8Array; record: CredentialRecord }> {
  ca ??= makeCa("test CA", VALIDITY);
  const { certPem } = await makeClient(await ca, VALIDITY, name);
  const { serial, notAfterMs } = readCertificate(certPem)!;
  return {
    der: derOfPem("CERTIFICATE", certPem)!,
    record: recordOf(name, { serial, expiresAtMs: notAfterMs, ...changes }),
  };
}

function recordOf(name: string, changes: Partial<CredentialRecord> = {}): CredentialRecord {
  return {
    name,
    serial: (++serials).toString(16).padStart(32, "4"),
    tunnels: ["*"],
    issuedAtMs: NOW_MS,
    expiresAtMs: NOW_MS + 10 * DAY_MS,
    revoked: false,
    ...changes,
  };
}

async function openStore(
  t: TestContext,
): Promise<{ store: CredentialStore; stateDir: string; path: string }> {
  const stateDir = await mkdtemp(join(tmpdir(), "mcptun-store-"));
  t.after(() => rm(stateDir, { recursive: true }));
  const store = await CredentialStore.open({ stateDir });
  return { store, stateDir, path: join(stateDir, "credentials.json") };
}
