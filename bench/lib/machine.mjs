/** What the numbers were measured on. @module */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os";
import { nginxVersion } from "../legs/nginx.mjs";

/** Facts of the machine and the software, for the results file. */
export function machineFacts(context) {
  const packages = ["@matrixai/quic", "undici", "autocannon", "deno"].map((name) => {
    const file = `${context.rootDir}/node_modules/${name}/package.json`;
    return [name, JSON.parse(readFileSync(file, "utf8")).version];
  });
  return {
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 1_024 ** 3),
    kernel: `${type()} ${release()} ${arch()}`,
    udpReceiveBufferMax: Number(readFileSync("/proc/sys/net/core/rmem_max", "utf8")),
    node: process.version,
    deno: context.deno && output(context.deno, ["--version"])?.split("\n")[0],
    nginx: nginxVersion(),
    loadTool: context.loadTool,
    packages: Object.fromEntries(packages),
    commit: output("git", ["-C", context.rootDir, "rev-parse", "--short", "HEAD"])?.trim(),
    uncommitted: (output("git", ["-C", context.rootDir, "status", "--porcelain"]) ?? "") !== "",
    loadAverage: loadavg(),
  };
}

function output(command, args) {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return undefined; // a fact that is missing is left out
  }
}
