/**
 * Bodies of the answers that the edge gives instead of the private server.
 *
 * A denial looks as if what was asked for did not exist (2026-07-28, server/tools, resources and
 * pagination; basic, "Error codes"). The request's id is echoed as its own text. Codes are those of
 * JSON-RPC and of the specification: none of our own between -32020 and -32099, which it reserves.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import type { ClientMessage, Target } from "./client_message.ts";
import type { Refusal } from "./classify.ts";
import type { Era } from "./methods.ts";

/** A whole answer. */
export interface RpcAnswer {
  readonly httpStatus: number;
  /** JSON-RPC code; of a batch, that of its first denial. */
  readonly code: number;
  readonly body: Buffer;
}

/** A denial, for one message. */
export interface Denial {
  readonly era: Era;
  readonly message: Pick<ClientMessage, "kind" | "id">;
  /** The target that was denied. */
  readonly target: Target;
  /** Absent: hide. Else what the caller is told; the words of the deciding layer, no patterns. */
  readonly explain?: { readonly layer: string; readonly rule: string };
}

/** The answer to a denied request or notification. */
export function denialAnswer(denial: Denial): RpcAnswer {
  const { era, message, target, explain } = denial;
  if (message.kind !== "request") {
    // Nobody waits for an answer to it, and its body has no id.
    const text = explain === undefined ? "Not accepted" : explanation(target, explain);
    return answer(403, { id: undefined, code: -32600, message: text });
  }
  const { httpStatus, code, message: text, data } = hidden(era, target);
  const id = message.id?.raw ?? "null";
  if (explain === undefined) return answer(httpStatus, { id, code, message: text, data });
  const shown = { ...(data as object | undefined), denied: explain };
  return answer(httpStatus, { id, code, message: explanation(target, explain), data: shown });
}

/**
 * The answer to a batch of which something was denied: nothing of it is executed, and each request
 * gets an error. `undefined` is a message that was not denied itself.
 */
export function batchDenialAnswer(
  messages: readonly { readonly message: Denial["message"]; readonly denial: Denial | undefined }[],
): RpcAnswer {
  let code: number | undefined;
  const errors = messages.flatMap(({ message, denial }) => {
    if (message.kind !== "request") return [];
    if (denial !== undefined) {
      const denied = denialAnswer(denial);
      code ??= denied.code;
      return [denied.body.toString()];
    }
    const text = "Not executed, because another message of the batch was not accepted";
    return [rpcError({ id: message.id?.raw ?? "null", code: -32600, message: text }).toString()];
  });
  // Notifications alone: there is nobody to answer.
  if (errors.length === 0) {
    return answer(403, { id: undefined, code: -32600, message: "Not accepted" });
  }
  const body = Buffer.from(`[${errors.join(",")}]`);
  return { httpStatus: 200, code: code ?? -32600, body };
}

/** The answer to a request that was refused before policy. */
export function refusalAnswer(refusal: Refusal): RpcAnswer {
  const { httpStatus, id, code, message, data } = refusal;
  return answer(httpStatus, { id, code, message, data });
}

/** What a JSON-RPC error says. `id` is its JSON text; `undefined` leaves it out. */
export interface RpcError {
  readonly id: string | undefined;
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** The body of a JSON-RPC error. */
export function rpcError({ id, code, message, data }: RpcError): Buffer {
  const error = JSON.stringify(data === undefined ? { code, message } : { code, message, data });
  // The id goes in as text: a big integer stays what it was.
  const middle = id === undefined ? "" : `"id":${id},`;
  return Buffer.from(`{"jsonrpc":"2.0",${middle}"error":${error}}`);
}

interface Hidden {
  readonly httpStatus: number;
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** What a server says of a thing that it does not have. */
function hidden(era: Era, { kind, name }: Target): Hidden {
  switch (kind) {
    case "tool":
      return { httpStatus: 200, code: -32602, message: `Unknown tool: ${name}` };
    case "prompt":
      return { httpStatus: 200, code: -32602, message: `Unknown prompt: ${name}` };
    case "resource": {
      const code = era === "modern" ? -32602 : -32002;
      return { httpStatus: 200, code, message: "Resource not found", data: { uri: name } };
    }
    case "task":
      return { httpStatus: 200, code: -32602, message: "Task not found" };
    case "method":
      return {
        httpStatus: era === "modern" ? 404 : 200,
        code: -32601,
        message: "Method not found",
      };
  }
}

/** `rule` is the deciding list, or the word of the reason (`src/policy/decide.ts`). */
function explanation({ kind, name }: Target, { layer, rule }: { layer: string; rule: string }) {
  // "no" layer: it was denied before any was asked.
  const by = layer === "no" ? "" : ` by the ${layer} layer`;
  return `Denied${by} (${rule}): ${kind} ${JSON.stringify(name)}`;
}

function answer(httpStatus: number, error: RpcError): RpcAnswer {
  return { httpStatus, code: error.code, body: rpcError(error) };
}
