/** What a tunnel must do with an exchange, whatever carries it. Called once per transport. @module */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { ServerResponse } from "node:http";

import {
  answerJson,
  ask,
  deferred,
  openRequest,
  patternBytes,
  readAnswer,
  sha256,
} from "../support/http_probe.ts";
import {
  answerAfterBody,
  echoBody,
  echoHash,
  errorCode,
  type SuiteOptions,
  tunnelContext,
  waitFor,
} from "../support/tunnel_context.ts";

/** Declares the whole suite. */
export function tunnelSuite(options: SuiteOptions): void {
  const { behavior, withTunnel } = tunnelContext(options);

  // --- Bodies ---

  behavior("carries bodies of every size both ways unchanged", async () => {
    const sizes = [0, 1, 1_350, 64 * 1_024, 5 * 1_024 * 1_024];
    let count = 0;

    await withTunnel(echoHash, async ({ url }) => {
      for (const size of sizes) {
        const body = patternBytes(size);
        const known = await ask(`${url}/hash?size=${size}`, { method: "POST", body });
        const { request, response } = openRequest(`${url}/hash?size=${size}`, { method: "POST" });
        for (let at = 0; at < size; at += 70_001) request.write(body.subarray(at, at + 70_001));
        request.end();
        const chunked = await readAnswer(await response);
        for (const answer of [known, chunked]) {
          assert.equal(answer.status, 200);
          assert.equal(answer.headers["x-request-hash"], sha256(body));
          assert.equal(sha256(answer.body), sha256(body));
          count++;
        }
      }
    });

    assert.equal(count, 2 * sizes.length);
  });

  behavior("keeps a request's length when it is small, and a chunked one whole", async () => {
    await withTunnel((request, response) => {
      answerAfterBody(request, response, (body) => [request.headers["content-length"], body]);
    }, async ({ url }) => {
      const answer = await ask(url, { method: "POST", body: "hello" });

      assert.deepEqual(JSON.parse(String(answer.body)), ["5", "hello"]);
    });
  });

  behavior("answers 100 requests at once, each with its own body", async () => {
    await withTunnel(echoBody, async ({ mcpUrl }) => {
      const bodies = Array.from({ length: 100 }, (_, index) => `canary-${index}`);
      const answers = await Promise.all(
        bodies.map((body) => ask(mcpUrl, { method: "POST", body })),
      );

      assert.deepEqual(answers.map((answer) => String(answer.body)), bodies);
    });
  });

  behavior("delivers each event of a stream before the next is written", async () => {
    let server: ServerResponse | undefined;
    const opened = deferred<void>();
    await withTunnel((request, response) => {
      request.resume();
      if (request.method === "OPTIONS") return void response.end();
      server = response;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      opened.resolve();
    }, async ({ mcpUrl }) => {
      const { request, response } = openRequest(mcpUrl);
      request.end();
      const message = await response;
      await opened.promise;
      const seen: string[] = [];
      for (const text of ["data: one\n\n", "data: two\n\n", "data: three\n\n"]) {
        server?.write(text);
        const [chunk] = await once(message, "data");
        seen.push(String(chunk));
      }
      server?.end();
      await once(message, "end");

      assert.deepEqual(seen, ["data: one\n\n", "data: two\n\n", "data: three\n\n"]);
      assert.equal(message.headers["x-accel-buffering"], "no");
    });
  });

  behavior("sends an answer that comes before the request's body is whole", async () => {
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      response.writeHead(200, { "content-length": "5" });
      response.end("early");
    }, async ({ url }) => {
      const { request, response } = openRequest(url, {
        method: "POST",
        headers: { "content-length": "1000000" },
      });
      request.on("error", () => {});
      request.write("begin");
      const message = await response;
      const chunks: Buffer[] = [];
      message.on("data", (chunk: Buffer) => chunks.push(chunk));
      message.on("error", () => {});
      await once(message, "data");

      assert.equal(String(Buffer.concat(chunks)), "early");
      request.destroy();
    });
  });

  behavior("sends a body while the answer is on its way", async () => {
    await withTunnel((request, response) => {
      response.writeHead(200);
      response.flushHeaders();
      request.pipe(response);
    }, async ({ url }) => {
      const { request, response } = openRequest(url, { method: "POST" });
      request.write("ping");
      const message = await response;
      const [first] = await once(message, "data");
      assert.equal(String(first), "ping");
      request.write("pong");
      const [second] = await once(message, "data");
      assert.equal(String(second), "pong");
      request.end();
      await once(message, "end");
    });
  });

  // --- Heads ---

  behavior("rewrites Host, drops Origin and hop-by-hop headers, and says who asked", async () => {
    await withTunnel(
      (request, response) => answerJson(response, request.headers),
      async ({ mcpUrl, upstream }) => {
        const public_ = new URL(mcpUrl);
        const answer = await ask(mcpUrl, {
          method: "POST",
          headers: {
            origin: "https://good.example",
            connection: "close, x-hop",
            "x-hop": "1",
            "proxy-authorization": "Basic eDp5",
            te: "trailers",
            "mcptun-internal": "1",
            "x-forwarded-for": "6.6.6.6",
            "x-forwarded-host": "evil.example",
            forwarded: "for=6.6.6.6",
            "accept-encoding": "br;q=1, gzip",
            authorization: "Bearer for-upstream",
            "mcp-session-id": "s-1",
          },
          body: "{}",
        });

        const seen: Record<string, string> = JSON.parse(String(answer.body));
        assert.equal(seen["host"], `127.0.0.1:${upstream.port}`);
        assert.equal(seen["x-forwarded-host"], public_.host);
        assert.equal(seen["x-forwarded-proto"], "http");
        assert.equal(seen["x-forwarded-for"], "127.0.0.1");
        assert.equal(seen["accept-encoding"], "br;q=1, gzip");
        assert.equal(seen["authorization"], "Bearer for-upstream");
        assert.equal(seen["mcp-session-id"], "s-1");
        for (
          const dropped of [
            "origin",
            "x-hop",
            "proxy-authorization",
            "te",
            "mcptun-internal",
            "forwarded",
          ]
        ) assert.equal(seen[dropped], undefined, dropped);
      },
    );
  });

  behavior("keeps status, reason, repeated headers and content coding of an answer", async () => {
    await withTunnel((_request, response) => {
      response.writeHead(418, "Short And Stout", [
        "Content-Encoding",
        "gzip",
        "Set-Cookie",
        "a=1",
        "Set-Cookie",
        "b=2",
        "X-Latin",
        "caf\u00e9",
        "Connection",
        "keep-alive, X-Hop",
        "X-Hop",
        "1",
        "Content-Length",
        "3",
      ]);
      response.end(Buffer.from([0x1f, 0x8b, 0x00]));
    }, async ({ url }) => {
      const answer = await ask(url);

      assert.equal(answer.status, 418);
      assert.equal(answer.statusText, "Short And Stout");
      assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
      assert.equal(answer.headers["x-latin"], "caf\u00e9");
      assert.equal(answer.headers["x-hop"], undefined);
      assert.equal(answer.headers["content-encoding"], "gzip");
      assert.deepEqual([...answer.body], [0x1f, 0x8b, 0x00]);
      assert.equal(answer.rawHeaders.filter((text) => /^date$/i.test(text)).length, 1);
    });
  });

  behavior("joins targets to the upstream's path", async () => {
    const cases = [
      ["web", "", "/base"],
      ["web", "?x=1", "/base?x=1"],
      ["web", "/", "/base/"],
      ["web", "/a/b?c=%2F..", "/base/a/b?c=%2F.."],
      ["code", "", "/mcp"],
      ["code", "?session=1", "/mcp?session=1"],
    ] as const;
    await withTunnel(
      (request, response) => answerJson(response, request.url),
      async ({ bench }) => {
        let count = 0;
        for (const [tunnel, suffix, expected] of cases) {
          const answer = await ask(bench.edge.tunnelUrl(tunnel) + suffix);
          assert.equal(JSON.parse(String(answer.body)), expected);
          count++;
        }
        assert.equal(count, cases.length);
      },
    );
  });

  behavior("gives HEAD, 204 and 304 no body and keeps the connection in step", async () => {
    await withTunnel((request, response) => {
      if (request.method === "HEAD") {
        response.writeHead(200, { "content-length": "1234", "x-kind": "head" });
        response.end();
      } else if (request.url === "/base/204") {
        response.writeHead(204);
        response.end();
      } else if (request.url === "/base/304") {
        response.writeHead(304, { etag: '"x"' });
        response.end();
      } else answerJson(response, "after");
    }, async ({ url }) => {
      const head = await ask(url, { method: "HEAD" });
      const none = await ask(`${url}/204`);
      const same = await ask(`${url}/304`);
      const after = await ask(url);

      assert.equal(head.headers["content-length"], "1234");
      assert.equal(head.body.length, 0);
      assert.equal(none.status, 204);
      assert.equal(same.status, 304);
      assert.equal(same.headers["etag"], '"x"');
      assert.equal(String(after.body), '"after"');
    });
  });

  behavior("ends interim answers and trailers at the rift", async () => {
    await withTunnel((_request, response) => {
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "1" });
      response.end();
    }, async ({ url }) => {
      const { request, response } = openRequest(url);
      let interim = 0;
      request.on("information", () => interim++);
      request.end();
      const message = await response;
      const answer = await readAnswer(message);

      assert.equal(String(answer.body), "body");
      assert.equal(interim, 0);
      assert.deepEqual(message.trailers, {});
      assert.equal(message.headers["trailer"], undefined);
    });
  });

  behavior("carries bodies on DELETE, and GET without one", async () => {
    await withTunnel((request, response) => {
      answerAfterBody(request, response, (body) => [request.method, body]);
    }, async ({ url }) => {
      const withBody = await ask(url, { method: "DELETE", body: "gone" });
      const without = await ask(url, { method: "DELETE" });
      const empty = await ask(url, { method: "POST", body: "" });
      const get = await ask(url);

      assert.deepEqual(JSON.parse(String(withBody.body)), ["DELETE", "gone"]);
      assert.deepEqual(JSON.parse(String(without.body)), ["DELETE", ""]);
      assert.deepEqual(JSON.parse(String(empty.body)), ["POST", ""]);
      assert.deepEqual(JSON.parse(String(get.body)), ["GET", ""]);
    });
  });

  behavior("says 100 itself once a request is admitted", async () => {
    await withTunnel(echoBody, async ({ url }) => {
      const { request, response } = openRequest(url, {
        method: "POST",
        headers: { expect: "100-continue", "content-length": "4" },
      });
      request.flushHeaders();
      await once(request, "continue");
      request.end("body");
      const answer = await readAnswer(await response);

      assert.equal(String(answer.body), "body");
    });
  });

  // --- Ends before the end ---

  behavior("closes the upstream's request as soon as the client goes away", async () => {
    const gone = deferred<void>();
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: hello\n\n");
      response.on("close", () => gone.resolve());
    }, async ({ mcpUrl, bench }) => {
      const { request, response } = openRequest(mcpUrl);
      request.end();
      const message = await response;
      await once(message, "data");
      request.on("error", () => {});
      message.on("error", () => {});
      request.destroy();

      await gone.promise;
      assert.equal(bench.edge.status().exchanges, 0);
    });
  });

  behavior("closes the upstream's request when the client goes away in its body", async () => {
    const gone = deferred<void>();
    const begun = deferred<void>();
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      request.once("data", () => begun.resolve());
      request.on("error", () => {});
      request.on("close", () => gone.resolve());
    }, async ({ url }) => {
      const { request } = openRequest(url, { method: "POST" });
      request.on("error", () => {});
      request.write("half");
      await begun.promise;
      request.destroy();

      await gone.promise;
    });
  });

  behavior("stays whole when clients go away at any moment", async () => {
    await withTunnel(echoBody, async ({ url, bench }) => {
      const body = patternBytes(20_000);
      let ended = 0;
      for (let round = 0; round < 10; round++) {
        const requests = Array.from({ length: 20 }, (_, index) => {
          const controller = new AbortController();
          const asked = ask(url, { method: "POST", body, signal: controller.signal });
          setTimeout(() => controller.abort(), index / 2);
          return asked.then((answer) => answer.body.length, () => -1);
        });
        for (const length of await Promise.all(requests)) {
          assert.ok(length === -1 || length === body.length);
          ended++;
        }
      }
      assert.equal(ended, 200);
      await waitFor(() => bench.edge.status().exchanges === 0);
      const after = await ask(url, { method: "POST", body });

      assert.equal(sha256(after.body), sha256(body));
    });
  });

  behavior("shows the client that an answer was cut", async () => {
    let cut: (() => void) | undefined;
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      response.writeHead(200, request.url === "/base/long" ? { "content-length": "100" } : {});
      response.write("part");
      cut = () => void request.socket.destroy();
    }, async ({ url }) => {
      let count = 0;
      for (const path of ["/long", "/chunked"]) {
        const { request, response } = openRequest(url + path);
        request.end();
        const message = await response;
        message.once("data", () => cut?.());
        await assert.rejects(readAnswer(message));
        count++;
      }
      assert.equal(count, 2);
    });
  });

  behavior(
    "answers 502 when the upstream breaks off before its answer, and asks once",
    async () => {
      let calls = 0;
      await withTunnel((request, response) => {
        if (request.method === "OPTIONS") return void response.end();
        calls++;
        request.socket.destroy();
      }, async ({ mcpUrl }) => {
        const answer = await ask(mcpUrl, { method: "POST", body: "{}" });

        assert.equal(answer.status, 502);
        assert.equal(errorCode(answer.body), "UPSTREAM_FAILED");
        assert.equal(calls, 1);
      });
    },
  );

  behavior("holds a fast upstream back for a slow reader", async () => {
    const total = 64 * 1_024 * 1_024;
    let produced = 0;
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      const piece = Buffer.alloc(64 * 1_024);
      const more = (): void => {
        while (produced < total) {
          produced += piece.length;
          if (!response.write(piece)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    }, async ({ url }) => {
      const { request, response } = openRequest(url);
      request.end();
      const message = await response;
      message.pause();
      // Settled: nothing more is produced over many turns of the loop.
      let last = -1;
      for (let quiet = 0; quiet < 200; quiet = produced === last ? quiet + 1 : 0) {
        last = produced;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const held = produced;
      let received = 0;
      message.on("data", (chunk: Buffer) => received += chunk.length);
      message.resume();
      await once(message, "end");

      assert.ok(held < 32 * 1_024 * 1_024, `${held} bytes were produced for a reader that stood`);
      assert.equal(received, total);
    });
  });
}
