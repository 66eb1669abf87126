import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import fc from "fast-check";

import { readRecord, type SeenRecord } from "../../../src/audit/read_record.ts";
import { parseWhere, type Where } from "../../../src/audit/where.ts";
import { nearest } from "../../../src/config/nearest.ts";
import { MAX_WHERE_CHARS, MAX_WHERE_DEPTH } from "../../../src/limits.ts";
import {
  deniedLine,
  type LineFacts,
  recordLine,
  toolLine,
  TRAIL_MS,
} from "../../support/audit_lines.ts";

const context = {
  instant: (text: string) => text === "start" ? TRAIL_MS : undefined,
  nearest,
};

function record(line: string): SeenRecord {
  const read = readRecord(Buffer.from(line));
  assert.ok(typeof read !== "string");
  return read;
}

function where(expression: string): Where {
  const parsed = parseWhere(expression, context);
  assert.ok("test" in parsed, `${expression}: ${JSON.stringify(parsed)}`);
  return parsed;
}

function problem(expression: string): { readonly column: number; readonly problem: string } {
  const parsed = parseWhere(expression, context);
  assert.ok("problem" in parsed, expression);
  return parsed;
}

const READ: LineFacts = { duration_ms: 501, user: "alice", groups: ["dev", "ops"], status: 200 };

test("a word that a field never holds is a mistake that names those it may hold", () => {
  const cases = [
    ["decision = denied", 'decision" is never "denied" (it is one of: allow, deny)'],
    ["era != old", 'era" is never "old" (it is one of: modern, legacy)'],
    ["result = tool-error", 'result" is never "tool-error" (it is one of: ok, tool_error, '],
    ["kind = tools", 'kind" is never "tools" (it is one of: tool, resource, prompt, method, task)'],
    ["how = token", 'how" is never "token" (it is one of: user_token, jwt, certificate, '],
    ["transport = tcp", 'transport" is never "tcp" (it is one of: quic)'],
    ["type = record", 'type" is never "record" (it is one of: exchange, intent, '],
    ["layer = policy", 'layer" is never "policy" (it is one of: tunnel, user, ownership)'],
  ] as const;

  for (const [expression, expected] of cases) {
    const { column, problem: text } = problem(expression);

    assert.ok(text.includes(expected), text);
    assert.equal(column, expression.lastIndexOf(" ") + 2);
  }
  assert.equal(cases.length, 8);
  assert.ok(where("decision = deny").test(record(deniedLine("x"))));
  assert.ok(where("decision ~ den").test(record(deniedLine("x"))), "a part may be any text");
});

test("a comparison asks one member", () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ["duration_ms > 500", true],
    ["duration_ms > 501", false],
    ["duration_ms >= 501", true],
    ["duration_ms < 2s", true],
    ["duration_ms <= 0.501s", true],
    ["bytes_out = 4200", true],
    ["bytes_out > 4KiB", true],
    ["bytes_out < 1MiB", true],
    ["status != 200", false],
    ["user = alice", true],
    ["user == 'alice'", true],
    ["user=alice", true],
    ['user = "ali"', false],
    ["user ~ ali", true],
    ["user ~ ali*", true],
    ["user ~ a*", true],
    ["user ~ *b*", false],
    ["user !~ b", true],
    ["name ~ read_?ile", true],
    ["name ~ {read,write}_*", true],
    ["rule ~ 'allow_tools \"read'", true],
    ["groups = ops", true],
    ["groups = o", false],
    ["groups ~ o*", true],
    ["groups != ops", false],
    ["time >= start", true],
    ["time > start", false],
    ["type = exchange", true],
  ];

  for (const [expression, expected] of cases) {
    const found = where(expression).test(record(toolLine("read_file", READ)));

    assert.equal(found, expected, expression);
  }
  assert.equal(cases.length, 28);
});

test("a member that is absent is equal to nothing, and different from everything", () => {
  const bare = record(recordLine());
  const cases: readonly (readonly [string, boolean])[] = [
    ["user", false],
    ["not user", true],
    ["user = alice", false],
    ["user != alice", true],
    ["user !~ a", true],
    ["duration_ms < 1", false],
    ["duration_ms > 1", false],
    ["duration_ms != 1", true],
    ["arguments ~ x", false],
    ["edge", true],
  ];

  for (const [expression, expected] of cases) {
    assert.equal(where(expression).test(bare), expected, expression);
  }
  assert.equal(cases.length, 10);
});

test('"not" binds more than "and", "and" more than "or", and parentheses most', () => {
  const denied = record(deniedLine("shell_exec", { user: "bob" }));
  const cases: readonly (readonly [string, boolean])[] = [
    ["user = bob or user = alice and decision = allow", true],
    ["(user = bob or user = alice) and decision = allow", false],
    ["not user = alice and decision = deny", true],
    ["not (user = bob and decision = deny)", false],
    ["not not user = bob", true],
    ["NOT user = alice AND decision = deny", true],
    ["((user = bob))", true],
  ];

  for (const [expression, expected] of cases) {
    assert.equal(where(expression).test(denied), expected, expression);
  }
  assert.equal(cases.length, 7);
});

test("arguments and the messages of a batch are compared as JSON text", () => {
  const seen = record(toolLine("a", {
    arguments: { path: "/etc/passwd" },
    batch: [{ method: "tools/call", kind: "tool", name: "delete_all" }],
  }));

  assert.equal(where("arguments ~ /etc/").test(seen), true);
  assert.equal(where("batch ~ delete_").test(seen), true);
  assert.equal(where("batch ~ nothing").test(seen), false);
});

test("a mistake is told with its column", () => {
  const cases: readonly (readonly [string, number, RegExp])[] = [
    ["", 1, /^expected a field, not the end$/],
    [
      "duraton_ms > 5",
      1,
      /^"duraton_ms" is no field of a record \(did you mean "duration_ms"\?\)$/,
    ],
    ["user = alice and zzzz = 1", 18, /^"zzzz" is no field of a record \(docs\/audit\.md/],
    ["__proto__ = 1", 1, /is no field/],
    ["user >", 6, /^> says nothing about "user" \(it takes = != ~ !~\)$/],
    ["user > a", 6, /^> says nothing about "user"/],
    ["duration_ms ~ 5", 13, /^~ says nothing about "duration_ms"/],
    ["duration_ms > fast", 15, /^"duration_ms" is a number, not "fast"/],
    ["duration_ms > 5 5", 17, /^expected "and", "or" or the end, not "5"$/],
    ["time > soon", 8, /^"time" is a time, not "soon"/],
    ["(user = a", 10, /^expected "\)" for the "\(" at column 1$/],
    ["user = a)", 9, /^this "\)" has no "\("$/],
    ["user = a && status = 1", 10, /^"&" has no meaning here \(write "and"\)$/],
    ["user = a || status = 1", 10, /^"\|" has no meaning here \(write "or"\)$/],
    ["! user", 1, /^"!" has no meaning here \(write "not", or/],
    ["user = 'ali", 8, /^the text that begins here has no closing '$/],
    ["user ~ 'a[b'", 8, /^"a\[b" is not a pattern: its \[ \] do not pair/],
    ["user =", 7, /^expected a value after =, not the end$/],
    ["user = (", 8, /^expected a value after =, not "\("$/],
    ["and = 1", 1, /^expected a field, not "and"$/],
    ["user = '😀' or x = 1", 15, /^"x" is no field/],
  ];

  for (const [expression, column, text] of cases) {
    const found = problem(expression);

    assert.equal(found.column, column, expression);
    assert.match(found.problem, text, expression);
  }
  assert.equal(cases.length, 21);
});

test("it says which fields are named", () => {
  assert.deepEqual([...where("type = intent or not (user and status > 1)").fields], [
    "type",
    "user",
    "status",
  ]);
});

test("length and depth have a bound", () => {
  assert.match(problem("x".repeat(MAX_WHERE_CHARS + 1)).problem, /longer than/);
  const deep = (levels: number) => `${"(".repeat(levels)}user${")".repeat(levels)}`;

  assert.ok("test" in parseWhere(deep(MAX_WHERE_DEPTH - 1), context));
  assert.match(problem(deep(MAX_WHERE_DEPTH)).problem, /more than 64 levels/);
});

test("any text is an expression or a mistake within it, never a failure", () => {
  const word = fc.constantFrom(
    ..."( ) and or not = != < <= > >= ~ !~ user duration_ms groups time 5 2s a* 'x y' \" ' & \\ 😀"
      .split(" "),
  );
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.array(word, { maxLength: 20 }).map((words) => words.join(" ")),
  );
  const seen = record(toolLine("read_file"));
  let valid = 0;

  fc.assert(
    fc.property(text, (expression) => {
      const parsed = parseWhere(expression, context);
      if ("test" in parsed) {
        valid++;
        assert.equal(typeof parsed.test(seen), "boolean");
      } else {
        assert.ok(parsed.column >= 1 && parsed.column <= expression.length + 1);
        assert.notEqual(parsed.problem, "");
      }
    }),
    { numRuns: 5_000 },
  );
  assert.ok(valid > 10, String(valid));
});
