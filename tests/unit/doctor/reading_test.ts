import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { readChallenges } from "../../../src/doctor/challenge.ts";
import { EventScanner, responseOfEvents, responseOfJson } from "../../../src/doctor/mcp_message.ts";
import { wellKnownOfIssuer, wellKnownOfResource } from "../../../src/doctor/metadata.ts";
import { lookupProblem, networkProblem } from "../../../src/doctor/network_problem.ts";
import { readToken } from "../../../src/doctor/token.ts";
import { certificatesOf, trustedRoots } from "../../../src/doctor/trust.ts";

test("a Bearer challenge is found among others, quoted or not", () => {
  const bearer = (...values: string[]) => readChallenges(values).bearer;

  assert.deepEqual(bearer('Bearer resource_metadata="https://a/b", scope="x y"'), {
    resourceMetadata: "https://a/b",
    scope: "x y",
    error: undefined,
    errorDescription: undefined,
  });
  assert.equal(bearer('Basic realm="a, Bearer scope=b", bearer scope=c')?.scope, "c");
  assert.equal(bearer("Basic realm=x", "BEARER error = invalid_token")?.error, "invalid_token");
  assert.equal(bearer('Bearer error_description="a \\"b\\" c"')?.errorDescription, 'a "b" c');
  assert.equal(bearer("Bearer scope=a, scope=b")?.scope, "a");
  assert.equal(bearer("Negotiate abc=="), undefined);
  assert.equal(bearer(), undefined);
  assert.deepEqual(readChallenges(["Bearer"]).schemes, ["Bearer"]);
});

test("a challenge of any shape is read in time that grows with its length alone", () => {
  let ran = 0;
  for (const part of ['a="', "a=", '\\"', " ", ",", "a ", 'x="\\']) {
    readChallenges([`Bearer ${part.repeat(16_384 / part.length)}`]);
    ran++;
  }
  assert.equal(ran, 7);
});

test("the answer is found in JSON and in an event stream cut anywhere", () => {
  const message = '{"jsonrpc":"2.0","id":7,"result":{"a":1}}';
  const stream = `: hi\r\nid: 1\r\ndata:\r\n\r\ndata: {"jsonrpc":"2.0","method":"n"}\n\n` +
    `event: message\ndata: {"jsonrpc":"2.0","id":7,\ndata: "result":{"a":1}}\n\n`;

  assert.deepEqual(responseOfJson(message, 7)?.result, { a: 1 });
  assert.equal(responseOfJson(message, 8), undefined);
  assert.equal(responseOfJson("[1]", 7), undefined);
  assert.equal(responseOfJson("{", 7), undefined);
  assert.equal(responseOfJson('{"jsonrpc":"2.0","error":{"code":5}}', 7)?.error?.code, 5);
  assert.deepEqual(responseOfEvents(stream, 7)?.result, { a: 1 });
  let ran = 0;
  for (let at = 0; at < stream.length; at++) {
    const scanner = new EventScanner(7);
    scanner.push(stream.slice(0, at));
    assert.equal(scanner.push(stream.slice(at)), "enough");
    ran++;
  }
  assert.equal(ran, stream.length);
});

test("metadata is looked for where clients look, in their order", () => {
  assert.deepEqual(wellKnownOfResource(new URL("https://a.example/x/mcp")), [
    "https://a.example/.well-known/oauth-protected-resource/x/mcp",
    "https://a.example/.well-known/oauth-protected-resource",
  ]);
  assert.equal(new Set(wellKnownOfResource(new URL("https://a.example"))).size, 1);
  assert.deepEqual(wellKnownOfIssuer(new URL("https://as.example/tenant/")), [
    "https://as.example/.well-known/oauth-authorization-server/tenant",
    "https://as.example/.well-known/openid-configuration/tenant",
    "https://as.example/tenant/.well-known/openid-configuration",
  ]);
  assert.deepEqual(wellKnownOfIssuer(new URL("https://as.example")), [
    "https://as.example/.well-known/oauth-authorization-server",
    "https://as.example/.well-known/openid-configuration",
  ]);
});

test("a token is judged by its form, and what is surely wrong is not sent", () => {
  const context = {
    nowMs: 1_000_000,
    urlText: "https://a/mcp",
    metadata: undefined,
    wantedScope: "mcp",
  };
  let ran = 0;
  for (
    const [token, kind, usable] of [
      [`mcpu_${"a".repeat(43)}`, "user", true],
      [`mcpu_${"a".repeat(42)}`, "wrong", false],
      [`mcpt_${"a".repeat(43)}`, "wrong", false],
      ['"quoted"', "wrong", false],
      ["Bearer abc", "wrong", false],
      ["two words", "wrong", false],
      ["a\u0000b", "wrong", false],
      ["ünsinn", "wrong", false],
      ["opaque", "opaque", true],
      ["a.b.c", "opaque", true],
      [jwt({ exp: 2_000 }), "jwt", true],
    ] as const
  ) {
    const reading = readToken(token, context);

    assert.equal(reading.kind, kind, token);
    assert.equal(reading.usable, usable, token);
    assert.equal(reading.finding.status === "fail", !usable, token);
    ran++;
  }
  assert.equal(ran, 11);
});

test("the claims of a JWT are compared with the metadata", () => {
  const metadata = {
    resource: "https://a/mcp",
    authorizationServers: ["https://as"],
    scopes: [],
  };
  const read = (claims: Readonly<Record<string, unknown>>) =>
    readToken(
      jwt({ iss: "https://as", aud: ["https://a/mcp"], exp: 2_000, scope: "mcp x", ...claims }),
      {
        nowMs: 1_000_000,
        urlText: "https://a/mcp",
        metadata,
        wantedScope: "mcp",
      },
    );
  const cases = [
    [{}, /^$/],
    [{ scope: undefined, scp: ["mcp"] }, /^$/],
    [{ iss: "https://as/" }, /issuer is none of/],
    [{ aud: "https://b" }, /audience is not "https:\/\/a\/mcp"/],
    [{ scope: "x" }, /lacks scope mcp/],
    [{ nbf: 1_500 }, /not valid before/],
    [{ exp: undefined }, /no end/],
    [{ exp: 1e300 }, /no end/],
    [{ nonce: "n" }, /ID token/],
    [{ exp: 900 }, /ended/],
  ] as const;
  for (const [claims, doubt] of cases) {
    const { doubts, finding } = read(claims);

    assert.match(doubts.join("; "), doubt, JSON.stringify(claims));
    const expected = "exp" in claims && claims.exp === 900
      ? "fail"
      : doubts.length === 0
      ? "ok"
      : "note";
    assert.equal(finding.status, expected);
  }
  assert.equal(cases.length, 10);
});

test("errors of the network are told apart by what mends them", () => {
  const hints = [
    "ECONNREFUSED",
    "ETIMEDOUT",
    "ENETUNREACH",
    "EACCES",
    "ENOTFOUND",
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "ERR_SSL_TLSV1_UNRECOGNIZED_NAME",
    "HPE_INVALID_CONSTANT",
    "ECONNRESET",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  ].map((code) => networkProblem(Object.assign(new Error("x"), { code })).hint);

  assert.equal(new Set(hints).size, 12);
  assert.equal(networkProblem(new Error("odd")).problem, "odd");
  const inner = Object.assign(new Error("x"), { code: "ECONNREFUSED" });
  assert.match(networkProblem(new AggregateError([inner])).problem, /refused/);
  assert.match(lookupProblem({ code: "EAI_AGAIN" }, "a").problem, /No DNS server/);
  assert.match(lookupProblem({ code: "ENOTFOUND" }, "a").hint, /AAAA/);
});

test("trust begins with the runtime's roots and adds what is given", () => {
  const pem = "-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----";

  assert.deepEqual(certificatesOf(`x\n${pem}\ny\n${pem}`), [pem, pem]);
  const roots = trustedRoots({ extraPem: pem, env: { NODE_EXTRA_CA_CERTS: "/does/not/exist" } });
  assert.ok(roots.includes(pem));
  assert.ok(roots.length > 50);
});

function jwt(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256" })}.${part(claims)}.c2ln`;
}
