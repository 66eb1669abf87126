import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { MAX_JUDGED_NAMES } from "../../../src/limits.ts";
import type { FilterOptions } from "../../../src/mcp/filter_options.ts";
import { filterMessage } from "../../../src/mcp/filters.ts";
import type { Filtered } from "../../../src/mcp/filters.ts";
import { METHODS } from "../../../src/mcp/methods.ts";
import { ORDINARY_METHODS } from "../../../src/policy/methods.ts";

/** Everything with "ok" in its name may be seen. */
const OPTIONS: FilterOptions = {
  era: "modern",
  expect: undefined,
  expectId: undefined,
  allow: (kind, name) => name.includes("ok") || (kind === "method" && ORDINARY_METHODS.has(name)),
  standing: () => true,
  maxBytes: 100_000,
  families: ["sampling", "elicitation", "roots"],
};
const LEGACY = { era: "legacy" } as const;

test("every list loses what may not be seen, by shape, whatever method is expected", () => {
  const lists: readonly (readonly [list: string, key: string, method: string])[] = [
    ["tools", "name", "tools/list"],
    ["resources", "uri", "resources/list"],
    ["resourceTemplates", "uriTemplate", "resources/templates/list"],
    ["prompts", "name", "prompts/list"],
    ["contents", "uri", "resources/read"],
    ["tasks", "taskId", "tasks/list"],
  ];
  let count = 0;

  for (const [list, key, method] of lists) {
    const entries =
      `{"${key}":"no-1"},{ "n":1e2, "${key}":"\\u006fk-1","big":9007199254740993 }, {"${key}":"no-2"},{"x":1},"ok"`;
    const text =
      `{"jsonrpc":"2.0","id":1,"result":{"${list}":[${entries}],"nextCursor":"\\u0061","ttlMs":1e3}}`;
    for (const expect of [method, undefined, "tools/call"]) {
      const filtered = filterMessage(Buffer.from(text), { ...OPTIONS, ...LEGACY, expect });
      assert.equal(
        textOf(filtered),
        `{"jsonrpc":"2.0","id":1,"result":{"${list}":[{ "n":1e2, "${key}":"\\u006fk-1","big":9007199254740993 }],"nextCursor":"\\u0061","ttlMs":1e3}}`,
      );
      assert.deepEqual(countsOf(filtered), [5, 1]);
      count++;
    }
  }

  assert.equal(count, 18);
});

test("a modern result is marked private when it was filtered, or public", () => {
  const list = (scope: string, names: string) =>
    filtered(`{"jsonrpc":"2.0","id":1,"result":{"tools":[${names}]${scope}}}`, {
      expect: "tools/list",
    });
  const ok = '{"name":"ok"}';
  const both = `${ok},{"name":"no"}`;

  assert.equal(list("", ok).outcome, "unchanged");
  assert.equal(list(',"cacheScope":"private"', ok).outcome, "unchanged");
  assert.match(textOf(list(',"cacheScope":"public"', ok)), /"cacheScope":"private"\}\}$/);
  assert.match(
    textOf(list(',"cacheScope":"public"', both)),
    /\[\{"name":"ok"\}\],"cacheScope":"private"/,
  );
  assert.match(textOf(list("", both)), /\[\{"name":"ok"\}\],"cacheScope":"private"\}\}$/);
  assert.match(textOf(list(',"cacheScope":["public"]', ok)), /"cacheScope":"private"\}\}$/);
  assert.match(textOf(list("", '{"name":"no"}')), /\{"tools":\[\],"cacheScope":"private"\}/);
});

test("embedded resources and links that may not be seen leave a tool's result", () => {
  const text = (content: string) => `{"jsonrpc":"2.0","id":1,"result":{"content":[${content}]}}`;
  const kept = '{"type":"text","text":"a"},{"type":"resource_link","uri":"x:ok","name":"n"}';
  const blocks = [
    '{"type":"resource_link","uri":"x:no"}',
    '{"type":"resource","resource":{"uri":"x:no","text":"secret"}}',
    '{"type":"resource","resource":{"text":"secret"}}',
    '{"type":"other","resource":{"uri":"x:no"}}',
    '{"type":"resource_link"}',
    '{"type":"resource","uri":"x:ok","resource":{"uri":"x:no"}}',
  ];
  let count = 0;

  for (const block of blocks) {
    const result = filtered(text(`${block},${kept}`), { expect: "tools/call" });
    assert.equal(textOf(result), text(kept), block);
    count++;
  }

  assert.equal(count, 6);
  assert.equal(filtered(text(kept), { expect: "tools/call" }).outcome, "unchanged");
});

test("a prompt's messages lose what may not be seen", () => {
  const text = (messages: string) => `{"jsonrpc":"2.0","id":1,"result":{"messages":[${messages}]}}`;
  const seen = '{"role":"user","content":{"type":"resource","resource":{"uri":"x:ok"}}}';
  const hidden = '{"role":"user","content":{"type":"resource","resource":{"uri":"x:no"}}}';
  const mixed = '{"role":"user","content":[{"type":"resource_link","uri":"x:no"},{"type":"text"}]}';

  const result = filtered(text(`${hidden},${seen},${mixed}`), { expect: "prompts/get" });

  assert.equal(textOf(result), text(`${seen},{"role":"user","content":[{"type":"text"}]}`));
});

test("a tool keeps its interface only when the resource of it may be seen", () => {
  const text = (meta: string) =>
    `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ok","_meta":{${meta}"a":1}}]}}`;

  const hidden = filtered(
    text('"ui":{"resourceUri":"ui://no"},"ui/resourceUri":"ui://no",'),
    { expect: "tools/list" },
  );

  assert.equal(textOf(hidden), text(""));
  const seen = text('"ui":{"resourceUri":"ui://ok"},');
  assert.equal(filtered(seen, { expect: "tools/list" }).outcome, "unchanged");
});

test("completion values that lead to a hidden resource go, with the total", () => {
  const text =
    '{"jsonrpc":"2.0","id":1,"result":{"completion":{"total":9,"values":["no","ok","a/ok"],"hasMore":true}}}';
  const ref = { kind: "resource", name: "x:{dir}/{name}" } as const;
  const known = { ref, argument: "name", values: new Map([["dir", "d"]]) };

  const some = filtered(text, { expect: "completion/complete", completion: known });
  const unknown = filtered(text, {
    expect: "completion/complete",
    completion: { ...known, values: new Map() },
  });
  const prompt = filtered(text, {
    expect: "completion/complete",
    completion: { ref: { kind: "prompt", name: "ok" }, argument: "a", values: new Map() },
  });

  assert.match(textOf(some), /\{"values":\["ok","a\/ok"\],"hasMore":true\}/);
  assert.match(textOf(unknown), /"values":\[\]/);
  // The value is for a variable that the template does not have.
  const other = filtered(text, {
    expect: "completion/complete",
    completion: {
      ref: { kind: "resource", name: "x:ok/{dir}" },
      argument: "name",
      values: new Map([["dir", "d"]]),
    },
  });
  assert.match(textOf(other), /"values":\[\]/);
  assert.match(textOf(filtered(text, {})), /"values":\[\]/);
  assert.equal(prompt.outcome, "unchanged");
});

test("notifications pass when what they name may be seen", () => {
  const cases: readonly (readonly [method: string, params: string, outcome: string])[] = [
    ["notifications/resources/updated", '{"uri":"x:ok"}', "unchanged"],
    ["notifications/resources/updated", '{"uri":"x:no"}', "dropped"],
    ["notifications/resources/updated", "{}", "dropped"],
    ["notifications/progress", '{"progressToken":1,"progress":1}', "unchanged"],
    ["notifications/message", '{"level":"info","data":"x"}', "unchanged"],
    ["notifications/tools/list_changed", "{}", "unchanged"],
    ["notifications/tasks/status", '{"taskId":"ok"}', "unchanged"],
    ["notifications/tasks/status", '{"taskId":"no"}', "dropped"],
    ["notifications/initialized", "{}", "dropped"],
    ["notifications/unknown", "{}", "dropped"],
    ["notifications/ok", "{}", "unchanged"],
    ["tools/call", "{}", "dropped"],
  ];
  let count = 0;

  for (const [method, params, outcome] of cases) {
    const text = `{"jsonrpc":"2.0","method":"${method}","params":${params}}`;
    assert.equal(filtered(text, {}).outcome, outcome, `${method} ${params}`);
    count++;
  }

  assert.equal(count, 12);
});

test("an acknowledged subscription names only what may be seen", () => {
  const text = (lists: string) =>
    `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{${lists}}}}`;

  const result = filtered(
    text('"resourceSubscriptions":["x:no","x:ok"],"taskIds":["no"],"toolsListChanged":true'),
    {},
  );

  assert.equal(
    textOf(result),
    text('"resourceSubscriptions":["x:ok"],"taskIds":[],"toolsListChanged":true'),
  );
});

test("a finished task's own result is filtered as the tool's would have been", () => {
  const inner = (content: string) => `{"taskId":"ok","result":{"content":[${content}]}}`;
  const link = '{"type":"resource_link","uri":"x:no"}';

  const answer = filtered(`{"jsonrpc":"2.0","id":1,"result":${inner(link)}}`, {
    expect: "tasks/get",
  });
  const notice = filtered(
    `{"jsonrpc":"2.0","method":"notifications/tasks","params":${inner(link)}}`,
    {},
  );

  assert.match(textOf(answer), /"content":\[\]/);
  assert.match(textOf(notice), /"content":\[\]/);
});

test("a server's requests pass in the legacy era for families that were offered", () => {
  const text = (method: string) => `{"jsonrpc":"2.0","id":1,"method":"${method}","params":{}}`;
  const outcome = (method: string, more: Partial<FilterOptions>) =>
    filtered(text(method), more).outcome;

  assert.equal(outcome("sampling/createMessage", LEGACY), "unchanged");
  assert.equal(outcome("sampling/createMessage", { ...LEGACY, families: ["roots"] }), "dropped");
  assert.equal(outcome("roots/list", { ...LEGACY, families: ["roots"] }), "unchanged");
  assert.equal(outcome("ping", LEGACY), "unchanged");
  assert.equal(outcome("tools/call", LEGACY), "dropped");
  assert.equal(outcome("evil", LEGACY), "dropped");
  assert.equal(outcome("ping", {}), "refused");
});

test("input that a modern server asks for must be of a family that was offered", () => {
  const text = (method: string) =>
    `{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"${method}"}}}}`;

  assert.equal(filtered(text("roots/list"), {}).outcome, "unchanged");
  assert.equal(filtered(text("roots/list"), { families: ["sampling"] }).outcome, "refused");
  assert.equal(filtered(text("evil"), {}).outcome, "refused");
  const requests = (value: string) =>
    filtered(`{"jsonrpc":"2.0","id":1,"result":{"inputRequests":${value}}}`, {}).outcome;
  assert.equal(requests('[{"method":"evil"}]'), "refused");
  assert.equal(requests('"evil"'), "refused");
  assert.equal(requests("null"), "unchanged");
});

test("a notification or request of the server passes only when its method and its reader may be", () => {
  const params = '{"uri":"x:ok","taskId":"ok"}';
  const denied = { allow: (kind: string) => kind !== "method" } as const;
  const gone = { standing: () => false } as const;
  let count = 0;

  for (const { name, kind, from } of METHODS) {
    const id = kind === "request" ? '"id":1,' : "";
    const text = `{"jsonrpc":"2.0",${id}"method":"${name}","params":${params}}`;
    const own = filtered(text, LEGACY).outcome;
    // Lists of tasks are judged by allow_methods, whoever asks.
    assert.equal(own, from === "client" || name === "tasks/list" ? "dropped" : "unchanged", name);
    assert.equal(filtered(text, { ...LEGACY, ...denied }).outcome, "dropped", name);
    assert.equal(filtered(text, { ...LEGACY, ...gone }).outcome, "dropped", name);
    count++;
  }

  assert.equal(count, METHODS.length);
  const answer = '{"jsonrpc":"2.0","id":1,"result":{}}';
  assert.equal(filtered(answer, gone).outcome, "unchanged");
  assert.equal(filtered('{"jsonrpc":"2.0","method":"evilok"}', gone).outcome, "dropped");
});

test("what a modern server asks for in a result, or by an error, is a method that may be denied", () => {
  const denied = { allow: (kind: string) => kind !== "method" } as const;
  const asked = (method: string) =>
    `{"jsonrpc":"2.0","id":1,"result":{"inputRequests":{"a":{"method":"${method}"}}}}`;
  const error = '{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"x"}}';

  assert.equal(filtered(asked("roots/list"), denied).outcome, "refused");
  assert.equal(filtered(asked("tools/call"), {}).outcome, "refused");
  assert.equal(filtered(asked("notifications/message"), {}).outcome, "refused");
  assert.equal(filtered(error, denied).outcome, "refused");
});

test("an error that asks for an elicitation passes only when elicitation was offered", () => {
  const text = '{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"x","data":{}}}';

  assert.equal(filtered(text, LEGACY).outcome, "unchanged");
  assert.equal(filtered(text, { ...LEGACY, families: ["roots"] }).outcome, "refused");
  for (const same of ["-32042.0", "-3.2042e4", "-32042e0"]) {
    const other = text.replace("-32042", same);
    assert.equal(filtered(other, { families: ["roots"] }).outcome, "refused", same);
  }
});

test("what cannot be judged is refused", () => {
  const cases: readonly (readonly [text: string, reason: string, more?: Partial<FilterOptions>])[] =
    [
      ["", "empty"],
      ["{", "unterminated"],
      ['{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"no"}]}}', "duplicate"],
      ['{"jsonrpc":"2.0","id":1,"result":{"Tools":[{"name":"no"}]}}', "look_alike"],
      ['{"jsonrpc":"2.0","id":1,"Result":{"tools":[{"name":"no"}]}}', "look_alike"],
      ['{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ok","Name":"no"}]}}', "look_alike"],
      ['{"jsonrpc":"2.0","id":1,"result":{"tools":{"0":{"name":"no"}}}}', "list"],
      ['{"jsonrpc":"2.0","id":1,"result":[1]}', "result"],
      ['{"jsonrpc":"2.0","id":1,"result":null}', "result"],
      ['{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', "message"],
      ['{"jsonrpc":"2.0","id":1}', "message"],
      ['{"id":1,"result":{}}', "message"],
      ['{"jsonrpc":"2.0","result":{}}', "message"],
      ["1", "message"],
      ['[{"jsonrpc":"2.0","id":1,"result":{}}]', "batch"],
      ['{"jsonrpc":"2.0","id":2,"result":{}}', "wrong_id", { expectId: "n:1" }],
      ['{"jsonrpc":"2.0","id":"1","result":{}}', "wrong_id", { expectId: "n:1" }],
    ];
  let count = 0;

  for (const [text, reason, more] of cases) {
    const result = filtered(text, more ?? {});
    assert.equal(result.outcome, "refused", text);
    assert.equal(result.outcome === "refused" ? result.reason : "", reason, text);
    count++;
  }

  assert.equal(count, 17);
});

test("a list of more names than are judged is refused, not cut", () => {
  const text = (count: number) =>
    `{"jsonrpc":"2.0","id":1,"result":{"tools":[${
      Array.from({ length: count }, () => '{"name":"ok"}').join(",")
    }]}}`;
  let asked = 0;
  const more = {
    maxBytes: 1_000_000,
    allow: () => {
      asked++;
      return true;
    },
  };

  assert.equal(filtered(text(MAX_JUDGED_NAMES), more).outcome, "unchanged");
  const refused = filtered(text(MAX_JUDGED_NAMES + 10), more);
  assert.equal(refused.outcome === "refused" && refused.reason, "names");
  assert.equal(asked, 2 * MAX_JUDGED_NAMES);
});

test("a batch of answers in the legacy era is filtered message by message", () => {
  const kept = '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ok"}]}}';
  const dropped =
    '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:no"}}';
  const cut = '{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"no"}]}}';

  const result = filtered(`[${dropped},${kept},${cut}]`, LEGACY);

  assert.equal(textOf(result), `[${kept},{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}]`);
  assert.equal(filtered(`[${dropped}]`, LEGACY).outcome, "dropped");
});

test("a task that a result begins is named", () => {
  const task = filtered('{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t"}}', {});
  const legacyTask = filtered('{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"u"}}}', LEGACY);

  assert.equal(task.outcome === "unchanged" && task.messages[0]?.taskId, "t");
  assert.equal(legacyTask.outcome === "unchanged" && legacyTask.messages[0]?.taskId, "u");
});

test("an error passes, also one about a request that could not be read", () => {
  const error = '"error":{"code":-32700,"message":"x"}';

  assert.equal(
    filtered(`{"jsonrpc":"2.0","id":1,${error}}`, { expectId: "n:1" }).outcome,
    "unchanged",
  );
  assert.equal(filtered(`{"jsonrpc":"2.0","id":null,${error}}`, {}).outcome, "unchanged");
  assert.equal(filtered(`{"jsonrpc":"2.0",${error}}`, {}).outcome, "unchanged");
});

test("more is taken out than a call takes as arguments", () => {
  const pairs = Array<string>(130_000).fill('{"type":"text"},{"type":"resource"}').join();
  const text = `{"jsonrpc":"2.0","id":1,"result":{"content":[${pairs}]}}`;

  const result = filtered(text, { maxBytes: text.length });

  assert.equal(textOf(result).length, text.length - 130_000 * ',{"type":"resource"}'.length);
});

function filtered(text: string, more: Partial<FilterOptions>): Filtered {
  return filterMessage(Buffer.from(text), { ...OPTIONS, ...more });
}

function textOf(result: Filtered): string {
  assert.equal(result.outcome, "rewritten", JSON.stringify(result));
  return result.outcome === "rewritten" ? result.bytes.toString() : "";
}

function countsOf(result: Filtered): number[] {
  return result.outcome === "rewritten" ? [result.before, result.after] : [];
}
