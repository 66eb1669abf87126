/**
 * Runs the cases of `tests/vectors/http_smuggling` against an edge: bytes on a bare socket, then
 * what the client was answered and what the private server saw.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { RawClient } from "./raw_http.ts";
import type { RawUpstream, SeenRequest } from "./raw_upstream.ts";
import { startRawUpstream } from "./raw_upstream.ts";
import type { Bench } from "./tunnel_bench.ts";
import { MCP_TUNNEL, startBench, WEB_TUNNEL } from "./tunnel_bench.ts";

/** What may come of a case. */
interface Outcome {
  readonly answers: readonly number[];
  /**
   * The connection afterwards: `"next"` takes another request, `"closed"` answers nothing more, and
   * `"waits"` still takes what comes for the body of the request.
   */
  readonly then: "next" | "closed" | "waits";
  /** `METHOD target body` of each request, and `(cut)` behind one that was broken off. */
  readonly upstream: readonly string[];
}

/** One case of a vector file: what must come of it, and for each runtime where they differ. */
export interface SmugglingCase extends Partial<Outcome> {
  readonly name: string;
  /** `|` is CRLF; `{evil}` is a whole second request, `{evil#}` its length, `{x*9}` nine times x. */
  readonly send: string;
  readonly node?: Outcome;
  /** From this release on Node's parser takes tabs around a value, as RFC 9110, 5.5 has it. */
  readonly node22?: Outcome;
  readonly deno?: Outcome;
  /** Headers of the first request at the private server; `null` is one that must not be there. */
  readonly headers?: Readonly<Record<string, string | null>>;
}

/** An edge with three tunnels, and a private server that keeps what it sees. */
export interface SmugglingBench {
  readonly bench: Bench;
  readonly upstream: RawUpstream;
  run(one: SmugglingCase): Promise<void>;
  close(): Promise<void>;
}

/** The cases of one group. */
export function smugglingCases(group: string): readonly SmugglingCase[] {
  // From the working folder: the build does not copy the vectors.
  const text = readFileSync(`tests/vectors/http_smuggling/${group}.json`, "utf8");
  // Proof of the cast: the test fails on a case that is not of this shape.
  return JSON.parse(text) as readonly SmugglingCase[];
}

/** Starts the edge, the rift and the private server. */
export async function startSmugglingBench(): Promise<SmugglingBench> {
  const tls = { caPem: "", certPem: "", keyPem: "" };
  const upstream = await startRawUpstream();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: tls, clientTls: tls }),
    tunnels: [
      WEB_TUNNEL,
      MCP_TUNNEL,
      { ...WEB_TUNNEL, name: "other", host: "other.example", path: "/other" },
    ],
  });
  const rift = bench.rift([
    { tunnel: "web", upstream: `${upstream.url}/base`, protocol: "http" },
    { tunnel: "code", upstream: `${upstream.url}/mcp`, protocol: "mcp" },
    { tunnel: "other", upstream: `${upstream.url}/other`, protocol: "http" },
  ]);
  await rift.ready;
  const { port } = new URL(bench.edge.url);
  const host = `localhost:${port}`;
  return {
    bench,
    upstream,
    run: (one) => runCase(one, { url: bench.edge.url, host, upstream }),
    async close() {
      await bench.close();
      await upstream.close();
    },
  };
}

interface Place {
  readonly url: string;
  readonly host: string;
  readonly upstream: RawUpstream;
}

async function runCase(one: SmugglingCase, place: Place): Promise<void> {
  const { host, upstream } = place;
  const expected = outcomeOf(one);
  upstream.take();
  const client = await RawClient.open(place.url);
  client.send(expand(one.send, host));
  if (expected.answers.length > 0) await settled(client, expected.answers.length);
  else if (expected.then === "closed") await client.closed;

  let then: Outcome["then"] = "waits";
  if (expected.then === "waits") client.destroy();
  else {
    client.send(`GET /web/next HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    if (expected.then === "closed") client.socket.end();
    then = "closed";
  }
  await client.closed;
  // What was sent on before this request has been seen when it is answered.
  await ask(place, "/web/barrier");
  const seen = upstream.take().filter(({ url }) => url !== "/base/barrier");
  const got = statuses(client.received);
  const nextAt = seen.findIndex(({ url }) => url === "/base/next");
  if (nextAt >= 0) {
    then = "next";
    seen.splice(nextAt, 1);
    assert.equal(got.pop(), 200, `${one.name}: the next request`);
  }

  // What is pipelined here goes out on connections of its own there, in any order.
  const saw = seen.map((item) => lineOf(item, host)).sort();
  assert.deepEqual(
    { answers: got, then, upstream: saw },
    { ...expected, upstream: [...expected.upstream].sort() },
    one.name,
  );
  seen.forEach((item) => checkHeaders(one, item, place));
  for (const [name, value] of Object.entries(one.headers ?? {})) {
    assert.equal(headerOf(seen[0]!, name)[0] ?? null, value, `${one.name}: ${name}`);
  }
}

function outcomeOf(one: SmugglingCase): Outcome {
  const isNewer = Number(process.versions.node.split(".")[0]) >= 22 ? one.node22 : undefined;
  const own = "Deno" in globalThis ? one.deno : isNewer ?? one.node;
  const { answers, then, upstream } = own ?? one;
  assert.ok(answers !== undefined && then !== undefined && upstream !== undefined, one.name);
  return { answers, then, upstream };
}

/** Waits for `count` answers, or fewer and the end of the connection. */
async function settled(client: RawClient, count: number): Promise<void> {
  const enough = client.until((text) => statuses(text).length >= count);
  await Promise.race([enough.catch(() => {}), client.closed]);
}

async function ask({ url, host }: Place, path: string): Promise<void> {
  const client = await RawClient.open(url);
  client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  await client.closed;
  assert.deepEqual(statuses(client.received), [200], "the edge still serves others");
}

/** What the private server must never see, whatever a client sends. */
function checkHeaders(one: SmugglingCase, seen: SeenRequest, { upstream }: Place): void {
  const names = seen.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  for (const name of names) {
    assert.ok(!NEVER.test(name), `${one.name}: the private server saw ${name}`);
  }
  assert.deepEqual(headerOf(seen, "host"), [new URL(upstream.url).host], one.name);
  assert.deepEqual(headerOf(seen, "x-forwarded-for"), ["127.0.0.1"], one.name);
  assert.deepEqual(headerOf(seen, "x-forwarded-proto"), ["http"], one.name);
  assert.match(
    headerOf(seen, "x-forwarded-host").join(),
    /^(?:localhost|127\.0\.0\.1|\[::1\]|other\.example)(?::\d+)?$/i,
    one.name,
  );
}

function headerOf({ rawHeaders }: SeenRequest, name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]!.toLowerCase() === name);
}

function lineOf({ method, url, body, end }: SeenRequest, host: string): string {
  const shown = body.replaceAll(host, "{host}").replaceAll("\r\n", "|");
  return `${method} ${url}${shown === "" ? "" : ` ${shown}`}${end === "cut" ? " (cut)" : ""}`;
}

function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
}

function expand(send: string, host: string): string {
  const evil = `GET /web/smuggled HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  return send
    .replaceAll("{evil#x}", evil.length.toString(16))
    .replaceAll("{evil#}", String(evil.length))
    .replaceAll("{tail#}", String("0\r\n\r\n".length + evil.length))
    .replaceAll("{evil}", evil)
    .replaceAll("{host}", host)
    .replaceAll("{port}", host.slice(host.indexOf(":") + 1))
    .replace(/\{([^{}*]+)\*(\d+)\}/g, (_, text: string, count: string) => text.repeat(+count))
    .replaceAll("|", "\r\n");
}

const NEVER =
  /^(?:mcptun-.*|keep-alive|proxy-.*|te|trailer|upgrade|expect|http2-settings|forwarded|x-real-ip|x-forwarded-prefix)$/;
