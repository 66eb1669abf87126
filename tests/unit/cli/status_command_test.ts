import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Readable, Writable } from "node:stream";
import { after, test } from "node:test";

import type { AdminListener } from "../../../src/admin/admin_listener.ts";
import { adminSocket } from "../../../src/cli/admin_client.ts";
import type { Io } from "../../../src/cli/io.ts";
import { readProduct } from "../../../src/cli/product.ts";
import { openAdmin } from "../../../src/cli/open_admin.ts";
import { runCli } from "../../../src/cli/program.ts";
import { watchStatus } from "../../../src/cli/status_command.ts";
import { systemClock } from "../../../src/clock.ts";
import type { AdminConfig } from "../../../src/config/config.ts";
import { WATCH_MS } from "../../../src/limits.ts";
import { silentLogger } from "../../../src/log.ts";
import {
  askListener,
  edgeStatus,
  fakeSource,
  riftStatus,
  tunnelStatus,
} from "../../support/admin_fixture.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";

const UNIX = process.platform === "win32" ? { skip: "no Unix sockets" } : {};
const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function stateDir(): string {
  return mkdtempSync(join(folder, "s-"));
}

function startEdge(
  dir: string,
  source = fakeSource(),
  admin: AdminConfig = {},
): Promise<AdminListener> {
  return openAdmin({
    edge: { stateDir: dir },
    admin,
    source,
    clock: systemClock,
    log: silentLogger,
    signal: new AbortController().signal,
  });
}

class TextSink extends Writable {
  text = "";
  /** Called after each write. */
  onText: () => void = () => {};

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    this.text += new TextDecoder().decode(chunk);
    done();
    this.onText();
  }

  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) {
      await new Promise<void>((resolve) => this.onText = resolve);
    }
  }
}

class Terminal extends TextSink {
  readonly isTTY = true;
  readonly columns: number;
  readonly rows: number;

  constructor(columns: number, rows: number) {
    super();
    this.columns = columns;
    this.rows = rows;
  }
}

function ioTo(stdout: Writable, changes: Partial<Io> = {}): Io & { readonly stderr: TextSink } {
  return {
    stdin: Readable.from([]),
    env: {},
    cwd: folder,
    signal: new AbortController().signal,
    ...changes,
    stdout,
    stderr: new TextSink(),
  };
}

async function run(argv: readonly string[], stdout = new TextSink(), changes: Partial<Io> = {}) {
  const io = ioTo(stdout, changes);
  const code = await runCli(argv, io);
  return { code, stdout: stdout.text, stderr: io.stderr.text };
}

test("status prints tables, and with --json exactly what the edge answered", UNIX, async () => {
  const dir = stateDir();
  const edge = await startEdge(dir);

  const table = await run(["status", "--state-dir", dir]);
  const json = await run(["status", "--state-dir", dir, "--json"]);
  await edge.close();

  assert.deepEqual([table.code, json.code], [0, 0]);
  assert.match(table.stdout, /^edge gate\n[^]*\ncode-server +aware +edge +laptop /);
  assert.equal(table.stderr + json.stderr, "");
  assert.equal(json.stdout.split("\n").length, 2);
  const { tunnels, version } = JSON.parse(json.stdout);
  assert.deepEqual(tunnels, edgeStatus().tunnels);
  assert.equal(version, readProduct().version);
});

test(
  "the configured port asks for the token in the state directory; without one there is no token",
  UNIX,
  async () => {
    const bare = stateDir();
    await (await startEdge(bare)).close();
    assert.equal(existsSync(join(bare, "admin.token")), false);

    const dir = stateDir();
    const edge = await startEdge(dir, fakeSource(), { listen: "127.0.0.1:0" });
    const where = { url: edge.url! };
    const token = readFileSync(join(dir, "admin.token"), "utf8").trim();
    const stranger = await askListener(where, "/status");
    const operator = await askListener(where, "/status", {
      headers: { authorization: `Bearer ${token}` },
    });
    await edge.close();

    assert.deepEqual([stranger.status, operator.status], [401, 200]);
  },
);

test("the state directory comes from the configuration file", UNIX, async () => {
  const dir = stateDir();
  writeFileSync(join(dir, "mcptun.toml"), `[edge]\nstate_dir = ${JSON.stringify(dir)}\n`);
  const edge = await startEdge(dir);

  const { code, stdout } = await run(["status", "--config", join(dir, "mcptun.toml")]);
  await edge.close();

  assert.equal(code, 0);
  assert.match(stdout, /^edge gate\n/);
});

test("a file with mistakes does not keep the running edge from being asked", UNIX, async () => {
  const dir = stateDir();
  const config = join(dir, "mcptun.toml");
  writeFileSync(config, "[edge]\nlisen = 1\n");
  const edge = await startEdge(dir);

  const fromFile = await run(["status", "--config", config]);
  const named = await run(["status", "--config", config, "--state-dir", dir]);
  await edge.close();

  assert.equal(fromFile.code, 2);
  assert.match(fromFile.stderr, /--state-dir/);
  assert.equal(named.code, 0);
});

test("no edge is exit code 1 with what to do", async () => {
  const { code, stdout, stderr } = await run(["status", "--state-dir", stateDir()]);

  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(
    stderr,
    /^mcptun: No edge answers at ".*admin\.sock" \(start one with "mcptun edge"/,
  );
});

test("something else behind the socket is told, not a bug", UNIX, async () => {
  const answers = ["{}", "not json"];
  let ran = 0;
  for (const body of answers) {
    const dir = stateDir();
    const server = createServer((_request, response) => void response.end(body));
    await new Promise<void>((resolve) => server.listen(adminSocket(dir), resolve));

    const { code, stderr } = await run(["status", "--state-dir", dir]);
    server.close();

    assert.equal(code, 1);
    assert.match(stderr, /^mcptun: Cannot (read what|ask) the edge/);
    ran++;
  }
  assert.equal(ran, 2);
});

test("--watch refuses what is no time", async () => {
  let ran = 0;
  for (const time of ["soon", "0", "-1", "1y"]) {
    const { code, stderr } = await run(["status", `--watch=${time}`]);

    assert.equal(code, 2);
    assert.match(stderr, /^mcptun: --watch: /);
    ran++;
  }
  assert.equal(ran, 4);
});

test("a terminal gets its width and no color when NO_COLOR is set", UNIX, async () => {
  const dir = stateDir();
  const edge = await startEdge(dir);
  const argv = ["status", "--state-dir", dir];

  const styled = await run(argv, new Terminal(80, 24));
  const plain = await run(argv, new Terminal(80, 24), { env: { NO_COLOR: "1" } });
  const dumb = await run(argv, new Terminal(80, 24), { env: { TERM: "dumb" } });
  await edge.close();

  assert.match(styled.stdout, /\x1b\[1medge gate/);
  assert.doesNotMatch(plain.stdout + dumb.stdout, /\x1b/);
  assert.match(plain.stdout, /Not shown at this width: URL/);
});

test(
  "--watch redraws in place, survives a restart of the edge, and ends with 0",
  UNIX,
  async () => {
    const dir = stateDir();
    const terminal = new Terminal(80, 24);
    const watch = startWatch(dir, terminal);
    await terminal.until(/No edge; waiting/);

    const first = await startEdge(dir);
    await watch.next(/edge gate/);
    await first.close();
    terminal.text = "";
    await watch.next(/No edge; waiting/);
    const second = await startEdge(dir, fakeSource({ edgeId: "gate-2" }));
    await watch.next(/edge gate-2/);
    assert.doesNotMatch(terminal.text, /\x1b\[2J/);
    assert.match(terminal.text, /\x1b\[H/);
    watch.stop.abort();
    await watch.ended;
    await second.close();

    assert.ok(terminal.text.endsWith("\x1b[?25h"));
    assert.equal(watch.io.stderr.text, "");
  },
);

test("--watch shows no more lines than the terminal has", UNIX, async () => {
  const dir = stateDir();
  const rifts = Array.from({ length: 40 }, (_, at) => riftStatus({ connection: `c${at}` }));
  const edge = await startEdge(dir, fakeSource({ tunnels: [tunnelStatus({ rifts })] }));
  const terminal = new Terminal(80, 20);
  const watch = startWatch(dir, terminal);

  await terminal.until(/more lines/);
  watch.stop.abort();
  await watch.ended;
  await edge.close();

  assert.equal(terminal.text.split("\n").length, 20);
});

test("--watch on a pipe appends, and tells once that no edge is there", UNIX, async () => {
  const dir = stateDir();
  const out = new TextSink();
  const watch = startWatch(dir, out);
  await watch.io.stderr.until(/waiting: No edge answers/);

  const edge = await startEdge(dir);
  await watch.next(/edge gate[^]*HEALTHY/);
  await watch.next(/edge gate[^]*edge gate/);
  watch.stop.abort();
  await watch.ended;
  await edge.close();

  assert.doesNotMatch(out.text, /\x1b/);
  assert.equal(watch.io.stderr.text.match(/waiting/g)?.length, 1);
});

/** A watch on a clock that stands still between looks. */
function startWatch(dir: string, stdout: TextSink) {
  const clock: FakeClock = fakeClock();
  const stop = new AbortController();
  const io = ioTo(stdout, { signal: stop.signal });
  const ended = watchStatus({ io, stateDir: dir, format: "table", clock }, WATCH_MS);
  return {
    io,
    stop,
    ended,
    /** Looks again, as often as it takes: the timer is set a turn after the lines are out. */
    async next(pattern: RegExp): Promise<void> {
      const seen = stdout.until(pattern);
      let done = false;
      void seen.then(() => done = true);
      while (!done) {
        clock.advance(WATCH_MS);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}
