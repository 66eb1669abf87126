import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inspect } from "node:util";

import { type Clock, systemClock } from "../../../src/clock.ts";
import { TunnelError } from "../../../src/errors.ts";
import { makeCa, makeLeaf } from "../../../src/identity/certificate.ts";
import {
  type Credential,
  decodeCredential,
  encodeCredential,
  issueRiftCredential,
} from "../../../src/identity/credential.ts";
import { CredentialStore } from "../../../src/identity/credential_store.ts";
import { derOfPem } from "../../../src/identity/pem.ts";
import {
  MAX_CREDENTIAL_TTL_MS,
  openTunnelCa,
  type TunnelCa,
} from "../../../src/identity/tunnel_ca.ts";
import { silentLogger } from "../../../src/log.ts";

const START_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const CLOCK: Clock = { ...systemClock, wallNow: () => START_MS };

let stateDir: string;
let ca: TunnelCa;
let store: CredentialStore;
let credential: Credential;
let encoded: string;
/** What the JSON inside the string says. */
let inside: Record<string, unknown>;

before(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "mcptun-credential-"));
  ca = await openTunnelCa({ stateDir, clock: CLOCK, log: silentLogger });
  store = await CredentialStore.open({ stateDir });
  credential = await issue({ name: "laptop" });
  encoded = encodeCredential(credential).reveal();
  inside = JSON.parse(Buffer.from(encoded.slice(5), "base64url").toString());
});

after(() => rm(stateDir, { recursive: true }));

test("a credential survives encodeCredential() and decodeCredential()", () => {
  assert.match(encoded, /^mcpt_[A-Za-z0-9_-]+$/);
  assert.ok(encoded.length < 3_000, `${encoded.length} characters`);
  assert.deepEqual(decodeCredential(encoded, CLOCK), credential);
});

test("decodeCredential() accepts white space around the string", () => {
  assert.deepEqual(decodeCredential(`\r\n ${encoded}\n\n`, CLOCK), credential);
});

test("encodeCredential() gives a string that does not print", () => {
  assert.equal(inspect({ secret: encodeCredential(credential) }), "{ secret: [redacted] }");
});

test("issueRiftCredential() records public facts only", async () => {
  const records = await store.list();
  const text = await readFile(join(stateDir, "credentials.json"), "utf8");

  assert.deepEqual(records[0], {
    name: "laptop",
    serial: credential.serial,
    tunnels: ["team-a-*", "docs"],
    issuedAtMs: START_MS,
    expiresAtMs: START_MS + 30 * DAY_MS,
    revoked: false,
  });
  assert.doesNotMatch(text, /BEGIN|mcpt_/);
  assert.ok(!text.includes(String(inside["key"]).slice(20, 60)));
});

test("the certificate of an issued credential is verified by the store", async () => {
  const der = derOfPem("CERTIFICATE", credential.material.certPem)!;

  const rift = await store.verify([der], START_MS);

  assert.equal(rift.name, "laptop");
  assert.deepEqual(["team-a-x", "docs", "team-b-x"].map(rift.mayClaim), [true, true, false]);
});

test("decodeCredential() says what is wrong with a bad paste", () => {
  const cut = encoded.slice(0, -20);
  const wrapped = `${encoded.slice(0, 80)}\n${encoded.slice(80)}`;
  const bad: readonly [text: string, says: RegExp][] = [
    ["", /empty/],
    ["  \n", /empty/],
    [cut, /its end is missing/],
    [encoded.slice(0, 40), /its end is missing/],
    ["mcpt_", /characters|missing/],
    [wrapped, /white space inside/],
    [encoded.replace("mcpt_", "mcpt_ "), /white space inside/],
    [`"${encoded}"`, /quotes/],
    [`'${encoded}'`, /quotes/],
    ["mcpu_" + "x".repeat(43), /user token/],
    [credential.material.certPem, /PEM/],
    [encoded.slice(5), /begin with mcpt_/],
    [encoded.toUpperCase(), /begin with mcpt_/],
    [encoded + "=", /characters/],
    [encoded + encoded, /damaged|characters|end is missing/],
    ["mcpt_" + "A".repeat(40_000), /too long/],
    ["mcpt_" + Buffer.from("[1]}").toString("base64url"), /damaged/],
    ["mcpt_" + Buffer.from([0xff, 0xfe, 0x7d]).toString("base64url"), /damaged/],
  ];
  let refused = 0;

  for (const [text, says] of bad) {
    assertInvalid(() => decodeCredential(text, CLOCK), says);
    refused++;
  }

  assert.equal(refused, 18);
});

test("decodeCredential() checks every field", async () => {
  const wide = { notBeforeMs: START_MS - DAY_MS, notAfterMs: START_MS + DAY_MS };
  const other = await issue({ name: "other" });
  const foreignCa = await makeCa("mcptun tunnel CA", wide);
  const server = await ca.serverMaterial();
  const strange = await makeLeaf(foreignCa, { ...wide, commonName: "No Rift", usage: "client" });
  const base64 = (label: "CERTIFICATE" | "PRIVATE KEY", pem: string) =>
    Buffer.from(derOfPem(label, pem)!).toString("base64");
  const otherKey = base64("PRIVATE KEY", other.material.keyPem);
  const changes: readonly [Record<string, unknown>, RegExp][] = [
    [{ v: 2 }, /newer mcptun/],
    [{ v: 0 }, /version/],
    [{ v: "1" }, /version/],
    [{ v: undefined }, /version/],
    [{ extra: 1 }, /update mcptun/],
    [{ addr: undefined }, /host:port/],
    [{ addr: "edge" }, /host:port/],
    [{ addr: "edge:0" }, /host:port/],
    [{ addr: "edge:65536" }, /host:port/],
    [{ addr: "a b:1" }, /host:port/],
    [{ addr: "https://edge:1" }, /host:port/],
    [{ addr: "::1:443" }, /host:port/],
    [{ addr: 4443 }, /host:port/],
    [{ tunnels: [] }, /damaged/],
    [{ tunnels: "a" }, /damaged/],
    [{ tunnels: [1] }, /damaged/],
    [{ tunnels: ["["] }, /pattern/],
    [{ tunnels: Array.from({ length: 65 }, (_, at) => `t${at}`) }, /damaged/],
    [{ ca: undefined }, /CA certificate/],
    [{ ca: "" }, /CA certificate/],
    [{ ca: "AAAA" }, /CA certificate/],
    [{ ca: inside["cert"] }, /CA certificate/],
    [{ ca: base64("CERTIFICATE", foreignCa.certPem) }, /not from the CA/],
    [{ cert: "AAAA" }, /the certificate in it is not valid/],
    [{ cert: inside["ca"] }, /the certificate in it is not valid/],
    [{ cert: base64("CERTIFICATE", other.material.certPem) }, /private key/],
    [{ cert: base64("CERTIFICATE", strange.certPem) }, /no rift name/],
    [{ cert: base64("CERTIFICATE", server.certPem) }, /private key/],
    [{ key: otherKey }, /private key/],
    [{ key: "AAAA" }, /private key/],
    [{ key: null }, /private key/],
  ];
  let refused = 0;

  for (const [change, says] of changes) {
    const text = encodeInside({ ...inside, ...change });
    assertInvalid(() => decodeCredential(text, CLOCK), says);
    refused++;
  }

  assert.equal(refused, 31);
});

test("decodeCredential() never takes one changed character for another credential", () => {
  let tried = 0;

  for (let at = 5; at < encoded.length; at += 7) {
    const text = encoded.slice(0, at) + (encoded[at] === "A" ? "B" : "A") + encoded.slice(at + 1);
    try {
      const decoded = decodeCredential(text, CLOCK);
      // No signature covers the address and the globs; the handshake proves the address.
      assert.deepEqual(decoded.material, credential.material);
    } catch (error) {
      assertCredentialError(error);
    }
    tried++;
  }

  assert.ok(tried > 200);
});

test("decodeCredential() reads the address of names, IPv4 and IPv6", () => {
  const addresses = [
    "edge.example.com:4443",
    "localhost:1",
    "192.0.2.1:65535",
    "[2001:db8::1]:4443",
  ];

  const read = addresses.map((addr) =>
    decodeCredential(encodeInside({ ...inside, addr }), CLOCK).address
  );

  assert.deepEqual(read, addresses);
});

test("decodeCredential() of an ended credential says when it ended and what to run", () => {
  const atEnd: Clock = { ...systemClock, wallNow: () => START_MS + 30 * DAY_MS };

  assertInvalid(
    () => decodeCredential(encoded, atEnd),
    /ended at 2026-01-31T00:00:00\.000Z; .*mcptun token issue --rift laptop/,
  );
});

test("issueRiftCredential() refuses wrong input before anything is stored", async () => {
  const wrong: readonly [Partial<IssueChanges>, "USAGE" | "CONFIG_INVALID"][] = [
    [{ name: "" }, "USAGE"],
    [{ name: "Big" }, "USAGE"],
    [{ name: "a\nb" }, "USAGE"],
    [{ name: "laptop" }, "USAGE"],
    [{ ttlMs: 0 }, "USAGE"],
    [{ ttlMs: -1 }, "USAGE"],
    [{ ttlMs: NaN }, "USAGE"],
    [{ ttlMs: MAX_CREDENTIAL_TTL_MS + 1 }, "USAGE"],
    [{ tunnels: [] }, "USAGE"],
    [{ tunnels: Array.from({ length: 65 }, () => "a") }, "USAGE"],
    [{ tunnels: ["["] }, "CONFIG_INVALID"],
    [{ address: "edge" }, "USAGE"],
    [{ address: "0.0.0.0:0" }, "USAGE"],
  ];
  const known = (await store.list()).length;
  let refused = 0;

  for (const [change, code] of wrong) {
    await assert.rejects(
      issue({ name: "fresh", ...change }),
      (error) => error instanceof TunnelError && error.code === code,
    );
    refused++;
  }

  assert.equal(refused, 13);
  assert.equal((await store.list()).length, known);
});

interface IssueChanges {
  name: string;
  ttlMs: number;
  tunnels: string[];
  address: string;
}

function issue(changes: Partial<IssueChanges>): Promise<Credential> {
  return issueRiftCredential({
    ca,
    store,
    name: "laptop",
    tunnels: ["team-a-*", "docs"],
    ttlMs: 30 * DAY_MS,
    address: "edge.example.com:4443",
    clock: CLOCK,
    ...changes,
  });
}

function encodeInside(value: Record<string, unknown>): string {
  return "mcpt_" + Buffer.from(JSON.stringify(value)).toString("base64url");
}

function assertInvalid(decode: () => unknown, says: RegExp): void {
  assert.throws(decode, (error) => {
    assertCredentialError(error);
    assert.match(error.message, says);
    return true;
  });
}

/** Asserts the code, and that neither message nor cause holds a piece of the secret. */
function assertCredentialError(error: unknown): asserts error is TunnelError {
  assert.ok(error instanceof TunnelError, String(error));
  assert.equal(error.code, "CREDENTIAL_INVALID");
  const printed = inspect(error, { depth: 9 });
  assert.ok(!printed.includes(String(inside["key"]).slice(40, 60)));
  assert.ok(!printed.includes(encoded.slice(-60, -40)));
}
