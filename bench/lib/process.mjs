/**
 * Child processes of the bench: started, spoken to over stdio, watched through /proc, stopped.
 *
 * Every child is registered here, so that nothing outlives the runner.
 *
 * @module
 */

import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { createInterface } from "node:readline";

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 8_000;

const children = new Set();
const clockTicksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
// A child must not survive a runner that was killed outright; the kernel takes care of that.
const deathSignal = existsSync("/usr/bin/setpriv") ? ["setpriv", "--pdeathsig", "KILL"] : [];

/** One child process. Its stdout is read as lines, its stderr goes to a file or is dropped. */
export class Child {
  #process;
  #lines = [];
  #waiters = [];
  #exited;
  #end;

  /** @param {{name: string, command: string, args: string[], cwd?: string, logFile?: string, env?: object}} options */
  constructor({ name, command, args, cwd, logFile, env }) {
    this.name = name;
    this.logFile = logFile;
    const [file, ...rest] = [...deathSignal, command, ...args];
    const log = logFile === undefined ? "ignore" : openSync(logFile, "a");
    this.#process = spawn(file, rest, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", log],
    });
    if (log !== "ignore") closeSync(log);
    this.#process.stdin.on("error", () => {}); // the exit below says what happened
    children.add(this);
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#onLine(line));
    this.#exited = new Promise((resolve) => {
      this.#process.once("error", (error) => this.#onEnd(String(error), resolve));
      this.#process.once("exit", (code, signal) => this.#onEnd(String(signal ?? code), resolve));
    });
  }

  get pid() {
    return this.#process.pid;
  }

  /** The next line on stdout that `take` makes something of. */
  line(take, timeoutMs = START_TIMEOUT_MS) {
    while (this.#lines.length > 0) {
      const taken = take(this.#lines.shift());
      if (taken !== undefined) return Promise.resolve(taken);
    }
    if (this.#end !== undefined) return Promise.reject(this.#failure(this.#end));
    return new Promise((resolve, reject) => {
      const waiter = { take, resolve, reject, timer: undefined };
      waiter.timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(this.#failure(`no line in ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiters.push(waiter);
    });
  }

  /** Rejects when the process ends; never resolves. For a race against something it should do. */
  async died() {
    await this.#exited;
    throw this.#failure(this.#end);
  }

  /** The next stdout line that is a JSON object. */
  json(timeoutMs) {
    return this.line((line) => line.startsWith("{") ? JSON.parse(line) : undefined, timeoutMs);
  }

  /** Sends one JSON line and waits for the answering one; a child's `error` is thrown here. */
  async ask(command, timeoutMs) {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
    const answer = await this.json(timeoutMs);
    if (answer.error !== undefined) throw new Error(`${this.name}: ${answer.error}`);
    return answer;
  }

  /** Ends the process: first politely, then not. */
  async stop() {
    if (this.#end === undefined) {
      this.#process.kill("SIGTERM");
      const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_TIMEOUT_MS);
      await this.#exited;
      clearTimeout(timer);
    }
    return this.#end;
  }

  /** Ends the process now, without waiting. */
  kill() {
    this.#process.kill("SIGKILL");
  }

  #onLine(line) {
    const waiter = this.#waiters[0];
    if (waiter === undefined) {
      if (this.#lines.length < 1_000) this.#lines.push(line);
      return;
    }
    const taken = waiter.take(line);
    if (taken === undefined) return;
    this.#waiters.shift();
    clearTimeout(waiter.timer);
    waiter.resolve(taken);
  }

  #onEnd(end, resolve) {
    this.#end ??= `ended with ${end}`;
    children.delete(this);
    for (const { reject, timer } of this.#waiters.splice(0)) {
      clearTimeout(timer);
      reject(this.#failure(this.#end));
    }
    resolve();
  }

  #failure(what) {
    const tail = this.logFile === undefined ? "" : readFileSync(this.logFile, "utf8").slice(-2_000);
    return new Error(`${this.name}: ${what}${tail === "" ? "" : `\n${tail}`}`);
  }
}

/** Stops what is still running. For the end of the runner, whichever way it came. */
export async function stopAll() {
  await Promise.all([...children].map((child) => child.stop()));
}

/** Kills what is still running, without waiting. */
export function killAll() {
  for (const child of children) child.kill();
}

/** CPU time a process has used, seconds, user and system. Resolution: one clock tick (10 ms). */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / clockTicksPerSecond;
}

/** Resident memory of a process, KiB. */
export function rssKib(pid) {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** UDP counters of the kernel since boot, all sockets: datagrams sent, and dropped at a full receive buffer. */
export function udpCounters() {
  const [names, values] = readFileSync("/proc/net/snmp", "utf8").split("\n")
    .filter((line) => line.startsWith("Udp:")).map((line) => line.split(" "));
  const counter = (name) => Number(values[names.indexOf(name)]);
  return { sent: counter("OutDatagrams"), dropped: counter("RcvbufErrors") };
}

/** Number of open file descriptors of a process. */
export function openFiles(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** CPU and memory of several watched processes: `{ edge: { cpuS, rssKib }, … }`. */
export function sample(watched) {
  return Object.fromEntries(
    watched.map(({ role, pid }) => [role, { cpuS: cpuSeconds(pid), rssKib: rssKib(pid) }]),
  );
}

/** Watches the resident memory of processes while `work` runs; gives the result and the growth to the peak, MiB. */
export async function withRssPeak(watched, work) {
  const before = sample(watched);
  const peak = Object.fromEntries(watched.map(({ role }) => [role, before[role].rssKib]));
  const look = () => {
    for (const { role, pid } of watched) peak[role] = Math.max(peak[role], rssKib(pid));
  };
  const timer = setInterval(look, 50);
  try {
    const result = await work();
    look();
    const growthMib = Object.fromEntries(
      watched.map(({ role }) => [role, (peak[role] - before[role].rssKib) / 1_024]),
    );
    return { result, before, after: sample(watched), growthMib };
  } finally {
    clearInterval(timer);
  }
}

/** A TCP port on loopback that was free a moment ago; the UDP port of the same number is as good a guess. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits until `attempt` gives something truthy; throws its last complaint after `timeoutMs`. */
export async function until(what, attempt, timeoutMs = START_TIMEOUT_MS) {
  const endMs = performance.now() + timeoutMs;
  let complaint = "";
  while (performance.now() < endMs) {
    try {
      const result = await attempt();
      if (result) return result;
    } catch (error) {
      complaint = `: ${error.message}`;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`Cannot see ${what} within ${timeoutMs} ms${complaint}`);
}

/** Resolves when something accepts TCP connections on the port. */
export function listening(port) {
  return until(`port ${port}`, () =>
    new Promise((resolve, reject) => {
      const socket = new Socket();
      socket.once("error", reject);
      socket.connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
    }));
}
