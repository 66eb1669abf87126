import assert from "node:assert/strict";
import { test } from "node:test";

import { peerAddress, ProxyTrust } from "../../../src/edge/client_address.ts";

test("peerAddress() shows IPv4-mapped addresses as IPv4", () => {
  assert.equal(peerAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(peerAddress("2001:db8::1"), "2001:db8::1");
  assert.equal(peerAddress(undefined), "unknown");
});

test("ProxyTrust believes listed peers only, and without a list every peer behind a proxy", () => {
  const listed = new ProxyTrust({ behindProxy: true, trustedProxies: ["10.0.0.0/8", "fd00::/8"] });
  const all = new ProxyTrust({ behindProxy: true, trustedProxies: [] });
  const none = new ProxyTrust({ behindProxy: false, trustedProxies: [] });

  assert.deepEqual(
    ["10.1.2.3", "11.0.0.1", "fd12::1", "::1", "unknown"].map((address) => listed.trusts(address)),
    [true, false, true, false, false],
  );
  assert.equal(all.trusts("192.0.2.1"), true);
  assert.equal(all.isListed("192.0.2.1"), false);
  assert.equal(none.trusts("192.0.2.1"), false);
});

test("ProxyTrust takes the last address that no proxy of ours has, whatever stands before it", () => {
  const trust = new ProxyTrust({ behindProxy: true, trustedProxies: ["10.0.0.0/8"] });
  const cases = [
    ["10.0.0.1", "203.0.113.9", "203.0.113.9"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"],
    ["10.0.0.1", "[2001:db8::5]:443", "2001:db8::5"],
    ["10.0.0.1", "203.0.113.9:1234", "203.0.113.9"],
    ["10.0.0.1", "203.0.113.9, junk", "10.0.0.1"],
    ["10.0.0.1", undefined, "10.0.0.1"],
    ["192.0.2.7", "203.0.113.9", "192.0.2.7"],
  ] as const;

  let count = 0;
  for (const [peer, forwardedFor, client] of cases) {
    assert.equal(trust.clientOf(peer, forwardedFor), client, forwardedFor);
    count++;
  }
  assert.equal(count, cases.length);
});
