/** What every scenario is given: paths, plan, tools, notes. @module */

import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { nginxVersion } from "../legs/nginx.mjs";
import { loadTool } from "./load.mjs";

const benchDir = dirname(dirname(fileURLToPath(import.meta.url)));
const rootDir = dirname(benchDir);

/** How much of everything: the full run, and one that only shows that it works. */
const PLANS = {
  full: {
    small: { inFlight: [1, 8, 32, 128], seconds: 5, warmUpSeconds: 3 },
    echo: { inFlight: [1, 8, 32, 128], seconds: 4, warmUpSeconds: 2 },
    bodies: [{ mib: 1, count: 30 }, { mib: 100, count: 2 }],
    sse: [{ streams: 1, everyMs: 20, seconds: 6 }, { streams: 200, everyMs: 200, seconds: 6 }],
    sseWarmUpSeconds: 2,
    memory: { streams: 1_000, requests: 100_000, every: 10_000 },
  },
  quick: {
    small: { inFlight: [1, 32], seconds: 1, warmUpSeconds: 1 },
    echo: { inFlight: [1, 32], seconds: 1, warmUpSeconds: 1 },
    bodies: [{ mib: 1, count: 10 }, { mib: 100, count: 1 }],
    sse: [{ streams: 1, everyMs: 20, seconds: 1 }, { streams: 200, everyMs: 200, seconds: 1 }],
    sseWarmUpSeconds: 1,
    memory: { streams: 100, requests: 5_000, every: 1_000 },
  },
};

/** @param {{plan: "full" | "quick", dist: string, legs?: string[]}} options */
export function makeContext({ plan, dist, legs }) {
  const distDir = resolve(rootDir, dist);
  if (!existsSync(`${distDir}/bench/quic_echo.js`)) {
    throw new Error(`Cannot find a build in ${distDir}`);
  }
  const notes = [];
  let number = 0;
  return {
    benchDir,
    rootDir,
    distDir,
    tempDir: mkdtempSync(`${tmpdir()}/mcptun-bench-`),
    plan: PLANS[plan],
    onlyLegs: legs,
    deno: findDeno(),
    hasNginx: nginxVersion() !== undefined,
    loadTool: loadTool(),
    notes,
    nextNumber: () => ++number,
    note: (text) => {
      if (notes.includes(text)) return;
      notes.push(text);
      console.error(`note: ${text}`);
    },
  };
}

/** The binary itself, not the npm wrapper: CPU and memory are read by process id. */
function findDeno() {
  const dir = `${rootDir}/node_modules/@deno`;
  if (!existsSync(dir)) return undefined;
  return readdirSync(dir).map((name) => `${dir}/${name}/deno`).find(existsSync);
}
