/** A tunnel as users run it: `mcptun edge` and `mcptun rift`, two processes on either runtime. */

import { createSocket } from "node:dgram";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort, run, startProcess } from "./processes.mjs";
import { startSigningProxy } from "./signing_proxy.mjs";

const READY_MS = 20_000;
const AWARE = `mode = "aware"
default = "allow"
server_requests = ["sampling", "elicitation", "roots"]
`;

/**
 * Starts both roles; resolves when the tunnel answers.
 *
 * @param {object} options
 * @param {string[]} options.edge Command line of mcptun for the edge, without its subcommand.
 * @param {string[]} options.rift The same for the rift.
 * @param {string} options.upstream The private server.
 * @param {"transparent" | "aware"} options.mode An aware tunnel allows everything, and is asked through
 *   a proxy that adds a user's token.
 * @param {string} options.folder A folder that does not exist, for configuration and state.
 * @returns {Promise<{url: string, stop: () => Promise<void>}>} `url` is at `localhost`.
 */
export async function startTunnel({ edge, rift, upstream, mode, folder }) {
  const port = await freePort();
  const isAware = mode === "aware";
  const publicPort = isAware ? await freePort() : port;
  const config = join(folder, "mcptun.toml");
  const token = join(folder, "rift.token");
  await mkdir(folder);
  await writeFile(
    config,
    configText({
      port,
      publicPort,
      isAware,
      tunnelPort: await freeUdpPort(),
      folder,
    }),
  );
  await mustRun([
    ...edge,
    ...[
      "token",
      "issue",
      "--rift",
      "conformance",
      "--tunnels",
      "suite",
      "--ttl",
      "1h",
    ],
    ...["--out", token, "--config", config],
  ]);

  const processes = [];
  const stop = async () => {
    for (const process of processes.reverse()) await process.stop();
  };
  try {
    processes.push(startProcess([...edge, "edge", "--config", config]));
    processes.push(
      startProcess([
        ...rift,
        "rift",
        "--token-file",
        token,
        "--expose",
        `suite=${upstream}`,
      ]),
    );
    if (isAware) {
      const issue = [
        "token",
        "issue",
        "--user",
        "suite",
        "--ttl",
        "1h",
        "--config",
        config,
      ];
      const token = await mustRun([...edge, ...issue]);
      processes.push(
        await startSigningProxy(
          `http://127.0.0.1:${port}`,
          publicPort,
          token.trim(),
        ),
      );
    }
    const url = `http://localhost:${publicPort}/suite/mcp`;
    await untilOnline(url, processes.filter((process) => "ended" in process));
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The suite also calls as a page at the tunnel's own address would; an edge allows no Origin unasked. */
function configText({ port, publicPort, isAware, tunnelPort, folder }) {
  return `[edge]
listen = "127.0.0.1:${port}"
hosts = ["localhost:${publicPort}"]
tunnel_listen = "127.0.0.1:${tunnelPort}"
state_dir = "${join(folder, "state")}"

[[tunnel]]
name = "suite"
origins = ["http://localhost:${publicPort}"]
${isAware ? AWARE : ""}`;
}

async function mustRun([command, ...args]) {
  const { code, output, stdout } = await run(command, args);
  if (code !== 0) {
    throw new Error(`Cannot run ${args.join(" ")}: exit ${code}\n${output}`);
  }
  return stdout;
}

/** Asks until the answer is not "no rift is connected". */
async function untilOnline(url, processes) {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    const ended = processes.find((process) => process.ended());
    if (ended !== undefined) {
      throw new Error(`The tunnel did not start\n${ended.said()}`);
    }
    try {
      const answer = await fetch(url, { method: "POST" });
      await answer.arrayBuffer();
      if (answer.status !== 503) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(
    `The tunnel did not come up\n${processes.map((process) => process.said())}`,
  );
}

function freeUdpPort() {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", reject);
    socket.bind(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}
