import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { type Clock, systemClock } from "../../../src/clock.ts";
import { TunnelError } from "../../../src/errors.ts";
import { isIssuedBy, isKeyOf, readCertificate } from "../../../src/identity/certificate.ts";
import {
  CA_LIFETIME_MS,
  MAX_CREDENTIAL_TTL_MS,
  openTunnelCa,
  SERVER_LIFETIME_MS,
  SERVER_NAME,
} from "../../../src/identity/tunnel_ca.ts";
import { silentLogger } from "../../../src/log.ts";

const START_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const log = silentLogger;
const onPosix = process.platform === "win32" ? { skip: "no file modes on Windows" } : {};

test("openTunnelCa() makes the CA and the server certificate at the first start", async (t) => {
  const stateDir = join(await temporaryDir(t), "deep", "state");

  const ca = await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });
  const material = await ca.serverMaterial();

  assert.deepEqual((await readdir(stateDir)).sort(), ["tunnel-ca.pem", "tunnel-server.pem"]);
  assert.equal(material.caPem, ca.caPem);
  assert.ok(isIssuedBy(material.certPem, ca.caPem));
  assert.ok(isKeyOf(material.keyPem, material.certPem));
  const server = readCertificate(material.certPem)!;
  assert.equal(server.dnsName, SERVER_NAME);
  assert.equal(server.notAfterMs, START_MS + SERVER_LIFETIME_MS);
  assert.ok(server.notBeforeMs < START_MS, "begins in the past for clock skew");
  assert.equal(readCertificate(ca.caPem)!.notAfterMs, START_MS + CA_LIFETIME_MS);
});

test(
  "openTunnelCa() makes a directory and files that only the owner can reach",
  onPosix,
  async (t) => {
    const stateDir = join(await temporaryDir(t), "state");

    await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });

    assert.equal((await stat(stateDir)).mode & 0o777, 0o700);
    for (const file of ["tunnel-ca.pem", "tunnel-server.pem"]) {
      assert.equal((await stat(join(stateDir, file))).mode & 0o777, 0o600);
    }
  },
);

test("openTunnelCa() opens the same CA and server certificate again", async (t) => {
  const stateDir = await temporaryDir(t);
  const first = await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });

  const second = await openTunnelCa({ stateDir, clock: clockAt(START_MS + DAY_MS), log });

  assert.equal(second.caPem, first.caPem);
  assert.deepEqual(await second.serverMaterial(), await first.serverMaterial());
});

test("openTunnelCa() ends with one CA when many first starts happen at once", async (t) => {
  const stateDir = join(await temporaryDir(t), "state");

  const opened = await Promise.all(
    Array.from({ length: 8 }, () => openTunnelCa({ stateDir, clock: clockAt(START_MS), log })),
  );

  assert.equal(new Set(opened.map((ca) => ca.caPem)).size, 1);
  for (const ca of opened) assert.ok(isIssuedBy((await ca.serverMaterial()).certPem, ca.caPem));
  assert.deepEqual((await readdir(stateDir)).sort(), ["tunnel-ca.pem", "tunnel-server.pem"]);
});

test("openTunnelCa() refuses a directory open to others and says chmod", onPosix, async (t) => {
  const stateDir = join(await temporaryDir(t), "state");
  await mkdir(stateDir);
  await chmod(stateDir, 0o755);

  await assertUnusable(openTunnelCa({ stateDir, clock: clockAt(START_MS), log }), [
    `chmod 700 "${stateDir}"`,
    "755",
  ]);
  assert.deepEqual(await readdir(stateDir), []);
});

test("openTunnelCa() refuses a file open to others and says chmod", onPosix, async (t) => {
  const stateDir = await temporaryDir(t);
  await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });
  const path = join(stateDir, "tunnel-ca.pem");
  await chmod(path, 0o640);

  await assertUnusable(openTunnelCa({ stateDir, clock: clockAt(START_MS), log }), [
    `chmod 600 "${path}"`,
  ]);
});

test("openTunnelCa() names a damaged file and never replaces it", async (t) => {
  const stateDir = await temporaryDir(t);
  await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });
  const other = await temporaryDir(t);
  await openTunnelCa({ stateDir: other, clock: clockAt(START_MS), log });
  let tried = 0;

  for (const file of ["tunnel-ca.pem", "tunnel-server.pem"]) {
    const path = join(stateDir, file);
    const good = await readFile(path, "utf8");
    const foreign = await readFile(join(other, file), "utf8");
    const foreignKey = foreign.slice(foreign.indexOf("-----BEGIN PRIVATE"));
    const key = good.indexOf("-----BEGIN PRIVATE");
    for (
      const damaged of [
        "",
        "x",
        good.slice(0, key),
        good.slice(0, -40),
        good.slice(0, key) + foreignKey,
      ]
    ) {
      await writeFile(path, damaged);

      await assertUnusable(openTunnelCa({ stateDir, clock: clockAt(START_MS), log }), [path]);
      assert.equal(await readFile(path, "utf8"), damaged);
      tried++;
    }
    await writeFile(path, good);
  }

  assert.equal(tried, 10);
});

test("openTunnelCa() refuses a leaf certificate in place of the CA", async (t) => {
  const stateDir = await temporaryDir(t);
  await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });
  const path = join(stateDir, "tunnel-ca.pem");
  await writeFile(path, await readFile(join(stateDir, "tunnel-server.pem")));

  await assertUnusable(openTunnelCa({ stateDir, clock: clockAt(START_MS), log }), [path, "CA"]);
});

test("openTunnelCa() refuses a path that is no directory", async (t) => {
  const stateDir = join(await temporaryDir(t), "file");
  await writeFile(stateDir, "x");

  await assertUnusable(openTunnelCa({ stateDir, clock: clockAt(START_MS), log }), [stateDir]);
});

test("openTunnelCa() refuses a CA that has ended, or has not begun", async (t) => {
  const stateDir = await temporaryDir(t);
  await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });

  await assertUnusable(
    openTunnelCa({ stateDir, clock: clockAt(START_MS + CA_LIFETIME_MS), log }),
    ["ended at 2035-12-30T00:00:00.000Z"],
  );
  await assertUnusable(
    openTunnelCa({ stateDir, clock: clockAt(START_MS - DAY_MS), log }),
    ["clock"],
  );
});

test("openTunnelCa() replaces a server certificate of another CA", async (t) => {
  const stateDir = await temporaryDir(t);
  const first = await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });
  await rm(join(stateDir, "tunnel-ca.pem"));

  const second = await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });

  assert.notEqual(second.caPem, first.caPem);
  assert.ok(isIssuedBy((await second.serverMaterial()).certPem, second.caPem));
});

test("serverMaterial() renews when less than a third is left, once for many callers", async (t) => {
  const stateDir = await temporaryDir(t);
  let nowMs = START_MS;
  const clock: Clock = { ...systemClock, wallNow: () => nowMs };
  const ca = await openTunnelCa({ stateDir, clock, log });
  const first = await ca.serverMaterial();

  nowMs = START_MS + 59 * DAY_MS;
  assert.equal((await ca.serverMaterial()).certPem, first.certPem);
  nowMs = START_MS + 61 * DAY_MS;
  const renewed = await Promise.all([ca.serverMaterial(), ca.serverMaterial()]);

  assert.notEqual(renewed[0].certPem, first.certPem);
  assert.equal(renewed[1].certPem, renewed[0].certPem);
  assert.equal(readCertificate(renewed[0].certPem)!.notAfterMs, nowMs + SERVER_LIFETIME_MS);
  const reopened = await openTunnelCa({ stateDir, clock, log });
  assert.equal((await reopened.serverMaterial()).certPem, renewed[0].certPem);
});

test("issue() makes a client certificate for the lifetime asked for", async (t) => {
  const ca = await openTunnelCa({
    stateDir: await temporaryDir(t),
    clock: clockAt(START_MS),
    log,
  });

  const issued = await ca.issue({ name: "laptop", ttlMs: 30 * DAY_MS });

  const facts = readCertificate(issued.certPem)!;
  assert.equal(facts.commonName, "laptop");
  assert.equal(facts.serial, issued.serial);
  assert.equal(issued.expiresAtMs, START_MS + 30 * DAY_MS);
  assert.equal(facts.notAfterMs, issued.expiresAtMs);
  assert.ok(isIssuedBy(issued.certPem, ca.caPem));
});

test("issue() never outlives the CA", async (t) => {
  const stateDir = await temporaryDir(t);
  await openTunnelCa({ stateDir, clock: clockAt(START_MS), log });
  const later = clockAt(START_MS + 300 * DAY_MS);
  const ca = await openTunnelCa({ stateDir, clock: later, log });

  const issued = await ca.issue({ name: "laptop", ttlMs: MAX_CREDENTIAL_TTL_MS });

  assert.equal(issued.expiresAtMs, START_MS + CA_LIFETIME_MS);
});

test("issue() refuses a lifetime outside its range and a wrong name", async (t) => {
  const ca = await openTunnelCa({
    stateDir: await temporaryDir(t),
    clock: clockAt(START_MS),
    log,
  });
  const lifetimes = [0, -1, NaN, Infinity, -Infinity, MAX_CREDENTIAL_TTL_MS + 1];
  const names = ["", "Laptop", "-a", "a b", "a\n", "a=b", "a,CN=b", "é", "a".repeat(65)];

  for (const ttlMs of lifetimes) {
    await assert.rejects(ca.issue({ name: "laptop", ttlMs }), RangeError);
  }
  for (const name of names) await assert.rejects(ca.issue({ name, ttlMs: 1_000 }), TypeError);

  assert.deepEqual([lifetimes.length, names.length], [6, 9]);
});

function clockAt(wallMs: number): Clock {
  return { ...systemClock, wallNow: () => wallMs };
}

async function temporaryDir(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "mcptun-ca-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function assertUnusable(opening: Promise<unknown>, parts: string[]): Promise<void> {
  await assert.rejects(opening, (error) => {
    assert.ok(error instanceof TunnelError);
    assert.equal(error.code, "STATE_UNUSABLE");
    for (const part of parts) {
      assert.ok(error.message.includes(part), `${part} in ${error.message}`);
    }
    assert.doesNotMatch(error.message, /PRIVATE KEY-/);
    return true;
  });
}
