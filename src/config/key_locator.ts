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
  const offsets = new Walk(toml).offsets;
  const lineStarts = [0];
  for (let at = toml.indexOf("\n"); at !== -1; at = toml.indexOf("\n", at + 1)) {
    lineStarts.push(at + 1);
  }
  return {
    locate(path) {
      for (let length = path.length; length > 0; length--) {
        const offset = offsets.get(JSON.stringify(path.slice(0, length)));
        if (offset !== undefined) return positionOf(offset, lineStarts);
      }
      return { line: 1, column: 1 };
    },
  };
}

class Walk {
  readonly offsets = new Map<string, number>();
  readonly #toml: string;
  readonly #lengths = new Map<string, number>();
  #at = 0;

  constructor(toml: string) {
    this.#toml = toml;
    let table: KeyPath = [];
    for (this.#skipBlank(); this.#at < toml.length; this.#skipBlank()) {
      if (toml[this.#at] === "[") table = this.#header();
      else this.#keyValue(table);
    }
  }

  #header(): KeyPath {
    const many = this.#toml.startsWith("[[", this.#at);
    this.#at += many ? 2 : 1;
    const segments = this.#keySegments();
    this.#at += many ? 2 : 1;
    let path: KeyPath = [];
    for (const [index, { name, offset }] of segments.entries()) {
      path = [...path, name];
      this.#record(path, offset);
      const id = JSON.stringify(path);
      const length = this.#lengths.get(id);
      if (many && index === segments.length - 1) {
        this.#lengths.set(id, (length ?? 0) + 1);
        path = [...path, length ?? 0];
        this.#record(path, offset);
      } else if (length !== undefined) {
        path = [...path, length - 1];
      }
    }
    return path;
  }

  #keyValue(table: KeyPath): void {
    let path = table;
    for (const { name, offset } of this.#keySegments()) {
      path = [...path, name];
      this.#record(path, offset);
    }
    this.#at++; // "="
    this.#skipBlank();
    this.#value(path);
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

  #value(path: KeyPath): void {
    switch (this.#toml[this.#at]) {
      case '"':
      case "'":
        return this.#string();
      case "[":
        return this.#items("]", (index) => {
          this.#record([...path, index], this.#at);
          this.#value([...path, index]);
        });
      case "{":
        return this.#items("}", () => this.#keyValue(path));
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

  #record(path: KeyPath, offset: number): void {
    const id = JSON.stringify(path);
    if (!this.offsets.has(id)) this.offsets.set(id, offset);
  }
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
