import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";

import {
  isIssuedBy,
  isKeyOf,
  makeCa,
  makeLeaf,
  readCertificate,
} from "../../../src/identity/certificate.ts";
import { derOfPem } from "../../../src/identity/pem.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const VALIDITY = { notBeforeMs: NOW_MS - 60_000, notAfterMs: NOW_MS + 86_400_000 };

test("makeCa() makes a CA that may sign leaves only", async () => {
  const ca = await makeCa("some CA", VALIDITY);

  const der = Buffer.from(derOfPem("CERTIFICATE", ca.certPem)!).toString("hex");
  // basicConstraints, critical, CA:TRUE, pathlen 0; keyUsage, critical, keyCertSign and cRLSign.
  assert.match(der, /0603551d130101ff0408300?6?0101ff020100/);
  assert.match(der, /0603551d0f0101ff040403020106/);
  assert.deepEqual(readCertificate(ca.certPem), {
    commonName: "some CA",
    serial: readCertificate(ca.certPem)!.serial,
    isCa: true,
    dnsName: undefined,
    ...VALIDITY,
  });
  assert.ok(isIssuedBy(ca.certPem, ca.certPem));
  assert.ok(isKeyOf(ca.keyPem, ca.certPem));
});

test("makeLeaf() makes a server certificate with its DNS name and usage", async () => {
  const ca = await makeCa("some CA", VALIDITY);

  const leaf = await makeLeaf(ca, {
    ...VALIDITY,
    commonName: "edge",
    usage: "server",
    dnsName: "edge",
  });

  const facts = readCertificate(leaf.certPem)!;
  assert.equal(facts.dnsName, "edge");
  assert.equal(facts.isCa, false);
  const der = Buffer.from(derOfPem("CERTIFICATE", leaf.certPem)!).toString("hex");
  assert.match(der, /06082b06010505070301/, "serverAuth, 1.3.6.1.5.5.7.3.1");
  assert.doesNotMatch(der, /06082b06010505070302/, "clientAuth");
  assert.match(der, /0603551d0f0101ff040403020780/, "keyUsage digitalSignature");
});

test("makeLeaf() makes a client certificate without a DNS name", async () => {
  const ca = await makeCa("some CA", VALIDITY);

  const leaf = await makeLeaf(ca, { ...VALIDITY, commonName: "my.rift-1", usage: "client" });

  const facts = readCertificate(leaf.certPem)!;
  assert.equal(facts.commonName, "my.rift-1");
  assert.equal(facts.dnsName, undefined);
  const der = Buffer.from(derOfPem("CERTIFICATE", leaf.certPem)!).toString("hex");
  assert.match(der, /06082b06010505070302/);
  assert.ok(isIssuedBy(leaf.certPem, ca.certPem));
  assert.ok(isKeyOf(leaf.keyPem, leaf.certPem));
  assert.match(leaf.keyPem, /^-----BEGIN PRIVATE KEY-----\n/);
});

test("makeLeaf() gives each certificate a positive 128-bit serial of its own", async () => {
  const ca = await makeCa("some CA", VALIDITY);
  const serials = new Set<string>();

  for (let count = 0; count < 20; count++) {
    const leaf = await makeLeaf(ca, { ...VALIDITY, commonName: "a", usage: "client" });
    serials.add(readCertificate(leaf.certPem)!.serial);
  }

  assert.equal(serials.size, 20);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9a-f]{31}$/);
});

test("isIssuedBy() and isKeyOf() refuse the certificate and key of someone else", async () => {
  const ca = await makeCa("same name", VALIDITY);
  const other = await makeCa("same name", VALIDITY);
  const leaf = await makeLeaf(ca, { ...VALIDITY, commonName: "a", usage: "client" });

  assert.equal(isIssuedBy(leaf.certPem, other.certPem), false);
  assert.equal(isIssuedBy(leaf.certPem, leaf.certPem), false);
  assert.equal(isKeyOf(other.keyPem, leaf.certPem), false);
  assert.equal(isKeyOf("garbage", leaf.certPem), false);
  assert.equal(isKeyOf(leaf.keyPem, "garbage"), false);
});

test("readCertificate() gives undefined for anything that is not one certificate", async () => {
  const ca = await makeCa("some CA", VALIDITY);
  const der = derOfPem("CERTIFICATE", ca.certPem)!;
  const bad: (string | Uint8Array)[] = [
    "",
    "garbage",
    ca.keyPem,
    ca.certPem + ca.certPem,
    ca.certPem.replace(/[A-Za-z]/g, "A"),
    new Uint8Array(0),
    new Uint8Array(400),
    der.subarray(0, der.length - 1),
    Uint8Array.of(...der, 0),
  ];

  const read = bad.map((encoded) => readCertificate(encoded));

  assert.equal(read.length, 9);
  assert.ok(read.every((facts) => facts === undefined));
  assert.notEqual(readCertificate(der), undefined);
});

test("readCertificate() survives every flipped byte of a certificate", async () => {
  const der = derOfPem("CERTIFICATE", (await makeCa("some CA", VALIDITY)).certPem)!;
  let tried = 0;

  for (let at = 0; at < der.length; at++) {
    const damaged = Uint8Array.from(der);
    damaged[at] = damaged[at]! ^ 0xff;
    readCertificate(damaged);
    tried++;
  }

  assert.equal(tried, der.length);
});

test("making certificates leaves the global Reflect as it was", async () => {
  await makeCa("some CA", VALIDITY);

  assert.equal("getMetadata" in Reflect, false);
  assert.equal("defineMetadata" in Reflect, false);
});

test("makeCa() output is read by the runtime as PEM", async () => {
  const ca = await makeCa("some CA", VALIDITY);

  const certificate = new X509Certificate(ca.certPem);

  assert.equal(certificate.subject, "CN=some CA");
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
});
