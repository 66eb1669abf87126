import assert from "node:assert/strict";
import { before, test } from "node:test";

import { type AuthSettings, clientAuthentication } from "../../../src/identity/client_auth.ts";
import { makeCa } from "../../../src/identity/certificate.ts";
import { derOfPem } from "../../../src/identity/pem.ts";
import { silentLogger } from "../../../src/log.ts";
import type { ClientProof } from "../../../src/principal.ts";
import { fakeClock } from "../../support/fake_clock.ts";
import {
  documents,
  goodClaims,
  issuerSettings,
  makeKey,
  outcomeOf,
  signToken,
  type TestKey,
} from "../../support/test_issuer.ts";
import { makeClient } from "../../support/test_pki.ts";

const ISSUER = "https://login.example.com";
const RESOURCE = "https://mcp.example.com/code/mcp";
const NOW_MS = 1_800_000_000_000;
const DAY_MS = 24 * 60 * 60 * 1_000;
const NO_PROOF: ClientProof = {
  tunnel: "code",
  authorization: undefined,
  certificate: undefined,
  proxyUser: undefined,
  proxyGroups: undefined,
};

let key: TestKey;
let certificate: Uint8Array;
let verified: NonNullable<ClientProof["certificate"]>;

before(async () => {
  key = await makeKey("key-1");
  const validity = { notBeforeMs: NOW_MS - DAY_MS, notAfterMs: NOW_MS + DAY_MS };
  const leaf = await makeClient(await makeCa("client CA", validity), validity, "carol");
  certificate = derOfPem("CERTIFICATE", leaf.certPem)!;
  verified = { der: certificate, isVerified: true };
});

function setUp(auth: AuthSettings = { clientCa: "/ca.pem", issuers: [issuerSettings(ISSUER)] }) {
  const clock = fakeClock(NOW_MS);
  const active = new Set(["1"]);
  const served = documents({ [`${ISSUER}/keys`]: { keys: [key.publicJwk] } });
  const clientAuth = clientAuthentication({
    auth,
    userTokens: {
      check: (token) =>
        token === "mcpu_good" && active.has("1")
          ? { id: "1", user: "bob", groups: ["dev"], validUntilMs: NOW_MS + 1_000 }
          : undefined,
      isActive: (id) => active.has(id),
    },
    resourceOf: (tunnel) => `https://mcp.example.com/${tunnel}/mcp`,
    clock,
    log: silentLogger,
    fetch: served.fetch,
  });
  const ask = (proof: Partial<ClientProof>) =>
    Promise.resolve(clientAuth.authenticate({ ...NO_PROOF, ...proof }));
  return { clientAuth, clock, active, served, ask };
}

test("Clients are known by each of the four proofs", async () => {
  const { ask, clock } = setUp();
  const jwt = await signToken(key, goodClaims({ clock, iss: ISSUER, aud: RESOURCE }));
  const cases: readonly (readonly [Partial<ClientProof>, string])[] = [
    [{}, "missing"],
    [{ authorization: "Bearer mcpu_good" }, "user_token bob [dev]"],
    [{ authorization: "bearer  mcpu_good " }, "user_token bob [dev]"],
    [{ authorization: `BEARER ${jwt}` }, "jwt alice []"],
    [{ certificate: verified }, "certificate carol []"],
    [{ proxyUser: "dave", proxyGroups: "a, b" }, "proxy_header dave [a b]"],
    [{ proxyGroups: "a" }, "missing"],
  ];
  let ran = 0;
  for (const [proof, expected] of cases) {
    assert.equal(outcomeOf(await ask(proof)), expected);
    ran++;
  }
  assert.equal(ran, 7);
});

test("A proof that is not good is never made up for by a weaker one", async () => {
  const { ask, clock } = setUp();
  const weaker = { certificate: verified, proxyUser: "dave" };
  const claims = goodClaims({ clock, iss: ISSUER, aud: RESOURCE });
  const ended = await signToken(key, { ...claims, exp: NOW_MS / 1_000 - 60 });
  const cases: readonly Partial<ClientProof>[] = [
    { authorization: "", ...weaker },
    { authorization: "Bearer", ...weaker },
    { authorization: "Bearer ", ...weaker },
    { authorization: "Bearer mcpu_bad", ...weaker },
    { authorization: "mcpu_good", ...weaker },
    { authorization: "Basic bWNwdV9nb29k", ...weaker },
    { authorization: "Basic mcpu_good", ...weaker },
    { authorization: "Bearermcpu_good", ...weaker },
    { authorization: "Bearer\tmcpu_good", ...weaker },
    { authorization: "Bearer\nmcpu_good", ...weaker },
    { authorization: "Bearer mcpu_good\n", ...weaker },
    { authorization: " Bearer mcpu_good", ...weaker },
    { authorization: "Bearer" + " ".repeat(1_000_000), ...weaker },
    { authorization: `Bearer mcpu_good${" ".repeat(1_000_000)}!`, ...weaker },
    { authorization: "Bearer mcpu_good, Bearer mcpu_good", ...weaker },
    { authorization: "Bearer mcpu_good mcpu_good", ...weaker },
    { authorization: "Bearer mcpu_go\u00f6d", ...weaker },
    { authorization: `Bearer ${ended}`, ...weaker },
    { certificate: { der: certificate.subarray(0, 50), isVerified: true }, proxyUser: "dave" },
    { certificate: { der: certificate, isVerified: false }, proxyUser: "dave" },
    { proxyUser: "" },
  ];
  let ran = 0;
  for (const proof of cases) {
    const result = outcomeOf(await ask(proof));
    assert.match(result, /^invalid: /, JSON.stringify(proof.authorization));
    assert.doesNotMatch(result, /mcpu_/);
    ran++;
  }
  assert.equal(ran, 21);
});

test("Certificates and tokens of issuers count only where they are configured", async () => {
  const { ask, clock, clientAuth, served } = setUp({ issuers: [] });
  const jwt = await signToken(key, goodClaims({ clock, iss: ISSUER, aud: RESOURCE }));

  assert.equal(outcomeOf(await ask({ certificate: verified })), "missing");
  assert.equal(
    outcomeOf(await ask({ certificate: verified, proxyUser: "dave" })),
    "proxy_header dave []",
  );
  assert.match(outcomeOf(await ask({ authorization: `Bearer ${jwt}` })), /^invalid: no issuer/);
  assert.equal(clientAuth.resourceFacts("code"), undefined);
  assert.deepEqual(served.asked, []);
});

test("A user token that is revoked is no valid proof any more", async () => {
  const { ask, active } = setUp();
  const result = await ask({ authorization: "Bearer mcpu_good" });
  assert.ok(result.outcome === "authenticated");
  assert.equal(result.validUntilMs, NOW_MS + 1_000);
  assert.equal(result.stillValid(), true);

  active.clear();

  assert.equal(result.stillValid(), false);
  assert.equal((await ask({ authorization: "Bearer mcpu_good" })).outcome, "invalid");
});

test("A certificate is a proof until it ends, or certificates are switched off", async () => {
  const { ask, clock, clientAuth } = setUp();
  const result = await ask({ certificate: verified });
  assert.ok(result.outcome === "authenticated");
  assert.equal(result.validUntilMs, NOW_MS + DAY_MS);

  clock.advance(DAY_MS);
  assert.equal(
    outcomeOf(await ask({ certificate: verified })),
    "invalid: the certificate has ended",
  );
  assert.equal(result.stillValid(), true);
  clientAuth.update({ issuers: [] });
  assert.equal(result.stillValid(), false);
  assert.equal(outcomeOf(await ask({ certificate: verified })), "missing");
});

test("authenticate() answers without a promise for all that needs no wait", async () => {
  const { clientAuth, ask } = setUp();
  await ask({ certificate: verified });
  const proofs: readonly Partial<ClientProof>[] = [
    {},
    { authorization: "Bearer mcpu_good" },
    { authorization: "Basic x" },
    { certificate: verified },
    { proxyUser: "dave" },
  ];
  let ran = 0;
  for (const proof of proofs) {
    assert.ok(!(clientAuth.authenticate({ ...NO_PROOF, ...proof }) instanceof Promise));
    ran++;
  }
  assert.equal(ran, 5);
});

test("authenticate() makes an outcome of what breaks", async () => {
  const broken = clientAuthentication({
    auth: { issuers: [issuerSettings(ISSUER)] },
    userTokens: {
      check: () => {
        throw new Error("secret mcpu_good");
      },
      isActive: () => false,
    },
    resourceOf: () => {
      throw new RangeError("no such tunnel");
    },
    clock: fakeClock(NOW_MS),
    log: silentLogger,
    fetch: documents({ [`${ISSUER}/keys`]: { keys: [key.publicJwk] } }).fetch,
  });
  const claims = goodClaims({ clock: fakeClock(NOW_MS), iss: ISSUER, aud: RESOURCE });
  const tokens = ["mcpu_good", await signToken(key, claims)];
  let ran = 0;
  for (const token of tokens) {
    const result = await broken.authenticate({ ...NO_PROOF, authorization: `Bearer ${token}` });
    assert.equal(result.outcome, "unavailable");
    assert.doesNotMatch(JSON.stringify(result), /mcpu_|secret/);
    ran++;
  }
  assert.equal(ran, 2);
});

test("A malformed glob in an update changes nothing", () => {
  const { clientAuth } = setUp();
  const issuers = [issuerSettings(ISSUER, { tunnels: ["["] })];

  assert.throws(() => clientAuth.update({ issuers }), { code: "CONFIG_INVALID" });

  assert.deepEqual(clientAuth.resourceFacts("code")?.authorizationServers, [ISSUER]);
  clientAuth.close();
  clientAuth.close();
});
