import assert from "node:assert/strict";
import { test } from "node:test";

import { normalizeUri } from "../../../src/policy/uri.ts";

test("one resource has one normal form", () => {
  const cases: [raw: string, normal: string][] = [
    ["file:///etc/passwd", "file:///etc/passwd"],
    ["FILE:///etc/passwd", "file:///etc/passwd"],
    ["file:/etc/passwd", "file:///etc/passwd"],
    ["file:etc/passwd", "file:///etc/passwd"],
    ["file://localhost/etc/passwd", "file:///etc/passwd"],
    ["file:////etc/passwd", "file:///etc/passwd"],
    ["file:///etc//passwd", "file:///etc/passwd"],
    ["file:///%65tc/passwd", "file:///etc/passwd"],
    ["file:///etc/./passwd", "file:///etc/passwd"],
    ["file:///etc/../etc/passwd", "file:///etc/passwd"],
    ["file:///../../etc/passwd", "file:///etc/passwd"],
    ["file:///repo/a%2fb", "file:///repo/a/b"],
    ["file:///repo/%2e%2e/a", "file:///a"],
    ["file:///repo/..", "file:///"],
    ["file:///repo/a/", "file:///repo/a/"],
    ["file:///caf%C3%A9", "file:///café"],
    ["file:///cafe%CC%81", "file:///café"],
    ["HTTPS://Example.COM./A/../B", "https://example.com/B"],
    ["https://example.com", "https://example.com"],
    ["https:/example.com/a", "https://example.com/a"],
    ["https:example.com/a", "https://example.com/a"],
    ["HTTPS:////example.com/a", "https://example.com/a"],
    ["https://h/a?b=/x//y", "https://h/a?b=/x//y"],
    ["https://h/a%3Fb", "https://h/a?b"],
    ["urn:isbn:1", "urn:isbn:1"],
    ["test://template/{id}/data", "test://template/{id}/data"],
    ["note", "note"],
  ];

  for (const [raw, normal] of cases) {
    const uri = normalizeUri(raw);
    assert.ok("normal" in uri, raw);
    assert.equal(uri.normal, normal, raw);
    const again = normalizeUri(normal.replaceAll("%", "%25"));
    assert.equal("normal" in again && again.normal, normal, `twice ${raw}`);
  }
});

test("what no URI may contain is reported", () => {
  const cases: [raw: string, problem: string][] = [
    ["", "empty"],
    ["file:///a\u0000", "control_character"],
    ["file:///a\n", "control_character"],
    ["file:///a\u0085", "control_character"],
    ["file:///a%00", "control_character"],
    ["file:///a%0a", "control_character"],
    [" file:///a", "outer_whitespace"],
    ["file:///a\u00a0", "outer_whitespace"],
    ["file:///a\\b", "backslash"],
    ["file:///a%5cb", "backslash"],
    ["file:///a%2", "invalid_percent_encoding"],
    ["file:///a%zz", "invalid_percent_encoding"],
    ["file:///%c0%ae", "invalid_percent_encoding"],
    ["file:///%252e%252e/a", "unstable_percent_encoding"],
    ["file:///a\ud800", "lone_surrogate"],
    ["file:///repo/a?/../../etc", "dot_segment_in_query"],
    ["file:///repo/a#/..", "dot_segment_in_query"],
    ["file:///repo/..%2f..%2fetc%2fshadow", "ambiguous_dot_segment"],
    ["file:///a/b%2fc/%2e%2e/%2e%2e/x", "ambiguous_dot_segment"],
    ["file:///a//../b", "ambiguous_dot_segment"],
    ["file://%2fetc/passwd", "ambiguous_authority"],
    ["https://example.com%40evil/a", "ambiguous_authority"],
    [`file:///${"a".repeat(4_096)}`, "too_long"],
  ];

  for (const [raw, problem] of cases) {
    assert.deepEqual(normalizeUri(raw), { problem }, JSON.stringify(raw));
  }
});

test("the kin of a URI are what servers take for the same thing", () => {
  const cases: [raw: string, kin: string][] = [
    ["file://host/etc/passwd", "file:///etc/passwd"],
    ["file:///etc/passwd?x", "file:///etc/passwd"],
    ["file:///etc/passwd#x", "file:///etc/passwd"],
    ["file:///etc/passwd/", "file:///etc/passwd"],
    ["file:///etc/passwd.", "file:///etc/passwd"],
    ["file:///etc/passwd%20", "file:///etc/passwd"],
    ["https://user@example.com:443/a", "https://example.com/a"],
    ["http://example.com:80/a?b", "http://example.com/a?b"],
  ];

  for (const [raw, kin] of cases) {
    const uri = normalizeUri(raw);
    assert.ok("kin" in uri && uri.kin.includes(kin), raw);
  }
});
