import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";

import { systemClock } from "../../../src/clock.ts";
import { fetchJson } from "../../../src/identity/jwt_fetch.ts";
import { MAX_ISSUER_DOCUMENT_BYTES } from "../../../src/limits.ts";
import { fakeClock } from "../../support/fake_clock.ts";
import { startServer } from "../../support/http_probe.ts";

const JSON_HEADERS = { "content-type": "application/json" };

async function fetched(
  answer: (response: ServerResponse, request: IncomingMessage) => void,
  clock = fakeClock(),
): Promise<unknown> {
  const server = await startServer((request, response) => answer(response, request));
  try {
    return await fetchJson(`${server.url}/keys?secret=1`, {
      fetch: (url, init) => fetch(url, init),
      clock,
      signal: new AbortController().signal,
    });
  } finally {
    await server.close();
  }
}

test("fetchJson() gives what a server says, whatever JSON is called", async () => {
  const types = [
    "application/json",
    "application/json; charset=utf-8",
    "application/jwk-set+json",
    "Application/JSON",
  ];
  let ran = 0;
  for (const type of types) {
    const value = await fetched((response) => {
      response.writeHead(200, { "content-type": type }).end('{"keys":["ä"]}');
    });
    assert.deepEqual(value, { keys: ["ä"] });
    ran++;
  }
  assert.equal(ran, 4);
});

test("fetchJson() refuses every other answer, without its content", async () => {
  const large = `["${"x".repeat(MAX_ISSUER_DOCUMENT_BYTES)}"]`;
  const cases: readonly (readonly [RegExp, (response: ServerResponse) => void])[] = [
    [/redirects/, (response) => response.writeHead(302, { location: "/other" }).end()],
    [
      /redirects/,
      (response) => response.writeHead(307, { location: "https://elsewhere.example.com/" }).end(),
    ],
    [/status 404/, (response) => response.writeHead(404, JSON_HEADERS).end("{}")],
    [/status 204/, (response) => response.writeHead(204).end()],
    [
      /not application\/json/,
      (response) => response.writeHead(200, { "content-type": "text/html" }).end("{}"),
    ],
    [/not application\/json/, (response) => response.writeHead(200).end("{}")],
    [/not JSON/, (response) => response.writeHead(200, JSON_HEADERS).end("secret-content")],
    [/not JSON/, (response) => response.writeHead(200, JSON_HEADERS).end()],
    [
      /no answer/,
      (response) => response.writeHead(200, JSON_HEADERS).end(Buffer.from([0x22, 0xff, 0x22])),
    ],
    [/more than 524288 bytes/, (response) => response.writeHead(200, JSON_HEADERS).end(large)],
    [/no answer/, (response) => response.socket!.destroy()],
  ];
  let ran = 0;
  for (const [reason, answer] of cases) {
    await assert.rejects(fetched(answer), (error: Error) => {
      assert.match(error.message, reason);
      assert.match(error.message, /http:\/\/127\.0\.0\.1:\d+\/keys"/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
    ran++;
  }
  assert.equal(ran, 11);
});

test("fetchJson() follows no redirect", async () => {
  const seen: (string | undefined)[] = [];

  await assert.rejects(fetched((response, { url }) => {
    seen.push(url);
    response.writeHead(302, { location: "/other" }).end();
  }));

  assert.deepEqual(seen, ["/keys?secret=1"]);
});

test("fetchJson() ends a body that does not, by size and by time", async () => {
  let closed: Promise<unknown> = Promise.resolve();
  await assert.rejects(
    fetched((response) => {
      closed = once(response, "close");
      response.writeHead(200, JSON_HEADERS);
      const chunk = Buffer.alloc(64 * 1_024, " ");
      // Newer Node releases tell of the end here, before the response is destroyed.
      const more = (error?: Error | null): void => {
        if (!error && !response.destroyed) response.write(chunk, more);
      };
      more();
    }, undefined),
    /more than 524288 bytes/,
  );
  await closed;

  const clock = fakeClock();
  await assert.rejects(
    fetched((response) => {
      response.writeHead(200, JSON_HEADERS).write('{"keys":');
      clock.advance(5_000);
    }, clock),
    /took over 5000 ms/,
  );
  assert.equal(clock.pending, 0);
});

test("fetchJson() ends with its signal", async () => {
  const controller = new AbortController();
  const server = await startServer(() => controller.abort());
  try {
    await assert.rejects(
      fetchJson(server.url, {
        fetch: (url, init) => fetch(url, init),
        clock: systemClock,
        signal: controller.signal,
      }),
      /was given up/,
    );
  } finally {
    await server.close();
  }
});
