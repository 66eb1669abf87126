/** The echo legs: our QUIC core on Node and on Deno, and the package's own classes. @module */

import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Child } from "../lib/process.mjs";

/** Makes certificates for the echo legs with the project's own CA; gives the file they are in. */
export async function makeMaterial(context) {
  const load = (path) => import(pathToFileURL(`${context.distDir}/src/${path}`).href);
  const { openTunnelCa, SERVER_NAME } = await load("identity/tunnel_ca.js");
  const { systemClock } = await load("clock.js");
  const { silentLogger } = await load("log.js");
  const stateDir = `${context.tempDir}/echo-state`;
  const ca = await openTunnelCa({ stateDir, clock: systemClock, log: silentLogger });
  const pick = ({ certPem, keyPem }) => ({ caPem: ca.caPem, certPem, keyPem });
  const file = `${context.tempDir}/echo-material.json`;
  const material = {
    serverName: SERVER_NAME,
    server: pick(await ca.serverMaterial()),
    client: pick(await ca.issue({ name: "bench", ttlMs: 86_400_000 })),
  };
  writeFileSync(file, JSON.stringify(material), { mode: 0o600 });
  return file;
}

/** Starts an echo leg; `ask` sends it one command. The listening side opens the streams, as an edge does. */
export async function startCore(context, material, runtime) {
  const [command, ...args] = runtime === "node"
    ? [process.execPath, `${context.distDir}/bench/quic_echo.js`]
    : [context.deno, "run", "-A", "--unstable-net", `${context.benchDir}/quic_echo.ts`];
  const start = (role, ...rest) =>
    child(context, `core-${runtime}-${role}`, command, [...args, role, material, ...rest]);
  const listener = start("listen");
  const { port } = await listener.json();
  const answerer = start("connect", String(port));
  await listener.json();
  return leg(listener, [["opener", listener], ["answerer", answerer]]);
}

/** Starts the leg on `QUICServer` and `QUICClient`. */
export async function startPackage(context, material) {
  const file = `${context.benchDir}/servers/package_echo.mjs`;
  const start = (role, ...rest) =>
    child(context, `package-${role}`, process.execPath, [file, role, material, ...rest]);
  const server = start("server");
  const { port } = await server.json();
  const client = start("client", String(port));
  await client.json();
  return leg(client, [["opener", client], ["answerer", server]]);
}

function child(context, name, command, args) {
  return new Child({
    name,
    command,
    args,
    logFile: `${context.tempDir}/${name}.log`,
    cwd: context.rootDir,
  });
}

function leg(driver, members) {
  return {
    ask: (command, timeoutMs) => driver.ask(command, timeoutMs),
    watched: members.map(([role, { pid }]) => ({ role, pid })),
    stop: async () => void await Promise.all(members.map(([, member]) => member.stop())),
  };
}
