/** A running edge takes a changed configuration, and refuses a wrong one. @module */
// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { answerJson, ask, openRequest, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

test("an edge reloads its configuration without dropping a stream, and keeps the last good one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-reload-"));
  const streams: ServerResponse[] = [];
  const upstream = await startServer((request, response) => {
    request.resume();
    if (request.url !== "/events") return answerJson(response, { url: request.url });
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: before\n\n");
    streams.push(response);
  });
  try {
    const { edge, rift, url } = await startRoles({
      folder,
      protocol: "http",
      upstream: upstream.url,
    });
    const file = join(folder, "mcptun.toml");
    const original = readFileSync(file, "utf8");
    const stream = openRequest(`${url}/events`);
    stream.request.end();
    const answer = await stream.response;
    let received = "";
    answer.setEncoding("utf8").on("data", (text: string) => received += text);
    const ended = new Promise<void>((resolve) => answer.on("end", resolve));
    const moved = new URL("/moved", url).href;

    writeFileSync(file, original.replace('name = "main"', 'name = "main"\npath = "/moved"'));
    await edge.stderrMatch(/Configuration is in force/);
    const statuses = [(await ask(url)).status, (await ask(moved)).status];

    writeFileSync(file, original.replace('name = "main"', 'name = "main"\npaht = "/typo"'));
    const [, problem] = await edge.stderrMatch(/the one before stays in force problem=(".*?")\n/);
    const kept = await ask(moved);

    writeFileSync(file, original);
    edge.signal("SIGHUP");
    await edge.stderrMatch(/in force(.|\n)*stays in force(.|\n)*Configuration is in force/);
    const back = await ask(url);
    streams[0]!.end("data: after\n\n");
    await ended;
    const [, edgeEnd] = await endRoles(rift, edge);

    assert.deepEqual(statuses, [404, 200]);
    assert.match(problem ?? "", /mcptun\.toml:\d+:1 tunnel\[0\]\.paht: unknown key .*did you mean/);
    assert.equal(kept.status, 200);
    assert.equal(back.status, 200);
    assert.equal(received, "data: before\n\ndata: after\n\n");
    assert.equal(edgeEnd?.code, 0);
  } finally {
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
