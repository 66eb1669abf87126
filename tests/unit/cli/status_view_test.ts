import assert from "node:assert/strict";
import { test } from "node:test";

import { readStatusAnswer, type StatusAnswer } from "../../../src/cli/status_answer.ts";
import { statusLines } from "../../../src/cli/status_view.ts";
import { type AdminAudit, LATENCY_BOUNDS_MS } from "../../../src/admin/admin_source.ts";
import { edgeStatus, NOW_MS, riftStatus, tunnelStatus } from "../../support/admin_fixture.ts";

const WIDE = { width: Infinity, style: "plain", nowMs: NOW_MS } as const;

function answer(
  changes: Parameters<typeof edgeStatus>[0] = {},
  problems: readonly string[] = [],
  audit?: AdminAudit,
): StatusAnswer {
  const parsed = readStatusAnswer(JSON.parse(JSON.stringify({
    ...edgeStatus(changes),
    latencyBoundsMs: LATENCY_BOUNDS_MS,
    version: "0.1.0",
    runtime: "node 20.18.1",
    pid: 4711,
    config: { loadedAtMs: NOW_MS - 60_000, problems },
    audit,
  })));
  assert.ok(parsed !== undefined);
  return parsed;
}

test("without a width everything is shown", () => {
  assert.equal(
    statusLines(answer(), WIDE).join("\n"),
    `edge gate
running  mcptun 0.1.0, node 20.18.1, process 4711
up       1d 1h, since 2027-01-14 06:58 UTC
public   https://mcp.example.com
rifts    0.0.0.0:4443 (UDP), 8 packets of strangers dropped
clients  14 connections, 3 exchanges in flight
config   loaded 2027-01-15 07:59 UTC

TUNNEL       MODE         AUTH      RIFTS   IN FLIGHT  STREAMS  PER MIN  ERRORS    P50     P95  URL
code-server  aware        edge      laptop          3        2       42    2.0%  ≤25ms  ≤100ms  https://mcp.example.com/code-server/mcp
wiki         transparent  upstream  none            0        0        0       -      -       -  https://mcp.example.com/wiki/mcp

RIFT    REMOTE           SOFTWARE         UP  CREDENTIAL ENDS  IN FLIGHT  HEALTHY
laptop  192.0.2.7:50123  mcptun/0.1.0  1h 2m           in 28d          3  yes`,
  );
});

test("a terminal of 80 columns keeps what matters, and says what it leaves out", () => {
  const lines = statusLines(answer(), { ...WIDE, width: 80 });

  const text = lines.join("\n");
  for (const line of lines) assert.ok(line.length <= 80, line);
  assert.match(text, /^TUNNEL +MODE +RIFTS +IN FLIGHT +PER MIN +ERRORS +P50 +P95$/m);
  assert.match(text, /^Not shown at this width: URL, AUTH, STREAMS \(see --json\)$/m);
});

test("no line is longer than the terminal, whatever is in it", () => {
  const name = "n".repeat(63);
  const remote = "[2001:db8:1111:2222:3333:4444:5555:6666]:50123";
  const rift = riftStatus({ name, remote, software: "s".repeat(200) });
  const status = answer(
    {
      edgeId: "e".repeat(300),
      url: `https://${"u".repeat(250)}`,
      tunnels: [tunnelStatus({ name, url: "u".repeat(300), rifts: [rift, rift] })],
    },
    Array.from(
      { length: 9 },
      (_, at) => `mcptun.toml:${at}:1 ${"word ".repeat(40)}${"x".repeat(90)}`,
    ),
  );
  let ran = 0;
  for (let width = 40; width <= 200; width++) {
    const lines = statusLines(status, { ...WIDE, width });
    for (const line of lines) assert.ok(line.length <= width, `${width}: ${line}`);
    assert.ok(lines.some((line) => line.startsWith("TUNNEL")));
    assert.match(lines.join("\n"), /… and 4 more/);
    ran++;
  }
  assert.equal(ran, 161);
});

test("what a rift says about itself cannot steer the terminal", () => {
  const software = "x\x1b[2J\u202e\u009b1m\r\nforged é";
  const lines = statusLines(
    answer({ tunnels: [tunnelStatus({ rifts: [riftStatus({ software })] })] }),
    WIDE,
  );

  assert.doesNotMatch(lines.join(""), /[\x00-\x1f\x7f-\x9f\u202e]/);
  assert.match(lines.join("\n"), /x\\u\{1b\}\[2J\\u\{202e\}\\u\{9b\}1m\\u\{d\}\\u\{a\}forged/);
});

test("colors are for terminals, and take no width", () => {
  const plain = statusLines(answer(), { ...WIDE, width: 80 });
  const styled = statusLines(answer(), { ...WIDE, width: 80, style: "terminal" });

  assert.match(styled.join("\n"), /\x1b\[1medge gate\x1b\[22m/);
  assert.deepEqual(styled.map((line) => line.replace(/\x1b\[\d+m/g, "")), plain);
});

test("a refused file is told with its problems", () => {
  const text = statusLines(answer({}, ["mcptun.toml:3:1 edge.lisen: unknown key"]), WIDE).join(
    "\n",
  );

  assert.match(text, /\n {9}a newer file was refused: 1 problem\n {9}mcptun\.toml:3:1 edge\.lisen/);
});

test("an audit trail is told with its size, and loudly while it cannot be written", () => {
  const audit = { file: "/var/audit.jsonl", records: 7, waiting: 0, lost: 0, blocks: true };
  const problem = 'Cannot write to "/var/audit.jsonl": the disk is full';

  const good = statusLines(answer({}, [], audit), WIDE).join("\n");
  const bad = statusLines(answer({}, [], { ...audit, lost: 2, problem }), WIDE).join("\n");

  assert.match(good, /^audit    \/var\/audit\.jsonl, 7 records$/m);
  assert.match(bad, /^audit    \/var\/audit\.jsonl, 7 records, 2 lost$/m);
  assert.match(bad, /the disk is full; new exchanges are refused meanwhile/);
});

test("shares of errors and quantiles are told as what they are", () => {
  const cases: [Readonly<Record<string, number>>, readonly number[], RegExp][] = [
    [{ "2xx": 1 }, [1], /  0%  ≤1ms  ≤1ms/],
    [{ "2xx": 99_999, "5xx": 1 }, [0, 94, 6], /  <0\.1%  ≤2ms  ≤5ms/],
    [{ "5xx": 1 }, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], /  100%  >5s  >5s/],
    [{ tunnel_offline: 1, unauthenticated: 1 }, [95, 5], /  50%  ≤1ms  ≤1ms/],
    [{ "4xx": 9, stream_limit: 1 }, [0, 0, 0, 0, 0, 0, 0, 0, 1], /  10%  ≤1s  ≤1s/],
    [{}, [], /  -  -  -/],
  ];
  let ran = 0;
  for (const [outcomes, buckets, expected] of cases) {
    const count = buckets.reduce((sum, one) => sum + one, 0);
    const latency = { count, sumMs: 0, buckets };
    const lines = statusLines(answer({ tunnels: [tunnelStatus({ outcomes, latency })] }), WIDE);
    const row = lines.find((line) => line.startsWith("code-server"))!.replace(/ {2,}/g, "  ");
    assert.match(row, expected);
    ran++;
  }
  assert.equal(ran, 6);
});

test("a connection that carries several tunnels is listed once, an unhealthy one is no tunnel's rift", () => {
  const rifts = [riftStatus(), riftStatus({ connection: "c2", name: "ci", healthy: false })];
  const lines = statusLines(
    answer({ tunnels: [tunnelStatus({ rifts }), tunnelStatus({ name: "b", rifts })] }),
    WIDE,
  );

  assert.equal(lines.filter((line) => /^(laptop|ci) /.test(line)).length, 2);
  assert.match(lines.join("\n"), /^ci .* no$/m);
  assert.match(lines.join("\n"), /^b +aware +edge +laptop +3/m);
});

test("nothing declared and nobody connected are told in words", () => {
  const text = statusLines(answer({ tunnels: [] }), { ...WIDE, width: 80 }).join("\n");

  assert.match(text, /\n\nNo tunnel is declared\n\nNo rift is connected$/);
});

test("a rift that waits for its server is connected, and the tunnel says so", () => {
  const laptop = riftStatus();
  const lines = statusLines(
    answer({ tunnels: [tunnelStatus({ rifts: [], waiting: ["laptop"] })], rifts: [laptop] }),
    WIDE,
  );

  assert.match(lines.join("\n"), /^code-server +aware +edge +waiting /m);
  assert.match(lines.join("\n"), /^laptop +192\.0\.2\.7:50123 .* yes$/m);
  assert.equal(
    lines.at(-1),
    "code-server: rift laptop is connected, its server does not answer yet",
  );
});

test("what waits is told in few lines, none longer than the terminal, and cannot steer it", () => {
  const waiting = Array.from({ length: 9 }, (_, at) => `\x1b[2J${"w".repeat(60)}${at}`);
  const lines = statusLines(answer({ tunnels: [tunnelStatus({ waiting })] }), {
    ...WIDE,
    width: 60,
  });

  assert.ok(lines.every((line) => line.length <= 60));
  assert.doesNotMatch(lines.join(""), /[\x00-\x1f]/);
  assert.match(lines.join("\n"), /^… and 4 more$/m);
});

test("the status of an older edge lists the rifts of its tunnels", () => {
  const { rifts: _, newcomers: _newcomers, ...status } = edgeStatus();
  const tunnels = status.tunnels.map(({ waiting: _waiting, ...tunnel }) => tunnel);
  const parsed = readStatusAnswer(JSON.parse(JSON.stringify({
    ...status,
    tunnels,
    latencyBoundsMs: LATENCY_BOUNDS_MS,
    version: "0.1.0",
    runtime: "node 20.18.1",
    pid: 1,
    config: { loadedAtMs: NOW_MS, problems: [] },
  })));

  assert.deepEqual(parsed?.rifts.map(({ name }) => name), ["laptop"]);
  assert.deepEqual(parsed?.tunnels.map(({ waiting }) => waiting), [[], []]);
  assert.doesNotMatch(statusLines(parsed!, WIDE).join("\n"), /dropped/);
});

test("an answer that is not a status is not read", () => {
  const good = { ...answer(), latencyBoundsMs: [1] };
  const cases: unknown[] = [
    undefined,
    null,
    [],
    "x",
    {},
    { ...good, tunnels: "x" },
    { ...good, tunnels: [{}] },
    { ...good, pid: "1" },
    { ...good, config: undefined },
    { ...good, startedAtMs: null },
  ];
  let ran = 0;
  for (const value of cases) {
    assert.equal(readStatusAnswer(value), undefined);
    ran++;
  }
  assert.equal(ran, 10);
  assert.ok(readStatusAnswer({ ...good, new: 1 }) !== undefined);
});
