import assert from "node:assert/strict";
import { test } from "node:test";

import { OwnedIds } from "../../../src/edge/aware/owned_ids.ts";
import { MAX_OWNED_IDS, MAX_OWNED_IDS_EACH, OWNED_ID_MS } from "../../../src/limits.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const session = (id: string, tunnel = "code") => ({ tunnel, kind: "session", id }) as const;

test("OwnedIds knows an id for the one who got it, in its tunnel and as what it is", () => {
  const ids = new OwnedIds(fakeClock());
  ids.give(session("s1"), "alice");

  assert.equal(ids.belongsTo(session("s1"), "alice"), true);
  assert.equal(ids.belongsTo(session("s1"), "bob"), false);
  assert.equal(ids.belongsTo(session("s1", "other"), "alice"), false);
  assert.equal(ids.belongsTo({ ...session("s1"), kind: "task" }, "alice"), false);
  assert.equal(ids.belongsTo(session("s2"), "alice"), false);
});

test("OwnedIds does not give away what somebody else has", () => {
  const ids = new OwnedIds(fakeClock());
  ids.give(session("s1"), "alice");
  ids.give(session("s1"), "bob");

  assert.equal(ids.belongsTo(session("s1"), "bob"), false);
  assert.equal(ids.belongsTo(session("s1"), "alice"), true);
  ids.end(session("s1"));
  ids.give(session("s1"), "bob");
  assert.equal(ids.belongsTo(session("s1"), "bob"), true);
});

test("OwnedIds forgets what is not used for long, and keeps what is", () => {
  const clock = fakeClock();
  const ids = new OwnedIds(clock);
  ids.give(session("idle"), "alice");
  ids.give(session("used"), "alice");
  clock.advance(OWNED_ID_MS - 1);
  assert.equal(ids.belongsTo(session("used"), "alice"), true);
  clock.advance(1);

  assert.equal(ids.belongsTo(session("idle"), "alice"), false);
  assert.equal(ids.belongsTo(session("used"), "alice"), true);
});

test("OwnedIds is bounded, and one owner's flood pushes out only its own ids", () => {
  const ids = new OwnedIds(fakeClock());
  ids.give(session("quiet"), "alice");
  for (let count = 0; count < MAX_OWNED_IDS_EACH + 10; count++) {
    ids.give(session(`${count}`), "eve");
  }

  assert.equal(ids.size, MAX_OWNED_IDS_EACH + 1);
  assert.equal(ids.belongsTo(session("quiet"), "alice"), true);
  assert.equal(ids.belongsTo(session("0"), "eve"), false);
  assert.equal(ids.belongsTo(session("10"), "eve"), true);

  for (let count = 0; count < MAX_OWNED_IDS + 10; count++) {
    ids.give(session(`u${count}`), `${count}`);
  }
  assert.equal(ids.size, MAX_OWNED_IDS);
});

test("OwnedIds keeps a session in use, however many events its owner gets", () => {
  const ids = new OwnedIds(fakeClock());
  ids.give(session("s1"), "alice");
  ids.give(session("s2"), "alice");
  for (let count = 0; count < 2 * MAX_OWNED_IDS_EACH; count++) {
    ids.give({ tunnel: "code", kind: "event", id: `${count}` }, "alice");
  }
  assert.equal(ids.belongsTo(session("s1"), "alice"), true);
  for (let count = 0; count < MAX_OWNED_IDS_EACH - 1; count++) {
    ids.give(session(`more ${count}`), "alice");
  }

  assert.equal(ids.size, 2 * MAX_OWNED_IDS_EACH);
  assert.equal(ids.belongsTo(session("s1"), "alice"), true);
  assert.equal(ids.belongsTo(session("s2"), "alice"), false);
});

test("OwnedIds makes room at the cost of who has much, when it is full", () => {
  const ids = new OwnedIds(fakeClock());
  ids.give(session("quiet"), "alice");
  for (let owner = 0; owner < 25; owner++) {
    for (let count = 0; count < MAX_OWNED_IDS_EACH; count++) {
      ids.give({ tunnel: "code", kind: "event", id: `${owner} ${count}` }, `eve ${owner}`);
    }
  }

  assert.equal(ids.size, MAX_OWNED_IDS);
  assert.equal(ids.belongsTo(session("quiet"), "alice"), true);
});

test("OwnedIds keeps no id that is longer than a client may show", () => {
  const ids = new OwnedIds(fakeClock());
  const kinds = ["session", "task", "event", "request"] as const;
  for (const kind of kinds) ids.give({ tunnel: "code", kind, id: "x".repeat(100_000) }, "alice");

  assert.equal(kinds.length, 4);
  assert.equal(ids.size, 0);
});
