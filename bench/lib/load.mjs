/**
 * Closed-loop load from a tool that is not ours: wrk, or autocannon where wrk is missing.
 *
 * @module
 */

import { execFile, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { requestBody, requestHeaders } from "./payload.mjs";

const run = promisify(execFile);
const lua = fileURLToPath(new URL("post.lua", import.meta.url));
const autocannon = fileURLToPath(import.meta.resolve("autocannon"));

/** Name and version of the tool that makes the closed-loop load. */
export function loadTool() {
  try {
    execFileSync("wrk", ["-v"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return "wrk";
  } catch (error) {
    // wrk -v prints its version and exits with 1.
    return String(error.stdout ?? "").startsWith("wrk")
      ? error.stdout.split("\n")[0]
      : "autocannon";
  }
}

/**
 * Posts the small request to `url` for `seconds`, with `inFlight` requests at a time.
 *
 * @returns requests, seconds, rate per second, latencies in ms, failures (socket errors, timeouts
 *   and answers that are not 2xx).
 */
export function timedLoad({ tool, url, inFlight, seconds, authorization }) {
  return tool.startsWith("wrk")
    ? wrk({ url, inFlight, seconds, authorization })
    : cannon({ url, inFlight, limit: ["-d", String(seconds)], seconds, authorization });
}

/** Posts exactly `amount` small requests. autocannon always: wrk cannot count. */
export function countedLoad({ url, inFlight, amount, timeLimitS }) {
  return cannon({ url, inFlight, limit: ["-a", String(amount)], seconds: timeLimitS });
}

async function wrk({ url, inFlight, seconds, authorization }) {
  const args = ["-t1", `-c${inFlight}`, `-d${seconds}s`, "--timeout", "10s", "-s", lua, url];
  const { stdout } = await run("wrk", args, {
    timeout: (seconds + 30) * 1_000,
    env: {
      ...process.env,
      BENCH_BODY: requestBody,
      BENCH_HEADERS: Object.entries(headersWith(authorization)).map((pair) => pair.join("=")).join(
        "\n",
      ),
    },
  });
  const line = stdout.split("\n").find((text) => text.startsWith("{"));
  const done = JSON.parse(line ?? "{}");
  return {
    requests: done.requests,
    seconds: done.micros / 1e6,
    rate: done.requests / (done.micros / 1e6),
    p50Ms: done.p50 / 1e3,
    p90Ms: done.p90 / 1e3,
    p99Ms: done.p99 / 1e3,
    maxMs: done.max / 1e3,
    failures: done.failures,
  };
}

function headersWith(authorization) {
  return authorization === undefined ? requestHeaders : { ...requestHeaders, authorization };
}

async function cannon({ url, inFlight, limit, seconds, authorization }) {
  const headers = Object.entries(headersWith(authorization)).flatMap((
    pair,
  ) => ["-H", pair.join("=")]);
  const args = [autocannon, "-j", "-c", String(inFlight), ...limit, "-m", "POST", ...headers];
  const { stdout } = await run(process.execPath, [...args, "-b", requestBody, url], {
    timeout: (seconds + 30) * 1_000,
    maxBuffer: 1 << 20,
  });
  const done = JSON.parse(stdout);
  return {
    requests: done.requests.total,
    seconds: done.duration,
    rate: done.requests.total / done.duration,
    p50Ms: done.latency.p50,
    p90Ms: done.latency.p90,
    p99Ms: done.latency.p99,
    maxMs: done.latency.max,
    failures: done.errors + done.timeouts + done.non2xx,
  };
}
