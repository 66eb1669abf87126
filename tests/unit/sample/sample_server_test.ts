import assert from "node:assert/strict";
import test from "node:test";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { silentLogger } from "../../../src/log.ts";
import { type SampleServer, startSampleServer } from "../../../src/sample/sample_server.ts";
import {
  firstText,
  openLegacyClient,
  openModernClient,
  signal as newSignal,
} from "../../support/mcp_target.ts";
import { ResourceUpdatedNotificationSchema } from "../../support/mcp_legacy_sdk.ts";

const NOTE = "sample://note";
const START_MS = Date.UTC(2026, 6, 28, 12);

/** Waits of any length end at once, in order. */
const hastyClock: Clock = {
  now: systemClock.now,
  wallNow: () => START_MS,
  setTimer: (_delayMs, fire) => systemClock.setTimer(0, fire),
};

async function withSample(
  check: (
    target: { url: string; headers: Record<string, never>; close(): Promise<void> },
  ) => Promise<void>,
  clock: Clock = hastyClock,
): Promise<void> {
  const server = await startSampleServer({
    log: silentLogger,
    signal: new AbortController().signal,
    clock,
  });
  try {
    await check({ url: server.url, headers: {}, close: () => server.close() });
  } finally {
    await server.close();
  }
}

const TOOLS = [
  "calculate",
  "convert_time",
  "countdown",
  "echo",
  "hash",
  "now",
  "text_statistics",
  "work",
  "write_note",
];

test("the sample server offers the same tools in both eras", async () => {
  await withSample(async (target) => {
    const modern = await openModernClient(target);
    const legacy = await openLegacyClient(target);

    const modernTools = (await modern.listTools()).tools.map(({ name }) => name).sort();
    const legacyTools = (await legacy.client.listTools()).tools.map(({ name }) => name).sort();

    assert.deepEqual(modernTools, TOOLS);
    assert.deepEqual(legacyTools, TOOLS);
    await Promise.all([modern.close(), legacy.client.close()]);
  });
});

const ANSWERS = [
  { name: "echo", arguments: { text: "grüß dich" }, text: "grüß dich" },
  {
    name: "calculate",
    arguments: { operation: "subtract", numbers: [10, 3, 2] },
    text: '{"result":5}',
  },
  {
    name: "calculate",
    arguments: { operation: "divide", numbers: [1, 0] },
    text: "Cannot divide: the result is not a finite number",
    isError: true,
  },
  {
    name: "text_statistics",
    arguments: { text: "two wörds\n👋" },
    text: '{"characters":11,"words":3,"lines":2,"bytes":15}',
  },
  {
    name: "hash",
    arguments: { text: "" },
    text: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  },
  {
    name: "now",
    arguments: { zone: "Nowhere/Never" },
    text: 'Cannot tell the time: no time zone is called "Nowhere/Never"',
    isError: true,
  },
  {
    name: "convert_time",
    arguments: { instant: "2026-07-28T12:00:00" },
    text: "Cannot convert the instant: it is not ISO 8601 with an offset",
    isError: true,
  },
];

test("the sample server's tools answer", async () => {
  await withSample(async (target) => {
    const client = await openModernClient(target);
    let answered = 0;
    for (const { name, arguments: input, text, isError } of ANSWERS) {
      const result = await client.callTool({ name, arguments: input });
      assert.equal(firstText(result), text);
      assert.equal(result.isError ?? false, isError ?? false);
      answered++;
    }
    const now = await client.callTool({ name: "now", arguments: { zone: "Europe/Berlin" } });
    await client.close();

    assert.equal(answered, ANSWERS.length);
    assert.match(firstText(now), /14:00:00.*"utc":"2026-07-28T12:00:00.000Z"/u);
  });
});

test("a tool of the sample server refuses arguments outside its schema", async () => {
  await withSample(async (target) => {
    const client = await openModernClient(target);
    const result = await client.callTool({ name: "work", arguments: { steps: 1_000_000 } });
    await client.close();

    assert.equal(result.isError, true);
  });
});

test("countdown streams every number before it answers", async () => {
  await withSample(async (target) => {
    const client = await openModernClient(target);
    const seen: (string | undefined)[] = [];
    const result = await client.callTool({ name: "countdown", arguments: { from: 3 } }, {
      onprogress: ({ message }) => seen.push(message),
    });
    await client.close();

    assert.deepEqual(seen, ["3", "2", "1"]);
    assert.equal(firstText(result), "Lift-off");
  });
});

test("work stops when the client cancels", async () => {
  const waiting = newSignal();
  const canceled = newSignal();
  const clock: Clock = {
    ...systemClock,
    setTimer() {
      waiting.fire();
      return { cancel: () => canceled.fire() };
    },
  };
  await withSample(async (target) => {
    const client = await openModernClient(target);
    const cancel = new AbortController();
    const call = client.callTool({ name: "work", arguments: { steps: 5 } }, {
      signal: cancel.signal,
    });
    const failed = assert.rejects(call);
    await waiting.fired;

    cancel.abort();
    await failed;
    await canceled.fired;
    await client.close();
  }, clock);
});

test("a change of the note reaches watchers of both eras", async () => {
  await withSample(async (target) => {
    const modern = await openModernClient(target);
    const { client: legacy, listening } = await openLegacyClient(target);
    const toldModern = newSignal();
    const toldLegacy = newSignal();
    modern.setNotificationHandler("notifications/resources/updated", () => toldModern.fire());
    legacy.setNotificationHandler(ResourceUpdatedNotificationSchema, () => toldLegacy.fire());
    await modern.listen({ resourceSubscriptions: [NOTE] });
    await listening;
    await legacy.subscribeResource({ uri: NOTE });

    await modern.callTool({ name: "write_note", arguments: { text: "Hello" } });
    await Promise.all([toldModern.fired, toldLegacy.fired]);
    const { contents } = await legacy.readResource({ uri: NOTE });

    assert.deepEqual(contents, [{ uri: NOTE, mimeType: "text/plain", text: "Hello" }]);
    await Promise.all([modern.close(), legacy.close()]);
  });
});

test("the sample server has resources, a template and prompts", async () => {
  await withSample(async (target) => {
    const client = await openModernClient(target);
    const { resources } = await client.listResources();
    const word = await client.readResource({ uri: "sample://glossary/rift" });
    const { prompts } = await client.listPrompts();
    const prompt = await client.getPrompt({ name: "explain", arguments: { word: "edge" } });

    const [content] = word.contents;
    assert.ok(resources.some(({ uri }) => uri === "sample://welcome"));
    assert.ok(content !== undefined && "text" in content && content.text.startsWith("The private"));
    assert.deepEqual(prompts.map(({ name }) => name), ["tour", "explain"]);
    assert.deepEqual(prompts[1]?.arguments?.map(({ name, required }) => [name, required]), [
      ["word", true],
      ["audience", false],
    ]);
    assert.equal(prompt.messages.length, 1);
    await assert.rejects(client.readResource({ uri: "sample://glossary/nothing" }));
    await client.close();
  });
});

test("closing the sample server ends open streams", async () => {
  await withSample(async (target) => {
    const client = await openModernClient(target);
    const subscription = await client.listen({ resourceSubscriptions: [NOTE] });
    const { client: legacy, listening } = await openLegacyClient(target);
    await listening;

    await target.close();

    assert.notEqual(await subscription.closed, "local");
    await assert.rejects(fetch(target.url));
    await Promise.all([client.close(), legacy.close()]);
  });
});

test("the sample server ends with its signal", async () => {
  const controller = new AbortController();
  const server: SampleServer = await startSampleServer({
    log: silentLogger,
    signal: controller.signal,
  });

  controller.abort();
  await server.close();

  await assert.rejects(fetch(server.url));
});
