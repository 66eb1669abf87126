/** `mcptun init`: a commented configuration to start from. @module */

import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";

import { parseAddress } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import type { Io } from "./io.ts";
import { writeProblem } from "./write_problem.ts";

/** Writes the starter file. @throws {TunnelError} `FILE_EXISTS`; `STATE_UNUSABLE` when it cannot be written. */
export function runInit(io: Io, options: { readonly config: string }): void {
  const path = resolve(io.cwd, options.config);
  const shown = JSON.stringify(options.config);
  try {
    writeFileSync(path, starter(hostname()), { flag: "wx" });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") {
      throw new TunnelError(
        "FILE_EXISTS",
        `${shown} exists and stays as it is: move it away first, or name another file with --config`,
      );
    }
    const problem = writeProblem(error, path);
    throw new TunnelError("STATE_UNUSABLE", `Cannot write ${shown}: ${problem}`, { cause: error });
  }
  const named = options.config === "mcptun.toml" ? "" : ` --config ${options.config}`;
  io.stdout.write(
    `Wrote ${options.config}\n\n` +
      `Next:\n` +
      `  1. read it and adapt it\n` +
      `  2. mcptun config check${named}\n` +
      `  3. on the public host:   mcptun token issue --rift laptop --tunnels example --ttl 30d --out laptop.token${named}\n` +
      `  4. on the public host:   mcptun token issue --user alice --ttl 30d${named}\n` +
      `  5. on the public host:   mcptun edge${named}\n` +
      `  6. on the private host:  mcptun rift --token-file laptop.token --expose example=http://127.0.0.1:9090/mcp\n`,
  );
}

/** The text of the file for a host of this name. */
export function starter(host: string): string {
  // A host name that no address may hold would make the file invalid from the start.
  const name = "value" in parseAddress(`${host}:4443`, "dialable") ? host : "mcp.example.com";
  return `# mcptun on ${name}. Every key, with its default: config.example.toml, docs/configuration.md
# What is commented out shows an example, not the default.

# --- The public role: mcptun edge ---

[edge]
# Where MCP clients come in. Plain HTTP is for loopback only; to listen elsewhere, set tls_cert and
# tls_key, or put a proxy in front and set behind_proxy = true.
listen = "127.0.0.1:8080"
# hosts = ["mcp.example.com"]
# tls_cert = "/etc/mcptun/fullchain.pem"
# tls_key = "/etc/mcptun/privkey.pem"

# Where rifts dial in (UDP), and the name and port under which they reach it.
tunnel_listen = "0.0.0.0:4443"
tunnel_address = "${name}:4443"

# The tunnel CA and the list of credentials. Keep it private, and keep it.
state_dir = "mcptun-state"

# One table per tunnel. Clients reach this one at http://127.0.0.1:8080/example/mcp
[[tunnel]]
name = "example"
# Clients need a token: mcptun token issue --user NAME. Without this line, or with "upstream", the
# edge lets everyone through, and the private server must ask by itself.
auth = "edge"
# host = "example.example.com"   # instead of a path on the edge's hosts
# origins = ["https://app.example.com"]   # browsers that may call it
# Judge every call (docs/aware.md); what no rule allows is denied. Needs auth = "edge".
# mode = "aware"
# allow_tools = ["read_*", "search"]
# allow_resources = ["file:///repo/**"]

# Rules per user, for aware tunnels as well; mcptun policy check user.toml (docs/policy.md)
# [policy]
# file = "user.toml"

# One line for each exchange: mcptun audit tail (docs/audit.md)
# [audit]
# file = "audit.jsonl"

# --- The private role: mcptun rift, usually on another host ---

[rift]
# The credential that "mcptun token issue" made. Or set MCPTUN_TOKEN.
# token_file = "/etc/mcptun/rift.token"

# One table per private server.
[[rift.expose]]
tunnel = "example"
upstream = "http://127.0.0.1:9090/mcp"

[log]
level = "info"
format = "text"
`;
}
