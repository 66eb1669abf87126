import assert from "node:assert/strict";
import { appendFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";

import { readTrail } from "../../../src/audit/read_trail.ts";
import type { TrailNote } from "../../../src/audit/trail_reader.ts";
import { AUDIT_FOLLOW_MS } from "../../../src/limits.ts";
import { recordLine, textOfLines } from "../../support/audit_lines.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";
import { queryOf, TrailFolder } from "../../support/trail_folder.ts";

let trail: TrailFolder;
let stop: AbortController;
beforeEach(() => {
  trail = new TrailFolder();
  stop = new AbortController();
});
afterEach(() => {
  stop.abort();
  trail.close();
});

const lineOf = (number: number) => recordLine({ exchange: `x${number}` });
const text = (...numbers: readonly number[]) => textOfLines(numbers.map(lineOf));

/** Follows the trail; `look` lets it look once, until it waits again, and gives what it found. */
class Follower {
  readonly notes: TrailNote[] = [];
  waits = 0;
  readonly #clock: FakeClock & { waiting(): Promise<void> };
  readonly #done: Promise<void>;
  #found: string[] = [];

  constructor(last?: number) {
    this.#clock = watchedClock();
    this.#done = this.#run(last);
  }

  async look(): Promise<string[]> {
    this.#clock.advance(AUDIT_FOLLOW_MS);
    await this.#clock.waiting();
    const found = this.#found;
    this.#found = [];
    return found;
  }

  async end(): Promise<void> {
    stop.abort();
    await this.#done;
  }

  async #run(last: number | undefined): Promise<void> {
    const batches = readTrail(queryOf(trail.path, {
      mode: "follow",
      clock: this.#clock,
      signal: stop.signal,
      onNote: (note) => this.notes.push(note),
      onWait: () => this.waits++,
      ...(last === undefined ? {} : { last: { count: last, counts: () => true } }),
    }));
    for await (const lines of batches) {
      for (const line of lines) this.#found.push(/"x(\d+)"/.exec(String(line))![1]!);
    }
  }
}

/** A clock that tells when somebody waits. */
function watchedClock(): FakeClock & { waiting(): Promise<void> } {
  const clock = fakeClock();
  let told: (() => void) | undefined;
  return {
    ...clock,
    get pending() {
      return clock.pending;
    },
    setTimer(delayMs, fire, hold) {
      const timer = clock.setTimer(delayMs, fire, hold);
      told?.();
      return timer;
    },
    waiting: () =>
      new Promise((resolve) => {
        told = resolve;
        if (clock.pending > 0) resolve();
      }),
  };
}

test("new lines come as they are written, whole ones only", async () => {
  trail.write([text(1, 2, 3)]);
  const follower = new Follower(2);

  assert.deepEqual(await follower.look(), ["2", "3"]);
  appendFileSync(trail.path, text(4).slice(0, 30));
  assert.deepEqual(await follower.look(), []);
  appendFileSync(trail.path, text(4).slice(30) + text(5));
  assert.deepEqual(await follower.look(), ["4", "5"]);
  await follower.end();
  assert.deepEqual(follower.notes, []);
});

test("with no lines from before, only new ones come", async () => {
  trail.write([text(1, 2)]);
  const follower = new Follower(0);

  assert.deepEqual(await follower.look(), []);
  appendFileSync(trail.path, text(3));
  assert.deepEqual(await follower.look(), ["3"]);
  await follower.end();
});

test("a rotation loses nothing, also what is written to the old file after it", async () => {
  trail.write([text(1)]);
  const follower = new Follower();
  assert.deepEqual(await follower.look(), ["1"]);

  appendFileSync(trail.path, text(2));
  renameSync(trail.path, trail.rotated(1));
  appendFileSync(trail.rotated(1), text(3));
  assert.deepEqual(await follower.look(), ["2", "3"]);
  // There is no new file yet: the writer may still have the old one.
  appendFileSync(trail.rotated(1), text(4));
  assert.deepEqual(await follower.look(), ["4"]);
  writeFileSync(trail.path, text(6));
  assert.deepEqual(await follower.look(), []);
  // It was seen, and the old one gets a last look.
  appendFileSync(trail.rotated(1), text(5));
  assert.deepEqual(await follower.look(), ["5", "6"]);
  appendFileSync(trail.path, text(7));
  assert.deepEqual(await follower.look(), ["7"]);
  await follower.end();
  assert.deepEqual(follower.notes, []);
});

test("several rotations between two looks lose nothing", async () => {
  trail.write([text(1)]);
  const follower = new Follower();
  assert.deepEqual(await follower.look(), ["1"]);

  for (let number = 2; number <= 5; number++) {
    renameSync(trail.path, trail.rotated(number));
    writeFileSync(trail.path, text(number));
  }

  const found = [...await follower.look(), ...await follower.look(), ...await follower.look()];
  const rest = [...await follower.look(), ...await follower.look(), ...await follower.look()];
  assert.deepEqual([...found, ...rest], ["2", "3", "4", "5"]);
  await follower.end();
  assert.deepEqual(follower.notes, []);
});

test("a file that was cut is read from its start again, and that is told", async () => {
  trail.write([text(1, 2)]);
  const follower = new Follower();
  assert.deepEqual(await follower.look(), ["1", "2"]);

  truncateSync(trail.path, 0);
  appendFileSync(trail.path, text(3));

  assert.deepEqual(await follower.look(), ["3"]);
  await follower.end();
  assert.deepEqual(follower.notes, [{ kind: "truncated", file: trail.path }]);
});

test("a file that was replaced is followed, and that lines may be missing is told", async () => {
  trail.write([text(1)]);
  const follower = new Follower();
  assert.deepEqual(await follower.look(), ["1"]);

  // Written before the old one goes, so that it is another file for sure.
  writeFileSync(`${trail.path}.new`, text(2));
  renameSync(`${trail.path}.new`, trail.path);

  const found = [...await follower.look(), ...await follower.look()];
  assert.deepEqual(found, ["2"]);
  await follower.end();
  assert.deepEqual(follower.notes, [{ kind: "gap", file: trail.path }]);
});

test("a file that is not there yet is waited for, and read from its start", async () => {
  const follower = new Follower(1);

  assert.deepEqual(await follower.look(), []);
  assert.deepEqual(await follower.look(), []);
  writeFileSync(trail.path, text(1, 2));
  assert.deepEqual(await follower.look(), ["1", "2"]);
  await follower.end();
  assert.equal(follower.waits, 1);
});

test("a file that is gone for a while is followed when it is back", async () => {
  trail.write([text(1)]);
  const follower = new Follower();
  assert.deepEqual(await follower.look(), ["1"]);

  rmSync(trail.path);
  assert.deepEqual(await follower.look(), []);
  writeFileSync(trail.path, text(2));

  const found = [...await follower.look(), ...await follower.look()];
  assert.deepEqual(found, ["2"]);
  await follower.end();
});
