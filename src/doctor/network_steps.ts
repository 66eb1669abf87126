/** The steps below HTTP: the URL, its name, its port, its certificate. @module */

import { lookup } from "node:dns/promises";
import { connect as connectTcp, isIP } from "node:net";
import {
  connect as connectTls,
  type DetailedPeerCertificate,
  type PeerCertificate,
} from "node:tls";

import type { Clock } from "../clock.ts";
import { isLoopback, shownUrl } from "../config/value.ts";
import { DOCTOR_ADDRESSES, DOCTOR_CERTIFICATE_NOTE_MS } from "../limits.ts";
import { fail, type Finding, note, ok, plain, shownList } from "./finding.ts";
import { bareHost, portOf } from "./http_client.ts";
import { lookupProblem, networkProblem } from "./network_problem.ts";

/** Time and its end, for steps that wait for the network. */
export interface NetworkContext {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Is this a URL that clients can be given? `stop` when nothing may be sent to it. */
export function judgeUrl(
  text: string,
  url: URL,
): { readonly finding: Finding; readonly stop: boolean } {
  const stop = (detail: string, hint: string) => ({ finding: fail(detail, hint), stop: true });
  if (url.username !== "" || url.password !== "") {
    return stop(
      "The URL carries credentials (not shown)",
      'remove the part before "@": tokens go into the Authorization header, with --token-file FILE',
    );
  }
  const secret = [...url.searchParams.keys()].find((name) => TOKEN_PARAMETER.test(name));
  if (secret !== undefined) {
    return stop(
      `The URL carries a token in its query (${plain(secret, 40)}, value not shown)`,
      "remove it: logs and proxies keep URLs; give it with --token-file FILE, treat it as leaked",
    );
  }
  if (text.includes("#")) {
    return stop('The URL has a fragment ("#")', 'remove "#" and what follows: no server sees it');
  }
  const facts = `${url.protocol.slice(0, -1)}, host ${plain(url.host)}, path ${
    plain(url.pathname)
  }`;
  if (url.protocol === "https:") return { finding: ok(facts), stop: false };
  if (isLoopback(bareHost(url))) {
    return { finding: note([facts, "Not encrypted, which is fine on loopback only"]), stop: false };
  }
  return {
    finding: fail(
      `${facts}: not encrypted, so no token is sent`,
      "use https: MCP clients with tokens refuse http, and everyone on the way reads along",
    ),
    stop: false,
  };
}

/** `shownUrl`, for headings: what may be a secret is not in it. */
export function headingOf(text: string): string {
  return plain(shownUrl(text), 200);
}

/** One address of a host. */
export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Asks the resolver as clients do. */
export async function lookupStep(
  host: string,
  context: NetworkContext,
): Promise<{ readonly finding: Finding; readonly addresses: readonly Address[] }> {
  const family = isIP(host);
  if (family !== 0) {
    const address: Address = { address: host, family: family === 6 ? 6 : 4 };
    return { finding: ok(`${familyOf(address)}, given as an address`), addresses: [address] };
  }
  const found = await within(
    context,
    lookup(host, { all: true, order: "verbatim" }).catch(
      (error: unknown) => lookupProblem(error, plain(host)),
    ),
  );
  if (found === "timeout") {
    return {
      finding: fail(
        `No DNS server has answered within ${context.timeoutMs} ms`,
        "check the resolver of this host (/etc/resolv.conf), and its network",
      ),
      addresses: [],
    };
  }
  if ("problem" in found) return { finding: fail(found.problem, found.hint), addresses: [] };
  const addresses = found.slice(0, DOCTOR_ADDRESSES)
    .map(({ address, family: number }): Address => ({ address, family: number === 6 ? 6 : 4 }));
  const text = addresses.map(familyOf).join(", ");
  const more = found.length > addresses.length
    ? ` and ${found.length - addresses.length} more`
    : "";
  return { finding: ok(`${text}${more}`), addresses };
}

/** Tries every address at once. `address` is the first that takes a connection. */
export async function tcpStep(
  addresses: readonly Address[],
  port: number,
  context: NetworkContext,
): Promise<{ readonly finding: Finding; readonly address: string | undefined }> {
  const tried = await Promise.all(addresses.map(async (address) => ({
    address,
    outcome: await tryTcp(address.address, port, context),
  })));
  const lines = tried.map(({ address, outcome }) =>
    `${shownTarget(address, port)}: ${outcome === "open" ? "open" : outcome.problem}`
  );
  const open = tried.find(({ outcome }) => outcome === "open");
  const closed = tried.flatMap(({ outcome }) => outcome === "open" ? [] : [outcome]);
  if (open === undefined) {
    return { finding: fail(lines, closed[0]?.hint ?? "check the address"), address: undefined };
  }
  return {
    finding: closed.length === 0 ? ok(...lines) : note(
      lines,
      "clients that try the closed address first are slow: mend it, or remove it from DNS",
    ),
    address: open.address.address,
  };
}

/** What {@link tlsStep} needs. */
export interface TlsStepOptions extends NetworkContext {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly roots: readonly string[];
}

/** Makes one TLS connection, which sends nothing, and judges the certificate. */
export async function tlsStep(options: TlsStepOptions): Promise<Finding> {
  const { host, address, port, roots, clock } = options;
  const seen = await within(
    options,
    new Promise<TlsFacts | { readonly problem: string; readonly hint: string }>((resolve) => {
      const socket = connectTls({
        host: address,
        port,
        ca: [...roots],
        ALPNProtocols: ["http/1.1"],
        // A wrong certificate is to be described. Nothing is sent on this connection.
        rejectUnauthorized: false,
        ...(isIP(host) === 0 ? { servername: host } : {}),
      });
      options.signal.addEventListener("abort", () => socket.destroy(), { once: true });
      const patience = clock.setTimer(options.timeoutMs, () => socket.destroy(), "no");
      socket.on("error", (error) => {
        patience.cancel();
        resolve(networkProblem(error));
      });
      socket.on("secureConnect", () => {
        patience.cancel();
        resolve({
          trust: socket.authorized ? undefined : String(
            (socket.authorizationError as { code?: string } | undefined)?.code ??
              socket.authorizationError,
          ),
          protocol: socket.getProtocol() ?? "TLS",
          alpn: socket.alpnProtocol === false ? undefined : socket.alpnProtocol ?? undefined,
          certificate: socket.getPeerCertificate(true),
        });
        socket.destroy();
      });
    }),
  );
  if (seen === "timeout") {
    return fail(
      `The TLS handshake did not end within ${options.timeoutMs} ms`,
      "what answers does not speak TLS, or something on the way holds it back",
    );
  }
  return "problem" in seen ? fail(seen.problem, seen.hint) : judgeTls(seen, host, clock.wallNow());
}

/** What a handshake showed. */
export interface TlsFacts {
  /** Why the runtime does not accept the certificate; `undefined` when it does. */
  readonly trust: string | undefined;
  readonly protocol: string;
  readonly alpn: string | undefined;
  readonly certificate: PeerCertificate | DetailedPeerCertificate;
}

/** Time first: one runtime calls an ended certificate untrusted and says no more. */
export function judgeTls(
  { trust, protocol, certificate }: TlsFacts,
  host: string,
  nowMs: number,
): Finding {
  const from = Date.parse(certificate.valid_from ?? "");
  const until = Date.parse(certificate.valid_to ?? "");
  const issuer = nameOf(certificate.issuer);
  const names = (certificate.subjectaltname ?? "").split(", ")
    .map((name) => name.replace(/^(?:DNS|IP Address):/, "")).filter((name) => name !== "");
  const about = `${plain(protocol, 20)}, certificate from ${plain(issuer, 60)}`;
  const period = `${dayOf(from)} to ${dayOf(until)}`;
  if (until <= nowMs) {
    return fail(`${about} has ended: valid ${period}`, "renew it, and restart what serves it");
  }
  if (from > nowMs) {
    return fail(
      `${about} is not valid yet: valid ${period}`,
      "compare the clocks of this host and of the one that issued it",
    );
  }
  if (trust === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return fail(
      `${about} is for ${shownList(names)}, not for ${plain(host)}`,
      "get a certificate for this name, or use a name that is in it",
    );
  }
  if (trust !== undefined) {
    const own = nameOf(certificate.subject) === issuer;
    return fail(
      `${about} is not trusted (${plain(trust, 60)})`,
      own
        ? "it signed itself: get one of a CA, or give it with --ca FILE and to every client"
        : "serve the whole chain (the intermediate certificates after the own one), or give a private CA with --ca FILE and to every client",
    );
  }
  const text = `${about}, valid until ${dayOf(until)}`;
  if (until - nowMs > DOCTOR_CERTIFICATE_NOTE_MS) return ok(text);
  const days = Math.floor((until - nowMs) / DAY_MS);
  return note(
    `${text}: ${days === 1 ? "1 day" : `${days} days`} left`,
    "see that its renewal works; the edge reads a new one at its next start",
  );
}

function nameOf(subject: PeerCertificate["issuer"] | undefined): string {
  const { CN, O } = (subject ?? {}) as { CN?: unknown; O?: unknown };
  const name = CN ?? O;
  return Array.isArray(name)
    ? name.join(", ")
    : typeof name === "string"
    ? name
    : "an unnamed issuer";
}

function dayOf(wallMs: number): string {
  return Number.isNaN(wallMs) ? "an unknown day" : new Date(wallMs).toISOString().slice(0, 10);
}

/** Opens a connection and closes it. */
function tryTcp(
  address: string,
  port: number,
  { clock, signal, timeoutMs }: NetworkContext,
): Promise<"open" | { readonly problem: string; readonly hint: string }> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: address, port });
    const settle = (outcome: "open" | { problem: string; hint: string }): void => {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(outcome);
    };
    const onAbort = (): void => settle({ problem: "Interrupted", hint: "run it again" });
    const timer = clock.setTimer(timeoutMs, () =>
      settle({
        problem: `No answer within ${timeoutMs} ms`,
        hint: "a firewall or security group drops it, or the address is wrong",
      }));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("connect", () => settle("open"));
    socket.on("error", (error) => settle(networkProblem(error)));
    if (signal.aborted) onAbort();
  });
}

/** The value of `work`, unless time or the signal end first. `work` must not reject. */
export async function within<T>(
  { clock, signal, timeoutMs }: NetworkContext,
  work: Promise<T>,
): Promise<T | "timeout"> {
  let giveUp!: (value: "timeout") => void;
  const over = new Promise<"timeout">((resolve) => giveUp = resolve);
  const onAbort = (): void => giveUp("timeout");
  const timer = clock.setTimer(timeoutMs, onAbort);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, over]);
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", onAbort);
  }
}

/** The port of a URL and its host, for {@link lookupStep} and {@link tcpStep}. */
export function targetOf(url: URL): { readonly host: string; readonly port: number } {
  return { host: bareHost(url), port: portOf(url) };
}

function familyOf({ address, family }: Address): string {
  return `${plain(address, 60)} (IPv${family})`;
}

function shownTarget({ address, family }: Address, port: number): string {
  return `${family === 6 ? `[${plain(address, 60)}]` : plain(address, 60)}:${port}`;
}

const TOKEN_PARAMETER =
  /^(?:access_?token|id_?token|token|api_?key|key|secret|password|auth(?:orization)?)$/i;
const DAY_MS = 86_400_000;
