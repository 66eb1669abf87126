/**
 * Messages of the control stream (docs/wire-protocol.md, section 5).
 *
 * Rare, so written for clarity: what is encoded is decoded once more before it leaves, and nothing
 * is ever sent that this version would refuse.
 *
 * @module
 */

import {
  MAX_CERTIFICATE_BYTES,
  MAX_CONTROL_FRAME_BYTES,
  MAX_FEATURES,
  MAX_OFFERED_VERSIONS,
  MAX_PROOF_BYTES,
  MAX_PUBLIC_KEY_BYTES,
  MAX_TUNNELS_PER_RIFT,
  MAX_WIRE_DELAY_MS,
  MIN_HEARTBEAT_MS,
} from "../limits.ts";
import { Fields, fieldText, readInteger } from "./field.ts";
import { FRAME, frameText } from "./frame.ts";
import {
  binary,
  FEATURE,
  fitProse,
  LABEL,
  latin1,
  matching,
  readProse,
  TUNNEL_NAME,
  utf8Binary,
} from "./text.ts";
import { protocolError, varintText } from "./varint.ts";

/** A tunnel that a rift wants to serve. */
export interface TunnelClaim {
  readonly name: string;
  readonly protocol: "mcp" | "http";
}

/** Why an edge refuses a rift or one of its claims. */
export type RefusalCode = (typeof REFUSAL_CODES)[number];

/** The first message of a rift. Its layout never changes, so that every version can be refused. */
export interface Hello {
  readonly type: "hello";
  /** Versions the rift speaks. */
  readonly versions: readonly number[];
  readonly features: readonly string[];
  /** Same for all connections of one rift process. */
  readonly instance: string;
  /** Grows with every start of a rift with the same credential: the higher one wins. */
  readonly epoch: number;
  /** Name and version of the program, for people. `""` when not said. */
  readonly software: string;
  /** Dials since the last one that succeeded. */
  readonly attempt: number;
  readonly tunnels: readonly TunnelClaim[];
  /** Tunnels it will claim once their upstreams answer, for people; absent when there are none. */
  readonly waiting?: readonly string[] | undefined;
}

/** The edge's answer to a hello it accepts. */
export interface Welcome {
  readonly type: "welcome";
  readonly version: number;
  readonly features: readonly string[];
  readonly edge: string;
  /** The claims that were granted; each other one is refused by a `refusal` of its own. */
  readonly tunnels: readonly string[];
  /** Time between two heartbeats of the rift. */
  readonly heartbeatMs: number;
  /** The edge's wall clock, ms since the Unix epoch; `undefined` when not said. */
  readonly timeMs: number | undefined;
}

/** The edge's answer to a hello or claim that it does not accept. */
export interface Refusal {
  readonly type: "refusal";
  readonly code: RefusalCode;
  readonly reason: string;
  /** `undefined`: do not try again. */
  readonly retryAfterMs: number | undefined;
  /** `undefined`: the whole rift is refused, and the connection ends. */
  readonly tunnel: string | undefined;
}

/** A rift adds tunnels. */
export interface Claim {
  readonly type: "claim";
  readonly tunnels: readonly TunnelClaim[];
}

/** The edge granted claims, or the rift gives tunnels back. */
export interface TunnelNames {
  readonly type: "claimed" | "release";
  readonly tunnels: readonly string[];
}

/** A sign of life, and its answer with the same sequence. */
export interface Heartbeat {
  readonly type: "heartbeat" | "heartbeat_ack";
  readonly sequence: number;
}

/** The sender takes no new exchanges, and closes when the running ones are done or at the deadline. */
export interface Goodbye {
  readonly type: "goodbye";
  readonly reason: string;
  readonly deadlineMs: number;
}

/** A rift asks for a new certificate. Only with the feature `renew`. */
export interface Renew {
  readonly type: "renew";
  /** SubjectPublicKeyInfo of the new key, DER. */
  readonly publicKey: Uint8Array;
  /** Shows that the rift has the new private key: ECDSA with SHA-256, DER (RFC 3279, 2.2.3). */
  readonly proof: Uint8Array;
}

/** The edge's answer to a renewal that it grants. */
export interface Renewed {
  readonly type: "renewed";
  /** DER. */
  readonly certificate: Uint8Array;
}

/** The edge's answer to a renewal that it does not grant. The credential in use goes on. */
export interface RenewRefused {
  readonly type: "renew_refused";
  readonly reason: string;
  /** `undefined`: do not ask again with this credential. */
  readonly retryAfterMs: number | undefined;
}

/** The edge says that the credential in force ends early and is not renewed. A rift MAY ignore it. */
export interface Ending {
  readonly type: "ending";
  /** Wall clock of the edge, ms since the Unix epoch. */
  readonly endsMs: number;
  readonly reason: string;
}

/** Every message of the control stream. */
export type ControlMessage =
  | Hello
  | Welcome
  | Refusal
  | Claim
  | TunnelNames
  | Heartbeat
  | Goodbye
  | Renew
  | Renewed
  | RenewRefused
  | Ending;

/**
 * A whole frame for `message`. Reason and software texts are made fit: control characters become
 * spaces, and they are cut at `MAX_REASON_BYTES`.
 *
 * @throws {RangeError} When anything else is not as the protocol wants it.
 */
export function encodeControl(message: ControlMessage): Uint8Array {
  const payload = payloadText(message);
  const bytes = binary(payload);
  const frameType = FRAME_OF[message.type];
  try {
    decodeControl(frameType, bytes);
  } catch (error) {
    throw new RangeError(`Cannot send ${message.type}`, { cause: error });
  }
  if (bytes.length > MAX_CONTROL_FRAME_BYTES) {
    throw new RangeError(`Cannot send ${message.type} of ${bytes.length} bytes`);
  }
  return binary(frameText(frameType, payload));
}

/**
 * The message of one frame.
 *
 * @returns `undefined` for an unknown frame type that is optional.
 * @throws {TunnelError} `PROTOCOL_ERROR`, and nothing else.
 */
export function decodeControl(
  frameType: number,
  payload: Uint8Array,
): ControlMessage | undefined {
  switch (frameType) {
    case FRAME.hello:
      return readHello(payload);
    case FRAME.welcome:
      return readWelcome(payload);
    case FRAME.refusal:
      return readRefusal(payload);
    case FRAME.claim: {
      const fields = new Fields(payload, [KEY.claim.tunnel], "claim");
      return { type: "claim", tunnels: readClaims(fields, KEY.claim.tunnel, 1) };
    }
    case FRAME.claimed:
      return readTunnelNames(payload, "claimed");
    case FRAME.release:
      return readTunnelNames(payload, "release");
    case FRAME.heartbeat:
      return readHeartbeat(payload, "heartbeat");
    case FRAME.heartbeatAck:
      return readHeartbeat(payload, "heartbeat_ack");
    case FRAME.goodbye:
      return readGoodbye(payload);
    case FRAME.renew:
      return readRenew(payload);
    case FRAME.renewed:
      return readRenewed(payload);
    case FRAME.renewRefused:
      return readRenewRefused(payload);
    case FRAME.ending:
      return readEnding(payload);
    default:
      if (frameType % 2 === 0) return undefined;
      throw protocolError(`Cannot accept frame: unknown critical type ${frameType}`);
  }
}

function payloadText(message: ControlMessage): string {
  switch (message.type) {
    case "hello":
      return list(KEY.hello.version, message.versions.map(varintText)) +
        list(KEY.hello.feature, message.features) +
        fieldText(KEY.hello.instance, message.instance) +
        fieldText(KEY.hello.epoch, varintText(message.epoch)) +
        fieldText(KEY.hello.software, utf8Binary(fitProse(message.software))) +
        fieldText(KEY.hello.attempt, varintText(message.attempt)) +
        list(KEY.hello.tunnel, message.tunnels.map(claimText)) +
        list(KEY.hello.waiting, message.waiting ?? []);
    case "welcome":
      return fieldText(KEY.welcome.version, varintText(message.version)) +
        list(KEY.welcome.feature, message.features) +
        fieldText(KEY.welcome.edge, message.edge) +
        list(KEY.welcome.tunnel, message.tunnels) +
        fieldText(KEY.welcome.heartbeatMs, varintText(message.heartbeatMs)) +
        optionalInteger(KEY.welcome.timeMs, message.timeMs);
    case "refusal":
      return fieldText(KEY.refusal.code, message.code) +
        fieldText(KEY.refusal.reason, utf8Binary(fitProse(message.reason))) +
        optionalInteger(KEY.refusal.retryAfterMs, message.retryAfterMs) +
        (message.tunnel === undefined ? "" : fieldText(KEY.refusal.tunnel, message.tunnel));
    case "claim":
      return list(KEY.claim.tunnel, message.tunnels.map(claimText));
    case "claimed":
    case "release":
      return list(KEY.names.tunnel, message.tunnels);
    case "heartbeat":
    case "heartbeat_ack":
      return fieldText(KEY.heartbeat.sequence, varintText(message.sequence));
    case "goodbye":
      return fieldText(KEY.goodbye.deadlineMs, varintText(message.deadlineMs)) +
        fieldText(KEY.goodbye.reason, utf8Binary(fitProse(message.reason)));
    case "renew":
      return fieldText(KEY.renew.publicKey, latin1Text(message.publicKey)) +
        fieldText(KEY.renew.proof, latin1Text(message.proof));
    case "renewed":
      return fieldText(KEY.renewed.certificate, latin1Text(message.certificate));
    case "renew_refused":
      return fieldText(KEY.renewRefused.reason, utf8Binary(fitProse(message.reason))) +
        optionalInteger(KEY.renewRefused.retryAfterMs, message.retryAfterMs);
    case "ending":
      return fieldText(KEY.ending.ends, varintText(message.endsMs)) +
        fieldText(KEY.ending.reason, utf8Binary(fitProse(message.reason)));
  }
}

function optionalInteger(key: number, value: number | undefined): string {
  return value === undefined ? "" : fieldText(key, varintText(value));
}

function list(key: number, values: readonly string[]): string {
  return values.map((value) => fieldText(key, value)).join("");
}

function claimText(claim: TunnelClaim): string {
  return fieldText(KEY.tunnelClaim.name, claim.name) +
    fieldText(KEY.tunnelClaim.protocol, claim.protocol);
}

function readHello(payload: Uint8Array): Hello {
  const key = KEY.hello;
  const fields = new Fields(payload, Object.values(key), "hello");
  const software = fields.optional(key.software);
  const attempt = fields.optional(key.attempt);
  const waiting = readNames(fields, key.waiting, 0);
  return {
    type: "hello",
    versions: fields.list(key.version, 1, MAX_OFFERED_VERSIONS).map(readVersion),
    features: readFeatures(fields, key.feature),
    instance: readText(LABEL, fields.required(key.instance), "instance"),
    epoch: readInteger(fields.required(key.epoch), 0, Number.MAX_SAFE_INTEGER, "epoch"),
    software: software === undefined ? "" : readProse(software, "software"),
    attempt: attempt === undefined
      ? 0
      : readInteger(attempt, 0, Number.MAX_SAFE_INTEGER, "attempt"),
    tunnels: readClaims(fields, key.tunnel, 0),
    ...(waiting.length === 0 ? {} : { waiting }),
  };
}

function readWelcome(payload: Uint8Array): Welcome {
  const key = KEY.welcome;
  const fields = new Fields(payload, Object.values(key), "welcome");
  const time = fields.optional(key.timeMs);
  return {
    type: "welcome",
    version: readVersion(fields.required(key.version)),
    features: readFeatures(fields, key.feature),
    edge: readText(LABEL, fields.required(key.edge), "edge"),
    tunnels: readNames(fields, key.tunnel, 0),
    heartbeatMs: readInteger(
      fields.required(key.heartbeatMs),
      MIN_HEARTBEAT_MS,
      MAX_WIRE_DELAY_MS,
      "heartbeat interval",
    ),
    timeMs: time === undefined ? undefined : readInteger(time, 0, Number.MAX_SAFE_INTEGER, "time"),
  };
}

function readRefusal(payload: Uint8Array): Refusal {
  const key = KEY.refusal;
  const fields = new Fields(payload, Object.values(key), "refusal");
  const code = latin1Text(fields.required(key.code));
  const known = REFUSAL_CODES.find((candidate) => candidate === code);
  if (known === undefined) throw protocolError("Cannot accept refusal: unknown code");
  const reason = fields.optional(key.reason);
  const retryAfter = fields.optional(key.retryAfterMs);
  const tunnel = fields.optional(key.tunnel);
  return {
    type: "refusal",
    code: known,
    reason: reason === undefined ? "" : readProse(reason, "reason"),
    retryAfterMs: retryAfter === undefined ? undefined : readDelay(retryAfter, "retry_after"),
    tunnel: tunnel === undefined ? undefined : readText(TUNNEL_NAME, tunnel, "tunnel name"),
  };
}

function readTunnelNames(payload: Uint8Array, type: "claimed" | "release"): TunnelNames {
  const fields = new Fields(payload, [KEY.names.tunnel], type);
  return { type, tunnels: readNames(fields, KEY.names.tunnel, 1) };
}

function readHeartbeat(payload: Uint8Array, type: "heartbeat" | "heartbeat_ack"): Heartbeat {
  const fields = new Fields(payload, [KEY.heartbeat.sequence], type);
  const value = fields.required(KEY.heartbeat.sequence);
  return { type, sequence: readInteger(value, 0, Number.MAX_SAFE_INTEGER, "sequence") };
}

function readGoodbye(payload: Uint8Array): Goodbye {
  const key = KEY.goodbye;
  const fields = new Fields(payload, Object.values(key), "goodbye");
  const reason = fields.optional(key.reason);
  return {
    type: "goodbye",
    reason: reason === undefined ? "" : readProse(reason, "reason"),
    deadlineMs: readDelay(fields.required(key.deadlineMs), "deadline"),
  };
}

function readRenew(payload: Uint8Array): Renew {
  const key = KEY.renew;
  const fields = new Fields(payload, Object.values(key), "renew");
  return {
    type: "renew",
    publicKey: readBytes(fields.required(key.publicKey), MAX_PUBLIC_KEY_BYTES, "public key"),
    proof: readBytes(fields.required(key.proof), MAX_PROOF_BYTES, "proof"),
  };
}

function readRenewed(payload: Uint8Array): Renewed {
  const key = KEY.renewed;
  const fields = new Fields(payload, Object.values(key), "renewed");
  const certificate = fields.required(key.certificate);
  return {
    type: "renewed",
    certificate: readBytes(certificate, MAX_CERTIFICATE_BYTES, "certificate"),
  };
}

function readRenewRefused(payload: Uint8Array): RenewRefused {
  const key = KEY.renewRefused;
  const fields = new Fields(payload, Object.values(key), "renew_refused");
  const reason = fields.optional(key.reason);
  const retryAfter = fields.optional(key.retryAfterMs);
  return {
    type: "renew_refused",
    reason: reason === undefined ? "" : readProse(reason, "reason"),
    retryAfterMs: retryAfter === undefined ? undefined : readDelay(retryAfter, "retry_after"),
  };
}

function readEnding(payload: Uint8Array): Ending {
  const key = KEY.ending;
  const fields = new Fields(payload, Object.values(key), "ending");
  const reason = fields.optional(key.reason);
  return {
    type: "ending",
    endsMs: readInteger(fields.required(key.ends), 0, MAX_DATE_MS, "end"),
    reason: reason === undefined ? "" : readProse(reason, "reason"),
  };
}

/** A copy: the payload is a view of bytes that the next chunk may overwrite. */
function readBytes(value: Uint8Array, most: number, what: string): Uint8Array {
  if (value.length === 0 || value.length > most) {
    throw protocolError(`Cannot accept ${what} of ${value.length} bytes: allowed are 1 to ${most}`);
  }
  return Uint8Array.from(value);
}

function readClaims(fields: Fields, key: number, least: number): TunnelClaim[] {
  const claims = fields.list(key, least, MAX_TUNNELS_PER_RIFT).map(readClaim);
  refuseDuplicates(claims.map((claim) => claim.name));
  return claims;
}

function readClaim(value: Uint8Array): TunnelClaim {
  const key = KEY.tunnelClaim;
  const fields = new Fields(value, Object.values(key), "tunnel claim");
  const name = readText(TUNNEL_NAME, fields.required(key.name), "tunnel name");
  const protocol = latin1Text(fields.required(key.protocol));
  if (protocol !== "mcp" && protocol !== "http") {
    throw protocolError("Cannot accept tunnel claim: unknown protocol");
  }
  return { name, protocol };
}

function readNames(fields: Fields, key: number, least: number): string[] {
  const names = fields.list(key, least, MAX_TUNNELS_PER_RIFT)
    .map((value) => readText(TUNNEL_NAME, value, "tunnel name"));
  refuseDuplicates(names);
  return names;
}

function readFeatures(fields: Fields, key: number): string[] {
  return fields.list(key, 0, MAX_FEATURES).map((value) => readText(FEATURE, value, "feature"));
}

function readVersion(value: Uint8Array): number {
  return readInteger(value, 1, MAX_VERSION, "version");
}

function readDelay(value: Uint8Array, what: string): number {
  return readInteger(value, 0, MAX_WIRE_DELAY_MS, what);
}

function readText(pattern: RegExp, value: Uint8Array, what: string): string {
  return matching(pattern, latin1Text(value), what);
}

function latin1Text(value: Uint8Array): string {
  return latin1(value, 0, value.length);
}

function refuseDuplicates(names: readonly string[]): void {
  if (new Set(names).size !== names.length) {
    throw protocolError("Cannot accept tunnel names: one is there twice");
  }
}

const REFUSAL_CODES = [
  "version",
  "credential",
  "tunnel_unknown",
  "tunnel_forbidden",
  "limit",
  "protocol",
] as const;

const FRAME_OF = {
  hello: FRAME.hello,
  welcome: FRAME.welcome,
  refusal: FRAME.refusal,
  claim: FRAME.claim,
  claimed: FRAME.claimed,
  release: FRAME.release,
  heartbeat: FRAME.heartbeat,
  heartbeat_ack: FRAME.heartbeatAck,
  goodbye: FRAME.goodbye,
  renew: FRAME.renew,
  renewed: FRAME.renewed,
  renew_refused: FRAME.renewRefused,
  ending: FRAME.ending,
} as const satisfies Record<ControlMessage["type"], number>;

const KEY = {
  hello: {
    version: 1,
    feature: 2,
    instance: 3,
    software: 4,
    epoch: 5,
    attempt: 6,
    tunnel: 7,
    waiting: 10,
  },
  welcome: { version: 1, feature: 2, edge: 3, tunnel: 5, heartbeatMs: 7, timeMs: 4 },
  refusal: { code: 1, reason: 2, tunnel: 3, retryAfterMs: 4 },
  claim: { tunnel: 1 },
  names: { tunnel: 1 },
  heartbeat: { sequence: 1 },
  goodbye: { deadlineMs: 1, reason: 2 },
  renew: { publicKey: 1, proof: 3 },
  renewed: { certificate: 1 },
  renewRefused: { reason: 2, retryAfterMs: 4 },
  ending: { ends: 1, reason: 2 },
  tunnelClaim: { name: 1, protocol: 3 },
} as const;

const MAX_VERSION = 65_535;
/** The last millisecond that a `Date` can hold: it is shown to people. */
const MAX_DATE_MS = 8_640_000_000_000_000;
