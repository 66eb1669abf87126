import assert from "node:assert/strict";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { loadConfig } from "../../../src/config/load.ts";
import {
  loadPolicy,
  parsePolicy,
  type PolicyFileOptions,
  readPolicyText,
} from "../../../src/config/policy_file.ts";
import { layersOf, tunnelLayerOf } from "../../../src/config/tunnel_policy.ts";
import { TunnelError } from "../../../src/errors.ts";
import { MAX_POLICY_FILE_BYTES } from "../../../src/limits.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { Principal } from "../../../src/principal.ts";
import { repositoryRoot } from "../../support/cli_process.ts";

const FIXTURES = join(repositoryRoot(), "tests/fixtures/policy");
const ALICE: Principal = { user: "alice", groups: [], how: "jwt" };

const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("every invalid policy file is refused with all its problems and their places", async () => {
  const names = tomlFiles(join(FIXTURES, "invalid"));

  assert.equal(names.length, 6);
  for (const name of names) {
    const path = join(FIXTURES, "invalid", name);
    const text = readFileSync(path, "utf8");
    const expected = readFileSync(path.replace(".toml", ".expected.txt"), "utf8");

    assert.equal(`${(await refusalOf({ file: "user.toml", text })).message}\n`, expected, name);
  }
});

test("every valid policy file loads", async () => {
  const names = tomlFiles(join(FIXTURES, "valid"));

  assert.equal(names.length, 2);
  for (const name of names) {
    const { policy, tests } = await loadPolicy({ file: name, cwd: join(FIXTURES, "valid") });
    assert.ok(policy.size > 0);
    assert.ok(tests.length > 0);
  }
});

test("the example of the documents keeps its own promises, with its configuration", async () => {
  const examples = join(repositoryRoot(), "examples/policy");
  const config = loadConfig({ file: join(examples, "mcptun.toml") });
  const loaded = await loadPolicy({ file: "user.toml", cwd: examples });

  assert.equal(config.config.policy.file, join(examples, "user.toml"));
  assert.deepEqual(loaded.warnings, []);
  assert.equal(loaded.tests.length, 5);
  for (const { user, groups, tunnel, target, expect } of loaded.tests) {
    const layers = layersOf(config, tunnel, loaded.policy);
    const decision = decide(layers, { user, groups, how: "jwt" }, target);
    assert.equal(decision.allowed ? "allow" : "deny", expect, target.name);
  }
});

test("a rule that decides has its place in its file, in every way TOML writes lists", () => {
  const { policy } = parsePolicy(
    `policy = [{ users = ["alice"], allow_tools = ["x", "read_*"] }]\n`,
    "user.toml",
  );
  const { policy: spread } = parsePolicy(
    '[[policy]]\nusers = ["alice"]\nallow_tools = [\n  "x",\n  "read_*",\n]\n',
    "user.toml",
  );
  const ruleOf = (of: typeof policy) => {
    const { rule } = decide([of.layerFor("t")], ALICE, { kind: "tool", name: "read_a" });
    return [rule?.list, rule?.pattern, rule?.file, rule?.line, rule?.column];
  };

  assert.deepEqual(ruleOf(policy), ["allow_tools", "read_*", "user.toml", 1, 52]);
  assert.deepEqual(ruleOf(spread), ["allow_tools", "read_*", "user.toml", 5, 3]);
});

test("a file that cannot be read says why", async () => {
  writeFileSync(join(folder, "latin1.toml"), new Uint8Array([0x61, 0xff]));
  writeFileSync(join(folder, "large.toml"), "");
  truncateSync(join(folder, "large.toml"), MAX_POLICY_FILE_BYTES + 1);
  const cases: [string, RegExp][] = [
    ["nowhere.toml", /^Cannot read policy file "nowhere.toml": no such file/],
    [".", /^Cannot read policy file ".": it is a folder/],
    ["latin1.toml", /it is not UTF-8/],
    ["large.toml", /it is larger than 16MiB/],
  ];

  for (const [file, expected] of cases) {
    assert.match((await refusalOf({ file, cwd: folder })).message, expected);
  }
});

test("a file that is written to while it is read is read again, and refused if that goes on", async () => {
  const file = join(folder, "changing.toml");
  const write = (text: string, atS: number): void => {
    writeFileSync(file, text);
    utimesSync(file, atS, atS);
  };
  // A look before each piece: the second one is behind all of the text.
  const looks = (onLook: (count: number) => void): AbortSignal => {
    let count = 0;
    const throwIfAborted = () => onLook(++count);
    return Object.assign(new AbortController().signal, { throwIfAborted });
  };

  write("first", 1);
  const once = await readPolicyText({ file }, looks((count) => count === 2 && write("other", 2)));
  let last = 0;
  const always = readPolicyText({ file }, looks((count) => write("again", 2 + (last = count))));

  assert.equal(once, "other");
  await assert.rejects(always, { code: "CONFIG_INVALID", message: /changes while it is read/ });
  assert.equal(last, 6);
  assert.equal(await readPolicyText({ file }), "again");
});

test("more policies, patterns and tests than a file may have are refused", async () => {
  const list = (count: number) => JSON.stringify(Array.from({ length: count }, (_, i) => `t${i}`));
  const long = `[[policy]]\nusers = ["a"]\nallow_tools = ${list(1_001)}\n`;
  const many = `policy = [${'{users=["a"]},'.repeat(20_001)}]\n`;

  // In pieces, and with a mistake in the first of them.
  const headers = "[[policy]]\nusers = []\nx = 1\n" + '[[policy]]\nusers = ["a"]\n'.repeat(20_000);
  const cases = '[[policy]]\nusers = ["a"]\n' + "[[test]]\n".repeat(20_002);
  const [longRefusal, manyRefusal] = [
    await refusalOf({ file: "user.toml", text: long }),
    await refusalOf({ file: "user.toml", text: many }),
  ];

  assert.match(longRefusal.message, /1001 patterns in one list/);
  assert.match(manyRefusal.message, /20001 tables/);
  assert.equal(
    (await refusalOf({ file: "user.toml", text: headers })).message,
    "user.toml:40002:3 policy[20000]: 20001 tables (at most 20000)",
  );
  assert.equal(
    (await refusalOf({ file: "user.toml", text: cases })).message,
    "user.toml:20003:3 test[20000]: 20002 tables (at most 20000)",
  );
});

test("the layers of a tunnel are its own rules and the file, and none without a usable file", () => {
  const config = loadConfig({
    file: "mcptun.toml",
    text: '[[tunnel]]\nname = "a"\nmode = "aware"\nauth = "edge"\ndeny_tools = ["x"]\n' +
      'default = "allow"\n[[tunnel]]\nname = "b"\n',
  });
  const { policy } = parsePolicy('[[policy]]\nusers = ["bob"]\n', "user.toml");
  const target = { kind: "tool", name: "y" } as const;

  assert.equal(decide(layersOf(config, "a", "none"), ALICE, target).allowed, true);
  assert.equal(decide(layersOf(config, "a", policy), ALICE, target).reason, "no_policy");
  assert.equal(decide(layersOf(config, "a", "unusable"), ALICE, target).reason, "no_layer");
  assert.deepEqual(decide([tunnelLayerOf(config, "a")], ALICE, { kind: "tool", name: "X" }).rule, {
    list: "deny_tools",
    pattern: "x",
    file: "mcptun.toml",
    line: 5,
    column: 15,
  });
  assert.throws(() => layersOf(config, "b", "none"), TypeError);
  assert.throws(() => layersOf(config, "c", "none"), TypeError);
});

async function refusalOf(options: PolicyFileOptions): Promise<TunnelError> {
  try {
    await loadPolicy(options);
  } catch (error) {
    assert.ok(error instanceof TunnelError, String(error));
    assert.equal(error.code, "CONFIG_INVALID");
    return error;
  }
  assert.fail("The policy file was accepted");
}

function tomlFiles(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith(".toml")).sort();
}
