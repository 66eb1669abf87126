// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import fc from "fast-check";

import { publicKeyOfText } from "../../src/audit/signing_key.ts";
import { verifyTrail } from "../../src/audit/verify.ts";
import type { VerifyReport } from "../../src/audit/verify_report.ts";
import { readAuditState } from "../../src/cli/audit_setup.ts";
import { auditFolder } from "../support/audit_fixture.ts";
import { recordOf } from "../support/audit_records.ts";

/** A trail of three files, with signatures in between, a restart and a torn line of a crash. */
interface Sample {
  readonly files: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly lines: readonly string[][];
  verify(
    files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
    knows: "key and head" | "key",
  ): Promise<VerifyReport>;
}

let sample: Sample;
const cleanups: (() => Promise<void>)[] = [];

after(async () => {
  for (const run of cleanups) await run();
});

before(async () => {
  sample = await makeSample();
});

test("the sample is intact", async () => {
  const report = await sample.verify(sample.files, "key and head");

  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(sample.files.length, 3);
  assert.equal(report.unsignedLines, 0);
  assert.deepEqual(report.notes.map(({ code }) => code).sort(), ["no_clean_exit", "torn"]);
});

test("any change of any byte is found", async () => {
  const total = sample.files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: total - 1 }),
      fc.integer({ min: 1, max: 255 }),
      async (at, xor) => {
        const changed = sample.files.map(({ name, bytes }) => ({ name, bytes: bytes.slice() }));
        let rest = at;
        const file = changed.find(({ bytes }) =>
          rest < bytes.length || (rest -= bytes.length) < 0
        )!;
        file.bytes[rest]! ^= xor;

        const report = await sample.verify(changed, "key and head");

        assert.equal(report.verdict, "damaged", `${file.name} ${rest}`);
      },
    ),
    { numRuns: 150 },
  );
});

test("any range of bytes that is taken out, doubled or put elsewhere is found", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: 2 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 1, max: 3_000 }),
      fc.constantFrom("out", "double", "swap"),
      async (index, place, length, how) => {
        const changed = [...sample.files];
        const { name, bytes } = changed[index]!;
        const at = Math.floor(place * (bytes.length - 1));
        const [head, part, tail] = [
          bytes.slice(0, at),
          bytes.slice(at, at + length),
          bytes.slice(at + length),
        ];
        const parts = how === "out"
          ? [head, tail]
          : how === "double"
          ? [head, part, part, tail]
          : [part, head, tail];
        if (how === "swap" && at === 0) return;
        changed[index] = { name, bytes: joined(parts) };

        const report = await sample.verify(changed, "key and head");

        assert.equal(report.verdict, "damaged", `${how} ${name} ${at} ${length}`);
      },
    ),
    { numRuns: 75 },
  );
});

test("every change of one line has its name, with file and line", async () => {
  const cases: [string, (lines: string[]) => string[], string, number][] = [
    [
      "a member is edited",
      (lines) => replaced(lines, 4, /"bytes_in":\d+/, '"bytes_in":9'),
      "edited",
      5,
    ],
    ["a hash is edited", (lines) => replaced(lines, 4, /"prev":"./, '"prev":"!'), "edited", 5],
    ["a line is garbage", (lines) => lines.with(4, "garbage"), "edited", 5],
    ["a line is gone", (lines) => lines.toSpliced(4, 1), "deleted", 5],
    ["three lines are gone", (lines) => lines.toSpliced(4, 3), "deleted", 5],
    ["two lines change places", (lines) => swapped(lines, 4, 5), "reordered", 5],
    ["a line is there twice", (lines) => lines.toSpliced(5, 0, lines[4]!), "added", 6],
    ["the first line is gone", (lines) => lines.slice(1), "start_missing", 1],
    ["the end is gone", (lines) => lines.slice(0, -2), "truncated", 0],
    ["the end is gone up to a signature", (lines) => lines.slice(0, -20), "truncated", 0],
  ];
  let tried = 0;
  for (const [what, change, code, line] of cases) {
    const lines = change(sample.lines[0]!);
    const bytes = new TextEncoder().encode(`${lines.join("\n")}\n`);
    const changed = [{ name: sample.files[0]!.name, bytes }, ...sample.files.slice(1)];

    const report = await sample.verify(changed, "key");

    const [first] = report.problems;
    assert.equal(first?.code, code, `${what}: ${JSON.stringify(report.problems)}`);
    assert.equal(first.line, line === 0 ? lines.length + 1 : line, `${what}: ${first.text}`);
    assert.ok(first.file?.endsWith(sample.files[0]!.name), what);
    tried++;
  }
  assert.equal(tried, 10);
});

test("a file that is gone has a name, and so has the end of the trail", async () => {
  const [first, second, third] = sample.files;
  const codes = async (files: typeof sample.files, knows: "key and head" | "key") =>
    (await sample.verify(files, knows)).problems.map(({ code }) => code);

  assert.deepEqual(await codes([first!, third!], "key"), ["file_missing"]);
  assert.deepEqual(await codes([second!, third!], "key"), ["file_missing"]);
  assert.deepEqual(await codes([first!, second!], "key"), []);
  assert.deepEqual(await codes([first!, second!], "key and head"), ["truncated"]);
  const last = sample.lines[2]!;
  const at = last.findLastIndex((line, index) =>
    index < last.length - 1 && /"checkpoint"/.test(line)
  );
  const cut = new TextEncoder().encode(`${last.slice(0, at + 1).join("\n")}\n`);
  const cutFiles = [first!, second!, { name: third!.name, bytes: cut }];
  assert.deepEqual(await codes(cutFiles, "key and head"), ["truncated"]);
  const withoutHead = await sample.verify(cutFiles, "key");
  assert.equal(withoutHead.end, "open");
});

async function makeSample(): Promise<Sample> {
  const { open, folder, path, stateDir } = await auditFolder({
    after: (run) => void cleanups.push(run),
  });
  const settings = { rotateBytes: 24_000, checkpointRecords: 7 };
  const first = await open(settings);
  for (let number = 0; number < 20; number++) first.write(recordOf(number));
  await first.flush();
  // A crash: the files as they are, half a line, and the lock of a process that is gone.
  const torn = await readFile(path);
  const state = await readFile(join(stateDir, "audit-head.json"));
  await first.close();
  const half = new TextEncoder().encode('{"v":1,"type":"exchange","time":"2027-01-');
  await writeFile(path, joined([torn, half]));
  await writeFile(join(stateDir, "audit-head.json"), state);
  const second = await open(settings);
  for (let number = 20; number < 60; number++) {
    second.write(recordOf(number));
    await second.flush();
  }
  await second.close();

  const names = (await readdir(folder)).filter((name) => /^audit.*\.jsonl$/.test(name)).sort();
  const files = await Promise.all(
    names.map(async (name) => ({
      name,
      bytes: new Uint8Array(await readFile(join(folder, name))),
    })),
  );
  const known = await readAuditState(stateDir, path);
  const key = publicKeyOfText(known.key!.spki)!;
  let count = 0;
  return {
    files,
    lines: files.map(({ bytes }) => new TextDecoder().decode(bytes).split("\n").slice(0, -1)),
    async verify(files, knows) {
      const place = join(folder, `changed-${count++}`);
      await mkdir(place);
      for (const { name, bytes } of files) await writeFile(join(place, name), bytes);
      try {
        return await verifyTrail({
          source: { trail: join(place, "audit.jsonl") },
          trust: { keys: [key], ids: [] },
          head: knows === "key" ? undefined : known.head,
          signal: new AbortController().signal,
        });
      } finally {
        await rm(place, { recursive: true });
      }
    },
  };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function replaced(lines: string[], index: number, pattern: RegExp, by: string): string[] {
  const line = lines[index]!.replace(pattern, by);
  assert.notEqual(line, lines[index]);
  return lines.with(index, line);
}

function swapped(lines: string[], a: number, b: number): string[] {
  return lines.with(a, lines[b]!).with(b, lines[a]!);
}
