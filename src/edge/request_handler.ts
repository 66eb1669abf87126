/**
 * What happens to one request: judged, its sender recognized, counted, forwarded or answered.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";

import type { Clock } from "../clock.ts";
import { ChurnSet } from "../churn_set.ts";
import type { ErrorCode } from "../errors.ts";
import { ENDED_PROOF_GRACE_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { type Authenticated, type ClientProof, ownerOf } from "../principal.ts";
import { addressGroup } from "../runtime/address_group.ts";
import type { AwareAdmission, AwareDoor } from "./aware/aware_door.ts";
import { answerError, endAnswer } from "./answer.ts";
import { peerAddress, type ProxyTrust } from "./client_address.ts";
import type { ClientGate, GateResult } from "./client_gate.ts";
import { corsHeaders, preflightHeaders } from "./cors.ts";
import type { EdgeSettings } from "./edge_options.ts";
import type { ErrorDetail } from "./error_response.ts";
import {
  EXCHANGE_HEADER,
  type ExchangeContext,
  type RunningExchange,
  startExchange,
} from "./exchange.ts";
import { ExchangeRecord, type RecordContext } from "./exchange_record.ts";
import type { Admitted, FrontDoor } from "./front_door.ts";
import type { TunnelRegistry } from "./registry.ts";
import { type RequestHeaders, withoutHeader } from "./request_headers.ts";
import type { ServedTunnel } from "./served_tunnel.ts";

/** What may change while the edge runs. */
export interface DoorSettings {
  readonly config: EdgeSettings;
  readonly frontDoor: FrontDoor<ServedTunnel>;
  readonly trust: ProxyTrust;
  readonly gate: ClientGate;
}

/** What the handler is made from. */
export interface RequestHandlerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly scheme: "http" | "https";
  readonly registry: TunnelRegistry;
  readonly exchangeContext: ExchangeContext;
  readonly awareDoor: AwareDoor;
  /** Absent: no records are made. */
  readonly records: RecordContext | undefined;
  readonly settings: () => DoorSettings;
  /** Does what TLS said about a client certificate on this socket still count? */
  readonly isChecked: (socket: object) => boolean;
  /** Requests are answered with 503 once it is true. */
  readonly isClosing: () => boolean;
  readonly onIdle: () => void;
}

/** Handles every request of the public listener. */
export class RequestHandler {
  /** In flight, each with what shows that its client may still have it. */
  readonly running = new ChurnSet<RunningExchange>();
  /** Answers to requests that reached no tunnel, by code. */
  readonly refused = new Map<string, number>();
  readonly #options: RequestHandlerOptions;
  readonly #idPrefix: string;
  #count = 0;
  /** Open event streams, by user or address; an entry lives as long as one is open. */
  readonly #streamsOf = new Map<string, number>();

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
    this.#idPrefix = options.clock.wallNow().toString(36);
  }

  /** Answers at once, for example because there are too many connections. */
  refuse(
    request: IncomingMessage,
    response: ServerResponse,
    code: ErrorCode,
    extra: ErrorDetail = {},
  ): void {
    this.count(code);
    this.#answer(request, response, code, extra);
  }

  /** Counts an answer to what reached no tunnel. */
  count(code: ErrorCode): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const { log, settings, isClosing } = this.#options;
    const { frontDoor, trust } = settings();
    const peer = peerAddress(request.socket.remoteAddress);
    const verdict = frontDoor.judge({
      method: request.method ?? "",
      url: request.url ?? "",
      httpVersion: request.httpVersion,
      rawHeaders: request.rawHeaders,
      peer: trust.isListed(peer) ? "listed_proxy" : trust.trusts(peer) ? "proxy" : "stranger",
    });
    switch (verdict.kind) {
      case "refused": {
        const { code, detail, allow, tunnel, origin } = verdict;
        log.debug("Request refused", { code, detail });
        const headers = origin === undefined ? undefined : corsHeaders(origin);
        const extra = { detail, allow, headers };
        if (tunnel === undefined) return this.refuse(request, response, code, extra);
        const client = trust.clientOf(peer, undefined);
        const record = this.#recordOf(request, response, tunnel, client);
        return this.#refuseIn({ request, response, tunnel, record }, code, extra);
      }
      case "preflight":
        response.writeHead(
          204,
          preflightHeaders(verdict.tunnel.settings, verdict.origin, verdict.requestedHeaders),
        );
        return endAnswer(request, response, this.#options.clock, NOTHING);
      case "metadata":
        return this.#answerMetadata(request, response, verdict);
      case "admitted": {
        const client = trust.clientOf(peer, verdict.headers.forwardedFor);
        if (isClosing()) return this.refuse(request, response, "TUNNEL_OFFLINE");
        return this.#letIn(request, response, verdict, client);
      }
    }
  }

  /**
   * Ends exchanges whose client would not get in any more: the proof is revoked or has ended, what
   * it rests on is not in force any more, or the tunnel asks for more now, or is gone.
   */
  recheck(tunnels: ReadonlyMap<string, ServedTunnel>, nowMs: number): void {
    for (const exchange of this.running.values()) {
      if (!this.#mayGoOn(exchange, tunnels, nowMs)) exchange.cut();
    }
  }

  #mayGoOn(
    { client, settings: before, request }: RunningExchange,
    tunnels: ReadonlyMap<string, ServedTunnel>,
    nowMs: number,
  ): boolean {
    const now = tunnels.get(before.name)?.settings;
    if (now === undefined || now.mode !== before.mode) return false;
    if (client === undefined) return now.auth === "upstream";
    if (!client.stillValid() || nowMs >= client.validUntilMs + ENDED_PROOF_GRACE_MS) return false;
    switch (client.principal.how) {
      case "certificate":
        return this.#options.isChecked(request.socket);
      case "proxy_header": {
        const { trust, frontDoor } = this.#options.settings();
        return frontDoor.namesUsers && trust.isListed(peerAddress(request.socket.remoteAddress));
      }
      default:
        return true;
    }
  }

  #letIn(
    request: IncomingMessage,
    response: ServerResponse,
    verdict: Admitted<ServedTunnel>,
    address: string,
  ): void {
    const { tunnel, headers } = verdict;
    const record = this.#recordOf(request, response, tunnel, address);
    const blocked = this.#options.records?.audit.blockedBy();
    if (blocked !== undefined) {
      this.#options.log.debug("Request refused: no record can be written", { reason: blocked });
      return this.#refuseIn({ request, response, tunnel, record }, "AUDIT_UNAVAILABLE");
    }
    if (tunnel.settings.auth === "upstream") {
      return this.#admit({ request, response, verdict, address, client: undefined, record });
    }
    const result = this.#options.settings().gate.check({
      tunnel,
      proof: this.#proofOf(request, tunnel, headers),
      isAmbiguous: headers.authorizations > 1,
      address: addressGroup(address),
      connection: request.socket,
    });
    const pass = (settled: GateResult): void => {
      if (settled.kind === "open") {
        const { client } = settled;
        record?.known(client.principal);
        if (tunnel.settings.mode === "aware") {
          return this.#judge({ request, response, verdict, address, client, record });
        }
        return this.#admit({ request, response, verdict, address, client, record });
      }
      const { code, detail, headers: more } = settled;
      const cors = headers.origin === undefined ? [] : corsHeaders(headers.origin);
      this.#refuseIn({ request, response, tunnel, record }, code, {
        detail,
        headers: [...more, ...cors],
      });
    };
    if (!(result instanceof Promise)) return pass(result);
    // Never rejects (ClientGate.check).
    void result.then((settled) => {
      if (!response.destroyed && !request.socket.destroyed) pass(settled);
    });
  }

  /** On an aware tunnel: reads the message and asks whether it may go on. */
  #judge(admission: Admission & { readonly client: Authenticated }): void {
    const { request, response, verdict, address, client, record } = admission;
    const { tunnel, headers } = verdict;
    const { maxExchanges } = this.#options.settings().config;
    // Also before the body: what cannot go on anyhow must not be held.
    if (tunnel.counters.exchanges >= maxExchanges) {
      return this.#refuseIn({ request, response, tunnel, record }, "STREAM_LIMIT", {
        detail: `the limit is ${maxExchanges}`,
        headers: headers.origin === undefined ? [] : corsHeaders(headers.origin),
      });
    }
    if (verdict.waits === "for_continue") response.writeContinue();
    this.#options.awareDoor.judge(
      { request, tunnel, client, body: verdict.body, record },
      (result) => {
        if (result.kind === "gone" || response.destroyed || request.socket.destroyed) {
          if (result.kind === "forward") result.body?.release();
          return;
        }
        const cors = headers.origin === undefined ? [] : corsHeaders(headers.origin);
        switch (result.kind) {
          case "forward":
            return this.#admit({
              request,
              response,
              verdict,
              address,
              client,
              record,
              judged: result,
            });
          case "answer": {
            const { httpStatus, body } = result.answer;
            tunnel.counters.count(result.outcome);
            response.writeHead(httpStatus, [
              ...JSON_HEADERS,
              ...cors,
              ...exchangeHeader(record),
              "Content-Length",
              String(body.length),
            ]);
            record?.sent(body.length);
            return endAnswer(request, response, this.#options.clock, body);
          }
          case "fail":
            return this.#refuseIn({ request, response, tunnel, record }, result.code, {
              headers: cors,
            });
        }
      },
    );
  }

  /** Lets an exchange begin, once its intent is on record where that is asked for. */
  #admit(admission: Admission): void {
    const { request, response, verdict, record, judged } = admission;
    const link = this.#options.registry.pick(verdict.tunnel.settings.name);
    if (link !== undefined) record?.given(link);
    const written = record?.intent();
    if (written === undefined) return this.#forward(admission);
    // Never rejects (AuditSink.intent).
    void written.then((isWritten) => {
      if (response.destroyed || request.socket.destroyed) return judged?.body?.release();
      if (isWritten) return this.#forward(admission);
      judged?.body?.release();
      this.#refuseIn({ request, response, tunnel: verdict.tunnel, record }, "AUDIT_UNAVAILABLE");
    });
  }

  #forward(admission: Admission): void {
    const { request, response, verdict, address, client, judged, record } = admission;
    const { tunnel, headers, what } = verdict;
    const { registry, exchangeContext, scheme, clock, settings, onIdle } = this.#options;
    const { config } = settings();
    const refuse = (code: ErrorCode, detail?: string): void => {
      judged?.body?.release();
      const cors = headers.origin === undefined ? undefined : corsHeaders(headers.origin);
      this.#refuseIn({ request, response, tunnel, record }, code, { detail, headers: cors });
    };
    const link = registry.pick(tunnel.settings.name);
    if (link === undefined) return refuse("TUNNEL_OFFLINE");
    // A rift that cannot be asked for them has none, as far as clients can tell.
    if (what === "well_known" && !link.features.includes("well-known")) return refuse("NO_ROUTE");
    if (tunnel.counters.exchanges >= config.maxExchanges) {
      return refuse("STREAM_LIMIT", `the limit is ${config.maxExchanges}`);
    }
    const owner = client === undefined ? addressGroup(address) : ownerOf(client.principal);
    if ((this.#streamsOf.get(owner) ?? 0) >= config.maxEventStreams) {
      return refuse("TOO_MANY_STREAMS", `the limit is ${config.maxEventStreams}`);
    }
    if (judged?.begin() === false) {
      return refuse("BAD_REQUEST", "this request of the server has its answer");
    }
    const startedAtMs = clock.now();
    let isStream = false;
    const { counters } = tunnel;
    counters.started();
    link.exchangeStarted();
    if (record !== undefined) {
      record.given(link);
      if (judged !== undefined) record.readBy(judged.filter);
    }
    const exchange = startExchange(exchangeContext, {
      request,
      response,
      settings: tunnel.settings,
      connection: link.connection,
      body: verdict.body,
      wholeBody: judged?.body,
      filter: judged?.filter,
      waits: judged === undefined ? verdict.waits : "no",
      client,
      origin: headers.origin,
      tellsId: record !== undefined,
      head: {
        tunnel: tunnel.settings.name,
        method: request.method ?? "",
        target: verdict.target,
        base: what === "well_known" ? "origin" : undefined,
        publicHost: forwardedHost(headers.forwardedHost) ?? headers.host,
        publicScheme: forwardedScheme(headers.forwardedProto) ?? scheme,
        clientAddress: peerAddress(request.socket.remoteAddress),
        exchangeId: record?.exchangeId ?? this.#nextId(),
        known: client === undefined ? undefined : "user",
        headers: judged === undefined ? passedOn(tunnel, headers) : judgedHeaders(headers, judged),
      },
      observer: {
        answered: (eventStream) => {
          counters.answered(clock.now() - startedAtMs);
          if (!eventStream) return undefined;
          const open = this.#streamsOf.get(owner) ?? 0;
          // Many may have been asked for before the first one was answered.
          if (open >= config.maxEventStreams) return "TOO_MANY_STREAMS";
          isStream = true;
          counters.eventStreams++;
          this.#streamsOf.set(owner, open + 1);
          return undefined;
        },
        failed: (code) => record?.failed(code),
        ended: (outcome, carried) => {
          record?.received(carried.in);
          record?.sent(carried.out);
          if (isStream) this.#streamEnded(tunnel, owner);
          judged?.body?.release();
          counters.ended(outcome);
          link.exchangeEnded();
          this.running.delete(exchange);
          if (this.running.size === 0) onIdle();
        },
      },
    });
    this.running.add(exchange);
  }

  #nextId(): string {
    return `${this.#idPrefix}-${(++this.#count).toString(36)}`;
  }

  #recordOf(
    request: IncomingMessage,
    response: ServerResponse,
    tunnel: ServedTunnel,
    client: string,
  ): ExchangeRecord | undefined {
    const { records } = this.#options;
    if (records === undefined) return undefined;
    const exchangeId = this.#nextId();
    return new ExchangeRecord(records, {
      request,
      response,
      exchangeId,
      tunnel: tunnel.settings.name,
      client,
    });
  }

  #proofOf(
    request: IncomingMessage,
    tunnel: ServedTunnel,
    headers: RequestHeaders,
  ): ClientProof {
    const { isChecked } = this.#options;
    return {
      tunnel: tunnel.settings.name,
      authorization: headers.authorization,
      certificate: certificateOf(request, isChecked(request.socket)),
      proxyUser: headers.proxyUser,
      proxyGroups: headers.proxyGroups,
    };
  }

  #streamEnded(tunnel: ServedTunnel, owner: string): void {
    tunnel.counters.eventStreams--;
    const left = (this.#streamsOf.get(owner) ?? 1) - 1;
    if (left > 0) this.#streamsOf.set(owner, left);
    else this.#streamsOf.delete(owner);
  }

  #answerMetadata(
    request: IncomingMessage,
    response: ServerResponse,
    { tunnel, origin }: { readonly tunnel: ServedTunnel; readonly origin: string | undefined },
  ): void {
    const metadata = this.#options.settings().gate.metadata(tunnel);
    if (metadata === undefined) {
      return this.#refuseIn({ request, response, tunnel, record: undefined }, "NO_ROUTE");
    }
    const body = Buffer.from(JSON.stringify(metadata));
    response.writeHead(200, [
      "Content-Type",
      "application/json",
      "Content-Length",
      String(body.length),
      // Short, so that a change of the configuration reaches clients soon.
      "Cache-Control",
      "max-age=60",
      ...(origin === undefined ? [] : corsHeaders(origin)),
    ]);
    endAnswer(request, response, this.#options.clock, body);
  }

  #refuseIn(
    { request, response, tunnel, record }: Refused,
    code: ErrorCode,
    extra: ErrorDetail = {},
  ): void {
    tunnel.counters.count(code.toLowerCase() as Lowercase<ErrorCode>);
    record?.failed(code);
    const headers = [...extra.headers ?? [], ...exchangeHeader(record)];
    this.#answer(request, response, code, { ...extra, headers });
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    code: ErrorCode,
    extra: ErrorDetail,
  ): void {
    answerError(request, response, this.#options.clock, code, extra);
  }
}

/** A request whose sender may use the tunnel. */
interface Admission {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly verdict: Admitted<ServedTunnel>;
  /** Of the client, also behind the operator's proxy. */
  readonly address: string;
  readonly client: Authenticated | undefined;
  readonly record: ExchangeRecord | undefined;
  /** On an aware tunnel: what was judged. */
  readonly judged?: AwareAdmission;
}

/** A request of a tunnel that is answered here. */
type Refused = Pick<Admission, "request" | "response" | "record"> & {
  readonly tunnel: ServedTunnel;
};

/**
 * The client's certificate, and whether TLS has verified it against the CAs of `auth.client_ca` that
 * are in force.
 */
function certificateOf(request: IncomingMessage, isChecked: boolean): ClientProof["certificate"] {
  const socket = request.socket as Partial<TLSSocket>; // of a TLS listener it is one
  if (socket.encrypted !== true) return undefined;
  const der = socket.getPeerCertificate?.(false)?.raw;
  if (der === undefined) return undefined;
  return { der, isVerified: isChecked && socket.authorized === true };
}

function exchangeHeader(record: ExchangeRecord | undefined): string[] {
  return record === undefined ? [] : [EXCHANGE_HEADER, record.exchangeId];
}

/** Without what the edge asked the client for itself. */
function passedOn({ settings }: ServedTunnel, headers: RequestHeaders): readonly string[] {
  const passes = settings.auth === "upstream" && settings.forwardAuthorization;
  if (passes || headers.authorization === undefined) return headers.endToEnd;
  return withoutHeader(headers.endToEnd, "authorization");
}

/**
 * Without what nobody has judged, and what the edge asked the client for itself; the length is that of
 * the body that was judged.
 */
function judgedHeaders({ endToEnd }: RequestHeaders, judged: AwareAdmission): readonly string[] {
  const { strip, body } = judged;
  const kept: string[] = [];
  for (let index = 0; index < endToEnd.length; index += 2) {
    const name = endToEnd[index]!.toLowerCase();
    if (REPLACED.has(name) || strip.includes(name)) continue;
    kept.push(endToEnd[index]!, endToEnd[index + 1]!);
  }
  if (body !== undefined) kept.push("Content-Length", String(body.length));
  return kept;
}

/** What the operator's proxy says the client asked for; ignored when it is not a host. */
function forwardedHost(value: string | undefined): string | undefined {
  return value !== undefined && FORWARDED_HOST.test(value) ? value : undefined;
}

function forwardedScheme(value: string | undefined): "http" | "https" | undefined {
  return value === "http" || value === "https" ? value : undefined;
}

/** Of an aware tunnel; nothing that is compressed can be judged on its way back. */
const REPLACED = new Set(["content-length", "authorization", "accept-encoding"]);
const JSON_HEADERS = ["Content-Type", "application/json", "Cache-Control", "no-store"];
const NOTHING = new Uint8Array(0);
const FORWARDED_HOST = /^[A-Za-z0-9._:[\]-]{1,261}$/;
