import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { before, test } from "node:test";

import { type IssuerSettings, JwtCheck } from "../../../src/identity/jwt_check.ts";
import { MAX_GROUPS, MAX_TOKEN_CHARS } from "../../../src/limits.ts";
import { silentLogger } from "../../../src/log.ts";
import type { AuthenticationResult } from "../../../src/principal.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";
import {
  type Documents,
  documents,
  goodClaims,
  issuerSettings,
  makeKey,
  outcomeOf,
  signToken,
  type TestKey,
} from "../../support/test_issuer.ts";

const ISSUER = "https://login.example.com";
const OTHER = "https://other.example.com/tenant";
const RESOURCE = "https://mcp.example.com/code/mcp";

let key: TestKey;
let second: TestKey;
let rsa: TestKey;

before(async () => {
  key = await makeKey("key-1");
  second = await makeKey("key-2");
  rsa = await makeKey("rsa-1", "RS256");
});

interface Setup {
  readonly clock: FakeClock;
  readonly check: JwtCheck;
  readonly documents: Documents;
  readonly claims: Record<string, unknown>;
  outcome(token: string, tunnel?: string): Promise<string>;
}

function setUp(issuers: readonly IssuerSettings[] = [issuerSettings(ISSUER)]): Setup {
  const clock = fakeClock();
  const served = documents({ [`${ISSUER}/keys`]: { keys: [key.publicJwk, rsa.publicJwk] } });
  const check = new JwtCheck({
    resourceOf: (tunnel) => `https://mcp.example.com/${tunnel}/mcp`,
    fetch: served.fetch,
    clock,
    log: silentLogger,
  });
  check.useIssuers(issuers);
  return {
    clock,
    check,
    documents: served,
    claims: goodClaims({ clock, iss: ISSUER, aud: RESOURCE }),
    outcome: async (token, tunnel = "code") => outcomeOf(await check.check({ token, tunnel })),
  };
}

/** A token by hand, for what a library refuses to make. */
function rawToken(header: unknown, claims: unknown, signature = "c2ln"): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part(header)}.${part(claims)}.${signature}`;
}

test("JwtCheck lets in the user of a good token", async () => {
  const { check, claims, clock } = setUp();
  const token = await signToken(key, { ...claims, groups: ["dev", "ops", "dev"] });

  const result = await check.check({ token, tunnel: "code" });

  assert.equal(result.outcome, "authenticated");
  assert.ok(result.outcome === "authenticated");
  assert.deepEqual(result.principal, {
    user: "alice",
    groups: ["dev", "ops"],
    how: "jwt",
    issuer: ISSUER,
  });
  assert.equal(result.validUntilMs, clock.wallNow() + 600_000);
  assert.equal(result.stillValid(), true);
});

test("JwtCheck takes the types and the algorithms that are in use", async () => {
  const { claims, outcome, documents: served } = setUp();
  const edwards = await makeKey("ed-1", "EdDSA");
  served.at.set(`${ISSUER}/keys`, {
    keys: [key.publicJwk, rsa.publicJwk, edwards.publicJwk],
  });
  const cases = await Promise.all([
    signToken(key, claims),
    signToken(key, claims, { typ: "JWT" }),
    signToken(key, claims, { typ: "jwt" }),
    signToken(key, claims, { typ: "at+jwt" }),
    signToken(key, claims, { typ: "application/at+jwt" }),
    signToken(rsa, claims),
    signToken(edwards, claims),
    signToken(key, { ...claims, aud: ["https://x.example.com", RESOURCE] }),
  ]);
  let ran = 0;
  for (const token of cases) {
    assert.equal(await outcome(token), "jwt alice []");
    ran++;
  }
  assert.equal(ran, 8);
});

test("JwtCheck refuses what is not a token of its issuer for its tunnel", async () => {
  const { claims, outcome, clock } = setUp();
  const nowS = clock.wallNow() / 1_000;
  const without = (name: string) =>
    Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));
  const sign = (changes: Record<string, unknown>, header = {}) =>
    signToken(key, { ...claims, ...changes }, header);
  const good = await sign({});
  const [head, body, signature] = good.split(".");
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["garbage", "hello", /neither a user token nor a JWT/],
    ["two parts", `${head}.${body}`, /neither|not a JWT/],
    ["five parts", `${head}.a.b.c.d`, /neither|not a JWT/],
    ["no signature", `${head}.${body}.`, /signature/],
    [
      "changed claims",
      `${head}.${
        Buffer.from(JSON.stringify({ ...claims, sub: "root" })).toString("base64url")
      }.${signature}`,
      /signature/,
    ],
    ["alg none", rawToken({ alg: "none" }, claims, ""), /algorithm/],
    ["alg None", rawToken({ alg: "None", kid: "key-1" }, claims), /algorithm/],
    ["no alg", rawToken({ kid: "key-1" }, claims), /not a JWT/],
    ["alg outside of the list", rawToken({ alg: "ES384", kid: "key-1" }, claims), /algorithm/],
    ["unknown crit", await sign({}, { crit: ["exp2"], exp2: 1 }), /not supported/],
    ["other type", await sign({}, { typ: "dpop+jwt" }), /type "dpop\+jwt"/],
    ["no issuer", await signToken(key, without("iss")), /no issuer/],
    ["another issuer", await sign({ iss: OTHER }), /issuer "https:\/\/other/],
    ["issuer with a slash", await sign({ iss: `${ISSUER}/` }), /issuer/],
    ["issuer that is a list", await sign({ iss: [ISSUER] }), /no issuer/],
    ["no audience", await signToken(key, without("aud")), /for nothing, not for "https:\/\/mcp/],
    ["another audience", await sign({ aud: "api://x" }), /for "api:\/\/x", not for "https:\/\/mcp/],
    ["another tunnel", await sign({ aud: "https://mcp.example.com/web/mcp" }), /\(aud\)/],
    ["the origin", await sign({ aud: "https://mcp.example.com" }), /\(aud\)/],
    ["with a slash", await sign({ aud: `${RESOURCE}/` }), /\(aud\)/],
    ["audiences of others", await sign({ aud: ["a", "b"] }), /\(aud\)/],
    ["no end", await signToken(key, without("exp")), /no end/],
    ["end that is text", await sign({ exp: String(nowS + 600) }), /exp/],
    ["ended", await sign({ exp: nowS - 31 }), /has ended/],
    ["ended to the second", await sign({ exp: nowS - 30 }), /has ended/],
    ["not before", await sign({ nbf: nowS + 31 }), /nbf/],
    ["issued in the future", await sign({ iat: nowS + 31 }), /iat/],
    ["issued in words", await sign({ iat: "now" }), /iat/],
    ["bound to a key", await sign({ cnf: { jkt: "x" } }), /bound to a key/],
    ["no user", await signToken(key, without("sub")), /no claim "sub"/],
    ["user that is a number", await sign({ sub: 7 }), /user name/],
    ["empty user", await sign({ sub: "" }), /user name/],
    ["user with a line break", await sign({ sub: "a\nb" }), /user name/],
    ["user with a hidden character", await sign({ sub: "a\u202eb" }), /user name/],
    ["long user", await sign({ sub: "a".repeat(257) }), /user name/],
    ["groups that are an object", await sign({ groups: { a: 1 } }), /not a list/],
    ["a group that is a number", await sign({ groups: ["a", 1] }), /usable name/],
    ["groups in one text", await sign({ groups: "a b" }), /spaces/],
    ["groups with commas", await sign({ groups: "a,b" }), /usable name/],
    [
      "too many groups",
      await sign({
        groups: Array.from({ length: MAX_GROUPS + 1 }, (_, index) => `g${index}`),
      }),
      /more than 256 groups/,
    ],
    ["groups left out", await sign({ _claim_names: { groups: "src1" } }), /too many groups/],
    ["groups left out, short", await sign({ hasgroups: true }), /too many groups/],
    ["huge", `${good}${"A".repeat(MAX_TOKEN_CHARS)}`, /more than 16384 characters/],
  ];
  let ran = 0;
  for (const [name, token, reason] of cases) {
    const result = await outcome(token);
    assert.match(result, /^invalid: /, name);
    assert.match(result, reason, name);
    assert.ok(!result.includes(token), name);
    ran++;
  }
  assert.equal(ran, 43);
});

test("JwtCheck forgives clocks that are 30 seconds apart", async () => {
  const { claims, outcome, clock } = setUp();
  const nowS = clock.wallNow() / 1_000;
  const cases = [{ exp: nowS - 29 }, { nbf: nowS + 30 }, { iat: nowS + 30 }];
  let ran = 0;
  for (const changes of cases) {
    assert.equal(await outcome(await signToken(key, { ...claims, ...changes })), "jwt alice []");
    ran++;
  }
  assert.equal(ran, 3);
});

test("JwtCheck never takes a public key for a shared secret", async () => {
  const { claims, outcome, documents: served } = setUp([
    issuerSettings(ISSUER, { algorithms: ["HS256", "none", "RS256"] }), // past the configuration
  ]);
  const pem = rsa.publicPem;
  const secret = Buffer.from("published by mistake");
  served.at.set(`${ISSUER}/keys`, {
    keys: [rsa.publicJwk, { kty: "oct", kid: "oct", k: secret.toString("base64url") }],
  });
  const forge = (kid: string, with_: string | Uint8Array) => {
    const unsigned = rawToken({ alg: "HS256", kid }, claims).split(".").slice(0, 2).join(".");
    return `${unsigned}.${createHmac("sha256", with_).update(unsigned).digest("base64url")}`;
  };
  const forged = [
    forge("rsa-1", pem),
    forge("rsa-1", pem.trim()),
    forge("rsa-1", JSON.stringify(rsa.publicJwk)),
    forge("oct", secret),
    rawToken({ alg: "none", kid: "rsa-1" }, claims, ""),
  ];
  let ran = 0;
  for (const token of forged) {
    assert.match(await outcome(token), /^invalid: /);
    ran++;
  }
  assert.equal(ran, 5);
});

test("JwtCheck takes keys from nowhere but its issuer", async () => {
  const { claims, outcome, documents: served } = setUp();
  const evil = await makeKey("../../evil");
  served.at.set("https://evil.example.com/keys", { keys: [evil.publicJwk] });
  const headers: readonly Record<string, unknown>[] = [
    {},
    { jku: "https://evil.example.com/keys" },
    { x5u: "https://evil.example.com/keys" },
    { jwk: evil.publicJwk },
    { kid: "key-1", jwk: evil.publicJwk },
    { kid: "https://evil.example.com/keys" },
    { kid: "__proto__" },
    { kid: { toString: "key-1" } },
    { kid: "key-1\0" },
  ];
  let ran = 0;
  for (const header of headers) {
    assert.match(await outcome(await signToken(evil, claims, header)), /^invalid: /);
    ran++;
  }
  assert.equal(ran, 9);
  assert.deepEqual(new Set(served.asked), new Set([`${ISSUER}/keys`]));
});

test("JwtCheck keeps issuers with the same key name apart", async () => {
  const { clock, outcome, documents: served } = setUp([
    issuerSettings(ISSUER),
    issuerSettings(OTHER),
  ]);
  const theirs = await makeKey("key-1");
  served.at.set(`${OTHER}/keys`, { keys: [theirs.publicJwk] });
  const claimsOf = (iss: string) => goodClaims({ clock, iss, aud: RESOURCE });

  assert.equal(await outcome(await signToken(key, claimsOf(ISSUER))), "jwt alice []");
  assert.equal(await outcome(await signToken(theirs, claimsOf(OTHER))), "jwt alice []");
  assert.match(await outcome(await signToken(key, claimsOf(OTHER))), /signature/);
  assert.match(await outcome(await signToken(theirs, claimsOf(ISSUER))), /signature/);
});

test("JwtCheck asks only the issuers that vouch for the tunnel", async () => {
  const { check, clock, outcome } = setUp([
    issuerSettings(ISSUER, { tunnels: ["team-*"], scopes: ["mcp"] }),
    issuerSettings(OTHER, { tunnels: ["team-b"], scopes: ["mcp", "team"] }),
  ]);
  const aud = "https://mcp.example.com/team-a/mcp";
  const claims = { ...goodClaims({ clock, iss: ISSUER, aud }), scope: "mcp" };
  const token = await signToken(key, claims);

  assert.equal(await outcome(token, "team-a"), "jwt alice []");
  assert.match(await outcome(token, "code"), /no issuer of tokens serves this tunnel/);
  assert.match(await outcome("secret", "code"), /no user token of this edge, and no JWT/);
  assert.match(await outcome(token, "team-b"), /\(aud\)/);
  assert.equal(check.resourceFacts("code"), undefined);
  assert.deepEqual(check.resourceFacts("team-a"), {
    authorizationServers: [ISSUER],
    scopes: ["mcp"],
  });
  assert.deepEqual(check.resourceFacts("team-b"), {
    authorizationServers: [ISSUER, OTHER],
    scopes: ["mcp", "team"],
  });
});

test("JwtCheck takes the audiences of the configuration in place of the public URL", async () => {
  const { claims, outcome } = setUp([issuerSettings(ISSUER, { audiences: ["api://mcp", "b"] })]);
  const sign = (aud: unknown) => signToken(key, { ...claims, aud });

  assert.equal(await outcome(await sign("api://mcp")), "jwt alice []");
  assert.equal(await outcome(await sign(["x", "b"])), "jwt alice []");
  assert.match(await outcome(await sign(RESOURCE)), /not for "api:\/\/mcp" or "b"/);
});

test("JwtCheck lets one issuer have two tables with rules of their own", async () => {
  const { claims, outcome, documents: served } = setUp([
    issuerSettings(ISSUER, { audiences: ["first"] }),
    issuerSettings(ISSUER, { audiences: ["second"], userClaim: "email" }),
  ]);
  const sign = (aud: string) => signToken(key, { ...claims, aud, email: "a@example.com" });

  assert.equal(await outcome(await sign("first")), "jwt alice []");
  assert.equal(await outcome(await sign("second")), "jwt a@example.com []");
  assert.match(await outcome(await sign("third")), /not for "first"/);
  assert.deepEqual(served.asked, [`${ISSUER}/keys`]);
});

test("JwtCheck reads user and groups from the claims of the configuration", async () => {
  const { claims, outcome } = setUp([
    issuerSettings(ISSUER, { userClaim: "email", groupsClaim: "https://example.com/roles" }),
  ]);
  const sign = (changes: Record<string, unknown>) => signToken(key, { ...claims, ...changes });

  assert.equal(
    await outcome(
      await sign({ email: "a@example.com", "https://example.com/roles": ["x y", "z"] }),
    ),
    "jwt a@example.com [x y z]",
  );
  assert.equal(
    await outcome(await sign({ email: "Jörg Müller", "https://example.com/roles": "one" })),
    "jwt Jörg Müller [one]",
  );
  assert.equal(await outcome(await sign({ email: "b", groups: 7 })), "jwt b []");
  assert.match(await outcome(await sign({})), /no claim "email"/);
});

test("JwtCheck wants every scope and names them all", async () => {
  const { claims, outcome } = setUp([issuerSettings(ISSUER, { scopes: ["read", "call"] })]);
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ scope: "read call more" }, "jwt alice []"],
    [{ scp: "call read" }, "jwt alice []"],
    [{ scp: ["call", "read"] }, "jwt alice []"],
    [{ scope: "read", scp: ["call"] }, "jwt alice []"],
    [{}, "insufficient_scope: read call"],
    [{ scope: "read" }, "insufficient_scope: read call"],
    [{ scope: "readcall" }, "insufficient_scope: read call"],
    [{ scope: ["read call"] }, "insufficient_scope: read call"],
    [{ scope: 7, scp: { read: 1 } }, "insufficient_scope: read call"],
  ];
  let ran = 0;
  for (const [changes, expected] of cases) {
    assert.equal(await outcome(await signToken(key, { ...claims, ...changes })), expected);
    ran++;
  }
  assert.equal(ran, 9);
});

test("JwtCheck takes the short name of a scope where Entra writes it, and nowhere else", async () => {
  const { claims, outcome } = setUp([issuerSettings(ISSUER, { scopes: ["api://app/read"] })]);
  const cases: readonly (readonly [Record<string, unknown>, boolean])[] = [
    [{ scp: "call read" }, true],
    [{ scp: "api://app/read" }, true],
    [{ scope: "api://app/read" }, true],
    [{ scope: "read" }, false],
    [{ scp: ["read"] }, false],
    [{ scp: "app/read" }, false],
    [{ scp: "reads" }, false],
    [{ scp: "" }, false],
  ];
  let ran = 0;
  for (const [changes, isEnough] of cases) {
    const expected = isEnough ? "jwt alice []" : "insufficient_scope: api://app/read";
    assert.equal(await outcome(await signToken(key, { ...claims, ...changes })), expected);
    ran++;
  }
  assert.equal(ran, 8);
});

test("JwtCheck tries the few keys that fit a token without a key name", async () => {
  const { claims, outcome, documents: served } = setUp();
  const bare = ({ publicJwk }: TestKey) => ({ ...publicJwk, kid: undefined });
  served.at.set(`${ISSUER}/keys`, { keys: [bare(second), bare(key)] });
  const stranger = await makeKey("stranger");
  const sign = (by: TestKey) => signToken(by, claims, { kid: undefined } as object);

  assert.equal(await outcome(await sign(key)), "jwt alice []");
  assert.equal(await outcome(await sign(second)), "jwt alice []");
  assert.match(await outcome(await sign(stranger)), /signature/);
});

test("JwtCheck answers at once for a token it has seen", async () => {
  const { check, claims, clock } = setUp();
  const token = await signToken(key, claims);
  const ask = () => check.check({ token, tunnel: "code" });

  const first = ask();
  assert.ok(first instanceof Promise);
  await first;
  assert.equal((ask() as AuthenticationResult).outcome, "authenticated");
  assert.ok(check.check({ token, tunnel: "web" }) instanceof Promise);

  clock.advance(59_999);
  assert.ok(!(ask() instanceof Promise));
  clock.advance(1);
  assert.ok(ask() instanceof Promise);
});

test("JwtCheck remembers no token beyond its end", async () => {
  const { check, claims, clock, outcome } = setUp();
  const token = await signToken(key, { ...claims, exp: clock.wallNow() / 1_000 + 20 });
  await outcome(token);

  clock.advance(19_999);
  assert.ok(!(check.check({ token, tunnel: "code" }) instanceof Promise));
  clock.advance(1);
  assert.ok(check.check({ token, tunnel: "code" }) instanceof Promise);
  clock.advance(30_000);
  assert.match(await outcome(token), /has ended/);
});

test("JwtCheck remembers only good tokens", async () => {
  const { check, claims, outcome } = setUp([issuerSettings(ISSUER, { scopes: ["x"] })]);
  const token = await signToken(key, claims);
  assert.match(await outcome(token), /^insufficient_scope/);

  assert.ok(check.check({ token, tunnel: "code" }) instanceof Promise);
});

test("JwtCheck forgets tokens whose key its issuer has removed", async () => {
  const { claims, clock, outcome, documents: served } = setUp();
  const nowS = clock.wallNow() / 1_000;
  const token = await signToken(key, { ...claims, exp: nowS + 36_000 });
  const other = await signToken(second, { ...claims, exp: nowS + 36_000 });
  assert.equal(await outcome(token), "jwt alice []");
  served.at.set(`${ISSUER}/keys`, { keys: [second.publicJwk] });
  clock.advance(45_000);
  assert.equal(await outcome(token), "jwt alice []");

  assert.equal(await outcome(other), "jwt alice []"); // its key is unknown, so the keys are fetched

  assert.match(await outcome(token), /does not publish/);
});

test("JwtCheck follows a change of settings", async () => {
  const { check, claims, outcome, documents: served } = setUp();
  const token = await signToken(key, claims);
  const result = await check.check({ token, tunnel: "code" });
  assert.ok(result.outcome === "authenticated");

  check.useIssuers([issuerSettings(ISSUER, { tunnels: ["code", "web"] })]);
  assert.equal(result.stillValid(), true);
  assert.equal(await outcome(token), "jwt alice []");
  assert.equal(served.asked.length, 1); // the keys have stayed

  check.useIssuers([issuerSettings(ISSUER, { scopes: ["admin"] })]);
  assert.equal(result.stillValid(), false); // it might lack it
  check.useIssuers([issuerSettings(ISSUER, { tunnels: ["web"] })]);
  assert.equal(result.stillValid(), false);
  assert.match(await outcome(token), /no issuer/);
  assert.throws(() => check.useIssuers([issuerSettings(ISSUER, { tunnels: ["["] })]), {
    code: "CONFIG_INVALID",
  });
  assert.equal(check.resourceFacts("web")?.authorizationServers.length, 1);
});

test("JwtCheck says unavailable, not invalid, without any keys", async () => {
  const { claims, clock, outcome, documents: served } = setUp();
  const keys = served.at.get(`${ISSUER}/keys`)!;
  served.at.delete(`${ISSUER}/keys`);
  const token = await signToken(key, claims);

  assert.equal(await outcome(token), "unavailable");
  assert.equal(await outcome(token), "unavailable");
  assert.equal(served.asked.length, 1);

  served.at.set(`${ISSUER}/keys`, keys);
  clock.advance(30_000);
  assert.equal(await outcome(token), "jwt alice []");
});

test("A flood of made-up key names causes one fetch in 30 seconds", async () => {
  const { claims, clock, outcome, documents: served } = setUp();
  await outcome(await signToken(key, claims));
  clock.advance(30_000);
  const flood = await Promise.all(
    Array.from(
      { length: 50 },
      (_, index) => signToken(second, claims, { kid: `made-up-${index}` }),
    ),
  );

  const outcomes = await Promise.all(flood.map((token) => outcome(token)));
  for (const token of flood.slice(0, 20)) outcomes.push(await outcome(token));

  assert.equal(outcomes.length, 70);
  assert.ok(outcomes.every((text) => text.endsWith("a key that its issuer does not publish")));
  assert.equal(served.asked.length, 2);
});

test("JwtCheck can be closed twice", async () => {
  const { check, claims, outcome, documents: served } = setUp();
  const token = await signToken(key, claims);

  check.close();
  check.close();

  assert.equal(await outcome(token), "unavailable");
  assert.deepEqual(served.asked, []);
});
