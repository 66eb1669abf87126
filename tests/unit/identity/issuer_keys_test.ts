import assert from "node:assert/strict";
import { before, test } from "node:test";

import { IssuerKeys } from "../../../src/identity/issuer_keys.ts";
import { ISSUER_KEYS_MS, ISSUER_KEYS_STALE_MS, ISSUER_RETRY_MS } from "../../../src/limits.ts";
import type { LogFields, Logger } from "../../../src/log.ts";
import { silentLogger } from "../../../src/log.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";
import {
  type Document,
  type Documents,
  documents,
  jsonAnswer,
  makeKey,
} from "../../support/test_issuer.ts";

const ISSUER = "https://login.example.com/tenant";
const KEYS_URL = "https://keys.example.com/all";
const OPENID_URL = `${ISSUER}/.well-known/openid-configuration`;
const OAUTH_URL = "https://login.example.com/.well-known/oauth-authorization-server/tenant";

let good: { readonly keys: readonly Record<string, unknown>[] };

before(async () => {
  good = { keys: [{ ...(await makeKey("key-1")).publicJwk }] };
});

interface Setup {
  readonly keys: IssuerKeys;
  readonly clock: FakeClock;
  readonly documents: Documents;
  readonly warnings: LogFields[];
}

function setUp(
  at: Readonly<Record<string, Document>>,
  { issuer = ISSUER, jwksUri = undefined as string | undefined } = {},
): Setup {
  const clock = fakeClock();
  const served = documents(at);
  const warnings: LogFields[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (_, fields) => void warnings.push(fields ?? {}),
  };
  const keys = new IssuerKeys({ issuer, jwksUri, fetch: served.fetch, clock, log });
  return { keys, clock, documents: served, warnings };
}

test("IssuerKeys finds the keys in the issuer's metadata, in both forms", async () => {
  const metadata = { issuer: ISSUER, jwks_uri: KEYS_URL };
  const openId = setUp({ [OPENID_URL]: metadata, [KEYS_URL]: good });
  const oauth = setUp({ [OAUTH_URL]: metadata, [KEYS_URL]: good });

  assert.ok(await openId.keys.current());
  assert.ok(await oauth.keys.current());

  assert.deepEqual(openId.documents.asked, [OPENID_URL, KEYS_URL]);
  assert.deepEqual(oauth.documents.asked, [OPENID_URL, OAUTH_URL, KEYS_URL]);
});

test("IssuerKeys takes an issuer's final slash as it is", async () => {
  const { keys, documents: served } = setUp({
    "https://a.example.com/.well-known/openid-configuration": {
      issuer: "https://a.example.com/",
      jwks_uri: KEYS_URL,
    },
    [KEYS_URL]: good,
  }, { issuer: "https://a.example.com/" });

  assert.ok(await keys.current());
  assert.equal(served.asked.length, 2);
});

test("IssuerKeys refuses metadata that is not the issuer's own, or leads to an unsafe place", async () => {
  const cases: readonly (readonly [string, Record<string, unknown>])[] = [
    ["another issuer", { issuer: "https://login.example.com/other", jwks_uri: KEYS_URL }],
    ["a slash more", { issuer: `${ISSUER}/`, jwks_uri: KEYS_URL }],
    ["no issuer", { jwks_uri: KEYS_URL }],
    ["no keys", { issuer: ISSUER }],
    ["keys that are no URL", { issuer: ISSUER, jwks_uri: "/keys" }],
    ["http", { issuer: ISSUER, jwks_uri: "http://keys.example.com/all" }],
    ["http on loopback, from elsewhere", { issuer: ISSUER, jwks_uri: "http://127.0.0.1/keys" }],
    ["a file", { issuer: ISSUER, jwks_uri: "file:///etc/keys.json" }],
    ["data", { issuer: ISSUER, jwks_uri: 'data:application/json,{"keys":[]}' }],
    ["credentials", { issuer: ISSUER, jwks_uri: "https://a:b@keys.example.com/all" }],
  ];
  let ran = 0;
  for (const [name, metadata] of cases) {
    const { keys, documents: served, warnings } = setUp({
      [OPENID_URL]: metadata,
      [KEYS_URL]: good,
    });
    assert.equal(await keys.current(), undefined, name);
    assert.deepEqual(served.asked, [OPENID_URL, OAUTH_URL], name);
    assert.equal(warnings.length, 1, name);
    ran++;
  }
  assert.equal(ran, 10);
});

test("IssuerKeys lets an issuer on loopback have its keys there, over http", async () => {
  const issuer = "http://127.0.0.1:9000";
  const { keys } = setUp({
    [`${issuer}/.well-known/openid-configuration`]: { issuer, jwks_uri: `${issuer}/keys` },
    [`${issuer}/keys`]: good,
  }, { issuer });

  assert.ok(await keys.current());
});

test("IssuerKeys refuses a document that is not a key set", async () => {
  const cases: readonly Document[] = [
    {},
    { keys: {} },
    { keys: ["key"] },
    { keys: [null] },
    { keys: Array.from({ length: 101 }, () => good.keys[0]) },
    () => jsonAnswer([]),
    () => jsonAnswer(null),
    () => jsonAnswer(good, 500),
    () => jsonAnswer(good, 203),
    () => Promise.reject(new TypeError("fetch failed")),
  ];
  let ran = 0;
  for (const document of cases) {
    const { keys, warnings } = setUp({ [KEYS_URL]: document }, { jwksUri: KEYS_URL });
    assert.equal(await keys.current(), undefined);
    assert.equal(keys.isFailing, true);
    assert.equal(warnings.length, 1);
    assert.equal(warnings[0]?.["issuer"], ISSUER);
    ran++;
  }
  assert.equal(ran, 10);
});

test("IssuerKeys asks once for a herd that arrives together", async () => {
  let asked = 0;
  let answer: ((response: Response) => void) | undefined;
  const { keys } = setUp({
    [KEYS_URL]: () => {
      asked++;
      return new Promise((resolve) => answer = resolve);
    },
  }, { jwksUri: KEYS_URL });
  const herd = Array.from({ length: 100 }, () => keys.current());

  answer!(jsonAnswer(good));
  const sets = await Promise.all(herd);

  assert.equal(asked, 1);
  assert.equal(new Set(sets).size, 1);
  assert.ok(sets[0] !== undefined);
});

test("IssuerKeys fetches again after ten minutes, and for an unknown key after 30 seconds", async () => {
  const { keys, clock, documents: served } = setUp({ [KEYS_URL]: good }, { jwksUri: KEYS_URL });
  const first = await keys.current();
  assert.ok(first !== undefined);

  clock.advance(ISSUER_RETRY_MS - 1);
  assert.equal(await keys.after(first), first);
  assert.equal(served.asked.length, 1);
  clock.advance(1);
  const second = await keys.after(first);
  assert.ok(second !== undefined && second !== first);
  assert.equal(await keys.after(first), second); // someone else has asked meanwhile
  assert.equal(served.asked.length, 2);

  clock.advance(ISSUER_KEYS_MS - 1);
  assert.equal(await keys.current(), second);
  clock.advance(1);
  assert.notEqual(await keys.current(), second);
  assert.equal(served.asked.length, 3);
});

test("IssuerKeys goes on with the last keys for a day, and nobody waits", async () => {
  const { keys, clock, documents: served, warnings } = setUp(
    { [KEYS_URL]: good },
    { jwksUri: KEYS_URL },
  );
  const last = await keys.current();
  served.at.set(KEYS_URL, () => jsonAnswer({}, 503));
  clock.advance(ISSUER_KEYS_MS);

  assert.equal(await keys.current(), last);
  assert.equal(keys.isFailing, true);
  assert.equal(warnings.length, 1);
  served.at.set(KEYS_URL, () => new Promise(() => {})); // it hangs
  clock.advance(ISSUER_RETRY_MS);
  assert.equal(await keys.current(), last);
  assert.equal(served.asked.length, 3);

  clock.advance(ISSUER_KEYS_STALE_MS - ISSUER_KEYS_MS - ISSUER_RETRY_MS - 1);
  assert.equal(keys.latest, last);
  clock.advance(1);
  assert.equal(keys.latest, undefined);
});

test("IssuerKeys recovers when the issuer does", async () => {
  const { keys, clock, documents: served } = setUp({}, { jwksUri: KEYS_URL });
  assert.equal(await keys.current(), undefined);
  served.at.set(KEYS_URL, good);
  assert.equal(await keys.current(), undefined);
  assert.equal(served.asked.length, 1);

  clock.advance(ISSUER_RETRY_MS);

  assert.ok(await keys.current());
  assert.equal(keys.isFailing, false);
});

test("IssuerKeys gives up on an issuer that hangs", async () => {
  const { keys, clock, warnings } = setUp(
    { [KEYS_URL]: () => new Promise(() => {}) },
    { jwksUri: KEYS_URL },
  );
  const current = keys.current();
  clock.advance(5_000);

  assert.equal(await current, undefined);
  assert.match(String(warnings[0]?.["reason"]), /took over 5000 ms/);
  assert.equal(clock.pending, 0);
});

test("IssuerKeys leaves nothing behind when it is closed", async () => {
  const { keys, clock, warnings } = setUp(
    { [KEYS_URL]: () => new Promise(() => {}) },
    { jwksUri: KEYS_URL },
  );
  const current = keys.current();

  keys.close();
  keys.close();

  assert.equal(await current, undefined);
  assert.equal(clock.pending, 0);
  assert.deepEqual(warnings, []);
  assert.equal(await keys.current(), undefined);
});
