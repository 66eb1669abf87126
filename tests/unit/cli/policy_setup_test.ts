import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { ConfigReload } from "../../../src/cli/config_reload.ts";
import {
  policyDecider,
  type TestedDecider,
  warnOfFailedTests,
} from "../../../src/cli/policy_setup.ts";
import { loadConfig } from "../../../src/config/load.ts";
import type { PolicyDecider } from "../../../src/edge/edge_options.ts";
import { TunnelError } from "../../../src/errors.ts";
import { DENO_SLICE_MS } from "../../../src/limits.ts";
import { type Logger, silentLogger } from "../../../src/log.ts";
import { stampFiles } from "../../../src/runtime/file_watch.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const POLICIES = 1_500;

test("other turns of the event loop come while a large policy file is loaded", async (t) => {
  const { write, decider } = setUp(t);
  write(policies("read_*"));
  let others = 0;
  let isOver = false;
  const other = (): void => {
    others++;
    if (!isOver) setImmediate(other);
  };
  setImmediate(other);

  const policy = await decider();
  isOver = true;

  assert.ok(others > 50, `${others} turns`);
  assert.equal(isAllowed(policy, `user${POLICIES - 1}`), true);
  assert.equal(isAllowed(policy, `user${POLICIES}`), false);
});

test("a large policy file that is broken keeps the one before in force, and its mistakes have their places", async (t) => {
  const { write, decider, reloadWith } = setUp(t);
  write(policies("read_*"));
  let inForce = await decider();
  const first = inForce;
  const reload = reloadWith(async () => void (inForce = await decider()));
  const lines = POLICIES * 4;

  write(`${policies("read_*")}[[policy]]\nusers = ["bob"]\nalow_tools = []\n`);
  await reload.now();
  const unknown = reload.state.problems;
  write(`${policies("read_*")}[[policy]]\nusers = ["bob"\n`);
  await reload.now();
  const notToml = reload.state.problems;
  const kept = inForce;
  write(policies("write_*"));
  await reload.now();

  assert.deepEqual(unknown, [
    `user.toml:${lines + 3}:1 policy[${POLICIES}].alow_tools: unknown key ` +
    '(did you mean "allow_tools"?)',
  ]);
  assert.equal(notToml.length, 1);
  assert.match(notToml[0]!, new RegExp(`^user\\.toml:${lines + 3}:1 not valid TOML`));
  assert.equal(kept, first);
  assert.deepEqual(reload.state.problems, []);
  assert.equal(isAllowed(inForce, "user7"), false);
});

test("the last of two quick changes is in force in the end, and each at once or not at all", async (t) => {
  const { write, decider, reloadWith } = setUp(t);
  write(policies("none"));
  let inForce = await decider();
  let reloads = 0;
  const reload = reloadWith(async () => {
    reloads++;
    inForce = await decider();
  });
  const halves: boolean[] = [];
  const look = setInterval(() => {
    const both = ["user0", `user${POLICIES - 1}`].map((user) => isAllowed(inForce, user));
    halves.push(both[0] !== both[1]);
  }, 1);

  write(policies("read_*"));
  const all = [reload.now()];
  write(policies("none_*"));
  all.push(reload.now());
  write(policies("read_a"));
  all.push(reload.now());
  await Promise.all(all);
  clearInterval(look);

  assert.equal(reloads, 2);
  assert.equal(isAllowed(inForce, "user0"), true);
  assert.ok(halves.length > 0);
  assert.ok(!halves.includes(true));
});

test("the version of a policy is that of its rules, in every place of a large file", async (t) => {
  const { write, decider } = setUp(t);
  const text = policies("read_*");
  const versions: (string | undefined)[] = [];

  for (const written of [text, text.replace("user0", "user_"), text, `${text}# 𝄞\n`]) {
    write(written);
    versions.push((await decider())?.version);
  }

  assert.equal(versions[0], versions[2]);
  assert.equal(new Set(versions).size, 3);
});

test("a load of a policy ends when its signal aborts", async (t) => {
  const { write, decider } = setUp(t);
  write(policies("read_*"));
  const life = new AbortController();
  const reason = new Error("closed");

  const early = decider(life.signal);
  life.abort(reason);

  await assert.rejects(early, reason);
  await assert.rejects(decider(life.signal), reason);
});

test("failing tests of a policy are counted and logged, and refuse nothing", async (t) => {
  const { write, decider } = setUp(t);
  const test = (expect: string, tunnel = "main") =>
    `[[test]]\nuser = "user0"\ntunnel = "${tunnel}"\ntool = "read_a"\nexpect = "${expect}"\n`;
  write(`${policies("read_*")}${test("allow")}${test("deny")}${test("deny", "elsewhere")}`);
  const warned: unknown[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (message, fields) => void warned.push([message, fields]),
  };
  const options = { clock: fakeClock(), log, file: "user.toml", config: "mcptun.toml" };

  const policy = await decider();
  await warnOfFailedTests(policy, options);
  write(`${policies("read_*")}${test("allow")}`);
  await warnOfFailedTests(await decider(), options);

  assert.equal(isAllowed(policy, "user0"), true);
  assert.deepEqual(warned, [[
    "Tests of the policy fail, it is in force all the same",
    { failed: 2, tests: 3, see: "mcptun policy check user.toml --config mcptun.toml" },
  ]]);
});

/** A policy for each of many users, in several pieces. */
function policies(tools: string): string {
  return Array.from(
    { length: POLICIES },
    (_, index) =>
      `[[policy]]\nusers = ["user${index}"]\nallow_tools = ["${tools}"]\n` +
      `deny_prompts = ["*_${"x".repeat(40)}_${index}"]\n`,
  ).join("");
}

function isAllowed(policy: PolicyDecider | undefined, user: string): boolean {
  assert.ok(policy !== undefined);
  const target = { kind: "tool", name: "read_a" } as const;
  return policy.decide("main", { user, groups: [], how: "jwt" }, target).allowed;
}

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-policy-"));
  const file = join(folder, "user.toml");
  const life = new AbortController();
  t.after(() => {
    life.abort();
    rmSync(folder, { recursive: true });
  });
  const loaded = loadConfig({
    text: '[[tunnel]]\nname = "main"\nmode = "aware"\nauth = "edge"\ndefault = "allow"\n' +
      '[policy]\nfile = "user.toml"\n',
    file: join(folder, "mcptun.toml"),
  });
  let readings = 0;
  // A step takes at least a fiftieth of a turn, on a machine of any speed.
  const stepping = { now: () => readings++ * DENO_SLICE_MS / 50 };
  return {
    write: (text: string) => writeFileSync(file, text),
    async decider(signal?: AbortSignal): Promise<TestedDecider | undefined> {
      try {
        return await policyDecider(loaded, { clock: stepping, signal });
      } catch (error) {
        if (!(error instanceof TunnelError)) throw error;
        throw new TunnelError(error.code, error.message.replaceAll(file, "user.toml"));
      }
    },
    reloadWith: (reload: () => Promise<void>) =>
      new ConfigReload({
        reload,
        files: () => [file],
        stamps: stampFiles([file]),
        clock: fakeClock(),
        log: silentLogger,
        signal: life.signal,
      }),
  };
}
