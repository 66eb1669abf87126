// test-timeout: 120s
/**
 * From a refused request to a tool call: a real authorization server, the official clients, and an
 * edge that checks tokens.
 *
 * @module
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
  UnauthorizedError,
} from "@modelcontextprotocol/client";

import { systemClock } from "../../src/clock.ts";
import { clientAuthentication } from "../../src/identity/client_auth.ts";
import { silentLogger } from "../../src/log.ts";
import type { ClientAuthentication, Principal } from "../../src/principal.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { startConformanceServer } from "../fixtures/mcp/conformance_server.ts";
import {
  type AuthorizationServer,
  startAuthorizationServer,
  TEST_CLIENT_ID,
} from "../support/authorization_server.ts";
import {
  Client as LegacyClient,
  StreamableHTTPClientTransport as LegacyTransport,
} from "../support/mcp_legacy_sdk.ts";
import { firstText, MODERN_VERSION } from "../support/mcp_target.ts";
import { TestOAuthProvider } from "../support/oauth_client.ts";
import { issuerSettings } from "../support/test_issuer.ts";
import { type Bench, MCP_TUNNEL, startBench } from "../support/tunnel_bench.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const TUNNEL = { ...MCP_TUNNEL, auth: "edge" as const, forwardAuthorization: false };
const OTHER_TUNNEL = { ...TUNNEL, name: "other", path: "/other/mcp" };

let authorization: AuthorizationServer;
let upstream: Awaited<ReturnType<typeof startConformanceServer>>;
let bench: Bench;
let principals: Principal[] = [];

before(async () => {
  authorization = await startAuthorizationServer({
    user: "alice",
    groups: ["dev", "ops"],
    scope: "mcp",
  });
  upstream = await startConformanceServer({ signal: new AbortController().signal });
  const clientAuth = clientAuthentication({
    auth: {
      issuers: [issuerSettings(authorization.issuer, { jwksUri: undefined, scopes: ["mcp"] })],
    },
    userTokens: { check: () => undefined, isActive: () => false },
    resourceOf: (tunnel) => bench.edge.tunnelUrl(tunnel),
    clock: systemClock,
    log: silentLogger,
  });
  bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [TUNNEL, OTHER_TUNNEL],
    edge: { clientAuth: noting(clientAuth) },
  });
  await bench.rift([
    { tunnel: "code", upstream: upstream.url, protocol: "mcp" },
    { tunnel: "other", upstream: upstream.url, protocol: "mcp" },
  ]).ready;
});

after(async () => {
  await bench.close();
  await upstream.close();
  await authorization.close();
});

/** Notes who was let in. */
function noting(clientAuth: ClientAuthentication): ClientAuthentication {
  return {
    isCheap: (proof) => clientAuth.isCheap(proof),
    resourceFacts: (tunnel) => clientAuth.resourceFacts(tunnel),
    async authenticate(proof) {
      const result = await clientAuth.authenticate(proof);
      if (result.outcome === "authenticated") principals.push(result.principal);
      return result;
    },
  };
}

function post(url: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
  });
}

async function signedIn(provider: TestOAuthProvider): Promise<ModernClient> {
  const url = new URL(bench.edge.tunnelUrl("code"));
  const open = () =>
    new ModernClient({ name: "mcptun-test", version: "1.0.0" }, {
      versionNegotiation: { mode: { pin: MODERN_VERSION } },
    });
  const transport = new ModernTransport(url, { authProvider: provider });
  await assert.rejects(open().connect(transport), UnauthorizedError);
  await transport.finishAuth(await provider.callback());
  const client = open();
  await client.connect(new ModernTransport(url, { authProvider: provider }));
  return client;
}

test("A request without a token is told where tokens come from", async () => {
  const url = bench.edge.tunnelUrl("code");

  const response = await post(url);
  await response.body?.cancel();

  assert.equal(response.status, 401);
  const challenge = response.headers.get("www-authenticate") ?? "";
  assert.match(challenge, /^Bearer /);
  assert.match(challenge, /scope="mcp"/);
  assert.doesNotMatch(challenge, /error=/);
  const metadataUrl = /resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? "";
  const { origin } = new URL(url);
  assert.equal(metadataUrl, `${origin}/.well-known/oauth-protected-resource/code/mcp`);
  const metadata = await (await fetch(metadataUrl)).json() as Record<string, unknown>;
  assert.equal(metadata["resource"], url);
  assert.deepEqual(metadata["authorization_servers"], [authorization.issuer]);
  assert.deepEqual(metadata["scopes_supported"], ["mcp"]);
  assert.deepEqual(metadata["bearer_methods_supported"], ["header"]);
});

test("The official client signs its user in and calls a tool", async () => {
  principals = [];
  const provider = new TestOAuthProvider(authorization, TEST_CLIENT_ID);

  const client = await signedIn(provider);
  try {
    const { tools } = await client.listTools();
    const result = await client.callTool({ name: "test_simple_text" });

    assert.ok(tools.length > 0);
    assert.equal(firstText(result), "This is a simple text response for testing.");
  } finally {
    await client.close();
  }

  const { searchParams } = provider.authorizationUrl!;
  assert.equal(searchParams.get("resource"), bench.edge.tunnelUrl("code"));
  assert.equal(searchParams.get("code_challenge_method"), "S256");
  assert.ok(searchParams.get("scope")?.split(" ").includes("mcp"));
  assert.ok(principals.length > 0);
  for (const principal of principals) {
    assert.deepEqual(principal, {
      user: "alice",
      groups: ["dev", "ops"],
      how: "jwt",
      issuer: authorization.issuer,
    });
  }
});

test("The official client of the legacy era registers itself, signs in and calls a tool", async () => {
  const url = new URL(bench.edge.tunnelUrl("code"));
  const provider = new TestOAuthProvider(authorization);
  const open = async (transport: LegacyTransport): Promise<LegacyClient> => {
    const client = new LegacyClient({ name: "mcptun-test", version: "1.0.0" });
    // The class differs from its interface only in optional properties that may hold undefined.
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    return client;
  };
  const options = { authProvider: provider };
  const transport = new LegacyTransport(url, options);
  await assert.rejects(open(transport), { name: "Error", message: /Unauthorized/ });
  await transport.finishAuth((await provider.callback()).get("code")!);

  const client = await open(new LegacyTransport(url, options));
  try {
    const result = await client.callTool({ name: "test_simple_text" });

    assert.equal(firstText(result), "This is a simple text response for testing.");
  } finally {
    await client.close();
  }
});

test("A token for one tunnel opens no other, and no token is good when it was changed", async () => {
  const provider = new TestOAuthProvider(authorization, TEST_CLIENT_ID);
  await (await signedIn(provider)).close();
  const token = provider.accessToken!;
  const [head, claims, signature] = token.split(".");
  const cases: readonly (readonly [string, string])[] = [
    ["other", token],
    ["code", `${head}.${claims}.${signature!.slice(0, -4)}AAAA`],
    ["code", `${head}.${claims}.`],
    ["code", "mcpu_unknown"],
  ];
  let ran = 0;
  for (const [tunnel, shown] of cases) {
    const response = await post(bench.edge.tunnelUrl(tunnel), { authorization: `Bearer ${shown}` });
    await response.body?.cancel();
    assert.equal(response.status, 401);
    const challenge = response.headers.get("www-authenticate") ?? "";
    assert.match(challenge, /error="invalid_token"/);
    assert.ok(challenge.includes(`/.well-known/oauth-protected-resource/${tunnel}/mcp"`));
    ran++;
  }
  assert.equal(ran, 4);
});
