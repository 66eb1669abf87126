import assert from "node:assert/strict";
import { chmod, chown, copyFile, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";

import { type AuditFolder, auditFolder } from "../../support/audit_fixture.ts";
import { recordOf } from "../../support/audit_records.ts";
import { runIn } from "../../support/run_cli.ts";

test("a trail that is whole is intact by the key of the state directory", async (t) => {
  const { folder } = await written(t);

  const { code, stdout, stderr } = await runIn(folder, ["audit", "verify"]);

  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^intact: every line is what was written\n/);
  assert.match(stdout, /files {3}1, 20 records, \d+\.\d KiB\n/);
  assert.match(stdout, /signed {2}up to .*audit\.jsonl:25 \(.*\), to the end\n/);
  assert.match(stdout, /key {5}[\w-]{22}, trusted from state_dir\n/);
  assert.match(stdout, /end {5}the edge stopped in an orderly way\n$/);
});

test("the report is one line of JSON when asked for", async (t) => {
  const { folder } = await written(t);

  const { code, stdout } = await runIn(folder, ["audit", "verify", "--json"]);

  const report = JSON.parse(stdout);
  assert.equal(code, 0);
  assert.equal(stdout.split("\n").length, 2);
  assert.equal(report.verdict, "intact");
  assert.equal(report.records, 20);
  assert.equal(report.key_from, "state_dir");
  assert.deepEqual(report.problems, []);
});

test("a trail that was changed says where, and exits with 1", async (t) => {
  const { folder, path, lines } = await written(t);
  const changed = (await lines()).with(4, (await lines())[4]!.replace("alice", "mallory"));
  await writeFile(path, `${changed.join("\n")}\n`);

  const { code, stdout } = await runIn(folder, ["audit", "verify"]);

  assert.equal(code, 1);
  assert.ok(stdout.startsWith(`${path}:5: EDITED: it was changed `), stdout);
  assert.match(stdout, /\nDAMAGED: it is not what was written\n/);
});

test("a key that only the file names proves nothing, and one that is named does", async (t) => {
  const { folder, path, stateDir, lines } = await written(t);
  const id = JSON.parse((await lines())[0]!).key_id;
  await copyFile(join(stateDir, "audit-key.pub.pem"), join(folder, "key.pem"));
  await rm(join(folder, "mcptun.toml"));
  const run = (...more: string[]) => runIn(folder, ["audit", "verify", path, ...more]);

  const alone = await run();
  const byFile = await run("--key", "key.pem");
  const byId = await run("--key", id);
  const byOther = await run("--key", "A".repeat(22));

  assert.deepEqual([alone.code, byFile.code, byId.code, byOther.code], [1, 0, 0, 1]);
  assert.match(alone.stdout, /^UNPROVEN: /);
  assert.match(alone.stdout, /\(not trusted\): the file's own word; name the key with --key/);
  assert.match(byFile.stdout, /trusted from --key/);
  assert.match(byFile.stdout, /^intact: /);
  assert.match(byFile.stdout, /cut {5}it is not seen here if a later run .*: with --key, audit-h/);
  assert.match(alone.stdout, /cut {5}.*: no configuration names the state_dir, whose audit-head/);
  assert.match(byOther.stdout, /KEY_UNKNOWN: signed with key /);
});

test("a copy that was cut anywhere is intact only as far as it goes, and one that is whole is sure", async (t) => {
  const { folder, path, lines } = await written(t);
  const all = await lines();
  const state = async (kept: number) => {
    await writeFile(join(folder, "copy"), all.slice(0, kept).map((line) => `${line}\n`).join(""));
    return await runIn(folder, ["audit", "verify", "copy"]);
  };
  const at = all.findIndex((line, index) => index > 2 && line.includes('"type":"checkpoint"'));
  let tried = 0;
  for (const kept of [at + 1, at + 3]) {
    const { code, stdout } = await state(kept);

    assert.equal(code, 0, stdout);
    assert.match(stdout, /^intact as far as it goes: .* missing at the end cannot be told here\n/);
    assert.ok(stdout.includes(`audit-head.json of state_dir speaks of "${path}", and`), stdout);
    tried++;
  }
  const whole = await state(all.length);
  const json = JSON.parse((await runIn(folder, ["audit", "verify", "copy", "--json"])).stdout);

  assert.equal(tried, 2);
  assert.match(whole.stdout, /^intact: /);
  assert.doesNotMatch(whole.stdout, /^ +cut /m);
  assert.deepEqual([json.head, json.head_gap], ["known", null]);
});

test("a trail that was moved with its state directory says which path is known of it", async (t) => {
  const { folder, path, lines } = await written(t);
  const moved = join(folder, "moved.jsonl");
  const cut = (await lines()).slice(0, 10);
  await rename(path, moved);
  const text = '[edge]\nstate_dir = "state"\n[audit]\nfile = "moved.jsonl"\n';
  await writeFile(join(folder, "mcptun.toml"), text);

  const whole = await runIn(folder, ["audit", "verify"]);
  await writeFile(moved, `${cut.join("\n")}\n`);
  const json = JSON.parse((await runIn(folder, ["audit", "verify", "--json"])).stdout);
  await rm(join(folder, "state", "audit-head.json"));
  const absent = await runIn(folder, ["audit", "verify"]);

  assert.equal(whole.code, 0, whole.stderr);
  assert.doesNotMatch(whole.stdout, /^ +cut /m);
  assert.deepEqual([json.verdict, json.head, json.head_gap], ["intact", "unknown", {
    why: "other_path",
    path,
  }]);
  assert.match(
    absent.stdout,
    /: state_dir has no audit-head\.json, which says what was signed last/,
  );
});

test("a trail that is gone is damage when the edge had signed records of it", async (t) => {
  const { folder, path } = await written(t);
  await rm(path);

  const { code, stdout } = await runIn(folder, ["audit", "verify"]);
  await rm(join(folder, "state", "audit-head.json"));
  const unknown = await runIn(folder, ["audit", "verify"]);

  assert.equal(code, 1);
  assert.ok(stdout.startsWith(`${path}: FILE_MISSING: there is no file of this trail, `), stdout);
  assert.match(stdout, /has signed 20 records, up to file 1/);
  assert.match(stdout, /\nDAMAGED: /);
  assert.match(stdout, /end {5}there is no line\n/);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /no such file/);
});

test("a file that is no trail is refused as one", async (t) => {
  const { folder } = await written(t);
  await writeFile(join(folder, "user.toml"), '[[policy]]\nusers = ["*"]\n');
  await writeFile(join(folder, "empty.jsonl"), "");

  const other = await runIn(folder, ["audit", "verify", "user.toml"]);
  const empty = await runIn(folder, ["audit", "verify", "empty.jsonl"]);

  assert.equal(other.code, 2);
  assert.match(other.stderr, /user\.toml": it is not an audit trail of mcptun/);
  assert.equal(empty.code, 1);
  assert.match(empty.stdout, /^UNPROVEN: /);
  assert.match(empty.stdout, /end {5}there is no line\n/);
});

test("a trail that somebody wrote anew with a key of their own is found", async (t) => {
  const { folder, path } = await written(t);
  const forger = await auditFolder(t);
  const forged = await forger.open();
  for (let number = 0; number < 20; number++) forged.write(recordOf(number + 100));
  await forged.close();
  await rename(forger.path, path);

  const { code, stdout } = await runIn(folder, ["audit", "verify"]);

  assert.equal(code, 1);
  assert.match(stdout, /KEY_UNKNOWN/);
  assert.match(stdout, /trail: TRUNCATED: the edge has signed 20 records/);
});

test("wrong usage exits with 2 and says what to do", async (t) => {
  const { folder } = await auditFolder(t);
  await writeFile(join(folder, "empty"), "");
  const cases: [string[], RegExp, number][] = [
    [[], /there is no mcptun\.toml here \(name one with --config, or the files of the trail\)/, 2],
    [["a", "--key", "nowhere"], /Cannot use --key "nowhere": no such file, and no id of a key/, 2],
    [["a", "--key", "empty"], /it holds no Ed25519 public key in PEM/, 2],
    [["nowhere.jsonl"], /Cannot read ".*nowhere\.jsonl": no such file/, 2],
    [["."], /Cannot read ".*": it is a folder \(name the files in it\)/, 2],
  ];
  let tried = 0;
  for (const [argv, pattern, expected] of cases) {
    const { code, stderr } = await runIn(folder, ["audit", "verify", ...argv]);

    assert.equal(code, expected, stderr);
    assert.match(stderr, pattern);
    tried++;
  }
  assert.equal(tried, 5);
});

test("what stands in a file cannot steer the terminal", async (t) => {
  const { folder, path, lines } = await written(t);
  const key = "\u001b]0;owned\u0007".padEnd(22, "x");
  const changed = (await lines()).map((line) =>
    line.replace(/"key_id":"[^"]*"/, `"key_id":${JSON.stringify(key)}`)
  );
  await writeFile(path, `${changed.join("\n")}\n`);

  const text = await runIn(folder, ["audit", "verify"]);
  const json = await runIn(folder, ["audit", "verify", "--json"]);

  assert.equal(text.code, 1);
  assert.match(text.stdout, /^[ -~\n]*$/);
  assert.match(json.stdout, /^[ -~]*\n$/);
});

test("named files without the first ones are incomplete, and how much is missing is said", async (t) => {
  const { folder, path } = await rotated(t, {});
  const files = await trailFiles(folder);
  const state = async (named: readonly string[]) => {
    const { code, stdout } = await runIn(folder, ["audit", "verify", ...named]);
    return { code, stdout };
  };

  const whole = await state(files);
  const later = await state(files.slice(2));
  const json = JSON.parse((await state([...files.slice(2), "--json"])).stdout);
  await rm(files[0]!);
  const all = await state([]);

  assert.ok(files.length > 3, files.join());
  assert.equal(whole.code, 0, whole.stdout);
  assert.equal(later.code, 1);
  assert.match(later.stdout, /^.*:1: note: the trail begins with file 3: the first \d+ records /);
  assert.match(later.stdout, /not here; files 1 to 2 are not among the files that are checked, /);
  assert.match(later.stdout, /^INCOMPLETE: every line here is what was written, but /m);
  assert.equal(json.verdict, "incomplete");
  assert.equal(json.recordsBefore, JSON.parse((await firstLine(files[2]!))!).records);
  assert.equal(all.code, 1);
  assert.match(all.stdout, /FILE_MISSING: file 1 is missing/);
  assert.ok(files.includes(path));
});

test("files that retention has removed are a note, and the rest is intact", async (t) => {
  const { folder } = await rotated(t, { keepFiles: 1 });
  const files = await trailFiles(folder);

  const { code, stdout } = await runIn(folder, ["audit", "verify", ...files]);

  assert.equal(files.length, 2);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /note: the trail begins with .*; retention has removed the files before\n/);
  assert.match(stdout, /^intact: /m);
});

test("another user is told to use the public half of the key", {
  skip: process.platform === "win32" && "files have no owner there",
}, async (t) => {
  const { folder, stateDir, path } = await written(t);
  const key = join(stateDir, "audit-key.pem");
  await copyFile(join(stateDir, "audit-key.pub.pem"), join(folder, "pub.pem"));
  // Root may read everything, and is another user all the same.
  if (process.getuid!() === 0) await chown(key, 4242, 4242);
  else await chmod(key, 0);

  const { code, stderr } = await runIn(folder, ["audit", "verify"]);
  const byHalf = await runIn(folder, ["audit", "verify", path, "--key", "pub.pem"]);

  assert.equal(code, 2);
  assert.match(stderr, /audit-key\.pem": it is the edge's private key, and this process runs as /);
  assert.match(stderr, /give its public half with --key FILE: a copy of "audit-key\.pub\.pem"/);
  assert.doesNotMatch(stderr, /EACCES|chown/);
  assert.equal(byHalf.code, 0, byHalf.stderr);
});

test("one of a thing is told as one", async (t) => {
  const made = await auditFolder(t);
  const text = '[edge]\nstate_dir = "state"\n[audit]\nfile = "audit.jsonl"\n';
  await writeFile(join(made.folder, "mcptun.toml"), text);
  const audit = await made.open();
  audit.write(recordOf(1));
  await audit.flush();

  const one = await runIn(made.folder, ["audit", "verify"]);
  audit.write(recordOf(2));
  await audit.flush();
  const two = await runIn(made.folder, ["audit", "verify"]);

  assert.match(one.stdout, /files {3}1, 1 record, /);
  assert.match(one.stdout, /, the line behind it is not, and proves nothing yet\n/);
  assert.match(two.stdout, /files {3}1, 2 records, /);
  assert.match(two.stdout, /, the 2 lines behind it are not, and prove nothing yet\n/);
});

/** A trail of several files. */
async function rotated(
  t: Parameters<typeof auditFolder>[0],
  settings: { readonly keepFiles?: number },
): Promise<AuditFolder> {
  const made = await auditFolder(t);
  const text = '[edge]\nstate_dir = "state"\n[audit]\nfile = "audit.jsonl"\n';
  await writeFile(join(made.folder, "mcptun.toml"), text);
  const audit = await made.open({ rotateBytes: 5_000, ...settings });
  for (let number = 0; number < 40; number++) {
    audit.write(recordOf(number));
    await audit.flush();
  }
  await audit.close();
  return made;
}

/** Oldest first. */
async function trailFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /^audit.*\.jsonl$/.test(name));
  return names.sort().map((name) => join(folder, name));
}

async function firstLine(path: string): Promise<string | undefined> {
  return (await readFile(path, "utf8")).split("\n")[0];
}

/** A folder with a configuration, and a trail of 20 records that was closed. */
async function written(t: Parameters<typeof auditFolder>[0]): Promise<AuditFolder> {
  const made = await auditFolder(t);
  const text = '[edge]\nstate_dir = "state"\n[audit]\nfile = "audit.jsonl"\n';
  await writeFile(join(made.folder, "mcptun.toml"), text);
  const audit = await made.open({ checkpointRecords: 7 });
  for (let number = 0; number < 20; number++) audit.write(recordOf(number));
  await audit.close();
  assert.ok((await readFile(made.path)).length > 0);
  return made;
}
