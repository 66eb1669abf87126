import assert from "node:assert/strict";
import { test } from "node:test";

import { editDistance, nearest } from "../../../src/config/nearest.ts";
import {
  formatDuration,
  formatSize,
  isLoopback,
  isWildcard,
  joinAddress,
  parseAddress,
  type Parsed,
  parseDuration,
  parseHost,
  parseName,
  parseOrigin,
  parseRoutePath,
  parseSize,
  parseUpstream,
  shownUrl,
} from "../../../src/config/value.ts";

const WIDE = { minMs: 0, maxMs: 400 * 86_400_000 };

test("durations need a whole number and a unit", () => {
  const duration = (text: string) => parseDuration(text, WIDE);

  accepts(duration, [["500ms", 500], ["10s", 10_000], ["5m", 300_000], ["1h", 3_600_000], [
    "30d",
    2_592_000_000,
  ], ["0s", 0]]);
  refuses(duration, ["10", "", "1.5s", "-1s", "10 s", "1w", "500d", "off", "10S", "1s\n"]);
});

test('the word "off" is a duration of 0 where it is allowed', () => {
  const duration = (text: string) => parseDuration(text, { minMs: 1_000, maxMs: 2_000, off: true });

  accepts(duration, [["off", 0], ["1s", 1_000]]);
  refuses(duration, ["0s", "3s", "OFF"]);
});

test("formatted durations and sizes read back", () => {
  for (const ms of [0, 1, 999, 1_000, 90_000, 60_000, 3_600_000, 86_400_000]) {
    assert.deepEqual(parseDuration(formatDuration(ms), WIDE), { value: ms });
  }
  for (const bytes of [0, 1, 1_023, 1_024, 16_384, 16_777_216, 1_073_741_824]) {
    assert.deepEqual(parseSize(formatSize(bytes)), { value: bytes });
  }
});

test("sizes need a whole number and a binary unit", () => {
  accepts(parseSize, [["512B", 512], ["16KiB", 16_384], ["16MiB", 16_777_216]]);
  refuses(parseSize, ["16", "16KB", "16M", "1.5MiB", "-1B", "16 MiB"]);
});

test("addresses are host and port", () => {
  const address = (text: string) => {
    const parsed = parseAddress(text, "any");
    return "value" in parsed ? { value: joinAddress(parsed.value) } : parsed;
  };

  accepts(address, [["127.0.0.1:0", "127.0.0.1:0"], ["[::1]:80", "[::1]:80"], [
    "a-b.c:1",
    "a-b.c:1",
  ]]);
  refuses(address, ["127.0.0.1", ":80", "::1:80", "a:65536", "a:x", "http://a:1", "a b:1", "a:1/"]);
  refuses((text) => parseAddress(text, "dialable"), ["a:0"]);
  // The credential would refuse these later.
  refuses(address, ["my_host:4443", "-a:1", "a-:1", ".a:1", "a.:1", `${"a".repeat(254)}:1`]);
});

test("hosts have no scheme and are lower case", () => {
  accepts(parseHost, [
    ["MCP.example.com", "mcp.example.com"],
    ["localhost:8080", "localhost:8080"],
    [
      "[::1]:80",
      "[::1]:80",
    ],
  ]);
  refuses(parseHost, [
    "https://a",
    "a/b",
    "",
    "a..b",
    "a:99999",
    "a b",
    "*.example.com",
    "-a",
    "a-:80",
  ]);
  accepts(parseHost, [["my_host", "my_host"]]);
});

test("origins are scheme, host and port in their canonical form", () => {
  accepts(parseOrigin, [
    ["https://app.example.com", "https://app.example.com"],
    ["HTTPS://App.example.com:443", "https://app.example.com"],
    ["http://localhost:3000", "http://localhost:3000"],
  ]);
  refuses(parseOrigin, ["null", "*", "https://a/", "app.example.com", "https://u@a", "https://"]);
});

test("upstreams are http or https URLs without credentials, query or fragment", () => {
  accepts(parseUpstream, [
    ["http://127.0.0.1:9090/mcp", "http://127.0.0.1:9090/mcp"],
    ["https://a/@scope/mcp", "https://a/@scope/mcp"],
  ]);
  refuses(parseUpstream, [
    "ftp://a/",
    "127.0.0.1:80",
    "http://u:p@a/",
    "http://a/#",
    "http://a/?key=1",
    "http:///x",
    "",
  ]);
});

test("a refused upstream shows neither credentials nor query", () => {
  for (
    const text of [
      "ftp://user:hunter2@a/?key=hunter2",
      "http://user:hunter2/x@host",
      "ftp:user:hunter2@host",
      "user:hunter2@host:90/mcp",
      "user:p@hunter2@ho st",
      "http://a/?key=hunter2",
    ]
  ) {
    const parsed = parseUpstream(text);

    assert.ok("problem" in parsed, text);
    assert.doesNotMatch(parsed.problem + shownUrl(text), /hunter2/, text);
  }
  assert.equal(shownUrl("http://a/mcp?key=hunter2"), "http://a/mcp?[redacted]");
});

test("no refusal repeats what may be a password or a credential", () => {
  for (const secret of ["user:hunter2@host:80", "mcpt_hunter2", "mcpu_hunter2", "mcpa_hunter2"]) {
    for (const parse of [parseHost, parseOrigin, parseRoutePath, parseName]) {
      const parsed = parse(secret);

      if ("problem" in parsed) assert.doesNotMatch(parsed.problem, /hunter2/);
    }
    const address = parseAddress(secret, "any");
    assert.ok("problem" in address);
    assert.doesNotMatch(address.problem, /hunter2/);
  }
});

test("route paths are absolute and plain", () => {
  accepts(parseRoutePath, [["/", "/"], ["/a/mcp", "/a/mcp"], ["/a.b/~c", "/a.b/~c"]]);
  refuses(parseRoutePath, [
    "",
    "a",
    "/a/",
    "//a",
    "/a/../b",
    "/.",
    "/a?b",
    "/a%2Fb",
    "/a b",
    "/a#b",
  ]);
});

test("names are short and plain", () => {
  accepts(parseName, [["a", "a"], ["team-a_1", "team-a_1"], ["a".repeat(63), "a".repeat(63)]]);
  refuses(parseName, ["", "A", "-a", "a.b", "a/b", "a".repeat(64), "ä"]);
});

test("loopback and wildcard hosts are told apart from others", () => {
  assert.deepEqual(["localhost", "127.0.0.1", "127.9.9.9", "::1"].map(isLoopback), [
    true,
    true,
    true,
    true,
  ]);
  assert.deepEqual(["0.0.0.0", "::", "example.com", "127.evil.com"].map(isLoopback), [
    false,
    false,
    false,
    false,
  ]);
  assert.deepEqual(["0.0.0.0", "::", "::1", "10.0.0.1"].map(isWildcard), [
    true,
    true,
    false,
    false,
  ]);
});

test("the nearest word is one that is near", () => {
  const words = ["listen", "tunnel_listen", "hosts", "log"];

  assert.equal(nearest("listn", words), "listen");
  assert.equal(nearest("Listen", words), "listen");
  assert.equal(nearest("tunel_lisen", words), "tunnel_listen");
  assert.equal(nearest("hsots", words), "hosts");
  assert.equal(nearest("foo", words), undefined);
  assert.equal(nearest("x".repeat(100_000), words), undefined);
  assert.equal(editDistance("kitten", "sitting"), 3);
});

function accepts<T>(parse: (text: string) => Parsed<T>, cases: readonly (readonly [string, T])[]) {
  for (const [text, value] of cases) assert.deepEqual(parse(text), { value }, text);
}

function refuses(parse: (text: string) => Parsed<unknown>, cases: readonly string[]) {
  for (const text of cases) {
    const parsed = parse(text);

    assert.ok("problem" in parsed, text);
    assert.match(parsed.problem, /\(.+\)$/);
  }
}
