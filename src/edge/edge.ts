/**
 * The public role: an HTTP server for clients, a listener for rifts, and what connects them.
 *
 * @module
 */

import type { Timer } from "../clock.ts";
import { isLoopback } from "../config/value.ts";
import { quicOf, TunnelError } from "../errors.ts";
import { ANSWER_STALL_MS, MAX_HELD_BYTES, MAX_HELD_BYTES_EACH, PROOF_CHECK_MS } from "../limits.ts";
import type { Listener, TlsMaterial } from "../transport/transport.ts";
import { AwareDoor } from "./aware/aware_door.ts";
import { ByteBudget } from "./aware/byte_budget.ts";
import { OwnedIds } from "./aware/owned_ids.ts";
import type { RefusalCode } from "../wire/control.ts";
import { HostTable, parseListen } from "./authority.ts";
import { BodyWatch } from "./body_watch.ts";
import { ProxyTrust } from "./client_address.ts";
import { ClientGate } from "./client_gate.ts";
import type { EdgeOptions, PublicTls } from "./edge_options.ts";
import type { EdgeStatus, ProbeResult } from "./edge_status.ts";
import { FrontDoor } from "./front_door.ts";
import { probeTunnel } from "./probe.ts";
import { PublicServer } from "./public_server.ts";
import { type BoundListener, publicUrls } from "./public_url.ts";
import { memoryRegistry } from "./registry.ts";
import { type DoorSettings, RequestHandler } from "./request_handler.ts";
import { RiftSession } from "./rift_session.ts";
import type { SessionContext } from "./rift_session.ts";
import { Router } from "./router.ts";
import { requireSafeListener, requireSameListener } from "./safe_listener.ts";
import { type ServedTunnel, TunnelCounters } from "./served_tunnel.ts";

export type { EdgeStatus } from "./edge_status.ts";

/** What may change while an edge runs. Addresses of listeners stay as they are. */
export type EdgeUpdate = Pick<
  EdgeOptions,
  "config" | "tunnels" | "clientAuth" | "policy" | "proxyHeaders" | "publicTls"
>;

/** A running edge. */
export interface Edge {
  /** Base URL of the public listener, with the real port. */
  readonly url: string;
  /** Where the listener for rifts is bound. */
  readonly tunnelAddress: { readonly host: string; readonly port: number };
  /** The URL a client uses for a tunnel. @throws {RangeError} For a tunnel that is not declared. */
  tunnelUrl(name: string): string;
  /** The certificate that rifts are shown from now on. @throws {TunnelError} `CREDENTIAL_INVALID`. */
  useTunnelTls(tls: TlsMaterial): void;
  /**
   * Puts new settings in force: all of them, or none when it throws. Exchanges in flight go on
   * under the settings they began with.
   *
   * @throws {TunnelError} `CONFIG_INVALID`.
   */
  update(update: EdgeUpdate): void;
  /** Credentials of rifts may have changed: ends connections whose credential is not good any more. */
  recheckRifts(): void;
  /** Proofs of clients may have changed: ends exchanges whose proof is not good any more. */
  recheckClients(): void;
  status(): EdgeStatus;
  /** Sends a request through the tunnel. Never rejects. */
  probe(tunnel: string, signal: AbortSignal): Promise<ProbeResult>;
  /** Settles when a rift serves the tunnel; rejects when `signal` aborts. */
  waitForTunnel(name: string, signal: AbortSignal): Promise<void>;
  /** Stops taking requests, lets running ones finish for `drainMs`, then cuts. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts both listeners.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE` and `CONFIG_INVALID`.
 */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { clock, log } = options;
  const startedAtMs = clock.wallNow();
  const publicAddress = parseListen(options.config.listen);
  const tunnelAddress = parseListen(options.config.tunnelListen);
  const scheme = options.publicTls === undefined ? "http" : "https";
  const loopback = isLoopback(publicAddress.host);
  requireSafeListener(options);

  const registry = memoryRegistry();
  const gate = new ClientGate({ clock, log, clientAuth: options.clientAuth });
  const bodyWatch = new BodyWatch(clock, options.config.bodyTimeoutMs);
  const answerWatch = new BodyWatch(clock, ANSWER_STALL_MS);
  const refusedRifts: Partial<Record<RefusalCode, number>> = {};
  const sessions: SessionContext = {
    edgeId: options.edgeId,
    tunnels: new Map(options.tunnels.map((settings) => [settings.name, settings])),
    registry,
    rifts: options.rifts,
    sessions: new Set(),
    onRefused: (code) => refusedRifts[code] = (refusedRifts[code] ?? 0) + 1,
    clock,
    log,
  };
  let policy = options.policy;
  const awareDoor = new AwareDoor({
    clock,
    log,
    policy: () => policy,
    owned: new OwnedIds(clock),
    budget: new ByteBudget({ mostBytes: MAX_HELD_BYTES, mostBytesEach: MAX_HELD_BYTES_EACH }),
    bodyWatch,
    onJudged: options.onJudged,
    digest: options.audit?.digest,
    maxBodyBytes: () => exchangeContext.limits.maxBodyBytes,
  });
  const exchangeContext = { clock, log, bodyWatch, answerWatch, limits: options.config };
  let tunnels = new Map<string, ServedTunnel>();
  let settings: DoorSettings | undefined;
  let closing: Promise<void> | undefined;
  let onIdle: (() => void) | undefined;

  const handler = new RequestHandler({
    clock,
    log,
    records: options.audit === undefined
      ? undefined
      : { audit: options.audit, edgeId: options.edgeId, clock },
    scheme,
    registry,
    exchangeContext,
    awareDoor,
    // No request comes before the listener is bound, and then they are set.
    settings: () => settings!,
    isChecked: (socket) => server.isChecked(socket),
    isClosing: () => closing !== undefined,
    onIdle: () => onIdle?.(),
  });
  const server = new PublicServer({
    config: options.config,
    tls: options.publicTls,
    trust: new ProxyTrust(options.config),
    clock,
    onRequest: (request, response, surplus) => {
      if (surplus === undefined) return handler.handle(request, response);
      const { maxConnections, maxConnectionsPerAddress } = exchangeContext.limits;
      const limit = surplus === "TOO_MANY_CONNECTIONS" ? maxConnections : maxConnectionsPerAddress;
      handler.refuse(request, response, surplus, { detail: `the limit is ${limit}` });
    },
    onUnparsed: (code) => handler.count(code),
  });
  const port = await server.listen(publicAddress);
  const bound: BoundListener = { scheme, host: publicAddress.host, port, loopback };

  /** Everything that follows from settings, made before anything is put in force. */
  function prepare(update: EdgeUpdate): Prepared {
    const { config, proxyHeaders } = update;
    const urlOf = publicUrls(config, bound);
    const served = update.tunnels.map((tunnel) => ({
      settings: tunnel,
      url: urlOf(tunnel),
      counters: tunnels.get(tunnel.name)?.counters ?? new TunnelCounters(clock),
    }));
    const hosts = new HostTable({ scheme, port, loopback }, config.hosts);
    const router = new Router(hosts, served);
    const frontDoor = new FrontDoor({ router, limits: config, proxyHeaders });
    return { door: { config, frontDoor, trust: new ProxyTrust(config), gate }, served };
  }

  function apply(update: EdgeUpdate, { door, served }: Prepared): void {
    tunnels = new Map(served.map((tunnel) => [tunnel.settings.name, tunnel]));
    settings = door;
    gate.clientAuth = update.clientAuth;
    policy = update.policy;
    exchangeContext.limits = update.config;
    bodyWatch.timeoutMs = update.config.bodyTimeoutMs;
  }

  let tunnelListener: Listener;
  try {
    apply(options, prepare(options));
    tunnelListener = await options.transport.listen({
      host: tunnelAddress.host,
      port: tunnelAddress.port,
      tls: options.tls,
      clock,
      log,
      // Not `options.signal`: running exchanges must be able to finish first.
      signal: new AbortController().signal,
      onConnection: (connection) => void new RiftSession(sessions, connection),
    });
  } catch (error) {
    void server.stop(); // nothing is connected yet
    throw error;
  }
  const url = `${scheme}://${
    publicAddress.host.includes(":") ? `[${publicAddress.host}]` : publicAddress.host
  }:${port}`;

  function recheckClients(): void {
    handler.recheck(tunnels, clock.wallNow());
  }
  let proofTimer: Timer;
  const checkProofs = (): void => {
    recheckClients();
    proofTimer = clock.setTimer(PROOF_CHECK_MS, checkProofs, "no");
  };
  proofTimer = clock.setTimer(PROOF_CHECK_MS, checkProofs, "no");

  async function shutDown(): Promise<void> {
    const { drainMs } = exchangeContext.limits;
    const stopped = server.stop();
    proofTimer.cancel();
    for (const session of sessions.sessions) session.drain(drainMs);
    if (handler.running.size > 0 && drainMs > 0) {
      await new Promise<void>((resolve) => {
        const timer: Timer = clock.setTimer(drainMs, resolve);
        onIdle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    const cut = handler.running.size;
    if (cut > 0) log.warn("Exchanges were cut: they had not ended within drain", { cut, drainMs });
    bodyWatch.close();
    answerWatch.close();
    for (const session of sessions.sessions) {
      session.connection.close(quicOf("CONNECTION_CLOSED"), "The edge is closing");
    }
    await tunnelListener.close();
    server.destroy();
    await stopped;
    log.info("Edge has stopped");
  }

  /** Names of rifts that are there for a tunnel and wait for its private server. */
  const waitingFor = (tunnel: string): string[] => [
    ...new Set(
      [...sessions.sessions].filter((session) => session.waitsFor(tunnel)).map(({ rift }) => rift),
    ),
  ];
  const close = (): Promise<void> => closing ??= shutDown();
  if (options.signal.aborted) await close();
  // `close` never rejects.
  else options.signal.addEventListener("abort", () => void close(), { once: true });
  const { host: riftHost, port: riftPort } = tunnelListener.address;
  log.info("Edge is listening", { url, rifts: `${riftHost}:${riftPort}` });

  return {
    url,
    tunnelAddress: tunnelListener.address,
    tunnelUrl(name) {
      const tunnel = tunnels.get(name);
      if (tunnel === undefined) throw new RangeError(`No tunnel is named "${name}"`);
      return tunnel.url;
    },
    useTunnelTls: (tls) => tunnelListener.useTls(tls),
    update(update) {
      requireSameListener(options, update);
      const prepared = prepare(update);
      if (update.publicTls !== undefined) usePublicTls(server, update.publicTls);
      server.useSettings(update.config, prepared.door.trust);
      apply(update, prepared);
      sessions.tunnels = new Map(update.tunnels.map((tunnel) => [tunnel.name, tunnel]));
      for (const session of sessions.sessions) session.tunnelsChanged(sessions.tunnels);
      recheckClients();
    },
    recheckRifts() {
      for (const session of sessions.sessions) session.recheck();
    },
    recheckClients,
    status: () => ({
      edgeId: options.edgeId,
      url,
      tunnelAddress: tunnelListener.address,
      startedAtMs,
      clientConnections: server.sockets.size,
      exchanges: handler.running.size,
      tunnels: [...tunnels.values()].map((tunnel) =>
        tunnel.counters.status(
          tunnel,
          {
            rifts: registry.links(tunnel.settings.name).map((link) => link.status),
            waiting: waitingFor(tunnel.settings.name),
          },
        )
      ),
      rifts: [...sessions.sessions].map((session) => session.status),
      refused: Object.fromEntries(handler.refused),
      refusedRifts: { ...refusedRifts },
      newcomers: tunnelListener.stats,
    }),
    probe(name, signal) {
      const link = tunnels.has(name) ? registry.pick(name) : undefined;
      return link === undefined
        ? Promise.resolve({ answered: false, reason: whyOffline(waitingFor(name)) })
        : probeTunnel({ tunnel: name, link, clock, signal });
    },
    waitForTunnel: (name, signal) => registry.wait(name, signal),
    close,
  };
}

function whyOffline([rift]: readonly string[]): string {
  return rift === undefined
    ? "no rift is connected"
    : `rift "${rift}" is connected, but its private server does not answer yet`;
}

/** New settings that are ready to be put in force. */
interface Prepared {
  readonly door: DoorSettings;
  readonly served: readonly ServedTunnel[];
}

function usePublicTls(server: PublicServer, tls: PublicTls): void {
  try {
    server.useTls(tls);
  } catch (error) {
    throw new TunnelError("CONFIG_INVALID", "Cannot use the public certificate and key", {
      cause: error,
    });
  }
}
