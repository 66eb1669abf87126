import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";

import {
  type CertificateIdentity,
  CertificateReader,
} from "../../../src/identity/client_certificate.ts";
import { loadX509 } from "../../../src/identity/x509_library.ts";

const NOT_BEFORE = Date.UTC(2026, 0, 1);
const NOT_AFTER = Date.UTC(2027, 0, 1);
const CLIENT = ["1.3.6.1.5.5.7.3.2"];

type Subject = readonly Readonly<Record<string, readonly string[]>>[];

async function certificateOf(
  subject: Subject,
  usages: readonly string[] | undefined = CLIENT,
): Promise<Uint8Array> {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: subject.map((part) =>
      Object.fromEntries(Object.entries(part).map(([type, values]) => [type, [...values]]))
    ),
    notBefore: new Date(NOT_BEFORE),
    notAfter: new Date(NOT_AFTER),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys,
    extensions: usages.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...usages])],
  });
  return new Uint8Array(certificate.rawData);
}

async function read(subject: Subject, usages?: readonly string[]): Promise<CertificateIdentity> {
  return await new CertificateReader().read(await certificateOf(subject, usages));
}

test("CertificateReader takes the common name as the user, organizations as groups", async () => {
  const cases: readonly (readonly [Subject, string, readonly string[]])[] = [
    [[{ CN: ["alice"] }], "alice", []],
    [[{ O: ["dev"] }, { O: ["ops team"] }, { CN: ["alice"] }], "alice", ["dev", "ops team"]],
    [[{ C: ["DE"] }, { O: ["dev", "dev"] }, { OU: ["x"] }, { CN: ["alice"] }], "alice", ["dev"]],
    [[{ CN: ["Jörg Müller"], O: ["a+b=c"] }], "Jörg Müller", ["a+b=c"]],
  ];
  let ran = 0;
  for (const [subject, user, groups] of cases) {
    assert.deepEqual(await read(subject), { user, groups, validUntilMs: NOT_AFTER });
    ran++;
  }
  assert.equal(ran, 4);
});

test("CertificateReader refuses a subject that could be read in two ways", async () => {
  const cases: readonly (readonly [Subject, RegExp])[] = [
    [[{ O: ["dev"] }], /0 common names/],
    [[{ CN: ["alice"] }, { CN: ["bob"] }], /2 common names/],
    [[{ CN: ["alice", "bob"] }], /2 common names/],
    [[{ CN: ["alice\nCN=admin"] }], /common name/],
    [[{ CN: ["alice\0"] }], /common name/],
    [[{ CN: ["alice\u202e"] }], /common name/],
    [[{ CN: ["alice,O=admin"] }], /common name/],
    [[{ CN: ["a".repeat(257)] }], /common name/],
    [[{ CN: ["alice"] }, { O: ["dev\nCN=admin"] }], /organization/],
    [[{ CN: ["alice"] }, { O: ["dev,admin"] }], /organization/],
    [
      [{ CN: ["alice"] }, { O: Array.from({ length: 257 }, (_, index) => `o${index}`) }],
      /more than 256/,
    ],
  ];
  let ran = 0;
  for (const [subject, reason] of cases) {
    const result = await read(subject);
    assert.match("problem" in result ? result.problem : "", reason);
    ran++;
  }
  assert.equal(ran, 11);
});

test("CertificateReader refuses a certificate that is for something else", async () => {
  const subject = [{ CN: ["alice"] }];
  const server = ["1.3.6.1.5.5.7.3.1"];
  const any = ["2.5.29.37.0"];

  assert.ok("problem" in await read(subject, server));
  assert.ok("problem" in await read(subject, any));
  assert.ok("user" in await read(subject, [...server, ...CLIENT]));
  assert.ok("user" in await read(subject, []));
});

test("CertificateReader refuses bytes that are not a certificate", async () => {
  const whole = await certificateOf([{ CN: ["alice"] }]);
  const cases = [new Uint8Array(), new Uint8Array([0x30, 0x80]), whole.subarray(0, 100)];
  let ran = 0;
  for (const der of cases) {
    assert.deepEqual(await new CertificateReader().read(der), {
      problem: "the certificate cannot be read",
    });
    ran++;
  }
  assert.equal(ran, 3);
});

test("CertificateReader answers at once for a certificate it has seen", async () => {
  const reader = new CertificateReader();
  const der = await certificateOf([{ CN: ["alice"] }]);
  const first = reader.read(der);
  assert.ok(first instanceof Promise);
  const identity = await first;

  assert.deepEqual(reader.read(Uint8Array.from(der)), identity);
});
