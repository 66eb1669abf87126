/**
 * What exchanges through a running tunnel notice when the edge reloads its policy: calls go on through
 * an aware tunnel, the file changes, and the slowest call until a little after the change is in force
 * is told beside the slowest of as much time without a change.
 *
 * @module
 */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { loadavg } from "node:os";
import { startTunnel } from "../legs/mcptun.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { makeContext } from "./context.mjs";
import { requestBody, requestHeaders } from "./payload.mjs";
import { stopAll, until } from "./process.mjs";

/** Clients, each of which asks again a little after it was answered. */
const CLIENTS = 4;
const PAUSE_MS = 2;
const WARM_UP_MS = 3_000;
const AFTERWARDS_MS = 300;

/** @param {{text: string, reloads: number, dist?: string, runtime?: "node" | "deno"}} options */
export async function measureExchanges({ text, reloads, dist = "dist", runtime = "node" }) {
  const context = makeContext({ plan: "quick", dist });
  const policyFile = `${context.tempDir}/user.toml`;
  const everybody = '\n[[policy]]\nusers = ["*"]\nallow_tools = ["search"]\n';
  const write = (number) => writeFileSync(policyFile, `${text}${everybody}# ${number}\n`);
  try {
    write(0);
    const upstream = await startUpstream(context);
    const tunnel = await startTunnel(context, upstream, runtime, { policyFile });
    const load = new Load(tunnel);
    await passed(WARM_UP_MS);
    const inForce = () =>
      readFileSync(tunnel.edgeLog, "utf8").split("Configuration is in force").length;
    const during = [];
    const quiet = [];
    for (let number = 1; number <= reloads; number++) {
      const before = inForce();
      load.take();
      const startedAt = performance.now();
      write(number);
      await until("the change in force", () => inForce() > before);
      // Calls that waited for it end after it, and the first ones after it are judged anew.
      await passed(AFTERWARDS_MS);
      during.push(...load.take());
      await passed(performance.now() - startedAt);
      quiet.push(...load.take());
    }
    await load.stop();
    await tunnel.stop();
    await upstream.stop();
    return {
      date: new Date().toISOString(),
      loadAverage: loadavg(),
      runtime,
      reloads,
      clients: CLIENTS,
      during: summary(during),
      quiet: summary(quiet),
    };
  } finally {
    await stopAll();
    rmSync(context.tempDir, { recursive: true, force: true });
  }
}

/** Calls that go on until it is stopped. */
class Load {
  #times = [];
  #isOn = true;
  #agent = new Agent({ keepAlive: true });
  #clients;

  constructor({ aware, authorization }) {
    const headers = { ...requestHeaders, authorization, "content-length": requestBody.length };
    this.#clients = Array.from({ length: CLIENTS }, async () => {
      while (this.#isOn) {
        const startedAt = performance.now();
        await this.#call(aware, headers);
        this.#times.push(performance.now() - startedAt);
        await passed(PAUSE_MS);
      }
    });
  }

  #call(url, headers) {
    return new Promise((resolve, reject) => {
      const call = request(url, { method: "POST", agent: this.#agent, headers }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`));
        answer.resume().on("end", resolve).on("error", reject);
      });
      call.on("error", reject).end(requestBody);
    });
  }

  /** How long the calls since the last time took. */
  take() {
    return this.#times.splice(0);
  }

  async stop() {
    this.#isOn = false;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }
}

function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (fraction) => Number(sorted[Math.ceil(sorted.length * fraction) - 1].toFixed(1));
  return { calls: sorted.length, medianMs: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

function passed(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
