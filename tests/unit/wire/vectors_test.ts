import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { encodeControl } from "../../../src/wire/control.ts";
import type { ControlMessage } from "../../../src/wire/control.ts";
import { ControlReader } from "../../../src/wire/control_reader.ts";
import { encodeRequestHead, encodeResponseHead } from "../../../src/wire/head.ts";
import type { RequestHead, ResponseHead } from "../../../src/wire/head.ts";
import { requestHeadReader, responseHeadReader } from "../../../src/wire/head.ts";
import { Cursor, varintText } from "../../../src/wire/varint.ts";

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly value?: unknown;
  readonly error?: string;
  readonly decodeOnly?: boolean;
  readonly kind?: "request" | "response";
}

interface Format {
  readonly file: string;
  readonly count: number;
  decode(bytes: Uint8Array, vector: Vector): unknown;
  encode(value: unknown, vector: Vector): Uint8Array;
}

const FORMATS: readonly Format[] = [
  {
    file: "varint",
    count: 18,
    decode: (bytes) => new Cursor(bytes).varint(),
    encode: (value) => Buffer.from(varintText(value as number), "latin1"),
  },
  {
    file: "control",
    count: 63,
    decode: (bytes) => new ControlReader().push(bytes)[0] ?? null,
    // A JSON file cannot say `undefined`; an absent member means it.
    encode: (value) => encodeControl(withBytes(value) as ControlMessage),
  },
  {
    file: "head",
    count: 39,
    decode: (bytes, { kind }) =>
      (kind === "request" ? requestHeadReader() : responseHeadReader()).push(bytes)?.head,
    encode: (value, { kind }) =>
      kind === "request"
        ? encodeRequestHead(value as RequestHead)
        : encodeResponseHead(value as ResponseHead),
  },
];

for (const { file, count, decode, encode } of FORMATS) {
  test(`${file} vectors hold in both directions`, () => {
    const vectors = load(file);
    let checked = 0;

    for (const vector of vectors) {
      const bytes = Buffer.from(vector.hex, "hex");
      if (vector.error === undefined) {
        assert.deepEqual(plain(decode(bytes, vector)), vector.value, vector.name);
        if (vector.decodeOnly !== true) {
          const encoded = Buffer.from(encode(vector.value, vector)).toString("hex");
          assert.equal(encoded, vector.hex, vector.name);
        }
      } else {
        assert.throws(() => decode(bytes, vector), hasCode(vector.error), vector.name);
      }
      checked += 1;
    }

    assert.equal(checked, count);
  });
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof TunnelError && error.code === code;
}

/** As in the file, where bytes are `"hex:"` and their digits. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(
    value,
    (_, member: unknown) =>
      member instanceof Uint8Array ? HEX + Buffer.from(member).toString("hex") : member,
  ));
}

function withBytes(value: unknown): unknown {
  return Object.fromEntries(
    Object.entries(value as object).map(([key, member]) => [
      key,
      typeof member === "string" && member.startsWith(HEX)
        ? Uint8Array.from(Buffer.from(member.slice(HEX.length), "hex"))
        : member,
    ]),
  );
}

const HEX = "hex:";

/** Found from the root of the repository, where every runner starts. */
function load(file: string): readonly Vector[] {
  return JSON.parse(readFileSync(`tests/vectors/wire/${file}.json`, "utf8")) as Vector[];
}
