// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { type CertifiedKey, makeCa, makeLeaf } from "../../src/identity/certificate.ts";
import { runCliProcess } from "../support/cli_process.ts";
import { type Answer, readAnswer, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;
const VALIDITY = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + DAY_MS };
const TLS_KEYS = `tls_cert = "public.pem"\ntls_key = "public.key"`;

let ca: CertifiedKey;
let server: CertifiedKey;
let otherServer: CertifiedKey;

before(async () => {
  const facts = { ...VALIDITY, commonName: "localhost", dnsName: "localhost" };
  ca = await makeCa("public test CA", VALIDITY);
  server = await makeLeaf(ca, { ...facts, usage: "server" });
  otherServer = await makeLeaf(ca, { ...facts, usage: "server" });
});

const folders: string[] = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

test("an edge with a certificate and a key from files serves HTTPS", async () => {
  const folder = makeFolder({ "public.pem": server.certPem, "public.key": server.keyPem });
  const upstream = await startServer((_request, response) => response.end("private"));
  try {
    const roles = await startRoles({
      folder,
      protocol: "http",
      upstream: upstream.url,
      edgeKeys: TLS_KEYS,
    });
    const url = roles.url.replace("127.0.0.1", "localhost");
    const answer = await askHttps(url, ca.certPem);
    const mistrusted = await askHttps(url, undefined).catch((error: unknown) => error);
    const results = await endRoles(roles.rift, roles.edge);

    assert.match(roles.url, /^https:/);
    assert.equal(answer.status, 200);
    assert.equal(String(answer.body), "private");
    assert.ok(mistrusted instanceof Error, "a client without the CA must not get an answer");
    assert.deepEqual(results.map(({ code }) => code), [0, 0]);
  } finally {
    await upstream.close();
  }
});

interface Fault {
  readonly name: string;
  readonly files: () => Readonly<Record<string, string>>;
  readonly told: RegExp;
}

const GARBAGE_BLOCK = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n" +
  "-----END CERTIFICATE-----\n";
const FAULTS: readonly Fault[] = [
  {
    name: "a missing certificate file",
    files: () => ({ "public.key": server.keyPem }),
    told: /^mcptun: mcptun\.toml:\d+:\d+ edge\.tls_cert: cannot read ".*public\.pem"/,
  },
  {
    name: "a missing key file",
    files: () => ({ "public.pem": server.certPem }),
    told: /^mcptun: mcptun\.toml:\d+:\d+ edge\.tls_key: cannot read ".*public\.key"/,
  },
  {
    name: "the key of another certificate",
    files: () => ({ "public.pem": server.certPem, "public.key": otherServer.keyPem }),
    told:
      /^mcptun: mcptun\.toml:\d+:\d+ edge\.tls_key: ".*public\.key" is not the key of ".*public\.pem"/,
  },
  {
    name: "garbage for a certificate",
    files: () => ({ "public.pem": "garbage\n", "public.key": server.keyPem }),
    told: /^mcptun: mcptun\.toml:\d+:\d+ edge\.tls_cert: /,
  },
  {
    name: "garbage for a key",
    files: () => ({ "public.pem": server.certPem, "public.key": "garbage\n" }),
    told: /^mcptun: mcptun\.toml:\d+:\d+ edge\.tls_key: /,
  },
  {
    name: "garbage within a PEM block",
    files: () => ({ "public.pem": GARBAGE_BLOCK, "public.key": server.keyPem }),
    told: /^mcptun: mcptun\.toml:\d+:\d+ edge\.tls_cert/,
  },
];

for (const { name, files, told } of FAULTS) {
  test(`an edge refuses ${name} with exit code 2 and names the key`, async () => {
    const folder = makeFolder({
      ...files(),
      "mcptun.toml": `[edge]
listen = "127.0.0.1:0"
tunnel_listen = "127.0.0.1:0"
${TLS_KEYS}
[[tunnel]]
name = "main"
`,
    });
    const { code, stdout, stderr } = await runCliProcess(["edge"], { cwd: folder });

    assert.equal(code, 2, stderr);
    assert.match(stderr, told);
    assert.doesNotMatch(stderr, /\n\s+at /);
    assert.equal(stdout, "");
  });
}

function makeFolder(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-tls-"));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }
  return folder;
}

/** One exchange on a connection of its own; `ca` is the only root it trusts. */
async function askHttps(url: string, caPem: string | undefined): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = httpsRequest(url, {
      agent: false,
      ...(caPem === undefined ? {} : { ca: caPem }),
    });
    request.once("response", (response) => void readAnswer(response).then(resolve, reject));
    request.on("error", reject);
    request.end();
  });
}
