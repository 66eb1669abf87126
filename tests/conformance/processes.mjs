/** Child processes of the conformance run: servers that say their URL, and tools that end. */

import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";

const READY_MS = 15_000;
const STOP_MS = 5_000;

/**
 * Starts a server that prints `{"url": …}` as its first line.
 *
 * @returns {Promise<{url: string, stop: () => Promise<void>}>}
 */
export async function startServer(command, args, env = {}) {
  const child = start(command, args, env);
  const line = await withDeadline(
    firstLine(child),
    child,
    `${args[0]} said no URL`,
  );
  return { url: JSON.parse(line).url, stop: () => stop(child) };
}

/** Starts a server that is told its port in `PORT`; resolves when the port takes connections. */
export async function startServerAtPort(command, args, port) {
  const child = start(command, args, { PORT: String(port) });
  child.stdout.resume();
  await withDeadline(
    untilListening(child, port),
    child,
    `${args[0]} did not listen`,
  );
  return { stop: () => stop(child) };
}

/** Starts a process that runs until it is stopped. */
export function startProcess([command, ...args]) {
  const child = start(command, args, {});
  child.stdout.resume();
  return {
    stop: () => stop(child),
    ended: () => child.exitCode !== null || child.signalCode !== null,
    said: () => child.said,
  };
}

/** Runs a tool to its end. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    });
    const output = [];
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      output.push(chunk);
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => output.push(chunk));
    child.once("error", reject);
    child.once(
      "close",
      (code) => resolve({ code, stdout, output: Buffer.concat(output).toString() }),
    );
  });
}

/** A TCP port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function start(command, args, env) {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  child.said = "";
  child.stderr.on("data", (chunk) => {
    // The end is what explains a failure.
    child.said = (child.said + chunk).slice(-2_000);
  });
  return child;
}

function firstLine(child) {
  return new Promise((resolve) => {
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end));
    });
  });
}

async function untilListening(child, port) {
  while (child.exitCode === null) {
    const open = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => resolve(true)).once(
        "error",
        () => resolve(false),
      );
      socket.once("connect", () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function withDeadline(ready, child, complaint) {
  let timer;
  const failed = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${complaint} in time`)),
      READY_MS,
    );
    child.once("error", reject);
    child.once(
      "exit",
      (code) => reject(new Error(`${complaint}: exit ${code}\n${child.said}`)),
    );
  });
  try {
    return await Promise.race([ready, failed]);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}
