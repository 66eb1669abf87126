import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { issueUserToken } from "../../../src/identity/user_token_issue.ts";
import { hashUserToken, makeUserToken } from "../../../src/identity/user_token.ts";
import {
  userTokenId,
  type UserTokenRecord,
  UserTokenStore,
} from "../../../src/identity/user_token_store.ts";
import { MAX_GROUPS, MAX_USER_TOKENS, MAX_USER_TOKENS_BYTES } from "../../../src/limits.ts";
import { Secret } from "../../../src/runtime/secret.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const onPosix = process.platform === "win32" ? { skip: "no file modes on Windows" } : {};

test("UserTokenStore starts empty, makes no file, and admits nobody", async (t) => {
  const { store, stateDir } = await openStore(t);

  assert.deepEqual(await store.list(), []);
  assert.deepEqual(await readdir(stateDir), []);
  assert.equal(store.check(makeUserToken().reveal(), NOW_MS), undefined);
});

test("check() tells who a token belongs to, until it ends", async (t) => {
  const { store } = await openStore(t);
  const alice = await issue(store, "alice", { groups: ["ops", "front end"], ttlMs: DAY_MS });
  const bob = await issue(store, "bob@example.com");

  assert.deepEqual(store.check(alice.token, NOW_MS + DAY_MS - 1), {
    id: alice.id,
    user: "alice",
    groups: ["ops", "front end"],
    validUntilMs: NOW_MS + DAY_MS,
  });
  assert.deepEqual(store.check(bob.token, NOW_MS + 10_000 * DAY_MS), {
    id: bob.id,
    user: "bob@example.com",
    groups: [],
    validUntilMs: Infinity,
  });
  assert.equal(store.check(alice.token, NOW_MS + DAY_MS), undefined);
  assert.equal(store.isActive(alice.id, NOW_MS), true);
  assert.equal(store.isActive(alice.id, NOW_MS + DAY_MS), false);
  assert.equal(store.isActive("00000000", NOW_MS), false);
});

test("check() refuses what is not the token, even with the same id", async (t) => {
  const { store, path } = await openStore(t);
  const { token, id } = await issue(store, "alice");
  const file = JSON.parse(await readFile(path, "utf8")) as { tokens: UserTokenRecord[] };
  const { hash } = file.tokens[0]!;
  const refused = [
    "",
    "mcpu_",
    `${token}x`,
    token.slice(0, -1),
    ` ${token}`,
    hash,
    id,
    token + "\n",
  ];

  for (const text of refused) assert.equal(store.check(text, NOW_MS), undefined);
  const lookalike = { ...file.tokens[0]!, hash: id + "0".repeat(56) };
  await writeFile(path, JSON.stringify({ version: 1, tokens: [lookalike] }));
  await store.reload();

  assert.equal(refused.length, 8);
  assert.equal(store.snapshot.records[0]!.id, id);
  assert.equal(store.check(token, NOW_MS), undefined);
});

test(
  "the file has the hash and never the token, and only its owner can reach it",
  onPosix,
  async (t) => {
    const { store, stateDir, path } = await openStore(t);
    const { token } = await issue(store, "alice");

    const text = await readFile(path, "utf8");

    assert.ok(!text.includes(token) && !text.includes(token.slice(5)));
    assert.ok(text.includes(Buffer.from(hashUserToken(token)).toString("hex")));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(stateDir), ["user-tokens.json"]);
  },
);

test("revoke() ends every token of a user, or the one named", async (t) => {
  const { store } = await openStore(t);
  const first = await issue(store, "alice");
  const second = await issue(store, "alice");
  const third = await issue(store, "alice");
  const other = await issue(store, "bob");

  const one = await store.revoke({ user: "alice", id: second.id });
  const wrong = await store.revoke({ user: "alice", id: other.id });
  const stillGood = [first, second, third, other].map(({ token }) => store.check(token, NOW_MS));
  const rest = await store.revoke({ user: "alice" });
  const again = await store.revoke({ user: "alice" });

  assert.deepEqual(one.map(({ id }) => id), [second.id]);
  assert.deepEqual(wrong, []);
  assert.deepEqual(stillGood.map((owner) => owner?.user), ["alice", undefined, "alice", "bob"]);
  assert.deepEqual(rest.map(({ id }) => id), [first.id, third.id]);
  assert.deepEqual(again, []);
  assert.equal(store.check(first.token, NOW_MS), undefined);
  assert.equal(store.isActive(first.id, NOW_MS), false);
  assert.equal(store.check(other.token, NOW_MS)?.user, "bob");
});

test("reload() brings what another process issued and revoked", async (t) => {
  const { store, stateDir } = await openStore(t);
  const command = await UserTokenStore.open({ stateDir });
  const { token, id } = await issue(command, "alice");
  const before = store.check(token, NOW_MS);

  const changed = await store.reload();
  const unchanged = await store.reload();
  const during = store.check(token, NOW_MS);
  const { snapshot } = store;
  await command.revoke({ user: "alice" });
  await store.reload();

  assert.equal(before, undefined);
  assert.deepEqual([changed, unchanged], ["changed", "unchanged"]);
  assert.equal(during?.user, "alice");
  assert.equal(snapshot.isActive(id, NOW_MS), true);
  assert.equal(store.isActive(id, NOW_MS), false);
  assert.equal(store.check(token, NOW_MS), undefined);
});

test("reload() of a damaged file reports it, keeps what was good, and revives nothing", async (t) => {
  const { store, path } = await openStore(t);
  const good = await issue(store, "alice");
  const gone = await issue(store, "bob");
  await store.revoke({ user: "bob" });
  const text = await readFile(path, "utf8");

  await writeFile(path, text.slice(0, 40));
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(store.reload(), isUnusable(path));
  }

  assert.equal(store.check(good.token, NOW_MS)?.user, "alice");
  assert.equal(store.check(gone.token, NOW_MS), undefined);
  await writeFile(path, text);
  assert.equal(await store.reload(), "changed");
  await rm(path);
  await store.reload();
  assert.equal(store.check(good.token, NOW_MS), undefined);
});

test("many reloads at once end with the newest file", async (t) => {
  const { store, stateDir } = await openStore(t);
  const command = await UserTokenStore.open({ stateDir });
  const { token } = await issue(command, "alice");

  const reloads = [store.reload(), store.reload()];
  await command.revoke({ user: "alice" });
  await Promise.all([...reloads, store.reload(), store.reload()]);

  assert.equal(store.check(token, NOW_MS), undefined);
});

test("a damaged file stops open(), add() and revoke(), and stays as it is", async (t) => {
  const { store, stateDir, path } = await openStore(t);
  await issue(store, "alice");
  const good = JSON.parse(await readFile(path, "utf8"));
  const [record] = good.tokens;
  const tokens = (...list: unknown[]) => JSON.stringify({ ...good, tokens: list });
  const damaged = [
    "",
    "{",
    "[]",
    "null",
    JSON.stringify({ ...good, version: 2 }),
    JSON.stringify({ ...good, tokens: {} }),
    tokens(null),
    tokens({ ...record, revoked: 0 }),
    tokens({ ...record, user: "" }),
    tokens({ ...record, user: "a\u001b[31m" }),
    tokens({ ...record, groups: "ops" }),
    tokens({ ...record, groups: ["a", "a"] }),
    tokens({ ...record, groups: ["a,b"] }),
    tokens({ ...record, hash: record.hash.slice(1) }),
    tokens({ ...record, hash: record.hash.toUpperCase() + "0" }),
    tokens({ ...record, id: "0badf00d" }),
    tokens({ ...record, expiresAtMs: undefined }),
    tokens({ ...record, expiresAtMs: 1e300 }),
    tokens(record, record),
  ];
  let refused = 0;

  for (const text of damaged) {
    await writeFile(path, text);
    const uses = [
      () => UserTokenStore.open({ stateDir }),
      () => issue(store, "more"),
      () => store.revoke({ user: "alice" }),
    ];
    for (const use of uses) await assert.rejects(use, isUnusable(path));
    assert.equal(await readFile(path, "utf8"), text);
    refused++;
  }

  assert.equal(refused, 19);
});

test("UserTokenStore refuses a file open to others", onPosix, async (t) => {
  const { store, stateDir, path } = await openStore(t);
  await issue(store, "alice");
  await chmod(path, 0o640);

  await assert.rejects(UserTokenStore.open({ stateDir }), isUnusable(`chmod 600 "${path}"`));
});

test("stores that issue at the same time lose nothing", async (t) => {
  const { store, stateDir } = await openStore(t);
  const stores = await Promise.all(
    Array.from({ length: 5 }, () => UserTokenStore.open({ stateDir })),
  );

  const issued = await Promise.all(stores.map((one, at) => issue(one, `user-${at}`)));
  await store.reload();

  const users = issued.map(({ token }) => store.check(token, NOW_MS)?.user);
  assert.deepEqual(users, ["user-0", "user-1", "user-2", "user-3", "user-4"]);
  assert.deepEqual(await readdir(stateDir), ["user-tokens.json"]);
});

test("issueUserToken() makes another token when the id is taken, and gives up in the end", async (t) => {
  const { store } = await openStore(t);
  const { token } = await issue(store, "alice");
  const made = [new Secret(token), new Secret(token), makeUserToken()];
  const makeToken = () => made.shift() ?? new Secret(token);

  const second = await issueUserToken({ ...facts(store, "bob"), makeToken });

  assert.equal(store.check(second.token.reveal(), NOW_MS)?.user, "bob");
  await assert.rejects(issueUserToken({ ...facts(store, "eve"), makeToken }), isCode("USAGE"));
  assert.equal((await store.list()).length, 2);
});

test("issueUserToken() refuses names that could pass for something else", async (t) => {
  const { store } = await openStore(t);
  const refused = [
    "",
    " ",
    " a",
    "a ",
    "a,b",
    "a\nb",
    "a\u001b[2J",
    "a\u007f",
    "a\u009b",
    "a\u200b",
    "a\u202eb",
    "a\u00a0b",
    "a\u3164",
    "a\ufe0f",
    "a\ud800",
    "a\ue000",
    "a".repeat(257),
  ];
  const accepted = ["a", "Alice Smith", "alice@example.com", "Ünal", "李雷", "a".repeat(256)];

  for (const text of refused) {
    await assert.rejects(issue(store, text), isPrintableUsage, JSON.stringify(text));
    await assert.rejects(issue(store, "alice", { groups: [text] }), isPrintableUsage);
  }
  for (const text of accepted) await issue(store, text, { groups: [text] });

  assert.equal(refused.length, 17);
  assert.deepEqual((await store.list()).map(({ user }) => user), accepted);
});

test("issueUserToken() refuses too many groups, the same twice, and wrong lifetimes", async (t) => {
  const { store } = await openStore(t);
  const many = Array.from({ length: MAX_GROUPS + 1 }, (_, at) => `g${at}`);

  const wrong = [
    { groups: many },
    { groups: ["a", "a"] },
    { ttlMs: 0 },
    { ttlMs: -1 },
    { ttlMs: NaN },
    { ttlMs: 3_651 * DAY_MS },
  ];
  for (const changes of wrong) {
    await assert.rejects(issue(store, "a", changes), isCode("USAGE"));
  }
  await issue(store, "a", { groups: many.slice(1), ttlMs: 3_650 * DAY_MS });

  assert.equal(wrong.length, 6);
  assert.equal((await store.list()).length, 1);
});

test("a full store makes room by what is revoked or ended, and refuses when all are active", async (t) => {
  const { store, path } = await openStore(t);
  const full = Array.from({ length: MAX_USER_TOKENS }, (_, at) => recordOf(at));
  await writeFile(path, JSON.stringify({ version: 1, tokens: full }), { mode: 0o600 });

  await assert.rejects(issue(store, "late"), isCode("USAGE"));
  await store.revoke({ user: "user-7" });
  const { token } = await issue(store, "late");

  assert.equal((await store.list()).length, MAX_USER_TOKENS);
  assert.equal(store.check(token, NOW_MS)?.user, "late");
});

test("add() never writes a file that is too large to read, and revoking still works then", async (t) => {
  const { store, path } = await openStore(t);
  const groups = Array.from({ length: MAX_GROUPS }, (_, at) => String(at).padStart(256, "g"));
  const count = Math.ceil(MAX_USER_TOKENS_BYTES / (256 * 256));
  const tokens = Array.from({ length: count }, (_, at) => ({ ...recordOf(at), groups }));
  await writeFile(path, JSON.stringify({ version: 1, tokens }), { mode: 0o600 });

  await assert.rejects(issue(store, "late"), isCode("USAGE"));
  const revoked = await store.revoke({ user: "user-3" });

  assert.equal(revoked.length, 1);
});

test("add() refuses a record that is not valid", async (t) => {
  const { store } = await openStore(t);
  const wrong = [
    { ...recordOf(1), id: "1" },
    { ...recordOf(1), hash: "" },
    { ...recordOf(1), user: "a\u0000" },
    { ...recordOf(1), expiresAtMs: NaN },
  ];

  for (const record of wrong) await assert.rejects(store.add(record), TypeError);

  assert.equal(wrong.length, 4);
});

interface IssueChanges {
  readonly groups?: readonly string[];
  readonly ttlMs?: number;
}

function facts(store: UserTokenStore, user: string, { groups = [], ttlMs }: IssueChanges = {}) {
  return { store, user, groups, ttlMs, clock: fakeClock(NOW_MS) };
}

async function issue(store: UserTokenStore, user: string, changes?: IssueChanges) {
  const { token, record } = await issueUserToken(facts(store, user, changes));
  return { token: token.reveal(), id: record.id };
}

function recordOf(at: number): UserTokenRecord {
  const hash = at.toString(16).padStart(8, "0").padEnd(64, "a");
  return {
    id: userTokenId(Buffer.from(hash, "hex")),
    user: `user-${at}`,
    groups: [],
    hash,
    issuedAtMs: NOW_MS,
    expiresAtMs: null,
    revoked: false,
  };
}

function isCode(code: string) {
  return (error: unknown) => error instanceof TunnelError && error.code === code;
}

function isUnusable(names: string) {
  return (error: unknown) => isCode("STATE_UNUSABLE")(error) && String(error).includes(names);
}

function isPrintableUsage(error: unknown): boolean {
  return isCode("USAGE")(error) && /^[ -~]{1,400}$/.test((error as Error).message);
}

async function openStore(
  t: TestContext,
): Promise<{ store: UserTokenStore; stateDir: string; path: string }> {
  const stateDir = await mkdtemp(join(tmpdir(), "mcptun-users-"));
  t.after(() => rm(stateDir, { recursive: true }));
  const store = await UserTokenStore.open({ stateDir });
  return { store, stateDir, path: join(stateDir, "user-tokens.json") };
}
