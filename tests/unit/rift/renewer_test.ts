import assert from "node:assert/strict";
import { test } from "node:test";

import {
  type CertifiedKey,
  makeCa,
  makeLeaf,
  makeLeafFor,
  readCertificate,
} from "../../../src/identity/certificate.ts";
import { derOfPem } from "../../../src/identity/pem.ts";
import { isRenewalProof } from "../../../src/identity/renewal.ts";
import { CLOCK_SKEW_MS } from "../../../src/identity/tunnel_ca.ts";
import type { LogFields, Logger } from "../../../src/log.ts";
import { renewalDueMs, type RenewalLink, Renewer } from "../../../src/rift/renewer.ts";
import type { RenewedMaterial } from "../../../src/rift/rift_options.ts";
import type { Connection } from "../../../src/transport/transport.ts";
import type { Renewed, RenewRefused } from "../../../src/wire/control.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";

const START_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
/** Twelve hours: due with four left, or three at the latest. */
const LIFETIME_MS = 12 * HOUR_MS;
const MINUTE_MS = 60_000;

type Answer = Renewed | RenewRefused | undefined;

test("renewalDueMs() is between a third and a quarter of the lifetime before the end", () => {
  const facts = { notBeforeMs: START_MS - CLOCK_SKEW_MS, notAfterMs: START_MS + LIFETIME_MS };

  assert.equal(renewalDueMs(facts, 0), START_MS + 8 * HOUR_MS);
  assert.equal(renewalDueMs(facts, 1), START_MS + 9 * HOUR_MS);
  assert.equal(renewalDueMs({ notBeforeMs: 5, notAfterMs: 6 }, 1), 6);
});

test("Renewer asks when a third of the life is left, with a proof for its serial number", async () => {
  const { clock, link, renewer, certificateFor, kept } = await setUp();
  const before = renewer.tls;
  renewer.use(link);

  clock.advance(8 * HOUR_MS - 1);
  const early = link.asked.length;
  clock.advance(1);
  const asked = link.asked[0]!;
  link.answer(await certificateFor(asked.publicKey));
  await kept.next();

  assert.equal(early, 0);
  assert.ok(isRenewalProof({ ...asked, serial: readCertificate(before.certPem)!.serial }));
  assert.notEqual(renewer.tls, before);
  assert.equal(renewer.tls.caPem, before.caPem);
  assert.equal(kept.all[0]?.certPem, renewer.tls.certPem);
  assert.equal(kept.all[0]?.keyPem, renewer.tls.keyPem);
  assert.equal(kept.all[0]?.expiresAtMs, START_MS + 20 * HOUR_MS);
});

test("Renewer goes on with the renewed credential, and renews that too", async () => {
  const { clock, link, renewer, certificateFor, kept } = await setUp();
  renewer.use(link);

  for (let count = 0; count < 5; count++) {
    clock.advance(8 * HOUR_MS);
    assert.equal(link.asked.length, count + 1);
    link.answer(await certificateFor(link.asked[count]!.publicKey));
    await kept.next();
  }

  assert.equal(readCertificate(renewer.tls.certPem)?.notAfterMs, START_MS + 52 * HOUR_MS);
});

test("Renewer asks at once over a connection that comes late", async () => {
  const { clock, link, renewer } = await setUp();
  renewer.use(link);
  renewer.use(undefined);
  clock.advance(10 * HOUR_MS);
  const without = link.asked.length;

  renewer.use(link);

  assert.equal(without, 0);
  assert.equal(link.asked.length, 1);
});

test("Renewer waits a minute and more after a failure, longer each time, and never asks twice at once", async () => {
  const { clock, link, renewer, log } = await setUp();
  renewer.use(link);
  clock.advance(8 * HOUR_MS);
  clock.advance(10 * MINUTE_MS);
  const atOnce = link.asked.length;
  const failures: readonly [Answer, number][] = [
    [undefined, 1],
    [refused("Busy", 0), 2],
    [refused("Busy", 7 * MINUTE_MS), 7],
    [{ type: "renewed", certificate: Uint8Array.of(1) }, 8],
  ];
  let waited = 0;

  for (const [answer, minutes] of failures) {
    const asked = link.asked.length;
    link.answer(answer);
    await settled();
    clock.advance(minutes * MINUTE_MS - 1);
    assert.equal(link.asked.length, asked, `before ${minutes} minutes`);
    clock.advance(1);
    assert.equal(link.asked.length, asked + 1, `after ${minutes} minutes`);
    waited++;
  }

  assert.equal(atOnce, 1);
  assert.equal(waited, 4);
  assert.equal(log.warnings.length, 4);
  assert.equal(link.closed, 1);
});

test("Renewer warns once, with the date and the remedy, when it cannot be renewed", async () => {
  const cases: readonly [boolean, Answer, RegExp][] = [
    [false, undefined, /not support/],
    [true, refused("This credential was rotated", undefined), /rotated/],
  ];
  let warned = 0;

  for (const [renewable, answer, reason] of cases) {
    const { clock, link, renewer, log } = await setUp();
    link.renewable = renewable;
    renewer.use(link);
    clock.advance(8 * HOUR_MS);
    link.answer(answer);
    await settled();
    clock.advance(HOUR_MS);
    renewer.use(link);
    await settled();

    assert.equal(log.warnings.length, 1);
    const fields = log.warnings[0]!;
    assert.match(String(fields["reason"]), reason);
    assert.equal(fields["ends"], new Date(START_MS + LIFETIME_MS).toISOString());
    assert.match(String(fields["remedy"]), /mcptun token rotate laptop/);
    assert.equal(link.asked.length, renewable ? 1 : 0);
    warned++;
  }

  assert.equal(warned, 2);
});

test("Renewer warns once of an early end, and asks no more", async () => {
  const { clock, link, renewer, log } = await setUp();
  renewer.use(link);
  const endsMs = START_MS + HOUR_MS;

  renewer.endsEarly({ endsMs, reason: "The credential was rotated" });
  renewer.endsEarly({ endsMs, reason: "The credential was rotated" });
  clock.advance(9 * HOUR_MS);

  assert.deepEqual(log.warnings.map(({ reason, ends }) => [reason, ends]), [
    ["The credential was rotated", new Date(endsMs).toISOString()],
  ]);
  assert.match(String(log.warnings[0]?.["remedy"]), /token file/);
  assert.equal(link.asked.length, 0);
});

test("Renewer drops the answer for a credential that another has replaced meanwhile", async () => {
  const { clock, link, renewer, certificateFor, kept, log, other } = await setUp();
  renewer.use(link);
  clock.advance(8 * HOUR_MS);

  renewer.replace(other);
  link.answer(await certificateFor(link.asked[0]!.publicKey));
  await settled();

  assert.equal(renewer.tls, other);
  assert.equal(kept.all.length, 0);
  assert.equal(log.warnings.length, 0);
});

test("Renewer keeps the new credential in use when it cannot be kept elsewhere", async () => {
  const { clock, link, renewer, certificateFor, kept, log } = await setUp();
  const before = renewer.tls;
  kept.fails = true;
  renewer.use(link);
  clock.advance(8 * HOUR_MS);

  link.answer(await certificateFor(link.asked[0]!.publicKey));
  await kept.next();
  await settled();

  assert.notEqual(renewer.tls, before);
  assert.equal(log.warnings.length, 1);
});

test("Renewer does nothing without a certificate that it can read, and sets no timer after the end", async () => {
  const { clock, link, renewer, stop } = await setUp();
  const log = new TestLog();
  const { signal } = new AbortController();
  const blind = new Renewer({
    tls: { caPem: "", certPem: "", keyPem: "" },
    clock,
    log,
    random: () => 0,
    signal,
  });
  blind.use(link);
  const pending = clock.pending;
  renewer.use(link);
  stop.abort();

  assert.equal(pending, 0);
  assert.equal(clock.pending, 0);
  assert.equal(log.warnings.length, 0);
});

/** A connection whose edge is the test. */
class TestLink implements RenewalLink {
  renewable = true;
  readonly asked: { readonly publicKey: Uint8Array; readonly proof: Uint8Array }[] = [];
  closed = 0;
  #answer: ((answer: Answer) => void) | undefined;
  // Only closing it is asked for.
  readonly connection = { close: () => this.closed++ } as unknown as Connection;

  renew(publicKey: Uint8Array, proof: Uint8Array): Promise<Answer> {
    this.asked.push({ publicKey, proof });
    return new Promise((resolve) => this.#answer = resolve);
  }

  answer(answer: Answer): void {
    this.#answer?.(answer);
  }
}

class TestLog implements Logger {
  readonly warnings: LogFields[] = [];
  debug(): void {}
  info(): void {}
  warn(_message: string, fields: LogFields = {}): void {
    this.warnings.push(fields);
  }
  error(): void {}
  child(): Logger {
    return this;
  }
}

/** What `onRenewed` was given. */
class Kept {
  readonly all: RenewedMaterial[] = [];
  fails = false;
  #heard = 0;
  #wake: (() => void) | undefined;

  readonly take = (material: RenewedMaterial): void => {
    this.all.push(material);
    this.#wake?.();
    if (this.fails) throw new Error("disk full");
  };

  async next(): Promise<void> {
    while (this.all.length === this.#heard) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    this.#heard++;
  }
}

let ca: Promise<CertifiedKey> | undefined;

async function setUp() {
  const clock: FakeClock = fakeClock(START_MS);
  ca ??= makeCa("test CA", {
    notBeforeMs: START_MS - CLOCK_SKEW_MS,
    notAfterMs: START_MS + 1_000 * HOUR_MS,
  });
  const issuer = await ca;
  const facts = () => ({
    commonName: "laptop",
    usage: "client" as const,
    notBeforeMs: clock.wallNow() - CLOCK_SKEW_MS,
    notAfterMs: clock.wallNow() + LIFETIME_MS,
  });
  const pair = await makeLeaf(issuer, facts());
  const other = { caPem: issuer.certPem, ...await makeLeaf(issuer, facts()) };
  const kept = new Kept();
  const log = new TestLog();
  const stop = new AbortController();
  const renewer = new Renewer({
    tls: { caPem: issuer.certPem, ...pair },
    clock,
    log,
    random: () => 0,
    onRenewed: kept.take,
    signal: stop.signal,
  });
  const certificateFor = async (publicKey: Uint8Array): Promise<Renewed> => ({
    type: "renewed",
    certificate: derOfPem(
      "CERTIFICATE",
      await makeLeafFor(issuer, { ...facts(), publicKey }),
    )!,
  });
  return { clock, link: new TestLink(), renewer, certificateFor, kept, log, stop, other };
}

function refused(reason: string, retryAfterMs: number | undefined): RenewRefused {
  return { type: "renew_refused", reason, retryAfterMs };
}

/** Everything that waits for no timer has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
