/**
 * What a server sends, without what the caller may not see: entries of lists, contents, links,
 * completions, notifications. Judged by the method that asked and by the shape of the message,
 * because in the legacy era an answer may arrive on another stream.
 *
 * Edits byte ranges only: order, cursors, and the text of all that stays are untouched.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

import { MAX_ANSWER_MEMBERS } from "../limits.ts";
import type { TargetKind } from "./client_message.ts";
import type { JsonDocument } from "./document.ts";
import { NONE } from "./document.ts";
import { applyEdits, removeChildren, replaceValue } from "./edit.ts";
import { FilterRefusal, Findings } from "./filter_options.ts";
import type { FilterOptions } from "./filter_options.ts";
import { methodRow } from "./methods.ts";
import type { ResultList } from "./methods.ts";
import { filterResult } from "./result_filter.ts";
import { readRpcId } from "./rpc_id.ts";
import type { RpcId } from "./rpc_id.ts";
import { scanJson } from "./scanner.ts";
import { ANSWER_SHAPE } from "./shape.ts";

/** What a message was; for the caller's own books. */
export interface ServerMessage {
  readonly kind: "request" | "notification" | "response";
  readonly method: string | undefined;
  readonly id: RpcId | undefined;
  /** A task that this result began: it belongs to the caller from now on. */
  readonly taskId: string | undefined;
  /** Of a response: a tool's own error, or the code of a JSON-RPC error; 0 when it is no integer. */
  readonly failure: "tool_error" | number | undefined;
  /** `drop` is not passed on. A request that is dropped gets no answer either (`docs/aware.md`). */
  readonly verdict: "pass" | "drop";
}

/** What became of a message. */
export type Filtered =
  | {
    readonly outcome: "unchanged";
    readonly before: number;
    readonly after: number;
    readonly messages: readonly ServerMessage[];
  }
  | {
    readonly outcome: "rewritten";
    readonly bytes: Buffer;
    /** Entries in its lists, before and after. */
    readonly before: number;
    readonly after: number;
    readonly messages: readonly ServerMessage[];
  }
  /** Nothing of it is passed on. */
  | { readonly outcome: "dropped"; readonly messages: readonly ServerMessage[] }
  /** It cannot be judged: the exchange ends with 502, or is cut when its head went out. */
  | { readonly outcome: "refused"; readonly reason: string; readonly offset: number };

/** Filters one message, or a batch of the legacy era. Never throws. */
export function filterMessage(bytes: Uint8Array, options: FilterOptions): Filtered {
  const scan = scanJson(bytes, {
    shape: ANSWER_SHAPE,
    maxBytes: options.maxBytes,
    maxMembers: MAX_ANSWER_MEMBERS,
    loneSurrogates: "keep",
  });
  if (!scan.ok) return { outcome: "refused", reason: scan.code, offset: scan.offset };
  const { document } = scan;
  const { root } = document;
  const findings = new Findings(options);
  const messages: ServerMessage[] = [];
  if (document.kind(root) === "array") {
    if (options.era === "modern") return refused(new FilterRefusal("batch", 0));
    const kept = new Set<number>();
    for (const node of document.children(root)) {
      const message = judgeMessage(document, node, findings);
      if (message instanceof FilterRefusal) return refused(message);
      messages.push(message);
      if (message.verdict === "pass") kept.add(node);
    }
    if (kept.size === 0) return { outcome: "dropped", messages };
    findings.add(removeChildren(document, root, (node) => kept.has(node)).edits);
  } else {
    const message = judgeMessage(document, root, findings);
    if (message instanceof FilterRefusal) return refused(message);
    messages.push(message);
    if (message.verdict === "drop") return { outcome: "dropped", messages };
  }
  if (findings.isCut) return refused(new FilterRefusal("names", 0));
  const { edits, before, after } = findings;
  if (edits.length === 0) return { outcome: "unchanged", before, after, messages };
  const edited = applyEdits(document.bytes, edits);
  return { outcome: "rewritten", bytes: edited, before, after, messages };
}

function judgeMessage(
  document: JsonDocument,
  node: number,
  findings: Findings,
): ServerMessage | FilterRefusal {
  const offset = document.start(node);
  const member = (name: string): number => document.member(node, name);
  if (!document.is(member("jsonrpc"), "2.0")) return new FilterRefusal("message", offset);
  const idNode = member("id");
  const id = readRpcId(document, idNode);
  const result = member("result");
  const error = member("error");
  if (member("method") !== NONE) {
    const method = document.string(member("method"));
    if (method === undefined || result !== NONE || error !== NONE) {
      return new FilterRefusal("message", offset);
    }
    if (idNode === NONE) return judgeNotification({ document, node, method, findings });
    if (id === undefined) return new FilterRefusal("message", offset);
    return judgeServerRequest(method, id, findings) ?? new FilterRefusal("server_request", offset);
  }
  if ((result === NONE) === (error === NONE)) return new FilterRefusal("message", offset);
  // An error may be about a request whose id could not be read.
  const isUnknown = error !== NONE && (idNode === NONE || document.kind(idNode) === "null");
  if (id === undefined && !isUnknown) return new FilterRefusal("message", offset);
  const { era, expectId } = findings.options;
  if (era === "modern" && id !== undefined && expectId !== undefined && id.key !== expectId) {
    return new FilterRefusal("wrong_id", offset);
  }
  if (result === NONE) {
    // 2025-11-25 asks for a URL elicitation by an error.
    const code = document.text(document.member(error, "code"));
    // By its value: -32042.0 and -3.2042e4 are the same number to a client.
    if (Number(code) === URL_ELICITATION_REQUIRED && !mayElicit(findings)) {
      return new FilterRefusal("family", offset);
    }
    const failure = /^-?\d{1,9}$/.test(code) ? Number(code) : 0;
    return { kind: "response", method: undefined, id, verdict: "pass", taskId: undefined, failure };
  }
  const problem = filterResult({ document, result, findings, ownList: ownList(findings.options) });
  if (problem !== undefined) return problem;
  const task = document.member(document.member(result, "task"), "taskId");
  const taskId = document.string(document.member(result, "taskId")) ?? document.string(task);
  const isToolError = document.kind(document.member(result, "isError")) === "true";
  const failure = isToolError ? "tool_error" : undefined;
  return { kind: "response", method: undefined, id, verdict: "pass", taskId, failure };
}

function mayElicit(findings: Findings): boolean {
  return findings.options.families.includes("elicitation") &&
    findings.allows("method", "elicitation/create");
}

function ownList({ expect }: FilterOptions): ResultList | undefined {
  return expect === undefined ? undefined : methodRow(expect)?.result;
}

/** `undefined`: servers must not send it at all. */
function judgeServerRequest(
  method: string,
  id: RpcId,
  findings: Findings,
): ServerMessage | undefined {
  const { era, standing, families } = findings.options;
  // 2026-07-28, streamable-http: a stream must not carry requests.
  if (era === "modern") return undefined;
  const row = methodRow(method);
  const mayBe = row === undefined ||
    (row.kind === "request" && row.from !== "client" &&
      (row.family === undefined || families.includes(row.family)));
  const passes = mayBe && standing() && findings.allows("method", method);
  const verdict = passes ? "pass" : "drop";
  return { kind: "request", method, id, taskId: undefined, failure: undefined, verdict };
}

interface Notice {
  readonly document: JsonDocument;
  readonly node: number;
  readonly method: string;
  readonly findings: Findings;
}

function judgeNotification(notice: Notice): ServerMessage | FilterRefusal {
  const { document, node, method, findings } = notice;
  const params = document.member(node, "params");
  const { standing } = findings.options;
  const named = (kind: TargetKind, key: string): boolean => {
    const name = document.string(document.member(params, key));
    return name !== undefined && findings.allows(kind, name);
  };
  const row = methodRow(method);
  const mayBe = row === undefined || (row.kind === "notification" && row.from !== "client");
  let passes = mayBe && standing() && findings.allows("method", method);
  if (!passes || row === undefined) {
    // Nothing of it is looked at.
  } else if (row.judgedBy === "resource") {
    // It may be below what was subscribed to, so the subscription does not decide.
    passes = named("resource", "uri");
  } else if (row.judgedBy === "task") {
    passes = named("task", "taskId");
    if (passes && params !== NONE) {
      const problem = filterResult({
        document,
        result: params,
        findings,
        ownList: undefined,
      });
      if (problem !== undefined) return problem;
    }
  } else if (row.judgedBy === "subscriptions") {
    filterAcknowledged(document, params, findings);
  }
  return {
    kind: "notification",
    method,
    id: undefined,
    taskId: undefined,
    failure: undefined,
    verdict: passes ? "pass" : "drop",
  };
}

function filterAcknowledged(
  document: JsonDocument,
  params: number,
  findings: Findings,
): void {
  const notifications = document.member(params, "notifications");
  for (
    const [name, kind] of [["resourceSubscriptions", "resource"], ["taskIds", "task"]] as const
  ) {
    const list = document.member(notifications, name);
    if (list === NONE) continue;
    if (document.kind(list) !== "array") {
      findings.edits.push(replaceValue(document, list, "[]"));
      continue;
    }
    const { before, after, edits } = removeChildren(document, list, (element) => {
      const value = document.string(element);
      return value !== undefined && findings.allows(kind, value);
    });
    findings.before += before;
    findings.after += after;
    findings.add(edits);
  }
}

function refused({ reason, offset }: FilterRefusal): Filtered {
  return { outcome: "refused", reason, offset };
}

const URL_ELICITATION_REQUIRED = -32042;
