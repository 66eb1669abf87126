import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test, type TestContext } from "node:test";

import { credentialKeeper } from "../../../src/cli/credential_keeper.ts";
import { systemClock } from "../../../src/clock.ts";
import {
  type Credential,
  decodeCredential,
  encodeCredential,
  issueRiftCredential,
} from "../../../src/identity/credential.ts";
import { CredentialStore } from "../../../src/identity/credential_store.ts";
import { openTunnelCa, type TunnelCa } from "../../../src/identity/tunnel_ca.ts";
import { type LogFields, type Logger, silentLogger } from "../../../src/log.ts";
import type { RenewedMaterial } from "../../../src/rift/rift_options.ts";

const TTL_MS = 3_600_000;
const asUser = process.platform === "win32" || process.getuid?.() === 0
  ? { skip: "nothing is forbidden to this user" }
  : {};
let stateDir: string;
let ca: TunnelCa;
let credential: Credential;

before(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "mcptun-keeper-state-"));
  ca = await openTunnelCa({ stateDir, clock: systemClock, log: silentLogger });
  credential = await issueRiftCredential({
    ca,
    store: await CredentialStore.open({ stateDir }),
    name: "laptop",
    tunnels: ["code"],
    ttlMs: TTL_MS,
    address: "edge.example:4443",
    clock: systemClock,
  });
});

after(() => rm(stateDir, { recursive: true }));

test("credentialKeeper() replaces the file, private and whole, again and again", async (t) => {
  const { file, folder, log } = await setUp(t);
  const { keep } = credentialKeeper({ credential, file, log });
  const first = await renewed();
  const second = await renewed();

  await keep(first);
  const afterFirst = await readCredential(file);
  await keep(second);
  const afterSecond = await readCredential(file);

  assert.equal(afterFirst.material.certPem, first.certPem);
  assert.equal(afterSecond.material.certPem, second.certPem);
  assert.equal(afterSecond.material.keyPem, second.keyPem);
  assert.deepEqual(
    [afterSecond.name, afterSecond.address, afterSecond.tunnels],
    ["laptop", "edge.example:4443", ["code"]],
  );
  if (process.platform !== "win32") assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(folder), ["token"]);
  assert.equal(log.warnings.length, 0);
});

test("credentialKeeper() writes where a link leads, and leaves the link", async (t) => {
  const { file, folder, log } = await setUp(t);
  const linked = join(folder, "link");
  await symlink(file, linked);
  const material = await renewed();

  await credentialKeeper({ credential, file: linked, log }).keep(material);

  assert.equal((await readCredential(file)).material.certPem, material.certPem);
  assert.equal((await readCredential(linked)).material.certPem, material.certPem);
});

test("credentialKeeper() never writes over a credential that someone else put there", async (t) => {
  const { file, log } = await setUp(t);
  const texts = ["", "not a credential", encodeOther(await renewed())];
  let kept = 0;

  for (const text of texts) {
    await writeFile(file, text);
    const { keep } = credentialKeeper({ credential, file, log });
    await keep(await renewed());
    await keep(await renewed());
    assert.equal(await readFile(file, "utf8"), text);
    kept++;
  }

  assert.equal(kept, 3);
  assert.equal(log.warnings.length, 3);
});

test("credentialKeeper() warns once when there is no file, or none to write", async (t) => {
  const { folder, log } = await setUp(t);
  const places = [undefined, join(folder, "none", "token")];
  let warned = 0;

  for (const file of places) {
    const { keep } = credentialKeeper({ credential, file, log });
    await keep(await renewed());
    await keep(await renewed());
    warned++;
    assert.equal(log.warnings.length, warned);
    assert.ok(log.warnings.at(-1)?.["remedy"]);
    assert.ok(log.warnings.at(-1)?.["ends"]);
  }

  assert.equal(warned, 2);
});

test(
  "credentialKeeper() writes the next time when the folder was closed to it",
  asUser,
  async (t) => {
    const { file, folder, log } = await setUp(t);
    const { keep } = credentialKeeper({ credential, file, log });
    await chmod(folder, 0o500);
    await keep(await renewed());
    await chmod(folder, 0o700);
    const material = await renewed();

    await keep(material);

    assert.equal(log.warnings.length, 1);
    assert.equal((await readCredential(file)).material.certPem, material.certPem);
  },
);

test("fresh() gives the credential of this rift that somebody put into the file, once", async (t) => {
  const { file, log } = await setUp(t);
  const keeper = credentialKeeper({ credential, file, log });
  const other = await renewed();
  const before = await keeper.fresh();
  await writeFile(file, encodeOther(other));

  const found = await keeper.fresh();
  const again = await keeper.fresh();
  const material = await renewed();
  await keeper.keep(material);

  assert.equal(before, undefined);
  assert.equal(found?.certPem, other.certPem);
  assert.equal(again, undefined);
  assert.equal((await readCredential(file)).material.certPem, material.certPem, "it is kept there");
  assert.equal(log.warnings.length, 0);
});

test("fresh() never goes back to the one in the file when a renewed one could not be written", async (t) => {
  const { file, log } = await setUp(t);
  const keeper = credentialKeeper({ credential, file, log });
  await rm(file);
  await keeper.keep(await renewed());
  await writeFile(file, encodeCredential(credential).reveal());

  assert.equal(await keeper.fresh(), undefined);
});

test("fresh() warns once of a file that it cannot use, and takes a good one after it", async (t) => {
  const { file, log } = await setUp(t);
  const keeper = credentialKeeper({ credential, file, log });
  const other = await renewed();
  const elsewhere = { ...credential, address: "other.example:4443" };
  const texts = ["not a credential", encodeOther(await renewed(), elsewhere), ""];
  let looked = 0;
  for (const text of texts) {
    await writeFile(file, text);
    assert.equal(await keeper.fresh(), undefined);
    assert.equal(await keeper.fresh(), undefined);
    looked++;
  }
  await writeFile(file, encodeOther(other));

  assert.equal((await keeper.fresh())?.certPem, other.certPem);
  assert.equal(looked, 3);
  assert.equal(log.warnings.length, 3);
  assert.ok(!JSON.stringify(log.warnings).includes("not a credential"));
});

class TestLog implements Logger {
  readonly warnings: LogFields[] = [];
  debug(): void {}
  info(): void {}
  warn(_message: string, fields: LogFields = {}): void {
    this.warnings.push(fields);
  }
  error(): void {}
  child(): Logger {
    return this;
  }
}

async function setUp(t: TestContext): Promise<{ file: string; folder: string; log: TestLog }> {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-keeper-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "token");
  await writeFile(file, `${encodeCredential(credential).reveal()}\n`, { mode: 0o600 });
  return { file, folder, log: new TestLog() };
}

async function renewed(): Promise<RenewedMaterial> {
  return await ca.issue({ name: "laptop", ttlMs: 2 * TTL_MS });
}

function encodeOther({ certPem, keyPem }: RenewedMaterial, of = credential): string {
  const material = { ...of.material, certPem, keyPem };
  return encodeCredential({ ...of, material }).reveal();
}

async function readCredential(file: string): Promise<Credential> {
  return decodeCredential(await readFile(file, "utf8"));
}
