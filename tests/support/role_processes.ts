/** An edge and a rift as child processes with a config, a credential and one tunnel. @module */

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  type CliProcess,
  type CliResult,
  type CliRuntime,
  OWN_RUNTIME,
  runCliProcess,
  startCli,
} from "./cli_process.ts";

/** What carries the tunnel and what stands behind it. */
export interface RoleOptions {
  /** An empty folder: config and state go there. */
  readonly folder: string;
  readonly protocol: "mcp" | "http";
  readonly upstream: string;
  readonly edgeRuntime?: CliRuntime;
  readonly riftRuntime?: CliRuntime;
  /** More lines of `[edge]`. */
  readonly edgeKeys?: string;
  /** Lines of the file after the tunnel, for example `[log]`. */
  readonly moreConfig?: string;
  /** Where the rift is told what to expose. @default `"flag"`; with `"file"` `moreConfig` says it. */
  readonly exposes?: "flag" | "file";
  /** More arguments of `mcptun rift`. */
  readonly riftFlags?: readonly string[];
}

/** An edge and the rifts of it, none started with more than the config says. */
export interface Roles {
  readonly edge: CliProcess;
  readonly rift: CliProcess;
  /** Where the tunnel answers. */
  readonly url: string;
  /** The credential, as issued. */
  readonly token: string;
  /** Starts the edge again on the ports of the first. */
  restartEdge(): Promise<CliProcess>;
  /** Starts one more rift with the same credential; resolves when it is connected. */
  startRift(): Promise<CliProcess>;
}

/** The public URL and the address for rifts, in either log format. */
const LISTENING = /\burl"?[:=]"?(https?:\/\/[^"\s]+)"?[ ,]"?rifts"?[:=]"?([^"\s]+)["\s]/;
const CONNECTED = /Connected to edge/;

/** Starts both and waits until the tunnel is up; ended by the caller. */
export async function startRoles(options: RoleOptions): Promise<Roles> {
  const { folder, protocol, upstream } = options;
  writeFileSync(
    join(folder, "mcptun.toml"),
    `[edge]
listen = "127.0.0.1:0"
tunnel_listen = "127.0.0.1:0"
tunnel_address = "localhost:4443"
${options.edgeKeys ?? ""}
[[tunnel]]
name = "main"
protocol = "${protocol}"
${options.moreConfig ?? ""}
`,
  );
  const startEdge = (...flags: string[]): CliProcess =>
    startCli(["edge", ...flags], {
      cwd: folder,
      runtime: options.edgeRuntime ?? OWN_RUNTIME,
    });
  const edge = startEdge();
  const [, base, dialed] = await edge.stderrMatch(LISTENING);
  const issued = await runCliProcess(
    ["token", "issue", "--rift", "one", "--tunnels", "main", "--ttl", "1h"],
    { cwd: folder },
  );
  if (issued.code !== 0) throw new Error(`No credential was issued:\n${issued.stderr}`);

  const startRift = async (): Promise<CliProcess> => {
    const rift = startCli(
      [
        "rift",
        ...["--protocol", protocol, "--token-file", "-", "--edge-address", dialed!],
        ...(options.exposes === "file" ? [] : ["--expose", `main=${upstream}`]),
        ...(options.riftFlags ?? []),
      ],
      { cwd: folder, stdin: issued.stdout, runtime: options.riftRuntime ?? OWN_RUNTIME },
    );
    await rift.stderrMatch(CONNECTED);
    return rift;
  };
  return {
    edge,
    rift: await startRift(),
    url: `${base}/main${protocol === "mcp" ? "/mcp" : ""}`,
    token: issued.stdout.trim(),
    startRift,
    async restartEdge() {
      const again = startEdge("--listen", new URL(base!).host, "--tunnel-listen", dialed!);
      await again.stderrMatch(LISTENING);
      return again;
    },
  };
}

/** Ends processes as a person would, in this order; what each printed and its exit code. */
export async function endRoles(...processes: readonly CliProcess[]): Promise<CliResult[]> {
  const results: CliResult[] = [];
  for (const one of processes) {
    one.signal("SIGINT");
    results.push(await one.result);
  }
  return results;
}
