/**
 * What the scanner kept of a JSON text: a tree of byte ranges over the unchanged bytes.
 *
 * A node is a number. `NONE` is "no such node", and every question about it has the empty answer.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

/** What a value is. */
export const KIND = {
  object: 0,
  array: 1,
  string: 2,
  number: 3,
  true: 4,
  false: 5,
  null: 6,
} as const;

/** The name of a kind. */
export type Kind = keyof typeof KIND;

/** Where a node's fields are in the array of integers. */
export const NODE = {
  kind: 0,
  start: 1,
  end: 2,
  nameStart: 3,
  nameEnd: 4,
  next: 5,
  first: 6,
  flags: 7,
  stride: 8,
  nameEscaped: 1,
  valueEscaped: 2,
} as const;

/** No such node. */
export const NONE = -1;

const KINDS = Object.keys(KIND) as Kind[];

/** A part of the bytes; `end` is after the last one. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A text that was accepted. The bytes must not change while it is in use. */
export class JsonDocument {
  readonly bytes: Buffer;
  readonly #nodes: readonly number[];
  /** The whole value. */
  readonly root = 0;
  /** How many nodes were kept. */
  readonly size: number;

  constructor(bytes: Buffer, nodes: readonly number[]) {
    this.bytes = bytes;
    this.#nodes = nodes;
    this.size = nodes.length / NODE.stride;
  }

  /** What the value is; `undefined` for `NONE`. */
  kind(node: number): Kind | undefined {
    return node < 0 ? undefined : KINDS[this.#nodes[node + NODE.kind]!];
  }

  /** First byte of the value. */
  start(node: number): number {
    return this.#nodes[node + NODE.start]!;
  }

  /** After the last byte of the value. */
  end(node: number): number {
    return this.#nodes[node + NODE.end]!;
  }

  /** The value's bytes as a range. */
  range(node: number): ByteRange {
    return { start: this.start(node), end: this.end(node) };
  }

  /** First byte of the member, the quote of its name; of an element, of the value. */
  memberStart(node: number): number {
    const nameStart = this.#nodes[node + NODE.nameStart]!;
    return nameStart < 0 ? this.start(node) : nameStart - 1;
  }

  /** The container's first member or element that was kept. */
  first(node: number): number {
    return node < 0 ? NONE : this.#nodes[node + NODE.first]!;
  }

  /** The next member or element of the same container. */
  next(node: number): number {
    return this.#nodes[node + NODE.next]!;
  }

  /** The members or elements of a container, in order. */
  *children(node: number): Generator<number> {
    for (let child = this.first(node); child >= 0; child = this.next(child)) yield child;
  }

  /** The member `name` (ASCII) of an object; `NONE` when it is not there, or this is no object. */
  member(node: number, name: string): number {
    const nodes = this.#nodes;
    if (node < 0 || nodes[node + NODE.kind] !== KIND.object) return NONE;
    let child = nodes[node + NODE.first]!;
    for (; child >= 0; child = nodes[child + NODE.next]!) {
      // Most names differ in length already.
      const length = nodes[child + NODE.nameEnd]! - nodes[child + NODE.nameStart]!;
      if (length >= name.length && this.#isNamed(child, name)) return child;
    }
    return NONE;
  }

  /** The decoded name of a member; empty for an element. */
  name(node: number): string {
    const start = this.#nodes[node + NODE.nameStart]!;
    if (start < 0) return "";
    const text = this.bytes.toString("utf8", start, this.#nodes[node + NODE.nameEnd]!);
    const escaped = this.#nodes[node + NODE.flags]! & NODE.nameEscaped;
    return escaped === 0 ? text : JSON.parse(`"${text}"`) as string;
  }

  /** The source text of a value; empty for `NONE`. */
  text(node: number): string {
    if (node < 0) return "";
    return this.bytes.toString("utf8", this.start(node), this.end(node));
  }

  /** The decoded string; `undefined` for anything else. */
  string(node: number): string | undefined {
    if (this.kind(node) !== "string") return undefined;
    const text = this.bytes.toString("utf8", this.start(node) + 1, this.end(node) - 1);
    const escaped = this.#nodes[node + NODE.flags]! & NODE.valueEscaped;
    return escaped === 0 ? text : JSON.parse(`"${text}"`) as string;
  }

  /** Is the value the string `text` (ASCII)? */
  is(node: number, text: string): boolean {
    if (this.kind(node) !== "string") return false;
    if ((this.#nodes[node + NODE.flags]! & NODE.valueEscaped) !== 0) {
      return this.string(node) === text;
    }
    return this.#hasBytes(this.start(node) + 1, this.end(node) - 1, text);
  }

  #isNamed(node: number, name: string): boolean {
    if ((this.#nodes[node + NODE.flags]! & NODE.nameEscaped) !== 0) return this.name(node) === name;
    const start = this.#nodes[node + NODE.nameStart]!;
    return this.#hasBytes(start, this.#nodes[node + NODE.nameEnd]!, name);
  }

  #hasBytes(start: number, end: number, text: string): boolean {
    if (end - start !== text.length) return false;
    for (let index = 0; index < text.length; index++) {
      if (this.bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }
}
