/**
 * The tunnel as a user runs it: `mcptun token issue`, `mcptun edge`, `mcptun rift`, two processes.
 *
 * Tunnels: `json` speaks MCP, `known` asks for a user's token before, `aware` judges as well, `work` is
 * plain HTTP. Limits are raised where a scenario would meet them
 * on purpose (a 100 MiB body, 1,000 event streams); everything else is as shipped.
 *
 * @module
 */

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { answerBody, requestBody, requestHeaders } from "../lib/payload.mjs";
import { Child, freePort, listening, until } from "../lib/process.mjs";

const run = promisify(execFile);

/**
 * Starts one edge and one rift and waits until both tunnels answer.
 *
 * @param {"node" | "deno"} runtime what runs both sides
 * @param {{edge?: string[], rift?: string[], policyFile?: string}} [flags] runtime flags per side, for
 *   profiling, and a policy file
 * @param {string} [audit] keys of `[audit]`; without them there is no trail
 */
export async function startTunnel(context, upstream, runtime, flags = {}, audit) {
  const dir = `${context.tempDir}/mcptun-${runtime}-${context.nextNumber()}`;
  mkdirSync(dir, { recursive: true });
  const [publicPort, tunnelPort] = [await freePort(), await freePort()];
  const config = `${dir}/mcptun.toml`;
  const token = `${dir}/rift.token`;
  writeFileSync(config, configText({ dir, publicPort, tunnelPort, upstream, audit, ...flags }));

  const base = (role) => commandOf(context, runtime, flags[role] ?? []);
  const [issuer, ...issuerArgs] = base("token");
  const issue = [
    "token",
    "issue",
    "--config",
    config,
    "--rift",
    "bench",
    "--tunnels",
    "json,work,known,aware",
  ];
  await run(issuer, [...issuerArgs, ...issue, "--ttl", "1d", "--out", token], {
    cwd: context.rootDir,
  });

  const user = ["token", "issue", "--config", config, "--user", "bench", "--ttl", "1d"];
  const { stdout } = await run(issuer, [...issuerArgs, ...user], { cwd: context.rootDir });
  const authorization = `Bearer ${stdout.trim()}`;

  const start = (role, args) => {
    const [command, ...first] = base(role);
    const logFile = `${dir}/${role}.log`;
    const name = `${role} on ${runtime}`;
    return new Child({
      name,
      command,
      args: [...first, role, ...args],
      cwd: context.rootDir,
      logFile,
    });
  };
  const edge = start("edge", ["--config", config]);
  let rift;
  try {
    await Promise.race([listening(publicPort), edge.died()]);
    rift = start("rift", ["--config", config, "--token-file", token]);
    const json = `http://127.0.0.1:${publicPort}/json/mcp`;
    const work = `http://127.0.0.1:${publicPort}/work`;
    const ready = until(`tunnels on ${runtime}`, () => answers(json, work));
    await Promise.race([ready, edge.died(), rift.died()]);
    return {
      json,
      work,
      known: `http://127.0.0.1:${publicPort}/known/mcp`,
      aware: `http://127.0.0.1:${publicPort}/aware/mcp`,
      authorization,
      watched: [{ role: "edge", pid: edge.pid }, { role: "rift", pid: rift.pid }],
      edgeLog: edge.logFile,
      // How many tunnel connections there have been, by the edge's own log: one, when nothing went wrong.
      connections: () => readFileSync(edge.logFile, "utf8").split("Rift connected").length - 1,
      stop: async () => {
        await rift.stop();
        await edge.stop();
      },
    };
  } catch (error) {
    await Promise.all([edge.stop(), rift?.stop()]);
    throw error;
  }
}

function commandOf(context, runtime, flags) {
  return runtime === "node"
    ? [process.execPath, ...flags, `${context.distDir}/src/main.js`]
    : [context.deno, "run", "-A", "--unstable-net", ...flags, `${context.rootDir}/src/main.ts`];
}

async function answers(json, work) {
  const answer = await fetch(json, { method: "POST", body: requestBody, headers: requestHeaders });
  const text = await answer.text();
  if (text !== answerBody) throw new Error(`json: ${answer.status} ${text.slice(0, 200)}`);
  const body = await fetch(`${work}/down?bytes=16`);
  const bytes = await body.text();
  if (bytes !== "0123456789abcdef") throw new Error(`work: ${body.status} ${bytes.slice(0, 200)}`);
  return true;
}

function configText({ dir, publicPort, tunnelPort, upstream, audit, policyFile }) {
  return `
[edge]
listen = "127.0.0.1:${publicPort}"
tunnel_listen = "127.0.0.1:${tunnelPort}"
tunnel_address = "127.0.0.1:${tunnelPort}"
state_dir = "${dir}/state"
max_body_bytes = "256MiB"
max_exchanges = 4000
max_connections_per_address = 4096
max_event_streams = 4000

${audit === undefined ? "" : `[audit]\nfile = "${dir}/audit.jsonl"\n${audit}\n`}
${policyFile === undefined ? "" : `[policy]\nfile = "${policyFile}"\n`}
[[tunnel]]
name = "json"
protocol = "mcp"

[[tunnel]]
name = "work"
protocol = "http"

[[tunnel]]
name = "known"
protocol = "mcp"
auth = "edge"

[[tunnel]]
name = "aware"
mode = "aware"
allow_tools = ["search", "read_*", "list_files"]
deny_tools = ["execute_command"]

[[rift.expose]]
tunnel = "aware"
upstream = "http://127.0.0.1:${upstream.jsonPort}/mcp"
protocol = "mcp"

[[rift.expose]]
tunnel = "known"
upstream = "http://127.0.0.1:${upstream.jsonPort}/mcp"
protocol = "mcp"

[[rift.expose]]
tunnel = "json"
upstream = "http://127.0.0.1:${upstream.jsonPort}/mcp"
protocol = "mcp"

[[rift.expose]]
tunnel = "work"
upstream = "http://127.0.0.1:${upstream.workPort}"
protocol = "http"
`;
}
