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
