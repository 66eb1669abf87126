import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";

import { pinoLogger, type PinoLoggerOptions } from "../../../src/runtime/pino_log.ts";

const HOSTILE = "a\nb\r\u001b[31m\u009b2J\u0000\u007f\u2028\u202e\u200b\u{e0041}\ud800 \u0085";

test("pinoLogger() writes text as one readable line", () => {
  const { log, lines } = logger({ level: "info", format: "text" });

  log.info("rift connected", {
    tunnel: "code-server",
    attempt: 2,
    first: true,
    skipped: undefined,
  });

  assert.equal(lines().length, 1);
  assert.match(
    lines()[0]!,
    /^\d\d:\d\d:\d\d\.\d{3} INFO  rift connected tunnel=code-server attempt=2 first=true$/,
  );
});

test("pinoLogger() aligns the level names in text", () => {
  const { log, lines } = logger({ level: "debug", format: "text" });

  log.debug("m");
  log.info("m");
  log.warn("m");
  log.error("m");

  assert.deepEqual(lines().map((line) => line.slice(13)), [
    "DEBUG m",
    "INFO  m",
    "WARN  m",
    "ERROR m",
  ]);
});

test("pinoLogger() quotes text values that would be ambiguous", () => {
  const { log, lines } = logger({ level: "info", format: "text" });

  log.info("m", {
    a: "two words",
    b: "",
    c: "x=y",
    d: 'say "hi"',
    e: "back\\slash",
    f: "plain/é:1",
  });

  assert.ok(
    lines()[0]!.endsWith(
      String.raw`m a="two words" b="" c="x=y" d="say \"hi\"" e="back\\slash" f=plain/é:1`,
    ),
    lines()[0],
  );
});

test("pinoLogger() writes JSON lines with ISO time and level names", () => {
  const { log, lines } = logger({ level: "info", format: "json" });

  log.warn("upstream away", { tunnel: "t", waitMs: 10 });

  const { time, ...rest } = JSON.parse(lines()[0]!);
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, { level: "warn", tunnel: "t", waitMs: 10, msg: "upstream away" });
});

for (const format of ["text", "json"] as const) {
  test(`pinoLogger() keeps hostile text inert in ${format}`, () => {
    const { log, lines, output } = logger({ level: "info", format });

    log.info(HOSTILE, { value: HOSTILE, [HOSTILE]: "key" });

    assert.equal(lines().length, 1);
    assert.doesNotMatch(output().slice(0, -1), /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    assert.ok(output().endsWith("\n"));
  });

  test(`pinoLogger() drops what is below its level in ${format}`, () => {
    const { log, lines } = logger({ level: "warn", format });

    log.debug("no");
    log.info("no");
    log.child({ a: 1 }).info("no");
    log.warn("yes");

    assert.equal(lines().length, 1);
  });

  test(`pinoLogger() does not read format characters in messages in ${format}`, () => {
    const { log, lines } = logger({ level: "info", format });

    log.info("100%s %d %j", { a: "%s" });

    assert.ok(lines()[0]!.includes("100%s %d %j"));
  });
}

test("pinoLogger() gives back hostile values unchanged to a JSON reader", () => {
  const { log, lines } = logger({ level: "info", format: "json" });
  const value = HOSTILE.replace("\ud800", ""); // a lone surrogate has no UTF-8 form

  log.info("m", { value });

  assert.equal(JSON.parse(lines()[0]!).value, value);
});

test("child() adds fields, the nearest value wins, no key comes twice", () => {
  const { log, lines } = logger({ level: "info", format: "json" });

  log.child({ a: 1, b: 1 }).child({ b: 2, c: 2 }).info("m", { c: 3 });

  const { a, b, c } = JSON.parse(lines()[0]!);
  assert.deepEqual({ a, b, c }, { a: 1, b: 2, c: 3 });
  assert.equal(lines()[0]!.match(/"[bc]":/g)?.length, 2);
});

test("pinoLogger() keeps its own members apart from fields of the same name", () => {
  const { log, lines } = logger({ level: "info", format: "json" });

  log.child({ time: "a" }).info("m", { level: "b", msg: "c" });

  const event = JSON.parse(lines()[0]!);
  assert.deepEqual([event.level, event.msg], ["info", "m"]);
  assert.deepEqual([event.time_, event.level_, event.msg_], ["a", "b", "c"]);
});

function logger(options: Omit<PinoLoggerOptions, "destination">) {
  let text = "";
  const destination = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return {
    log: pinoLogger({ ...options, destination }),
    output: () => text,
    lines: () => text.split("\n").slice(0, -1),
  };
}
