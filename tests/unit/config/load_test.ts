import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

import { loadConfig, type LoadOptions } from "../../../src/config/load.ts";
import { TunnelError } from "../../../src/errors.ts";
import { repositoryRoot } from "../../support/cli_process.ts";

const FIXTURES = join(repositoryRoot(), "tests/fixtures/config");

test("an algorithm that is not accepted is answered with those that are", () => {
  const issuer = '[[auth.issuer]]\nissuer = "https://id.example.com"\nalgorithms = ';
  const { message } = refusalOf({ text: `${issuer}["none", "ES256", "HS256", 7]\n` });
  const accepted =
    "(accepted: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA)";

  assert.deepEqual(message.split("\n").map((problem) => problem.replace(/^\S+ /, "")), [
    `auth.issuer[0].algorithms[0]: "none" is not accepted ${accepted}`,
    `auth.issuer[0].algorithms[2]: "HS256" is not accepted ${accepted}`,
    `auth.issuer[0].algorithms[3]: 7 is not accepted ${accepted}`,
  ]);
});

test("every invalid file is refused with all its problems and their places", () => {
  const names = tomlFiles(join(FIXTURES, "invalid"));

  assert.equal(names.length, 11);
  for (const name of names) {
    const text = readFileSync(join(FIXTURES, "invalid", name), "utf8");
    const expected = readFileSync(
      join(FIXTURES, "invalid", name.replace(".toml", ".expected.txt")),
      "utf8",
    );

    assert.equal(`${refusalOf({ file: "mcptun.toml", text }).message}\n`, expected, name);
  }
});

test("every valid file loads", () => {
  const names = tomlFiles(join(FIXTURES, "valid"));

  assert.equal(names.length, 6);
  for (const name of names) loadConfig({ file: join(FIXTURES, "valid", name) });
});

test("every example loads", () => {
  const examples = join(repositoryRoot(), "examples");
  const files = readdirSync(examples, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".toml") && !name.endsWith("user.toml"));

  assert.equal(files.length, 7);
  for (const file of files) loadConfig({ file: join(examples, file) });
});

test("an empty file gives every default, typed and frozen", () => {
  const { config, origins } = loadConfig({ text: "", cwd: "/srv" });

  assert.deepEqual(config, {
    edge: {
      listen: "127.0.0.1:8080",
      tunnelListen: "0.0.0.0:4443",
      tunnelAddress: "0.0.0.0:4443",
      hosts: [],
      behindProxy: false,
      trustedProxies: [],
      stateDir: resolve("/srv/mcptun-state"),
      maxBodyBytes: 16_777_216,
      maxHeaderBytes: 16_384,
      maxHeaders: 100,
      headerTimeoutMs: 15_000,
      bodyTimeoutMs: 60_000,
      maxConnections: 4_096,
      maxConnectionsPerAddress: 256,
      maxExchanges: 1_000,
      maxEventStreams: 256,
      drainMs: 10_000,
    },
    tunnels: [],
    auth: { issuers: [] },
    policy: {},
    audit: {
      onFailure: "continue",
      sync: "batch",
      intent: false,
      rotateBytes: 134_217_728,
      rotateMs: 86_400_000,
      keepFiles: 90,
      keepMs: 0,
      checkpointRecords: 1_000,
    },
    admin: {},
    rift: {
      protocol: "mcp",
      exposes: [],
      upstreamConnectTimeoutMs: 5_000,
      upstreamHeaderTimeoutMs: 0,
      drainMs: 10_000,
    },
    log: { level: "info", format: "text" },
  });
  assert.equal(origins.size, 0);
  assert.ok(Object.isFrozen(config.edge.hosts));
});

test("a failing audit trail blocks when a tunnel is aware, unless the file says otherwise", () => {
  const aware = `
    [[tunnel]]
    name = "a"
    mode = "aware"
    default = "allow"`;
  const continued = `${aware}
    [audit]
    file = "audit.jsonl"
    on_failure = "continue"`;

  assert.equal(loadConfig({ text: aware }).config.audit.onFailure, "block");
  const { audit } = loadConfig({ text: continued, cwd: "/srv" }).config;
  assert.equal(audit.onFailure, "continue");
  assert.equal(audit.file, resolve("/srv/audit.jsonl"));
});

test("records go to a collector over https, or on loopback, and its headers have a file", () => {
  const textOf = (endpoint: string, more = "") => `[audit]\notlp_endpoint = "${endpoint}"\n${more}`;
  const headers = 'otlp_headers_file = "otlp.headers"';
  const good = [
    "https://collector.example.com:4318/v1/logs",
    "http://127.0.0.1:4318/v1/logs",
    "http://[::1]:4318/v1/logs",
    "http://localhost:4318/otlp/v1/logs",
  ];
  const bad = [
    "collector.example.com:4318",
    "grpc://collector.example.com:4317/v1/logs",
    "http://collector.example.com:4318/v1/logs",
    "https://user:secret@collector.example.com/v1/logs",
    "https://collector.example.com/v1/logs?key=secret",
    "https://collector.example.com/v1/logs#a",
    "https://collector.example.com:4318",
    "https://collector.example.com:4318/",
  ];

  const { audit } = loadConfig({ text: textOf(good[0]!, headers), cwd: "/srv" }).config;

  assert.equal(audit.otlpEndpoint, good[0]);
  assert.equal(audit.otlpHeadersFile, resolve("/srv/otlp.headers"));
  let ran = 0;
  for (const text of good) {
    assert.equal(loadConfig({ text: textOf(text) }).config.audit.otlpEndpoint, text);
    ran++;
  }
  for (const text of bad) {
    const { message } = refusalOf({ text: textOf(text) });
    assert.match(message, /^config:2:1 audit\.otlp_endpoint: /, text);
    assert.ok(!message.includes("secret"), text);
    ran++;
  }
  assert.equal(ran, 12);
  assert.match(
    refusalOf({ text: `[audit]\n${headers}` }).message,
    /audit\.otlp_headers_file: headers for nobody/,
  );
});

test("what is kept of arguments is a word or a list of names, on aware tunnels only", () => {
  const textOf = (mode: string, value: string) => `
    [[tunnel]]
    name = "a"
    mode = "${mode}"
    ${mode === "aware" ? 'default = "allow"' : ""}
    audit_arguments = ${value}`;
  const keptOf = (value: string) =>
    loadConfig({ text: textOf("aware", value) }).config.tunnels[0]!.auditArguments;

  assert.deepEqual(keptOf('"digest"'), { keep: "digest", maxBytes: 4_096 });
  assert.deepEqual(keptOf('["path"]'), { keep: ["path"], maxBytes: 4_096 });
  assert.match(
    refusalOf({ text: textOf("aware", '"some"') }).message,
    /tunnel\[0\]\.audit_arguments: "some" is not "none", "all", "digest" or list of names$/,
  );
  assert.match(
    refusalOf({ text: textOf("transparent", '"all"') }).message,
    /audit_arguments: has no effect on a transparent tunnel/,
  );
});

test("the default path of a tunnel follows from its name, host and protocol", () => {
  const { config } = loadConfig({
    text: `
      tunnel = [
        { name = "a" }, { name = "b", protocol = "http" },
        { name = "c", host = "C.example.com" },
        { name = "d", host = "d.example.com", protocol = "http" },
        { name = "e", path = "/own" },
      ]`,
  });

  assert.deepEqual(
    config.tunnels.map(({ host, path }) => `${host ?? ""}${path}`),
    ["/a/mcp", "/b", "c.example.com/mcp", "d.example.com/", "/own"],
  );
});

test("an exposed tunnel without a protocol takes the one of the rift", () => {
  const { config } = loadConfig({ file: join(FIXTURES, "valid/rift.toml") });

  assert.deepEqual(config.rift.exposes.map(({ protocol }) => protocol), ["http", "mcp"]);
});

test("flags win over the environment, that over the file, that over the defaults", () => {
  const text = `
    [edge]
    listen = "127.0.0.1:1"
    tunnel_listen = "127.0.0.1:1"
    max_headers = 50`;
  const { config, origins } = loadConfig({
    text,
    env: { MCPTUN_EDGE_LISTEN: "127.0.0.1:2", MCPTUN_EDGE_TUNNEL_LISTEN: "127.0.0.1:2" },
    flags: [{ key: "edge.listen", flag: "--listen", value: "127.0.0.1:3" }],
  });

  assert.equal(config.edge.listen, "127.0.0.1:3");
  assert.equal(config.edge.tunnelListen, "127.0.0.1:2");
  assert.equal(config.edge.maxHeaders, 50);
  assert.deepEqual([...origins], [
    ["edge.listen", "flag"],
    ["edge.tunnel_listen", "environment"],
    ["edge.max_headers", "file"],
  ]);
});

test("the environment gives numbers, sizes and booleans their type", () => {
  const { edge } = loadConfig({
    env: {
      MCPTUN_EDGE_MAX_HEADERS: "20",
      MCPTUN_EDGE_MAX_BODY_BYTES: "2048",
      MCPTUN_EDGE_MAX_HEADER_BYTES: "8KiB",
      MCPTUN_EDGE_BEHIND_PROXY: "true",
      MCPTUN_EDGE_DRAIN: "",
    },
  }).config;

  assert.equal(edge.maxHeaders, 20);
  assert.equal(edge.maxBodyBytes, 2_048);
  assert.equal(edge.maxHeaderBytes, 8_192);
  assert.equal(edge.behindProxy, true);
  assert.equal(edge.drainMs, 10_000);
});

test("a problem of a variable or a flag names the variable or the flag", () => {
  const error = refusalOf({
    file: "mcptun.toml",
    text: '[edge]\nlisten = "127.0.0.1:1"\ndrain = 1',
    env: { MCPTUN_EDGE_BEHIND_PROXY: "yes" },
    flags: [{ key: "edge.listen", flag: "--listen", value: "8080" }],
  });

  assert.deepEqual(error.message.split("\n"), [
    'mcptun.toml:3:1 edge.drain: 1 is not a duration with a unit, such as "10s"',
    '--listen: "8080" is not an address (write host:port, such as "127.0.0.1:8080" or "[::1]:8080")',
    'MCPTUN_EDGE_BEHIND_PROXY: "yes" is not true or false',
  ]);
});

test("a variable that is nearly a known one is warned of, others are left alone", () => {
  const { warnings } = loadConfig({
    env: { MCPTUN_EDGE_LISTN: "x", MCPTUN_EDGE_SERVICE_HOST: "10.0.0.1", MCPTUN_TOKEN: "x" },
  });

  assert.deepEqual(warnings, ["MCPTUN_EDGE_LISTN is not read (did you mean MCPTUN_EDGE_LISTEN?)"]);
});

test("a table for the audit trail that names no place for it is warned of", () => {
  const warningsOf = (text: string) => loadConfig({ text, file: "mcptun.toml" }).warnings;

  const without = warningsOf("[audit]\nintent = true\n");
  const empty = warningsOf("[edge]\n[audit]\n");
  const with_ = [
    warningsOf('[audit]\nfile = "audit.jsonl"\n'),
    warningsOf('[audit]\notlp_endpoint = "https://collector.example.com/v1/logs"\n'),
    warningsOf("[edge]\n"),
  ];

  assert.deepEqual(without, [
    "mcptun.toml:1:2 audit: nothing is recorded by this table alone (set audit.file, or " +
    "audit.otlp_endpoint)",
  ]);
  assert.equal(empty.length, 1);
  assert.deepEqual(with_, [[], [], []]);
});

test("relative paths start from the folder of the file, typed ones from the current folder", () => {
  const text = '[edge]\ntls_cert = "cert.pem"\ntls_key = "/k/key.pem"';
  const { edge, rift } = loadConfig({
    file: "/etc/mcptun/mcptun.toml",
    text,
    cwd: "/srv/a",
    env: { MCPTUN_RIFT_TOKEN_FILE: "rift.token" },
  }).config;

  assert.equal(edge.tlsCert, resolve("/etc/mcptun/cert.pem"));
  assert.equal(edge.tlsKey, resolve("/k/key.pem"));
  assert.equal(edge.stateDir, resolve("/etc/mcptun/mcptun-state"));
  assert.equal(rift.tokenFile, resolve("/srv/a/rift.token"));
});

test("a missing file says how to make one", () => {
  assert.match(
    refusalOf({ file: "nowhere/mcptun.toml" }).message,
    /^Cannot read config file "nowhere\/mcptun.toml": no such file \(create one with "mcptun init"/,
  );
});

test("a rift exposes as many tunnels as one connection may claim, and not one more", () => {
  const exposes = (count: number) =>
    Array.from(
      { length: count },
      (_, index) => `[[rift.expose]]\ntunnel = "t${index}"\nupstream = "http://127.0.0.1/"\n`,
    ).join("");

  assert.equal(loadConfig({ text: exposes(64) }).config.rift.exposes.length, 64);
  assert.match(
    refusalOf({ text: exposes(65) }).message,
    /:193:\d+ rift.expose\[64\]: more than 64/,
  );
});

test("a credential in place of a path is refused and not repeated", () => {
  const secret = "mcpt_hunter2";

  const inFile = refusalOf({ file: "mcptun.toml", text: `[rift]\ntoken_file = "${secret}"` });
  const inVariable = refusalOf({ env: { MCPTUN_RIFT_TOKEN_FILE: secret } });
  const elsewhere = refusalOf({ text: `[log]\nlevel = "${secret}"` });

  assert.match(inFile.message, /^mcptun\.toml:2:1 rift\.token_file: holds a credential/);
  assert.match(inVariable.message, /^MCPTUN_RIFT_TOKEN_FILE: holds a credential/);
  for (const { message } of [inFile, inVariable, elsewhere]) {
    assert.doesNotMatch(message, /hunter2/);
  }
});

test("routes conflict when a request could mean both tunnels", () => {
  const two = (edge: string, first: string, second: string) =>
    `[edge]\n${edge}\n[[tunnel]]\nname = "a"\n${first}\n[[tunnel]]\nname = "b"\n${second}\n`;
  const conflicts = [
    two("", 'host = "m"', 'host = "m:443"'),
    two("", 'host = "m:443"', 'host = "M"'),
    two('hosts = ["m"]', 'path = "/mcp"', 'host = "m"'),
    two('hosts = ["m"]', 'host = "m:443"', 'path = "/mcp"'),
    two("", 'path = "/mcp"', 'host = "localhost"'),
  ];
  const distinct = [
    two("", 'host = "m:8443"', 'host = "m:9443"'),
    two('hosts = ["m"]', "", 'host = "m"'),
    two('hosts = ["n"]', 'path = "/mcp"', 'host = "m"'),
  ];

  for (const text of conflicts) {
    assert.match(refusalOf({ text }).message, /tunnel\[1\]\.path: route ".*\/mcp" already belongs/);
  }
  for (const text of distinct) loadConfig({ text });
});

test("names that every object inherits are unknown keys too", () => {
  for (const name of ["__proto__", "toString", "hasOwnProperty"]) {
    assert.match(refusalOf({ text: `[edge]\n${name} = 1` }).message, /unknown key/);
  }
});

function refusalOf(options: LoadOptions): TunnelError {
  try {
    loadConfig(options);
  } catch (error) {
    assert.ok(error instanceof TunnelError, String(error));
    assert.equal(error.code, "CONFIG_INVALID");
    return error;
  }
  assert.fail("The configuration was accepted");
}

function tomlFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".toml")).sort();
}
