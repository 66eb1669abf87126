import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { MEMBER_ID_MS } from "../../../src/limits.ts";
import { MemberIds } from "../../../src/transport/quic/member_id.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const CA = pem("one CA");

test("a rift's id is known to the edge of its CA, whatever the spelling of the PEM", () => {
  const id = new MemberIds(CA).make(NOW_MS);

  assert.equal(id.length, 20);
  assert.equal(new MemberIds(CA).check(id, NOW_MS), true);
  assert.equal(new MemberIds(`note\r\n${CA.replaceAll("\n", "\r\n")}`).check(id, NOW_MS), true);
  assert.notDeepEqual(new MemberIds(CA).make(NOW_MS), id);
});

test("an id of another CA, made up, changed, cut or out of its time is a stranger's", () => {
  const ids = new MemberIds(CA);
  const id = ids.make(NOW_MS);
  const strangers = [
    new MemberIds(pem("other CA")).make(NOW_MS),
    new MemberIds("").make(NOW_MS),
    randomBytes(20),
    new Uint8Array(20),
    new Uint8Array(0),
    id.subarray(0, 19),
    Buffer.concat([id, Buffer.from([0])]),
    ...Array.from(id, (_, at) => id.map((byte, index) => index === at ? byte ^ 1 : byte)),
  ];
  let ran = 0;
  for (const stranger of strangers) {
    assert.equal(ids.check(stranger, NOW_MS), false);
    ran += 1;
  }

  assert.equal(ran, 27);
  assert.equal(ids.check(id, NOW_MS + MEMBER_ID_MS), true);
  assert.equal(ids.check(id, NOW_MS + MEMBER_ID_MS + 1_000), false);
  assert.equal(ids.check(id, NOW_MS - MEMBER_ID_MS - 1_000), false);
});

/** Text in the form of a certificate: nothing reads what is inside. */
function pem(text: string): string {
  const body = Buffer.from(text).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
}
