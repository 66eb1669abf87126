import assert from "node:assert/strict";
import { test } from "node:test";

import { systemClock } from "../../src/clock.ts";
import { edgeStep, judgeClock } from "../../src/doctor/edge_steps.ts";
import { type Expose, type ReadCredential, runRiftDoctor } from "../../src/doctor/rift_doctor.ts";
import { StepRunner } from "../../src/doctor/step_runner.ts";
import { TunnelError } from "../../src/errors.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import {
  diagnosisOf,
  oauthServer,
  openServer,
  type Script,
  startScripted,
} from "../support/doctor_probe.ts";
import { checkWelcome, type HelloAnswer, startHandEdge } from "../support/hand_edge.ts";
import { makeTestPki, type TestPki } from "../support/test_pki.ts";
import { openTunnelPair } from "../support/tunnel_pair.ts";

const DAY_MS = 86_400_000;
const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const WIKI: Expose = { tunnel: "wiki", upstream: "http://127.0.0.1:1/mcp", protocol: "mcp" };

test("a rift whose way is in order passes every step", async () => {
  const upstream = await startScripted(openServer);
  try {
    const { steps, hellos } = await withEdge(
      (hello, { say }) => say(checkWelcome(hello.tunnels.map(({ name }) => name))),
      { exposes: [{ ...WIKI, upstream: upstream.url }] },
    );

    assert.deepEqual(
      steps.filter(({ name }) => name !== "clock").map(({ name, status }) => `${name} ${status}`),
      [
        "config ok",
        "credential ok",
        "dns ok",
        "edge ok",
        "tunnels ok",
        "upstream ok",
        "http ok",
        "mcp ok",
      ],
    );
    assert.deepEqual(hellos.map(({ tunnels }) => tunnels.length), [0, 1]);
    for (const { features, epoch } of hellos) {
      assert.deepEqual(features, ["check"]);
      assert.equal(epoch, 0);
    }
  } finally {
    await upstream.close();
  }
});

test("an edge that does not know the check is never told of a tunnel", async () => {
  const { step, hellos } = await withEdge((_hello, { say }) =>
    say({ ...checkWelcome([]), features: [] })
  );

  assert.equal(step("edge").status, "note");
  assert.match(step("edge").detail, /older than this mcptun/);
  assert.match(step("edge").hint ?? "", /update the edge/);
  assert.equal(step("tunnels").status, "skip");
  assert.deepEqual(hellos.map(({ tunnels }) => tunnels), [[]]);
});

test("each answer of an edge that stops a rift shows at its step", async () => {
  const refuse =
    (code: "credential" | "version" | "limit" | "protocol", reason: string): HelloAnswer =>
    (_hello, { say }) =>
      say({ type: "refusal", code, reason, retryAfterMs: undefined, tunnel: undefined });
  const cases: readonly (readonly [HelloAnswer, "fail" | "note", RegExp, RegExp])[] = [
    [refuse("credential", "It was revoked"), "fail", /refuses: It was revoked/, /token issue/],
    [refuse("version", "This edge speaks 9"), "fail", /speaks 9/, /update the older/],
    [
      refuse("limit", "A newer rift with this credential is connected"),
      "note",
      /older than this/,
      /update/,
    ],
    [refuse("limit", "Too many rifts"), "fail", /Too many rifts/, /limit/],
    [refuse("protocol", "What?"), "fail", /What\?/, /log of the edge/],
    [
      (_hello, { raw }) => raw(Uint8Array.of(0x3f, 0x00)),
      "fail",
      /broke the protocol/,
      /no edge/,
    ],
    [(_hello, { connection }) => connection.close(0x03, "no"), "fail", /REFUSED\): no/, /its log/],
  ];
  let ran = 0;
  for (const [answer, status, detail, hint] of cases) {
    const { step } = await withEdge(answer);

    assert.equal(step("edge").status, status, step("edge").detail);
    assert.match(step("edge").detail, detail);
    assert.match(step("edge").hint ?? "", hint);
    assert.equal(step("tunnels").status, "skip");
    ran++;
  }
  assert.equal(ran, 7);
});

test("a tunnel that the edge would refuse shows with the edge's reason", async () => {
  const { step } = await withEdge((hello, { say }) => {
    say(checkWelcome(hello.tunnels.length === 0 ? [] : ["wiki"]));
    if (hello.tunnels.length > 0) {
      say({
        type: "refusal",
        code: "tunnel_unknown",
        reason: 'Tunnel "web" is not declared',
        retryAfterMs: undefined,
        tunnel: "web",
      });
    }
  }, { exposes: [WIKI, { tunnel: "web", upstream: "http://127.0.0.1:1", protocol: "http" }] });

  assert.equal(step("tunnels").status, "fail");
  assert.equal(
    step("tunnels").detail,
    'wiki (mcp): would be granted\nweb (http): Tunnel "web" is not declared',
  );
  assert.match(step("tunnels").hint ?? "", /web/);
});

test("clocks more than a minute apart are a failure, in both directions", () => {
  let ran = 0;
  for (
    const [edgeMs, status, detail] of [
      [100_000, "ok", /Less than 1 s/],
      [130_000, "ok", /30\.0 s apart/],
      [161_000, "fail", /61 s behind/],
      [30_000, "fail", /70 s ahead of/],
      [100_000 + 3 * DAY_MS, "fail", /72 hours behind/],
      [undefined, "note", /does not tell/],
    ] as const
  ) {
    const finding = judgeClock(edgeMs, 100_000);

    assert.equal(finding.status, status);
    assert.match(String(finding.detail), detail);
    assert.equal(finding.hint !== undefined, status === "fail");
    ran++;
  }
  assert.equal(ran, 6);
});

test("what is wrong before the edge shows at its step, and the rest goes on", async () => {
  const throwing =
    (code: "CONFIG_INVALID" | "CREDENTIAL_INVALID", message: string) => (): never => {
      throw new TunnelError(code, message);
    };
  const config = await rift({
    loadSetup: throwing("CONFIG_INVALID", "mcptun.toml:3: no such key"),
  });
  const nothing = await rift({ exposes: [] });
  const credential = await rift({
    readCredential: throwing("CREDENTIAL_INVALID", "Cannot use the credential: it ended"),
  });
  const uncovered = await rift({ credential: { tunnels: ["other-*"] } });
  const ending = await rift({ credential: { expiresAtMs: Date.now() + 2.5 * DAY_MS } });
  const readable = await rift({ warnings: ["x can be read by other users (chmod 600 x)"] });

  assert.equal(config.step("config").status, "fail");
  assert.match(config.step("config").detail, /mcptun\.toml:3/);
  assert.match(config.step("config").hint ?? "", /config check/);
  assert.equal(config.step("upstream").status, "skip");
  assert.match(nothing.step("config").detail, /nothing is exposed/);
  assert.equal(credential.step("credential").status, "fail");
  assert.match(credential.step("credential").hint ?? "", /token issue/);
  assert.equal(credential.step("upstream").status, "fail");
  assert.match(uncovered.step("credential").detail, /does not cover wiki/);
  assert.match(uncovered.step("credential").hint ?? "", /--tunnels/);
  assert.equal(ending.step("credential").status, "note");
  assert.match(ending.step("credential").detail, /ends in 2 days/);
  assert.equal(readable.step("credential").status, "note");
  assert.match(readable.step("credential").detail, /chmod 600/);
});

test("an edge that cannot be reached is told with what to open or renew", async () => {
  const failing = (
    code: "HANDSHAKE_TIMEOUT" | "HANDSHAKE_FAILED" | "CONNECTION_LOST",
  ): Transport => ({
    listen: () => Promise.reject(new Error("not used")),
    connect: () => Promise.reject(new TunnelError(code, "Cannot connect")),
  });
  let ran = 0;
  for (
    const [code, detail, hint] of [
      ["HANDSHAKE_TIMEOUT", /no answer over UDP/, /security group/],
      ["HANDSHAKE_FAILED", /Cannot connect/, /compare the clocks/],
      ["CONNECTION_LOST", /Cannot connect/, /network of this host/],
    ] as const
  ) {
    const { step } = await rift({ transport: failing(code) });

    assert.equal(step("edge").status, "fail");
    assert.match(step("edge").detail, detail);
    assert.match(step("edge").hint ?? "", hint);
    ran++;
  }
  assert.equal(ran, 3);
});

test("an edge that is silent is given up after the time that each question may take", async () => {
  const silent: Transport = {
    listen: () => Promise.reject(new Error("not used")),
    connect: ({ signal }) =>
      new Promise((_, reject) => {
        const ended = (): void => reject(new TunnelError("HANDSHAKE_FAILED", "closed"));
        signal.addEventListener("abort", ended, { once: true });
      }),
  };

  const { step } = await rift({ transport: silent, timeoutMs: 20 });

  assert.equal(step("edge").status, "fail");
  assert.match(step("edge").detail, /no answer over UDP/);
});

test("each private server that a rift cannot use shows at its step", async () => {
  const cases:
    readonly (readonly [Script, string, "ok" | "note" | "fail", RegExp, RegExp | undefined])[] = [
      [openServer, "mcp", "ok", /wiki: Speaks MCP 2026-07-28/, undefined],
      [oauthServer, "mcp", "ok", /Wants a token \(401\)/, undefined],
      [() => rpc(400, -32_000, "No session"), "mcp", "ok", /older version \(400\)/, undefined],
      [() => ({ status: 406 }), "mcp", "note", /Answers 406/, undefined],
      [
        () => ({ status: 404, body: "no" }),
        "mcp",
        "fail",
        /404, no content type, "no"/,
        /path of the upstream/,
      ],
      [() => ({ status: 200, body: "hello" }), "mcp", "fail", /not MCP/, /another program/],
      [() => rpc(403, -32_000, "Invalid Host: x"), "mcp", "fail", /Invalid Host/, /Host name/],
      [
        () => ({ status: 301, headers: { Location: "/x/" } }),
        "mcp",
        "fail",
        /redirected to "\/x\/"/,
        /final URL/,
      ],
      [
        () => ({ status: 200, body: "x", end: "cut" }),
        "http",
        "fail",
        /broke off/,
        /cut the connection/,
      ],
    ];
  let ran = 0;
  for (const [script, name, status, detail, hint] of cases) {
    const upstream = await startScripted(script);
    try {
      const { step } = await rift({ exposes: [{ ...WIKI, upstream: upstream.url }] });

      assert.equal(step("upstream").status, "ok");
      assert.equal(step(name).status, status, step(name).detail);
      assert.match(step(name).detail, detail);
      if (hint === undefined) assert.equal(step(name).hint, undefined);
      else assert.match(step(name).hint ?? "", hint);
    } finally {
      await upstream.close();
    }
    ran++;
  }
  assert.equal(ran, 9);
});

test("the value that the rift adds for an upstream is used and never shown", async () => {
  const upstream = await startScripted(({ headers, method }) =>
    method === "OPTIONS"
      ? { status: 200 }
      : rpc(500, -32_000, `not ${String(headers["authorization"])}`)
  );
  try {
    const { step, text } = await rift({
      exposes: [{
        ...WIKI,
        upstream: upstream.url,
        authorization: () => Promise.resolve("Basic c2VjcmV0"),
      }],
    });

    assert.match(step("mcp").detail, /older version/);
    assert.equal(upstream.asked.at(-1)?.headers["authorization"], "Basic c2VjcmV0");
    assert.doesNotMatch(text, /c2VjcmV0/);
  } finally {
    await upstream.close();
  }
});

test("over QUIC a good credential is accepted beside a running rift, which goes on", async () => {
  const pki = await makeTestPki();
  const upstream = await startScripted(openServer);
  const transports: { port?: number } = {};
  const pair = await openTunnelPair({
    upstream: upstream.url,
    transport: () => spying(quicTransport(), transports),
    pki,
  });
  try {
    const good = await overQuic(pki, transports.port!, pki.client);
    const foreign = await overQuic(pki, transports.port!, pki.foreignClient);
    const mistrusting = await overQuic(pki, transports.port!, pki.mistrustingClient);

    assert.notEqual(good.finding.status, "fail");
    assert.equal(foreign.finding.status, "fail");
    assert.ok(foreign.finding.hint);
    assert.equal(mistrusting.finding.status, "fail");
    assert.match(mistrusting.finding.hint ?? "", /issue a new one/);
    const answer = await fetch(pair.url, { method: "POST", body: "{}" });
    assert.equal(answer.status, 200);
    await answer.text();
  } finally {
    await pair.close();
    await upstream.close();
  }
});

interface RiftCase {
  readonly exposes?: readonly Expose[];
  readonly credential?: { readonly tunnels?: readonly string[]; readonly expiresAtMs?: number };
  readonly warnings?: readonly string[];
  readonly transport?: Transport;
  readonly port?: number;
  readonly timeoutMs?: number;
  readonly loadSetup?: () => never;
  readonly readCredential?: () => never;
}

async function withEdge(answer: HelloAnswer, options: RiftCase = {}) {
  const edge = await startHandEdge(answer);
  try {
    const found = await rift({ transport: edge.transport, port: edge.port, ...options });
    return { ...found, hellos: edge.hellos };
  } finally {
    edge.close();
  }
}

async function rift(options: RiftCase) {
  const { signal } = new AbortController();
  const runner = new StepRunner({ clock: systemClock, signal });
  const dead: Transport = {
    listen: () => Promise.reject(new Error("not used")),
    connect: () => Promise.reject(new TunnelError("HANDSHAKE_TIMEOUT", "no answer")),
  };
  const credential = credentialOf(options.credential);
  await runRiftDoctor({
    runner,
    transport: options.transport ?? dead,
    loadSetup: options.loadSetup ?? (() => ({
      from: "mcptun.toml",
      exposes: options.exposes ?? [WIKI],
      edge: { host: "127.0.0.1", port: options.port ?? 1 },
      warnings: [],
    })),
    readCredential: options.readCredential ??
      (() => Promise.resolve({ ...credential, warnings: options.warnings ?? [] })),
    roots: [],
    client: { name: "test", version: "1" },
    clock: systemClock,
    signal,
    timeoutMs: options.timeoutMs ?? 10_000,
  });
  return diagnosisOf(runner.results);
}

function credentialOf(
  facts: RiftCase["credential"] = {},
  material = NO_TLS,
): Omit<ReadCredential, "warnings"> {
  return {
    credential: {
      name: "laptop",
      address: "127.0.0.1:1",
      tunnels: ["w*"],
      serial: "01",
      expiresAtMs: Date.now() + 30 * DAY_MS,
      material,
      ...facts,
    },
    edge: { host: "127.0.0.1", port: 1 },
  };
}

function overQuic(_pki: TestPki, port: number, material: typeof NO_TLS) {
  return edgeStep({
    transport: quicTransport(),
    credential: credentialOf({}, material).credential,
    host: "127.0.0.1",
    port,
    software: "test",
    clock: systemClock,
    signal: new AbortController().signal,
    timeoutMs: 10_000,
  });
}

/** Remembers the port of what listens. */
function spying(transport: Transport, seen: { port?: number }): Transport {
  return {
    connect: (options) => transport.connect(options),
    async listen(options) {
      const listener = await transport.listen(options);
      seen.port = listener.address.port;
      return listener;
    },
  };
}

function rpc(status: number, code: number, message: string) {
  return { status, body: { jsonrpc: "2.0", id: null, error: { code, message } } };
}
