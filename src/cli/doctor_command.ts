/** `mcptun doctor`: which part of the way to an MCP server is broken, and how to mend it. @module */

import { resolve } from "node:path";
import { Writable } from "node:stream";

import { systemClock } from "../clock.ts";
import { splitAddress } from "../config/value.ts";
import { parseDuration } from "../config/value.ts";
import { headingOf } from "../doctor/network_steps.ts";
import { stepsJson, stepText, summaryText } from "../doctor/report.ts";
import {
  type ReadCredential,
  RIFT_STEPS,
  type RiftSetup,
  runRiftDoctor,
} from "../doctor/rift_doctor.ts";
import { StepRunner } from "../doctor/step_runner.ts";
import { certificatesOf, trustedRoots } from "../doctor/trust.ts";
import { runUrlDoctor, URL_STEPS } from "../doctor/url_doctor.ts";
import { TunnelError } from "../errors.ts";
import { DOCTOR_TIMEOUT_MS, DOCTOR_TOKEN_BYTES, MAX_PEM_FILE_BYTES } from "../limits.ts";
import { readNamedFile, unreadReason } from "../runtime/named_file.ts";
import { quicTransport } from "../transport/quic/quic_transport.ts";
import { readCredential } from "./credential_source.ts";
import { type Io, readAll } from "./io.ts";
import { DEFAULT_FILE, givenFlags, loadFor } from "./key_option.ts";
import { readUpstreamAuthorization } from "./upstream_authorization.ts";
import { readProduct } from "./product.ts";
import { parseExpose } from "./rift_command.ts";

/** What `doctor` is told. */
export interface DoctorCommandOptions {
  readonly url?: string | undefined;
  readonly rift?: true | undefined;
  readonly config?: string | undefined;
  readonly tokenFile?: string | undefined;
  /** `tunnel=url`, each. */
  readonly expose?: readonly string[] | undefined;
  readonly edgeAddress?: string | undefined;
  readonly ca?: string | undefined;
  readonly timeout?: string | undefined;
  readonly json?: true | undefined;
}

/** Checks, prints, and gives the exit code: 0 without a failed step, else 1. @throws {TunnelError} `USAGE` */
export async function runDoctor(io: Io, options: DoctorCommandOptions): Promise<0 | 1> {
  requireOneWay(options);
  const steps: readonly string[] = options.url === undefined ? RIFT_STEPS : URL_STEPS;
  const nameWidth = Math.max(...steps.map((name) => name.length));
  const runner = new StepRunner({
    clock: systemClock,
    signal: io.signal,
    onStep: options.json === true
      ? undefined
      : (step) => void io.stdout.write(stepText(step, nameWidth)),
  });
  if (options.url === undefined) await checkRift(io, options, runner);
  else await checkUrl(io, { ...options, url: options.url }, runner);
  io.stdout.write(
    options.json === true ? stepsJson(runner.results) : `\n${summaryText(runner.results)}`,
  );
  return runner.ok ? 0 : 1;
}

async function checkUrl(
  io: Io,
  options: DoctorCommandOptions & { readonly url: string },
  runner: StepRunner,
): Promise<void> {
  const url = parseUrl(options.url);
  const timeoutMs = timeoutOf(options.timeout);
  const roots = trustedRoots({ extraPem: readCa(io, options.ca), env: io.env });
  const token = await readUserToken(io, options.tokenFile);
  heading(io, options, headingOf(options.url));
  await runUrlDoctor({
    runner,
    urlText: options.url,
    url,
    token,
    roots,
    client: product(),
    ...network(io, timeoutMs),
  });
}

async function checkRift(io: Io, options: DoctorCommandOptions, runner: StepRunner): Promise<void> {
  const timeoutMs = timeoutOf(options.timeout);
  const exposes = options.expose?.map(parseExpose);
  let configured: string | undefined;
  heading(io, options, "the way of a rift");
  const loadSetup = (): RiftSetup => {
    const heard = listening(io);
    const loaded = loadFor(
      heard.io,
      options.config,
      givenFlags([
        ["rift.expose", "--expose", exposes],
        ["rift.edge_address", "--edge-address", options.edgeAddress],
      ]),
    );
    const { rift } = loaded.config;
    configured = rift.tokenFile;
    return {
      from: exposes !== undefined
        ? "--expose"
        : loaded.file === undefined
        ? `No ${DEFAULT_FILE} here`
        : loaded.shown,
      exposes: rift.exposes.map(({ tunnel, upstream, protocol, authorizationFile }, index) => ({
        tunnel,
        upstream,
        protocol,
        authorization: authorizationFile === undefined
          ? undefined
          : () =>
            Promise.resolve(readAuthorization(
              heard.io,
              authorizationFile,
              loaded.place(["rift", "expose", index, "authorization_file"]),
            )),
      })),
      edge: rift.edgeAddress === undefined ? undefined : splitAddress(rift.edgeAddress),
      warnings: heard.warnings,
    };
  };
  const readIt = async (): Promise<ReadCredential> => {
    const heard = listening(io);
    const credential = await readCredential(heard.io, {
      flag: fileOf(io, options.tokenFile),
      configured,
    });
    return { credential, edge: splitAddress(credential.address), warnings: heard.warnings };
  };
  await runRiftDoctor({
    runner,
    transport: quicTransport(),
    loadSetup,
    readCredential: readIt,
    roots: trustedRoots({ env: io.env }),
    client: product(),
    ...network(io, timeoutMs),
  });
}

function requireOneWay(options: DoctorCommandOptions): void {
  const usage = (message: string): TunnelError => new TunnelError("USAGE", message);
  if (options.url !== undefined && options.rift !== undefined) {
    throw usage("--url or --rift, not both: each walks a way of its own");
  }
  if (options.url === undefined && options.rift === undefined) {
    throw usage(
      "Say what to check: --url https://HOST/TUNNEL/mcp, as a client sees it, or --rift, on the private host",
    );
  }
  const foreign = options.url === undefined
    ? [["--ca", options.ca]]
    : [["--config", options.config], ["--edge-address", options.edgeAddress], [
      "--expose",
      options.expose,
    ]];
  for (const [flag, value] of foreign) {
    if (value === undefined) continue;
    throw usage(`${String(flag)} belongs to --${options.url === undefined ? "url" : "rift"}`);
  }
}

function parseUrl(text: string): URL {
  try {
    const url = new URL(text);
    if (url.protocol === "https:" || url.protocol === "http:") return url;
  } catch {
    // The refusal below is the answer: it does not repeat the text, which may hold a password.
  }
  throw new TunnelError(
    "USAGE",
    "--url: not an https URL (such as https://mcp.example.com/code-server/mcp)",
  );
}

function timeoutOf(text: string | undefined): number {
  if (text === undefined) return DOCTOR_TIMEOUT_MS;
  const parsed = parseDuration(text, { minMs: 100, maxMs: 300_000 });
  if ("value" in parsed) return parsed.value;
  throw new TunnelError("USAGE", `--timeout: ${parsed.problem}`);
}

function readCa(io: Io, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const text = readText(resolve(io.cwd, file), "--ca");
  if (certificatesOf(text).length > 0) return text;
  throw new TunnelError(
    "USAGE",
    `--ca: ${
      JSON.stringify(file)
    } holds no PEM certificate (it has a line -----BEGIN CERTIFICATE-----)`,
  );
}

/** From the file or standard input, else from the environment; `undefined` when there is none. */
async function readUserToken(io: Io, file: string | undefined): Promise<string | undefined> {
  const text = file === undefined
    ? io.env["MCPTUN_USER_TOKEN"] ?? ""
    : file === "-"
    ? await readAll(io.stdin, DOCTOR_TOKEN_BYTES)
    : readText(resolve(io.cwd, file), "--token-file");
  const token = text?.trim();
  if (token === undefined || token === "" && file !== undefined) {
    throw new TunnelError(
      "USAGE",
      `--token-file: ${token === undefined ? "too large for a token" : "it is empty"}`,
    );
  }
  return token === "" ? undefined : token;
}

function readText(path: string, flag: string): string {
  try {
    return readNamedFile(path, MAX_PEM_FILE_BYTES).bytes.toString("utf8");
  } catch (error) {
    const reason = unreadReason(error);
    throw new TunnelError("USAGE", `${flag}: cannot read ${JSON.stringify(path)}: ${reason}`);
  }
}

/** The value that the rift adds for its upstream, or why there is none. */
function readAuthorization(
  io: Io,
  path: string,
  place: string,
): string | { readonly problem: string } {
  try {
    return readUpstreamAuthorization(io, path, place).reveal();
  } catch (error) {
    if (error instanceof TunnelError) return { problem: error.message };
    throw error;
  }
}

/** The same surroundings, with warnings kept for a step instead of printed between two. */
function listening(io: Io): { readonly io: Io; readonly warnings: string[] } {
  const warnings: string[] = [];
  const stderr = new Writable({
    write(chunk: Uint8Array | string, _encoding, done) {
      const text = typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
      warnings.push(text.trim().replace(/^mcptun: warning: /, ""));
      done();
    },
  });
  return { io: { ...io, stderr }, warnings };
}

function heading(io: Io, options: DoctorCommandOptions, what: string): void {
  if (options.json === true) return;
  io.stdout.write(`mcptun ${readProduct().version} doctor: ${what}\n\n`);
}

function network(io: Io, timeoutMs: number) {
  return { clock: systemClock, signal: io.signal, timeoutMs };
}

function product() {
  return { name: "mcptun-doctor", version: readProduct().version };
}

function fileOf(io: Io, file: string | undefined): string | undefined {
  return file === undefined || file === "-" ? file : resolve(io.cwd, file);
}
