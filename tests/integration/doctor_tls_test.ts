import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { PeerCertificate } from "node:tls";

import { judgeTls, judgeUrl } from "../../src/doctor/network_steps.ts";
import { trustedRoots } from "../../src/doctor/trust.ts";
import { type CertifiedKey, makeCa, makeLeaf } from "../../src/identity/certificate.ts";
import { diagnose, GOOD_TOKEN, oauthServer, startScripted } from "../support/doctor_probe.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
const ca = await makeCa("private CA", {
  notBeforeMs: NOW_MS - 99 * DAY_MS,
  notAfterMs: NOW_MS + 99 * DAY_MS,
});
const roots = trustedRoots({ extraPem: ca.certPem, env: {} });

test("a server with a certificate of a CA that is given passes every step", async () => {
  const { steps } = await against(await leaf(-1, 60), { roots, token: GOOD_TOKEN });

  assert.deepEqual(new Set(steps.map(({ status }) => status)), new Set(["ok"]));
  assert.equal(steps.length, 11);
});

test("each certificate that clients refuse is described, and nothing is asked over it", async () => {
  const cases = [
    [await leaf(-1, 60), [], /certificate from private CA is not trusted/, /--ca FILE/],
    [await leaf(-9, -1), roots, /has ended: valid \d{4}-\d\d-\d\d to/, /renew it/],
    [await leaf(1, 9), roots, /is not valid yet/, /clocks/],
    [
      await leaf(-1, 60, "other.example"),
      roots,
      /is for other\.example, not for localhost/,
      /this name/,
    ],
    [
      await makeLeaf(ca, {
        ...period(-1, 60),
        commonName: "x",
        usage: "client",
        dnsName: "localhost",
      }),
      roots,
      /is not trusted/,
      /--ca FILE/,
    ],
  ] as const;
  let ran = 0;
  for (const [certificate, trusted, detail, hint] of cases) {
    const server = await startScripted(oauthServer, { tls: certificate, name: "localhost" });
    try {
      const { step } = await diagnose(server.url, { roots: trusted, token: GOOD_TOKEN });

      assert.equal(step("tls").status, "fail");
      assert.match(step("tls").detail, detail);
      assert.match(step("tls").hint ?? "", hint);
      assert.equal(step("request").status, "skip");
      assert.equal(server.asked.length, 0);
    } finally {
      await server.close();
    }
    ran++;
  }
  assert.equal(ran, 5);
});

test("a certificate that ends soon is a note", async () => {
  const { step } = await against(await leaf(-1, 3), { roots });

  assert.equal(step("tls").status, "note");
  assert.match(step("tls").detail, /2 days left/);
});

test("a port without TLS is told so", async () => {
  const server = await startScripted(oauthServer);
  try {
    const { step } = await diagnose(server.url.replace("http:", "https:"));

    assert.match(step("tls").detail, /does not speak TLS/);
    assert.match(step("tls").hint ?? "", /http:\/\//);
  } finally {
    await server.close();
  }
});

test("a port that takes a connection and says nothing is given up in time", async () => {
  const server = createServer((socket) => socket.on("error", () => {}).resume());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo; // a TCP server has a port
    const { step } = await diagnose(`https://127.0.0.1:${port}/mcp`, { timeoutMs: 200 });

    assert.equal(step("tls").status, "fail");
    assert.match(step("tls").detail, /within 200 ms|closed before/);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a certificate with hostile names is shown inert", () => {
  const certificate = {
    subject: { CN: "a\u001b[2J" },
    issuer: { CN: "b\u202e" },
    subjectaltname: "DNS:\u001b]0;x\u0007",
    valid_from: "Jan  1 00:00:00 2020 GMT",
    valid_to: "Jan  1 00:00:00 2040 GMT",
  } as unknown as PeerCertificate;
  const facts = {
    trust: "ERR_TLS_CERT_ALTNAME_INVALID",
    protocol: "TLSv1.3",
    alpn: undefined,
    certificate,
  };

  const { detail } = judgeTls(facts, "localhost", Date.parse("2026-01-01"));

  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(String(detail), /[\u0000-\u001f\u202e]/);
  assert.match(String(detail), /b\\u\{202e\}/);
});

test("a URL without encryption is fine on loopback only, and then a note", () => {
  let ran = 0;
  for (
    const [text, status] of [
      ["http://127.0.0.1:1/mcp", "note"],
      ["http://[::1]:1/mcp", "note"],
      ["http://localhost/mcp", "note"],
      ["http://10.0.0.1/mcp", "fail"],
      ["http://mcp.example.com/mcp", "fail"],
      ["https://mcp.example.com/mcp", "ok"],
    ] as const
  ) {
    const { finding, stop } = judgeUrl(text, new URL(text));

    assert.equal(finding.status, status, text);
    assert.equal(stop, false);
    ran++;
  }
  assert.equal(ran, 6);
});

async function against(tls: CertifiedKey, options: Parameters<typeof diagnose>[1]) {
  const server = await startScripted(oauthServer, { tls, name: "localhost" });
  try {
    return await diagnose(server.url, options);
  } finally {
    await server.close();
  }
}

function leaf(fromDays: number, toDays: number, dnsName = "localhost"): Promise<CertifiedKey> {
  return makeLeaf(ca, {
    ...period(fromDays, toDays),
    commonName: dnsName,
    usage: "server",
    dnsName,
  });
}

function period(fromDays: number, toDays: number) {
  return { notBeforeMs: NOW_MS + fromDays * DAY_MS, notAfterMs: NOW_MS + toDays * DAY_MS };
}
