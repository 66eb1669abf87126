import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { generatedFiles } from "../../../scripts/gen_docs.ts";
import { describeKeys, describeTables } from "../../../src/config/describe.ts";
import { effectiveValues } from "../../../src/config/effective.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { flagHelp, renderExample } from "../../../src/config/reference.ts";
import { repositoryRoot } from "../../support/cli_process.ts";

const KEYS = 78;

test("the example file and the tables of the docs are what the schema says", () => {
  const read = (path: string) => readFileSync(join(repositoryRoot(), path), "utf8");
  const files = generatedFiles(read);

  assert.equal(files.size, 2);
  for (const [path, content] of files) assert.equal(read(path), content, path);
});

test("the introduction of the docs names every table, and the environment of every one that has it", () => {
  const text = readFileSync(join(repositoryRoot(), "docs/configuration.md"), "utf8");
  const intro = text.slice(0, text.indexOf("## Keys"));
  const environment = intro.slice(intro.indexOf("3. the environment"), intro.indexOf("4. a flag"));
  const tables = describeTables();
  const withEnv = new Set(
    describeKeys().filter(({ env }) => env !== undefined).map(({ path }) => path.split(".")[0]!),
  );

  for (const { header } of tables) assert.ok(intro.includes(`\`${header}\``), header);
  for (const name of withEnv) assert.ok(environment.includes(`\`[${name}]\``), name);
  assert.deepEqual([tables.length, withEnv.size], [10, 7]);
});

test("every key is described", () => {
  const keys = describeKeys();

  assert.equal(keys.length, KEYS);
  for (const key of keys) {
    assert.match(key.doc, /^.{10,}\.$/, key.path);
    assert.ok(key.form.length > 0, key.path);
    assert.ok(key.fallback !== undefined || key.example !== undefined, key.path);
    assert.ok(flagHelp(key.path).endsWith(`[${key.path}]`));
  }
});

test("the example file loads to the defaults", () => {
  const { config } = loadConfig({ text: renderExample(), cwd: "/srv" });
  const defaults = loadConfig({ cwd: "/srv" }).config;

  assert.deepEqual(config.edge, defaults.edge);
  assert.deepEqual(config.log, defaults.log);
  assert.deepEqual({ ...config.rift, exposes: [] }, defaults.rift);
  assert.equal(config.tunnels.length, 1);
  assert.equal(config.rift.exposes.length, 1);
});

test("the example file still loads with everything commented in", () => {
  const text = renderExample().replace(/^# (\w+ = )/gm, "$1")
    // A user header wants a proxy to come from.
    .replace("trusted_proxies = []", 'trusted_proxies = ["127.0.0.1"]');
  const { origins } = loadConfig({ text });

  assert.equal(origins.size, KEYS);
});

test("effective values are complete, with their origins and without secrets", () => {
  const values = effectiveValues(loadConfig({
    file: "/etc/mcptun.toml",
    text: `
      [[tunnel]]
      name = "a"
      [[auth.issuer]]
      issuer = "https://login.example.com"
      [rift]
      drain = "90s"
      [[rift.expose]]
      tunnel = "a"
      upstream = "http://127.0.0.1:1/@hunter2/mcp"`,
    env: { MCPTUN_LOG_LEVEL: "debug" },
  }));
  const of = (name: string) => values.find(({ key }) => key === name);

  assert.equal(values.length, KEYS);
  assert.deepEqual(of("rift.drain"), { key: "rift.drain", value: "90s", origin: "file" });
  assert.deepEqual(of("log.level"), { key: "log.level", value: "debug", origin: "environment" });
  assert.deepEqual(of("tunnel[0].path"), {
    key: "tunnel[0].path",
    value: "/a/mcp",
    origin: "default",
    tunnel: "a",
  });
  assert.doesNotMatch(JSON.stringify(values), /hunter2/);
});

test("what an aware tunnel comes to is shown, also where the file is silent", () => {
  const text = '[[tunnel]]\nname = "a"\nmode = "aware"\nallow_tools = ["x"]\n' +
    '[[tunnel]]\nname = "b"\n';
  const values = effectiveValues(loadConfig({ file: "/etc/mcptun.toml", text }));
  const names = ["mode", "default", "on_deny", "auth", "forward_authorization"];
  const of = (tunnel: string) =>
    names.map((name) =>
      values.find((one) => one.tunnel === tunnel && one.key.endsWith(`.${name}`))?.value
    );

  assert.deepEqual(of("a"), ["aware", "deny", "hide", "edge", false]);
  assert.deepEqual(of("b"), ["transparent", undefined, undefined, "upstream", true]);
});
