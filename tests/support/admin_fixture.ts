/** An edge for admin listeners that is only its own status. @module */

import { request } from "node:http";

import type {
  AdminRift,
  AdminSource,
  AdminStatus,
  AdminTunnel,
  ProbeOutcome,
} from "../../src/admin/admin_source.ts";

import type { ListenerStats } from "../../src/transport/transport.ts";

/** 2027-01-15T08:00:00Z, where `fakeClock` starts. */
export const NOW_MS = 1_800_000_000_000;

/** A listener for rifts that has turned nobody away. */
export const NO_DROPS: ListenerStats["dropped"] = {
  garbage: 0,
  bad_token: 0,
  retry_rate: 0,
  handshake_rate: 0,
  address_full: 0,
  table_full: 0,
  connections_full: 0,
};

export function riftStatus(changes: Partial<AdminRift> = {}): AdminRift {
  return {
    name: "laptop",
    serial: "01ab",
    connection: "c1",
    remote: "192.0.2.7:50123",
    software: "mcptun/0.1.0",
    connectedAtMs: NOW_MS - 3_723_000,
    expiresAtMs: NOW_MS + 28 * 86_400_000,
    healthy: true,
    exchanges: 3,
    ...changes,
  };
}

export function tunnelStatus(changes: Partial<AdminTunnel> = {}): AdminTunnel {
  return {
    name: "code-server",
    url: "https://mcp.example.com/code-server/mcp",
    protocol: "mcp",
    auth: "edge",
    mode: "aware",
    rifts: [riftStatus()],
    waiting: [],
    exchanges: 3,
    eventStreams: 2,
    outcomes: { "2xx": 975, "5xx": 5, upstream_failed: 15, aborted: 4, unauthenticated: 1 },
    startedLastMinute: 42,
    latency: { count: 1_000, sumMs: 20_500, buckets: [0, 0, 100, 300, 400, 100, 90, 5, 3, 1, 1] },
    ...changes,
  };
}

export function edgeStatus(changes: Partial<AdminStatus> = {}): AdminStatus {
  const tunnels = changes.tunnels ?? [
    tunnelStatus(),
    tunnelStatus({
      name: "wiki",
      url: "https://mcp.example.com/wiki/mcp",
      auth: "upstream",
      mode: "transparent",
      rifts: [],
      exchanges: 0,
      eventStreams: 0,
      outcomes: {},
      startedLastMinute: 0,
      latency: { count: 0, sumMs: 0, buckets: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
    }),
  ];
  return {
    edgeId: "gate",
    url: "https://mcp.example.com",
    tunnelAddress: { host: "0.0.0.0", port: 4443 },
    startedAtMs: NOW_MS - 90_061_000,
    clientConnections: 14,
    exchanges: 3,
    tunnels,
    rifts: tunnels.flatMap(({ rifts }) => rifts),
    refused: { HOST_REFUSED: 7, NO_ROUTE: 2 },
    refusedRifts: { credential: 1 },
    newcomers: { connections: 5, handshakes: 4, dropped: { ...NO_DROPS, garbage: 8 } },
    ...changes,
  };
}

/** A source whose parts a test replaces; `asked` lists what was probed. */
export interface FakeSource extends AdminSource {
  now: AdminStatus;
  problems: string[];
  answer: (tunnel: string, signal: AbortSignal) => Promise<ProbeOutcome>;
  readonly asked: string[];
}

export function fakeSource(changes: Partial<AdminStatus> = {}): FakeSource {
  const source: FakeSource = {
    now: edgeStatus(changes),
    problems: [],
    answer: (tunnel) =>
      Promise.resolve(
        tunnel === "code-server"
          ? { answered: true, tookMs: 12 }
          : { answered: false, reason: "no rift is connected" },
      ),
    asked: [],
    status: () => source.now,
    reload: () => ({ loadedAtMs: NOW_MS - 60_000, problems: source.problems }),
    audit: () => undefined,
    probe(tunnel, signal) {
      source.asked.push(tunnel);
      return source.answer(tunnel, signal);
    },
  };
  return source;
}

/** A whole answer. */
export interface AdminAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Asks an admin listener, on a connection of its own. */
export function askListener(
  where: { readonly socketPath: string } | { readonly url: string },
  path: string,
  question: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
  } = {},
): Promise<AdminAnswer> {
  const { method = "GET", headers = {}, body } = question;
  const target = "url" in where
    ? { host: new URL(where.url).hostname, port: new URL(where.url).port }
    : { socketPath: where.socketPath };
  return new Promise((resolve, reject) => {
    const asked = request(
      { ...target, path, method, headers: { ...headers }, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
        response.on("error", reject);
        response.on(
          "end",
          () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}
