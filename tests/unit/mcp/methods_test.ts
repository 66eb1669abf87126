import assert from "node:assert/strict";
import { test } from "node:test";

import { existsIn, FAMILIES, methodRow, METHODS, REVISIONS } from "../../../src/mcp/methods.ts";
import type { JudgedBy } from "../../../src/mcp/methods.ts";

/** The reference's table: method, who sends it, revisions in order (`x`: an extension), key. */
const TABLE: readonly (readonly [string, string, string, JudgedBy])[] = [
  ["initialize", "client", "++++-", "open"],
  ["server/discover", "client", "----+", "open"],
  ["ping", "both", "++++-", "open"],
  ["tools/list", "client", "+++++", "open"],
  ["tools/call", "client", "+++++", "tool"],
  ["resources/list", "client", "+++++", "open"],
  ["resources/templates/list", "client", "+++++", "open"],
  ["resources/read", "client", "+++++", "resource"],
  ["resources/subscribe", "client", "++++-", "resource"],
  ["resources/unsubscribe", "client", "++++-", "resource"],
  ["subscriptions/listen", "client", "----+", "subscriptions"],
  ["prompts/list", "client", "+++++", "open"],
  ["prompts/get", "client", "+++++", "prompt"],
  ["completion/complete", "client", "+++++", "ref"],
  ["logging/setLevel", "client", "++++-", "method"],
  ["tasks/get", "both", "---+x", "task"],
  ["tasks/cancel", "both", "---+x", "task"],
  ["tasks/result", "both", "---+-", "task"],
  ["tasks/list", "both", "---+-", "method"],
  ["tasks/update", "client", "----x", "task"],
  ["sampling/createMessage", "server", "++++-", "family"],
  ["roots/list", "server", "++++-", "family"],
  ["elicitation/create", "server", "--++-", "family"],
  ["notifications/initialized", "client", "++++-", "open"],
  ["notifications/cancelled", "both", "+++++", "open"],
  ["notifications/progress", "both", "+++++", "open"],
  ["notifications/roots/list_changed", "client", "++++-", "open"],
  ["notifications/message", "server", "+++++", "open"],
  ["notifications/resources/updated", "server", "+++++", "resource"],
  ["notifications/tools/list_changed", "server", "+++++", "open"],
  ["notifications/prompts/list_changed", "server", "+++++", "open"],
  ["notifications/resources/list_changed", "server", "+++++", "open"],
  ["notifications/subscriptions/acknowledged", "server", "----+", "subscriptions"],
  ["notifications/tasks/status", "both", "---+-", "task"],
  ["notifications/tasks", "server", "----x", "task"],
  ["notifications/elicitation/complete", "server", "---+-", "open"],
];

test("the table of methods is the specification's, row by row", () => {
  let count = 0;
  for (const [name, from, revisions, judgedBy] of TABLE) {
    const row = methodRow(name);
    assert.deepEqual(
      [row?.name, row?.from, row?.revisions, row?.judgedBy],
      [name, from, revisions, judgedBy],
    );
    assert.equal(row?.kind, name.startsWith("notifications/") ? "notification" : "request");
    count++;
  }

  assert.equal(count, 36);
  assert.equal(METHODS.length, count);
  assert.ok(METHODS.every((row) => row.revisions.length === REVISIONS.length));
});

test("exactly the methods that must have Mcp-Name say what it mirrors", () => {
  const mirrored = METHODS.flatMap(({ name, nameHeader }) =>
    nameHeader === undefined ? [] : [[name, nameHeader]]
  );

  assert.deepEqual(Object.fromEntries(mirrored), {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/cancel": "taskId",
    "tasks/update": "taskId",
  });
});

test("exactly the methods whose answers name things say which list", () => {
  const lists = METHODS.flatMap(({ name, result }) =>
    result === undefined ? [] : [[name, `${result.list}[].${result.key}`]]
  );

  assert.deepEqual(Object.fromEntries(lists), {
    "tools/list": "tools[].name",
    "resources/list": "resources[].uri",
    "resources/templates/list": "resourceTemplates[].uriTemplate",
    "resources/read": "contents[].uri",
    "prompts/list": "prompts[].name",
    "tasks/list": "tasks[].taskId",
  });
});

test("a method exists in an era when one of its revisions has it", () => {
  const eras = (name: string) => {
    const row = methodRow(name);
    assert.ok(row);
    return [existsIn(row, "legacy"), existsIn(row, "modern")];
  };

  assert.deepEqual(eras("initialize"), [true, false]);
  assert.deepEqual(eras("subscriptions/listen"), [false, true]);
  assert.deepEqual(eras("tasks/get"), [true, true]);
  assert.deepEqual(eras("elicitation/create"), [true, false]);
  assert.deepEqual(METHODS.flatMap(({ family }) => family ?? []).sort(), [...FAMILIES].sort());
  for (const name of ["__proto__", "constructor", "Tools/Call", "tools/call\u0000", ""]) {
    assert.equal(methodRow(name), undefined);
  }
});
