/**
 * Fields of a payload: `key varint, length varint, value` (docs/wire-protocol.md, section 4).
 *
 * An odd key is critical: who does not know it refuses the message. An even one is ignored. A list
 * is the same key several times.
 *
 * @module
 */

import { MAX_CONTROL_FIELDS } from "../limits.ts";
import { isCritical } from "./frame.ts";
import { Cursor, protocolError, varintText } from "./varint.ts";

/** One field as a binary string; `value` is one too. */
export function fieldText(key: number, value: string): string {
  return varintText(key) + varintText(value.length) + value;
}

/** The fields of one payload, by key. Values are views of the payload. */
export class Fields {
  readonly #what: string;
  readonly #values: Map<number, Uint8Array[]>;

  /**
   * Splits `payload`.
   *
   * @param known The keys this version knows.
   * @param what The message, for the error text.
   * @throws {TunnelError} `PROTOCOL_ERROR` for a field that is cut, too many of them, or a critical
   *   one that is not known.
   */
  constructor(payload: Uint8Array, known: readonly number[], what: string) {
    this.#what = what;
    this.#values = new Map();
    const cursor = new Cursor(payload);
    for (let count = 1; cursor.more; count++) {
      if (count > MAX_CONTROL_FIELDS) {
        throw protocolError(`Cannot accept ${what}: more than ${MAX_CONTROL_FIELDS} fields`);
      }
      const key = cursor.varint();
      const value = cursor.value();
      if (!known.includes(key)) {
        if (isCritical(key)) {
          throw protocolError(`Cannot accept ${what}: unknown critical field ${key}`);
        }
        continue;
      }
      const before = this.#values.get(key);
      if (before === undefined) this.#values.set(key, [value]);
      else before.push(value);
    }
  }

  /** The value of a field that may be absent. @throws {TunnelError} `PROTOCOL_ERROR` when twice. */
  optional(key: number): Uint8Array | undefined {
    const values = this.#values.get(key);
    if (values !== undefined && values.length > 1) {
      throw protocolError(`Cannot accept ${this.#what}: field ${key} is there twice`);
    }
    return values?.[0];
  }

  /** The value of a field that must be there once. @throws {TunnelError} `PROTOCOL_ERROR`. */
  required(key: number): Uint8Array {
    const value = this.optional(key);
    if (value === undefined) {
      throw protocolError(`Cannot accept ${this.#what}: field ${key} is missing`);
    }
    return value;
  }

  /** The values of a list. @throws {TunnelError} `PROTOCOL_ERROR` outside the two bounds. */
  list(key: number, least: number, most: number): readonly Uint8Array[] {
    const values = this.#values.get(key) ?? [];
    if (values.length < least || values.length > most) {
      throw protocolError(
        `Cannot accept ${this.#what}: ${values.length} times field ${key}, ` +
          `allowed are ${least} to ${most}`,
      );
    }
    return values;
  }
}

/** A value that is one integer. @throws {TunnelError} `PROTOCOL_ERROR` outside the two bounds. */
export function readInteger(value: Uint8Array, least: number, most: number, what: string): number {
  const cursor = new Cursor(value);
  const integer = cursor.varint();
  if (cursor.more || integer < least || integer > most) {
    throw protocolError(`Cannot accept ${what}: not an integer from ${least} to ${most}`);
  }
  return integer;
}
