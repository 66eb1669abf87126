/**
 * Runs the MCP conformance suite directly, through a transparent and through an aware tunnel, and
 * compares per scenario.
 *
 * Exit code 1 when anything is worse through a tunnel, or when the fixture itself fails a required
 * scenario. See README.md beside this file.
 */

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readScenarios, regressions, totals } from "./compare.mjs";
import { denoBinary } from "../../scripts/tree.mjs";
import { freePort, run, startServer, startServerAtPort } from "./processes.mjs";
import { startTunnel } from "./tunnel_processes.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");

/** The build, and the runtime of each end of the tunnel: node or deno. */
const { values: options } = parseArgs({
  options: {
    dist: { type: "string", default: join(root, "dist") },
    edge: { type: "string", default: "node" },
    rift: { type: "string", default: "node" },
  },
});
const dist = resolve(options.dist);

/** `clean`: the suite must exit with 0, for every target. */
const SELECTIONS = [
  {
    name: "required 2025-11-25",
    upstream: "fixture",
    args: ["--requirements", "2025-11-25"],
    clean: true,
  },
  {
    name: "required 2026-07-28",
    upstream: "fixture",
    args: ["--requirements", "2026-07-28"],
    clean: true,
  },
  {
    name: "all at 2026-07-28",
    upstream: "fixture",
    args: ["--suite", "all", "--spec-version", "2026-07-28"],
    clean: true,
  },
  { name: "active", upstream: "server-everything", args: [], clean: false },
];

async function main() {
  if (!existsSync(dist)) {
    throw new Error("Cannot run: build first (npm run build)");
  }
  await install();
  const suiteNode = findSuiteNode();
  const work = await mkdtemp(join(tmpdir(), "mcptun-conformance-"));
  const servers = [];
  try {
    const targets = await startTargets(servers, work);
    const results = [];
    for (const selection of SELECTIONS) {
      const runs = {};
      for (const [way, url] of Object.entries(targets[selection.upstream])) {
        runs[way] = await runSuite({
          suiteNode,
          url,
          args: selection.args,
          work,
        });
      }
      const { direct, ...tunnels } = runs;
      for (const [way, tunnel] of Object.entries(tunnels)) {
        results.push(judge({ ...selection, way }, { direct, tunnel }));
      }
    }
    await report(results);
    return results.every(({ ok }) => ok) ? 0 : 1;
  } finally {
    // The tunnels first: they hold connections to the servers.
    for (const server of servers.reverse()) await server.stop();
    await rm(work, { recursive: true, force: true });
  }
}

async function install() {
  if (existsSync(join(here, "node_modules/.package-lock.json"))) return;
  const npm = await run("npm", [
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
  ], { cwd: here });
  if (npm.code !== 0) {
    throw new Error(`Cannot install the conformance suite\n${npm.output}`);
  }
}

/** The suite needs Node 22 (`fs.globSync`); older ones take the binary of an npm package. */
function findSuiteNode() {
  if (Number(process.versions.node.split(".")[0]) >= 22) {
    return process.execPath;
  }
  const name = `node-${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(join(here, "run.mjs")).resolve(
      `${name}/package.json`,
    );
    return join(dirname(manifest), "bin/node");
  } catch (cause) {
    throw new Error(
      "Cannot run the conformance suite: run it with Node 22 or newer",
      { cause },
    );
  }
}

/** The command line of mcptun on a runtime. */
function mcptun(runtime) {
  if (runtime === "node") return [process.execPath, join(dist, "src/main.js")];
  if (runtime !== "deno") {
    throw new Error(`No runtime is called "${runtime}": node or deno`);
  }
  return [
    denoBinary(),
    "run",
    "--allow-all",
    "--unstable-net",
    join(root, "src/main.ts"),
  ];
}

async function startTargets(servers, work) {
  const started = async (starting) => {
    const server = await starting;
    servers.push(server);
    return server;
  };
  const tunnelsTo = async (upstream) => {
    const urls = {};
    for (const mode of ["transparent", "aware"]) {
      const tunnel = await started(startTunnel({
        edge: mcptun(options.edge),
        rift: mcptun(options.rift),
        upstream,
        mode,
        folder: join(work, `tunnel-${servers.length}`),
      }));
      urls[mode] = tunnel.url;
    }
    return urls;
  };

  const fixture = await started(
    startServer(process.execPath, [join(dist, "tests/fixtures/mcp/main.js")]),
  );
  const port = await freePort();
  const everything = join(
    here,
    "node_modules/@modelcontextprotocol/server-everything/dist/index.js",
  );
  const preload = join(here, "loopback_only.mjs");
  await started(
    startServerAtPort(process.execPath, [
      "--import",
      preload,
      everything,
      "streamableHttp",
    ], port),
  );
  const everythingUrl = `http://127.0.0.1:${port}/mcp`;
  return {
    // dns-rebinding-protection insists on a URL at localhost.
    fixture: {
      direct: fixture.url.replace("127.0.0.1", "localhost"),
      ...await tunnelsTo(fixture.url),
    },
    "server-everything": {
      direct: everythingUrl.replace("127.0.0.1", "localhost"),
      ...await tunnelsTo(everythingUrl),
    },
  };
}

async function runSuite({ suiteNode, url, args, work }) {
  const output = await mkdtemp(join(work, "run-"));
  const suite = join(
    here,
    "node_modules/@modelcontextprotocol/conformance/dist/index.js",
  );
  const { code, output: said } = await run(suiteNode, [
    suite,
    "server",
    "--url",
    url,
    ...args,
    "-o",
    output,
  ]);
  return { code, said, scenarios: await readScenarios(output) };
}

function judge({ name, upstream, clean, way }, { direct, tunnel }) {
  const worse = regressions(direct.scenarios, tunnel.scenarios);
  if (direct.scenarios.size === 0) worse.push("no scenario ran");
  if (clean && direct.code !== 0) {
    worse.push(`the fixture itself: exit ${direct.code}`);
  }
  if (tunnel.code !== direct.code) {
    worse.push(`exit ${direct.code} directly, ${tunnel.code} here`);
  }
  return {
    selection: name,
    way,
    upstream,
    direct: { exit: direct.code, ...totals(direct.scenarios) },
    tunnel: { exit: tunnel.code, ...totals(tunnel.scenarios) },
    worse,
    // The end is what explains it.
    said: worse.length === 0 ? undefined : tunnel.said.slice(-4_000),
    ok: worse.length === 0,
  };
}

async function report(results) {
  const text = (
    { scenariosPassed, scenariosFailed, checksPassed, checksFailed, exit },
  ) =>
    `${scenariosPassed}/${scenariosFailed} scenarios, ${checksPassed}/${checksFailed} checks, exit ${exit}`;
  console.table(
    results.map(({ selection, way, upstream, direct, tunnel, ok }) => ({
      upstream,
      selection,
      "direct (passed/failed)": text(direct),
      tunnel: way,
      "through it (passed/failed)": text(tunnel),
      verdict: ok ? "same" : "WORSE",
    })),
  );
  for (const { selection, way, worse, said } of results) {
    for (const line of worse) console.error(`${selection}, ${way}: ${line}`);
    if (said !== undefined) console.error(said);
  }
  await mkdir(join(here, "results"), { recursive: true });
  const file = join(here, "results/latest.json");
  const ends = { edge: options.edge, rift: options.rift };
  await writeFile(
    file,
    `${JSON.stringify({ node: process.version, ...ends, results }, undefined, 2)}\n`,
  );
}

process.exitCode = await main();
