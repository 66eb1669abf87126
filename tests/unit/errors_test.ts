import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  ERROR_TABLE,
  type ErrorCode,
  errorCodeOfQuic,
  type ErrorFacts,
  quicOf,
  TunnelError,
} from "../../src/errors.ts";

const FACTS = new Map<string, ErrorFacts>(Object.entries(ERROR_TABLE));
const CODES = Object.keys(ERROR_TABLE) as ErrorCode[];

/** The rows of the table in docs/errors.md, cell by cell. */
function documentedRows(): string[][] {
  return readFileSync("docs/errors.md", "utf8").split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

test("docs/errors.md has a row for every code, and the row says what the table says", () => {
  const rows = documentedRows();

  assert.deepEqual(rows.map(([code]) => code?.replaceAll("`", "")), [...FACTS.keys()]);
  assert.ok(FACTS.size >= 28);
  for (const [code, exit, retry, http, quic, sentence, advice] of rows) {
    const facts = FACTS.get(code?.replaceAll("`", "") ?? "");
    assert.ok(facts);
    assert.deepEqual([exit, retry, http, quic, sentence], [
      String(facts.exit),
      facts.retry ? "yes" : "no",
      facts.http === undefined ? "" : String(facts.http),
      facts.quic === undefined ? "" : `0x${facts.quic.toString(16).padStart(2, "0")}`,
      facts.sentence,
    ], code);
    assert.ok((advice ?? "").length > 10, `${code} says what to do`);
  }
});

test("every QUIC code belongs to one error, and leads back to it", () => {
  const traveling = CODES.filter((code) => FACTS.get(code)?.quic !== undefined);

  const numbers = new Set(traveling.map(quicOf));

  assert.equal(numbers.size, traveling.length);
  assert.ok(traveling.length >= 10);
  for (const code of traveling) assert.equal(errorCodeOfQuic(quicOf(code)), code);
});

test("quicOf() hides a code that never travels behind INTERNAL", () => {
  assert.equal(quicOf("CONFIG_INVALID"), ERROR_TABLE.INTERNAL.quic);
});

test("errorCodeOfQuic() does not know other numbers", () => {
  for (const number of [0x99, -1, 2 ** 40]) assert.equal(errorCodeOfQuic(number), undefined);
});

test("sentences say nothing but the fact: no path, no address, no final period", () => {
  for (const [code, { sentence }] of FACTS) {
    assert.match(sentence, /^[A-Z][A-Za-z ,'-]+[a-z]$/, code);
  }
});

test("statuses are errors, and 404 and 400 never mean a tunnel that is down", () => {
  for (const { http } of FACTS.values()) {
    if (http !== undefined) assert.ok(http >= 400 && http <= 503);
  }
  assert.equal(ERROR_TABLE.TUNNEL_OFFLINE.http, 503);
  assert.equal(ERROR_TABLE.UPSTREAM_UNREACHABLE.http, 502);
});

test("TunnelError keeps code, message and cause, and finds its facts", () => {
  const cause = new Error("refused");

  const error = new TunnelError("ADDRESS_IN_USE", 'Cannot listen on "127.0.0.1:80"', { cause });

  assert.equal(error.name, "TunnelError");
  assert.equal(error.code, "ADDRESS_IN_USE");
  assert.equal(error.message, 'Cannot listen on "127.0.0.1:80"');
  assert.equal(error.cause, cause);
  assert.equal(error.facts.exit, 1);
});
