/**
 * One message of a client: what kind it is, and everything it names that policy judges.
 *
 * @module
 */

import { MAX_NAMED_CHARS, MAX_NAMED_TOTAL_CHARS, MAX_TARGETS } from "../limits.ts";
import type { JsonDocument } from "./document.ts";
import { NONE } from "./document.ts";
import { methodRow } from "./methods.ts";
import type { MethodRow } from "./methods.ts";
import { readRpcId } from "./rpc_id.ts";
import type { RpcId } from "./rpc_id.ts";

/** What a rule may be about. */
export type TargetKind = "tool" | "resource" | "prompt" | "method" | "task";

/** One thing a message names. All targets of a message must be allowed. */
export interface Target {
  readonly kind: TargetKind;
  readonly name: string;
}

/** What a client asks to have completed. */
export interface CompletionRequest {
  readonly ref: Target;
  readonly argument: string | undefined;
  /** The other variables, from `context.arguments`. */
  readonly values: ReadonlyMap<string, string>;
}

/** A message that was understood. */
export interface ClientMessage {
  readonly kind: "request" | "notification" | "response";
  /** Absent for a response. */
  readonly method: string | undefined;
  /** `undefined`: unknown method, so `targets` has its name. */
  readonly row: MethodRow | undefined;
  readonly targets: readonly Target[];
  /** Of a request; of a response, the request of the server that it answers. */
  readonly id: RpcId | undefined;
  readonly completion: CompletionRequest | undefined;
  /** The value that `Mcp-Name` mirrors. */
  readonly mirroredName: string | undefined;
  /** Node of the envelope in the document. */
  readonly node: number;
}

/** Why a message is not one that can be judged. `id` is the raw text, `null` when unknown. */
export interface MessageProblem {
  readonly code: -32600 | -32602;
  readonly message: string;
  readonly id: string;
  /** When only its `params` cannot be read: the rest, to tell whether the method exists at all. */
  readonly rest?: Omit<ClientMessage, "targets">;
}

/** Reads the envelope at `node`. */
export function readClientMessage(
  document: JsonDocument,
  node: number,
): ClientMessage | MessageProblem {
  const member = (name: string): number => document.member(node, name);
  const idNode = member("id");
  const id = idNode === NONE ? undefined : readRpcId(document, idNode);
  const shownId = id?.raw ?? "null";
  const invalid = (message: string): MessageProblem => ({ code: -32600, message, id: shownId });

  if (document.kind(node) !== "object") return invalid("A message must be an object");
  if (!document.is(member("jsonrpc"), "2.0")) return invalid('"jsonrpc" must be "2.0"');
  if (idNode !== NONE && id === undefined) return invalid('"id" must be a string or an integer');
  const isAnswer = (member("result") === NONE ? 0 : 1) + (member("error") === NONE ? 0 : 1);
  if (member("method") === NONE) {
    if (isAnswer !== 1 || id === undefined || member("params") !== NONE) {
      return invalid("A message must be one request, notification or response");
    }
    return { ...EMPTY, kind: "response", id, node };
  }
  const method = document.string(member("method"));
  if (method === undefined || method === "") return invalid('"method" must be a string');
  if (isAnswer !== 0) return invalid("A message must not be a request and a response");
  const params = member("params");
  if (params !== NONE && document.kind(params) !== "object") {
    return invalid('"params" must be an object');
  }
  const kind = idNode === NONE ? "notification" : "request";
  const row = methodRow(method);
  if (row !== undefined && row.kind !== kind) {
    return invalid(`"${method}" must ${row.kind === "request" ? "" : "not "}have an "id"`);
  }
  const named = withinBounds(readNamed({ document, params, method, row }));
  if (typeof named === "string") {
    const rest = { ...EMPTY, kind, method, row, id, node } as const;
    return { code: -32602, message: named, id: shownId, rest };
  }
  return {
    kind,
    method,
    row,
    targets: named.targets ?? [],
    id,
    completion: named.completion,
    mirroredName: named.mirroredName,
    node,
  };
}

/** Is it a problem, not a message? */
export function isMessageProblem(
  value: ClientMessage | MessageProblem,
): value is MessageProblem {
  return "code" in value;
}

const EMPTY: Omit<ClientMessage, "kind" | "node"> = {
  method: undefined,
  row: undefined,
  targets: [],
  id: undefined,
  completion: undefined,
  mirroredName: undefined,
};

interface Source {
  readonly document: JsonDocument;
  readonly params: number;
  readonly method: string;
  readonly row: MethodRow | undefined;
}
type Named = Partial<
  Pick<ClientMessage, "targets" | "completion" | "mirroredName">
>;

/** What the message names, or what is wrong with it. */
function readNamed({ document, params, method, row }: Source): Named | string {
  const text = (name: string): string | undefined => {
    const value = document.string(document.member(params, name));
    return value === "" ? undefined : value;
  };
  switch (row?.judgedBy) {
    case "open":
      return {};
    case undefined:
    case "family":
    case "method":
      return { targets: [{ kind: "method", name: method }] };
    case "tool":
    case "prompt": {
      const name = text("name");
      if (name === undefined) return '"params.name" must be a string';
      return { targets: [{ kind: row.judgedBy, name }], mirroredName: name };
    }
    case "resource": {
      const uri = text("uri");
      if (uri === undefined) return '"params.uri" must be a string';
      return { targets: [resource(uri)], mirroredName: uri };
    }
    case "task": {
      const taskId = text("taskId");
      if (taskId === undefined) return '"params.taskId" must be a string';
      return { targets: [{ kind: "task", name: taskId }], mirroredName: taskId };
    }
    case "ref":
      return readCompletion(document, params);
    case "subscriptions":
      return readSubscriptions(document, params);
  }
}

function withinBounds(named: Named | string): Named | string {
  if (typeof named === "string") return named;
  const targets = named.targets ?? [];
  if (targets.length > MAX_TARGETS) {
    return `A message must not name more than ${MAX_TARGETS} things`;
  }
  const isLong = targets.some(({ name }) => name.length > MAX_NAMED_CHARS);
  if (isLong) return `A name must not be longer than ${MAX_NAMED_CHARS} characters`;
  const total = targets.reduce((sum, { name }) => sum + name.length, 0);
  return total > MAX_NAMED_TOTAL_CHARS
    ? `All names together must not be longer than ${MAX_NAMED_TOTAL_CHARS} characters`
    : named;
}

function readCompletion(document: JsonDocument, params: number): Named | string {
  const ref = document.member(params, "ref");
  const type = document.string(document.member(ref, "type"));
  const name = document.string(document.member(ref, "name"));
  const uri = document.string(document.member(ref, "uri"));
  let target: Target;
  // A reference of one type that also has the other's key is read as either by someone.
  if (type === "ref/prompt" && name && document.member(ref, "uri") === NONE) {
    target = { kind: "prompt", name };
  } else if (type === "ref/resource" && uri && document.member(ref, "name") === NONE) {
    target = resource(uri);
  } else return '"params.ref" must name one prompt or one resource';
  const values = new Map<string, string>();
  const context = document.member(document.member(params, "context"), "arguments");
  for (const child of document.children(context)) {
    const value = document.string(child);
    if (value !== undefined) values.set(document.name(child), value);
  }
  const argument = document.string(
    document.member(document.member(params, "argument"), "name"),
  );
  return { targets: [target], completion: { ref: target, argument, values } };
}

function readSubscriptions(document: JsonDocument, params: number): Named | string {
  const notifications = document.member(params, "notifications");
  if (document.kind(notifications) !== "object") return '"params.notifications" must be an object';
  const targets: Target[] = [];
  for (const child of document.children(notifications)) {
    const name = document.name(child);
    const kind = document.kind(child);
    if (name === "resourceSubscriptions" || name === "taskIds") {
      if (kind !== "array") return `"params.notifications.${name}" must be an array`;
      for (const element of document.children(child)) {
        const value = document.string(element);
        if (!value) return `"params.notifications.${name}" must hold strings`;
        targets.push(name === "taskIds" ? { kind: "task", name: value } : resource(value));
      }
    } else if (SWITCHES.has(name)) {
      if (kind !== "true" && kind !== "false") {
        return `"params.notifications.${name}" must be true or false`;
      }
    } else {
      // Another family of notifications, of an extension: like any unknown method.
      targets.push({ kind: "method", name: `subscriptions/listen:${name}` });
    }
  }
  return { targets };
}

function resource(uri: string): Target {
  return { kind: "resource", name: uri };
}

const SWITCHES = new Set(["toolsListChanged", "promptsListChanged", "resourcesListChanged"]);
