/**
 * Ids of JSON-RPC: kept as source text, compared by type and value.
 *
 * @module
 */

import { MAX_RPC_ID_BYTES } from "../limits.ts";
import type { JsonDocument } from "./document.ts";

/** An id, or a progress token. */
export interface RpcId {
  /** The JSON text, to be echoed as it came. */
  readonly raw: string;
  /** Equal exactly for ids of the same type and value: `"1"` and `"\u0031"` are, `1` is not. */
  readonly key: string;
}

/**
 * The id at `node`: a string or an integer, at most `MAX_RPC_ID_BYTES` long.
 *
 * `undefined` for everything else, also for what JSON-RPC only advises against (null, fractions,
 * exponents), because two parsers may echo two different things for it.
 */
export function readRpcId(document: JsonDocument, node: number): RpcId | undefined {
  const kind = document.kind(node);
  if (kind !== "string" && kind !== "number") return undefined;
  if (document.end(node) - document.start(node) > MAX_RPC_ID_BYTES) return undefined;
  const raw = document.text(node);
  if (kind === "string") return { raw, key: `s:${document.string(node)}` };
  return INTEGER.test(raw) ? { raw, key: `n:${raw}` } : undefined;
}

/** No -0: it becomes 0 on the way through most parsers. */
const INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
