/**
 * Where each key of a TOML text stands.
 *
 * The parser reports positions of syntax errors only. This walks text that it has accepted, so it
 * needs no error handling of its own: it never decides what is valid, it only finds keys.
 *
 * @module
 */

/** One-based, as editors count. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A key path: names, and indices of array elements. */
export type KeyPath = readonly (string | number)[];

/** Finds keys in one text. */
export interface KeyLocator {
  /** The position of the key, or of its nearest enclosing table that is written down. */
  locate(path: KeyPath): Position;
}

/** Reads the positions of all keys in `toml`, which must be valid. */
export function locateKeys(toml: string): KeyLocator {
  const root = new Walk(toml).root;
  const lineStarts = [0];
  for (let at = toml.indexOf("\n"); at !== -1; at = toml.indexOf("\n", at + 1)) {
    lineStarts.push(at + 1);
  }
  return {
    locate(path) {
      let node: Node | undefined = root;
      let offset: number | undefined;
      for (const part of path) {
        node = node.inner?.get(part);
        if (node === undefined) break;
        offset = node.offset;
      }
      return offset === undefined ? { line: 1, column: 1 } : positionOf(offset, lineStarts);
    },
  };
}

/** One key or element, with what is below it; a tree, because files may have very many. */
interface Node {
  readonly offset: number;
  inner?: Map<string | number, Node>;
  /** Of a list of tables, how many have begun. */
  length?: number;
}

class Walk {
  readonly root: Node = { offset: 0 };
  readonly #toml: string;
  #at = 0;

  constructor(toml: string) {
    this.#toml = toml;
    let table = this.root;
    for (this.#skipBlank(); this.#at < toml.length; this.#skipBlank()) {
      if (toml[this.#at] === "[") table = this.#header();
      else this.#keyValue(table);
    }
  }

  #header(): Node {
    const many = this.#toml.startsWith("[[", this.#at);
    this.#at += many ? 2 : 1;
    const segments = this.#keySegments();
    this.#at += many ? 2 : 1;
    let node = this.root;
    for (const [index, { name, offset }] of segments.entries()) {
      node = below(node, name, offset);
      if (many && index === segments.length - 1) {
        const element = node.length ?? 0;
        node.length = element + 1;
        node = below(node, element, offset);
      } else if (node.length !== undefined) {
        node = below(node, node.length - 1, offset);
      }
    }
    return node;
  }

  #keyValue(table: Node): void {
    let node = table;
    for (const { name, offset } of this.#keySegments()) node = below(node, name, offset);
    this.#at++; // "="
    this.#skipBlank();
    this.#value(node);
  }

  #keySegments(): { name: string; offset: number }[] {
    const segments: { name: string; offset: number }[] = [];
    for (;;) {
      this.#skipBlank();
      const offset = this.#at;
      const quote = this.#toml[offset];
      if (quote === '"' || quote === "'") {
        this.#string();
        const inner = this.#toml.slice(offset + 1, this.#at - 1);
        segments.push({ name: quote === '"' ? unescape(inner) : inner, offset });
      } else {
        this.#at = this.#endOf(/[A-Za-z0-9_-]*/y);
        // The text is valid, so a bare key is never empty; this keeps the walk moving regardless.
        if (this.#at === offset) this.#at++;
        segments.push({ name: this.#toml.slice(offset, this.#at), offset });
      }
      this.#skipBlank();
      if (this.#toml[this.#at] !== ".") return segments;
      this.#at++;
    }
  }

  #value(node: Node): void {
    switch (this.#toml[this.#at]) {
      case '"':
      case "'":
        return this.#string();
      case "[":
        return this.#items("]", (index) => this.#value(below(node, index, this.#at)));
      case "{":
        return this.#items("}", () => this.#keyValue(node));
      default:
        this.#at = this.#endOf(/[^,\]}#\r\n]*/y);
    }
  }

  #items(close: string, item: (index: number) => void): void {
    this.#at++;
    for (let index = 0; this.#at < this.#toml.length; index++) {
      this.#skipBlank();
      if (this.#toml[this.#at] === close) break;
      item(index);
      this.#skipBlank();
      if (this.#toml[this.#at] === ",") this.#at++;
    }
    this.#at++;
  }

  #string(): void {
    const quote = this.#toml[this.#at]!;
    const triple = this.#toml.startsWith(quote.repeat(3), this.#at);
    const end = triple ? quote.repeat(3) : quote;
    this.#at += end.length;
    while (this.#at < this.#toml.length && !this.#toml.startsWith(end, this.#at)) {
      this.#at += quote === '"' && this.#toml[this.#at] === "\\" ? 2 : 1;
    }
    this.#at += end.length;
    // A multi-line string may end in one or two quotes of its own before the closing three.
    while (triple && this.#toml[this.#at] === quote) this.#at++;
  }

  #skipBlank(): void {
    this.#at = this.#endOf(/(?:[\s\uFEFF]|#[^\n]*)*/y);
  }

  #endOf(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#toml) ? pattern.lastIndex : this.#at;
  }
}

/** The key or element below a node; the place where it was first written stays. */
function below(node: Node, part: string | number, offset: number): Node {
  node.inner ??= new Map();
  let inner = node.inner.get(part);
  if (inner === undefined) {
    inner = { offset };
    node.inner.set(part, inner);
  }
  return inner;
}

function positionOf(offset: number, lineStarts: readonly number[]): Position {
  let low = 0;
  let high = lineStarts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (lineStarts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - lineStarts[low]! + 1 };
}

function unescape(inner: string): string {
  return inner.replace(
    /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))/g,
    (_, four?: string, eight?: string, two?: string, plain?: string) => {
      const hex = four ?? eight ?? two;
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      return ESCAPES[plain!] ?? plain!;
    },
  );
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  t: "\t",
  n: "\n",
  f: "\f",
  r: "\r",
  e: "\x1b",
};
