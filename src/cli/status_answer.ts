/**
 * What a running edge answers at `/status`, read once into a narrow type. The edge may be of another
 * version: what the tables need is checked, everything else is ignored.
 *
 * @module
 */

/** The status of an edge, as far as it is shown. Times are wall clock, ms. */
export interface StatusAnswer {
  readonly edgeId: string;
  readonly version: string;
  readonly runtime: string;
  readonly pid: number;
  readonly url: string;
  readonly tunnelAddress: { readonly host: string; readonly port: number };
  readonly startedAtMs: number;
  readonly clientConnections: number;
  readonly exchanges: number;
  readonly config: { readonly loadedAtMs: number; readonly problems: readonly string[] };
  readonly latencyBoundsMs: readonly number[];
  readonly tunnels: readonly TunnelAnswer[];
  /** Every connection; of an older edge those that serve a tunnel. */
  readonly rifts: readonly RiftAnswer[];
  /** Absent: the edge keeps no trail. */
  readonly audit: AuditAnswer | undefined;
  /** What strangers sent to the listener for rifts and was dropped; 0 of an edge that does not say. */
  readonly dropped: number;
}

/** The audit trail. */
export interface AuditAnswer {
  /** Absent: there is only an export. */
  readonly file: string | undefined;
  readonly records: number;
  readonly lost: number;
  /** Are new exchanges refused while there is a problem? */
  readonly blocks: boolean;
  readonly problem: string | undefined;
}

/** One tunnel. */
export interface TunnelAnswer {
  readonly name: string;
  readonly url: string;
  readonly auth: string;
  /** Absent: an older edge, which does not say. */
  readonly mode: string | undefined;
  readonly rifts: readonly RiftAnswer[];
  /** Names of rifts that are connected and wait for the private server; none of an older edge. */
  readonly waiting: readonly string[];
  readonly exchanges: number;
  readonly eventStreams: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly startedLastMinute: number;
  readonly latency: { readonly count: number; readonly buckets: readonly number[] };
}

/** One connection of a rift. */
export interface RiftAnswer {
  readonly name: string;
  readonly connection: string;
  readonly remote: string;
  readonly software: string;
  readonly connectedAtMs: number;
  readonly expiresAtMs: number;
  readonly healthy: boolean;
  readonly exchanges: number;
}

/** @returns `undefined` when it is not the status of an edge that we can read. */
export function readStatusAnswer(value: unknown): StatusAnswer | undefined {
  try {
    return statusOf(new Fields(value));
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

class Unreadable extends Error {}

/** The fields of what should be an object. */
class Fields {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unreadable();
    // Proof of the cast: it is an object, and every field is looked at before it is used.
    this.#fields = value as Readonly<Record<string, unknown>>;
  }

  text(name: string): string {
    const value = this.#own(name);
    if (typeof value !== "string") throw new Unreadable();
    return value;
  }

  number(name: string): number {
    return asNumber(this.#own(name));
  }

  optionalText(name: string): string | undefined {
    return this.#own(name) === undefined ? undefined : this.text(name);
  }

  flag(name: string): boolean {
    const value = this.#own(name);
    if (typeof value !== "boolean") throw new Unreadable();
    return value;
  }

  object(name: string): Fields {
    return new Fields(this.#own(name));
  }

  list<T>(name: string, read: (item: unknown) => T): T[] {
    const value = this.#own(name);
    if (!Array.isArray(value)) throw new Unreadable();
    return value.map((item: unknown) => read(item));
  }

  /** An older edge may lack it. */
  optionalList<T>(name: string, read: (item: unknown) => T): T[] | undefined {
    return this.#own(name) === undefined ? undefined : this.list(name, read);
  }

  optionalObject(name: string): Fields | undefined {
    return this.#own(name) === undefined ? undefined : this.object(name);
  }

  counts(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.#fields).map(([name, count]) => [name, asNumber(count)]),
    );
  }

  #own(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }
}

function asNumber(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Unreadable();
  return value;
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw new Unreadable();
  return value;
}

function statusOf(fields: Fields): StatusAnswer {
  const address = fields.object("tunnelAddress");
  const config = fields.object("config");
  const tunnels = fields.list("tunnels", (item) => tunnelOf(new Fields(item)));
  const rifts = fields.optionalList("rifts", (item) => riftOf(new Fields(item)));
  const dropped = fields.optionalObject("newcomers")?.object("dropped").counts() ?? {};
  return {
    edgeId: fields.text("edgeId"),
    version: fields.text("version"),
    runtime: fields.text("runtime"),
    pid: fields.number("pid"),
    url: fields.text("url"),
    tunnelAddress: { host: address.text("host"), port: address.number("port") },
    startedAtMs: fields.number("startedAtMs"),
    clientConnections: fields.number("clientConnections"),
    exchanges: fields.number("exchanges"),
    config: {
      loadedAtMs: config.number("loadedAtMs"),
      problems: config.list("problems", asText),
    },
    latencyBoundsMs: fields.list("latencyBoundsMs", asNumber),
    tunnels,
    audit: auditOf(fields.optionalObject("audit")),
    dropped: Object.values(dropped).reduce((sum, times) => sum + times, 0),
    rifts: rifts ?? tunnels.flatMap((tunnel) => tunnel.rifts),
  };
}

function auditOf(fields: Fields | undefined): AuditAnswer | undefined {
  if (fields === undefined) return undefined;
  return {
    file: fields.optionalText("file"),
    records: fields.number("records"),
    lost: fields.number("lost"),
    blocks: fields.flag("blocks"),
    problem: fields.optionalText("problem"),
  };
}

function tunnelOf(fields: Fields): TunnelAnswer {
  const latency = fields.object("latency");
  return {
    name: fields.text("name"),
    url: fields.text("url"),
    auth: fields.text("auth"),
    mode: fields.optionalText("mode"),
    rifts: fields.list("rifts", (item) => riftOf(new Fields(item))),
    waiting: fields.optionalList("waiting", asText) ?? [],
    exchanges: fields.number("exchanges"),
    eventStreams: fields.number("eventStreams"),
    outcomes: fields.object("outcomes").counts(),
    startedLastMinute: fields.number("startedLastMinute"),
    latency: { count: latency.number("count"), buckets: latency.list("buckets", asNumber) },
  };
}

function riftOf(fields: Fields): RiftAnswer {
  return {
    name: fields.text("name"),
    connection: fields.text("connection"),
    remote: fields.text("remote"),
    software: fields.text("software"),
    connectedAtMs: fields.number("connectedAtMs"),
    expiresAtMs: fields.number("expiresAtMs"),
    healthy: fields.flag("healthy"),
    exchanges: fields.number("exchanges"),
  };
}
